//! stub
use std::path::PathBuf;

use crate::{Error, Finding};

/// How the objects of a closure are laid out in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Everything where it is on this computer: for Linux, and for OSv through `ld-linux`.
    HostPaths,
    /// Libraries flat in `/usr/lib`, without those that OSv's kernel supplies.
    OsvFlat,
    /// As on this computer, with links in `/usr/lib` where OSv's own linker looks.
    Both,
}

/// A program with every shared object that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// The objects, the programs first, then in the order in which they were found to be needed.
    pub objects: Vec<Object>,
    /// Libraries that are nowhere on this computer.
    pub missing: Vec<Missing>,
    /// What else was noticed.
    pub findings: Vec<Finding>,
}

/// One shared object or program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The file on this computer.
    pub host: PathBuf,
    /// Where it is in the guest, absolute.
    pub guest: PathBuf,
    /// By what name others need it.
    pub name: String,
    /// How large it is.
    pub size_bytes: u64,
    /// Why it is here.
    pub because: Because,
}

/// Why an object is in a closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// It was asked for.
    Asked,
    /// It loads this program.
    InterpreterOf(PathBuf),
    /// This object needs it.
    NeededBy(PathBuf),
}

/// A library that is nowhere on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// The object that needs it.
    pub needed_by: PathBuf,
}

/// What is put at one path of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Where, absolute.
    pub guest: PathBuf,
    /// What.
    pub content: Content,
    /// Why, as a sentence for a person.
    pub because: String,
}

/// The content of a [`Placement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A copy of this file.
    Copy(PathBuf),
    /// A symbolic link to this.
    Link(PathBuf),
}

/// Finds everything that these programs and shared objects need on this computer.
///
/// # Errors
///
/// When one of them cannot be read or is no ELF object for this architecture.
pub fn closure(programs: &[PathBuf]) -> Result<Closure, Error> {
    todo!("{programs:?}")
}

impl Closure {
    /// Where everything goes in a guest, in the order of paths.
    pub fn place(&self, layout: Layout) -> Vec<Placement> {
        todo!("{layout:?}")
    }
}
