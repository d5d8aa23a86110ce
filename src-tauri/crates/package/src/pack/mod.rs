//! Packages made from what is on this computer.
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
//! One package serves both guests: files lie where they are on this computer, with links in
//! `/usr/lib` for OSv's own linker ([`Layout::Both`]). Where
//! that linker cannot run a program (Node reads `/proc/self/maps`, at which it fails an assertion),
//! `bootcmd` starts it through `ld-linux`, and `x-bootcmd` says how Linux runs it.
//!
//! A package is written beside its place and put there whole. The same files give the same package:
//! there is no date in it, and the modes are 0644 and 0755 whatever the umask.

mod interpreter;
mod node;
mod program;
mod python;
mod staging;

use std::fs;
use std::path::{Path, PathBuf};

use crate::closure::{Closure, Content, Layout};
use crate::{
    Error, Finding, Manifest, RunConfiguration, RunFile, Runtime, Watch, manifest, run_file,
};

pub use interpreter::Interpreter;
pub(crate) use staging::Staging;

/// A package that was packed from this computer.
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
    node::pack(&interpreter, into, watch)
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
    python::pack(&interpreter, into, watch)
}

/// Packs a program with its libraries into the folder `into/NAME`, which must not be there yet.
///
/// # Errors
///
/// When it is no program, cannot be read or written, or `watch` cancels.
pub fn program(program: &Path, into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    program::pack(program, into, watch)
}

/// Copies a closure into a package.
fn copy_closure(
    closure: &Closure,
    layout: Layout,
    staging: &mut Staging,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    for place in closure.place(layout) {
        match place.content {
            Content::Copy(host) => staging.copy(&host, &place.guest, watch)?,
            Content::Link(target) => staging.link(&place.guest, &target)?,
        }
    }
    Ok(())
}

/// Links from the name that a program is known by to where it really is.
fn link_names(program: &Path, names: &[PathBuf], staging: &mut Staging) -> Result<(), Error> {
    for name in names {
        let taken =
            fs::symlink_metadata(staging.root().join(name.strip_prefix("/").unwrap_or(name)));
        if name != program && taken.is_err() {
            staging.link(name, program)?;
        }
    }
    Ok(())
}

/// What glibc reads when it looks up a host or a user; without it, names are looked up by DNS alone.
fn name_service(staging: &mut Staging) -> Result<(), Error> {
    let files: [(&str, &str); 4] = [
        ("/etc/hosts", "127.0.0.1\tlocalhost\n"),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
        ),
        ("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n"),
        ("/etc/group", "root:x:0:\n"),
    ];
    for (guest, text) in files {
        staging.write(Path::new(guest), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Writes `meta/`, and puts the package in place.
fn finish(
    mut staging: Staging,
    manifest: &Manifest,
    configuration: RunConfiguration,
    findings: Vec<Finding>,
    replace: bool,
    watch: &mut dyn Watch,
) -> Result<Packed, Error> {
    watch.step("Writing the manifest");
    let run = RunFile {
        runtime: Runtime::Native,
        config_set_default: vec![configuration.name.clone()],
        config_set: vec![configuration],
    };
    let (file_count, size_bytes) = (staging.file_count, staging.size_bytes);
    staging.write(
        Path::new(manifest::FILE),
        manifest.to_yaml()?.as_bytes(),
        0o644,
    )?;
    staging.write(Path::new(run_file::FILE), run.to_yaml()?.as_bytes(), 0o644)?;
    let root = staging.finish(replace)?;
    Ok(Packed {
        name: manifest.name.clone(),
        root,
        file_count,
        size_bytes,
        findings,
    })
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
