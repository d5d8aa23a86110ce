//! Any program with its libraries, and what it opens while it runs.
//!
//! A program of the system stays where it is. One from anywhere else, such as a build folder, goes to
//! `/usr/bin`, so that no path of its maker gets into an image; unless it looks for its libraries
//! beside itself (`$ORIGIN`), which only works where it is.

use std::fs;
use std::path::{Path, PathBuf};

use windlass_guest::GuestOs;
use windlass_guest::command_line::quote_word;

use super::{Description, Draft, Kind, PackOptions, Plan};
use super::{interpreter, node, observe, python, system};
use crate::closure::{self, Closure, Layout, Object};
use crate::run_file::Settings;
use crate::{Error, Manifest, RunConfiguration, Watch, name_from};

/// Where systems have their programs.
const SYSTEM_DIRECTORIES: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"];

/// A package of the program for one guest.
pub(super) fn plan(
    program: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    let real = fs::canonicalize(program).unwrap_or_else(|_| program.to_path_buf());
    let layout = super::draft::layout_of(options.guest);
    // A program that is an interpreter is of no use without its library.
    let is_named = |names: &[&str]| {
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        names.iter().any(|start| name.starts_with(start))
    };
    if is_named(&["node"])
        && let Some(found) = interpreter::find_node().filter(|found| is_same(&found.program, &real))
    {
        return node::plan_with(&found, Layout::HostPaths, options, watch);
    }
    if is_named(&["python3"])
        && let Some(found) =
            interpreter::find_python().filter(|found| is_same(&found.program, &real))
    {
        return python::plan_with(&found, layout, options, watch);
    }
    watch.step("Finding what it needs");
    let mut found = Found::new(program)?;
    let mut draft = Draft::default();
    if options.observe {
        watch.step("Running it for a few seconds, to see what it opens");
        found.observe(program, &mut draft, options, watch)?;
    }
    // What lies beside a library for the built-in linker need not for the other.
    let own_linker = options.guest == GuestOs::Osv && closure::needs_own_linker(&found.closure);
    let layout = if own_linker {
        Layout::HostPaths
    } else {
        layout
    };
    draft.closure(&found.closure, layout)?;
    system::add(&found.closure, &mut draft, watch)?;
    let linker = found.closure.interpreter().filter(|_| own_linker);
    let linker = linker.map(str::to_owned);
    found.finish(draft, linker.as_deref(), options, watch)
}

/// A package of the program's libraries alone, for both guests.
pub(super) fn plan_for_both(program: &Path, watch: &mut dyn Watch) -> Result<Plan, Error> {
    watch.step("Finding what it needs");
    let found = Found::new(program)?;
    let mut draft = Draft::default();
    draft.closure(&found.closure, Layout::Both)?;
    found.finish(draft, None, &PackOptions::new(GuestOs::Linux), watch)
}

/// A program of this computer, and where it will be in a guest.
struct Found {
    closure: Closure,
    title: String,
    /// Where it is in the guest.
    guest: PathBuf,
    /// The name by which it is started.
    called: PathBuf,
}

impl Found {
    fn new(program: &Path) -> Result<Self, Error> {
        let mut closure = closure::closure(&[program.to_path_buf()])?;
        let known_as = std::path::absolute(program).map_err(|source| Error::Io {
            doing: "find",
            path: program.into(),
            source,
        })?;
        let title = known_as
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(object) = closure
            .objects
            .first_mut()
            .filter(|object| object.elf.is_program || object.elf.is_static())
        else {
            return Err(Error::Unsuitable {
                path: program.to_path_buf(),
                found: "is a library and not a program".into(),
                remedy: "Choose the program that uses it.".into(),
            });
        };
        let stays = is_of_the_system(&object.guest) || looks_beside_itself(object);
        if !stays {
            object.guest = Path::new("/usr/bin").join(&title);
        }
        let guest = object.guest.clone();
        let called = if stays { known_as } else { guest.clone() };
        Ok(Self {
            closure,
            title,
            guest,
            called,
        })
    }

    /// Runs the program, and adds the libraries that it opened by name with all that they need.
    fn observe(
        &mut self,
        program: &Path,
        draft: &mut Draft,
        options: &PackOptions,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        let seen = observe::observe(program, &draft.scratch(options)?, watch)?;
        draft.findings.extend(seen.findings);
        let program = self.title.clone();
        self.closure.extend(&seen.libraries, &program)?;
        for file in seen.files {
            let reason = format!("because {program} had it open while it ran");
            draft.file(&file, &file, &reason)?;
        }
        Ok(())
    }

    fn finish(
        self,
        mut draft: Draft,
        linker: Option<&str>,
        options: &PackOptions,
        watch: &mut dyn Watch,
    ) -> Result<Plan, Error> {
        super::link_names(&self.guest, std::slice::from_ref(&self.called), &mut draft)?;
        let name = name_from(&self.title);
        let called = quote_word(&self.called.to_string_lossy());
        let bootcmd = match linker {
            Some(linker) => format!("{linker} {called}"),
            None => called,
        };
        let run = super::run_file(RunConfiguration {
            name: name.clone(),
            settings: Settings::Native {
                bootcmd: Some(bootcmd),
                by_guest: Vec::new(),
            },
            env: Vec::new(),
            base: None,
        });
        let manifest = Manifest {
            name,
            title: self.title,
            author: "Packed from this computer".into(),
            platform: super::platform(),
            ..Manifest::default()
        };
        let description = Description::new(manifest, Some(&run), options)?;
        draft.finish(Kind::Program, description, options, watch)
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|one| one == other)
}

fn is_of_the_system(path: &Path) -> bool {
    SYSTEM_DIRECTORIES
        .iter()
        .any(|directory| path.starts_with(directory))
}

fn looks_beside_itself(object: &Object) -> bool {
    let mut paths = object.elf.rpath.iter().chain(&object.elf.runpath);
    paths.any(|path| path.contains("ORIGIN"))
}
