//! Any program with its libraries.
//!
//! A program of the system stays where it is. One from anywhere else, such as a build folder, goes to
//! `/usr/bin`, so that no path of its maker gets into an image; unless it looks for its libraries
//! beside itself (`$ORIGIN`), which only works where it is.

use std::path::Path;

use windlass_guest::command_line::quote_word;

use super::{Packed, Staging};
use crate::closure::{self, Layout, Object};
use crate::run_file::Settings;
use crate::{Error, Manifest, RunConfiguration, Watch, name_from};

/// Where systems have their programs.
const SYSTEM_DIRECTORIES: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"];

pub(super) fn pack(program: &Path, into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    watch.step("Finding what it needs");
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
    let name = name_from(&title);
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
    watch.expect(closure.objects.iter().map(|object| object.size_bytes).sum());

    watch.step("Copying the program and its libraries");
    let mut staging = Staging::begin(&into.join(&name))?;
    super::copy_closure(&closure, Layout::Both, &mut staging, watch)?;
    super::link_names(&guest, std::slice::from_ref(&called), &mut staging)?;

    let configuration = RunConfiguration {
        name: name.clone(),
        settings: Settings::Native {
            bootcmd: Some(quote_word(&called.to_string_lossy())),
            by_guest: Vec::new(),
        },
        env: Vec::new(),
        base: None,
    };
    let manifest = Manifest {
        name,
        title,
        author: "Packed from this computer".into(),
        platform: super::platform(),
        ..Manifest::default()
    };
    super::finish(
        staging,
        &manifest,
        configuration,
        closure.findings(),
        false,
        watch,
    )
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
