//! A `.jar` with a Java runtime, reduced to the modules that it uses where there is a JDK.
//!
//! ```text
//!   app.jar ── jdeps ──> java.base,java.logging,jdk.httpserver      [modules]
//!                          └ jlink ──> usr/lib/jvm/jre/             some 40 MB instead of 180
//!   usr/lib/jvm/jre/bin/java -jar /app/app.jar
//! ```
//!
//! What jdeps cannot see are modules that are found by reflection or as services: those that Spring
//! Boot uses so are added for it, and the cryptography of TLS always. Without a JDK, the whole
//! runtime is taken.

mod home;
mod jar;
mod modules;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};
use windlass_guest::GuestOs;
use windlass_guest::command_line::quote_word;

use super::draft::{self, Description, Draft};
use super::{Kind, PackOptions, Plan};
use crate::closure::{self, Elf};
use crate::error::IoContext;
use crate::run_file::Settings;
use crate::watch::advance;
use crate::{Error, Finding, Manifest, RunConfiguration, Watch, name_from};
use home::Home;
use jar::Jar;

/// Where the runtime lies in a guest.
const RUNTIME: &str = "/usr/lib/jvm/jre";
/// Where the application lies.
const APPLICATION: &str = "/app";
/// Of a whole runtime: for those who write programs, or read.
const LEFT_OUT: [&str; 6] = ["demo", "docs", "include", "jmods", "legal", "man"];

pub(super) fn plan(
    path: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    watch.step("Looking into the archive");
    let jar = Jar::open(path)?;
    let home = Home::find(jar.java_version, options.java_reduce)?;
    let mut draft = Draft::default();
    draft.findings.extend(jar.findings());
    let runtime = runtime(&jar, &home, options, &mut draft, watch)?;
    take_runtime(&runtime, options.guest, &mut draft, watch)?;
    super::name_service(&mut draft)?;

    let file_name = path.file_name().unwrap_or_default();
    let guest = Path::new(APPLICATION).join(file_name);
    draft.file(path, &guest, "because it is the application")?;
    draft.require(&guest);
    for (host, guest) in jar.class_path() {
        draft.file(
            &host,
            &guest,
            "because the archive names it in its class path",
        )?;
    }
    let java = format!("{RUNTIME}/bin/java");
    let run = super::run_file(RunConfiguration {
        name: "java".into(),
        settings: Settings::Native {
            bootcmd: Some(format!(
                "{java} -jar {}",
                quote_word(&guest.to_string_lossy())
            )),
            by_guest: Vec::new(),
        },
        env: Vec::new(),
        base: None,
    });
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let title = jar.title.clone().unwrap_or_else(|| stem.clone());
    let manifest = Manifest {
        name: name_from(jar.title.as_deref().unwrap_or(&stem)),
        title,
        author: jar
            .vendor
            .clone()
            .unwrap_or_else(|| "Packed from this computer".into()),
        version: jar.version.clone(),
        platform: super::platform(),
        ..Manifest::default()
    };
    let description = Description::new(manifest, Some(&run), options)?;
    draft.finish(Kind::Jar, description, options, watch)
}

/// Whether a JDK of these versions is on this computer.
pub(super) fn has(versions: RangeInclusive<u32>) -> bool {
    Home::find_jdk(&versions).is_ok()
}

/// Puts a runtime of these modules into a draft for Linux.
pub(super) fn linked(
    modules: &[&str],
    versions: RangeInclusive<u32>,
    reason: &str,
    options: &PackOptions,
    draft: &mut Draft,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let home = Home::find_jdk(&versions)?;
    let scratch = draft.scratch(options)?;
    watch.step("Linking a Java runtime");
    let folder = modules::link(modules, &home, &scratch.join("jre"), watch)?;
    let folder = folder.map(|folder| (modules::share(&folder, watch), folder));
    let (shared, folder) = folder.map_err(|found| Error::Unsuitable {
        path: home.folder.clone(),
        found,
        remedy:
            "Install the whole JDK (Debian and Ubuntu: `sudo apt install openjdk-17-jdk-headless`)."
                .into(),
    })?;
    if let Err(why) = shared? {
        let text = format!("Java starts slower than it could: {why}");
        draft.findings.push(Finding::note(text));
    }
    let runtime = Runtime {
        folder,
        reason: reason.to_owned(),
    };
    take_runtime(&runtime, GuestOs::Linux, draft, watch)
}

/// A runtime and why it is what it is.
struct Runtime {
    folder: PathBuf,
    reason: String,
}

/// A reduced runtime where that is wished and possible, else the whole one.
fn runtime(
    jar: &Jar,
    home: &Home,
    options: &PackOptions,
    draft: &mut Draft,
    watch: &mut dyn Watch,
) -> Result<Runtime, Error> {
    let whole = |why: &str, draft: &mut Draft| {
        draft.findings.push(
            Finding::note(format!("the whole Java runtime is taken: {why}"))
                .remedy("Install a JDK (Debian and Ubuntu: `sudo apt install openjdk-17-jdk-headless`), and reduce it."),
        );
        Runtime {
            folder: home.folder.clone(),
            reason: format!("because {} runs on Java {}", jar.name, home.version),
        }
    };
    if !options.java_reduce {
        return Ok(Runtime {
            folder: home.folder.clone(),
            reason: format!("because {} runs on Java {}", jar.name, home.version),
        });
    }
    if !home.has_jdk {
        return Ok(whole("there is no jlink beside it", draft));
    }
    watch.step("Finding the Java modules that it uses");
    let scratch = draft.scratch(options)?;
    let modules = match modules::of(jar, home, &scratch, watch)? {
        Ok(modules) => modules,
        Err(why) => return Ok(whole(&why, draft)),
    };
    watch.step("Linking a runtime of these modules");
    match modules::link(&modules, home, &scratch.join("jre"), watch)? {
        Ok(folder) => Ok(Runtime {
            folder,
            reason: format!(
                "because {} uses the Java modules {}",
                jar.name,
                modules.join(", ")
            ),
        }),
        Err(why) => Ok(whole(&why, draft)),
    }
}

/// The runtime's files, and the libraries of the system that it needs.
fn take_runtime(
    runtime: &Runtime,
    guest: GuestOs,
    draft: &mut Draft,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let is_wanted = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() != 1 || !LEFT_OUT.contains(&&*name)
    };
    // The distribution's runtime has links to its configuration in /etc.
    let place = Path::new(RUNTIME);
    draft.tree(
        &runtime.folder,
        place,
        &runtime.reason,
        true,
        &is_wanted,
        watch,
    )?;
    let folder = std::fs::canonicalize(&runtime.folder).context("read", &runtime.folder)?;
    let mut roots = Vec::new();
    for entry in WalkDir::new(&folder).sort_by_file_name() {
        advance(watch, 0)?;
        let Ok(entry) = entry else { continue };
        let is_object = entry.file_type().is_file() && Elf::open(entry.path()).is_ok();
        if is_object && entry.depth() > 1 && is_wanted(&entry) {
            roots.push(entry.into_path());
        }
    }
    let mut needed = closure::closure(&roots)?;
    needed
        .objects
        .retain(|object| !object.host.starts_with(&folder));
    // Libraries for windows and sound, which a runtime has and a service does not open.
    let is_of_no_use = |missing: &closure::Missing| {
        let by = missing.needed_by.to_string_lossy();
        ["awt", "splashscreen", "jsound", "fontmanager"]
            .iter()
            .any(|part| by.contains(part))
    };
    needed.missing.retain(|missing| !is_of_no_use(missing));
    draft.closure(&needed, draft::layout_of(guest))
}
