//! stub
use std::path::{Path, PathBuf};

use crate::{Error, Finding, Watch};

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

/// An interpreter of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The program.
    pub program: PathBuf,
    /// Its version, such as `20.20.2`.
    pub version: String,
    /// The name of the package made of it, such as `node-20`.
    pub package: String,
}

/// The Node.js of this computer.
pub fn find_node() -> Option<Interpreter> {
    todo!()
}

/// The Python of this computer.
pub fn find_python() -> Option<Interpreter> {
    todo!()
}

/// Packs this computer's Node.js into the folder `into/node-MAJOR`, which may be there already
/// and is replaced.
///
/// # Errors
///
/// When there is none, it cannot be read or written, or `watch` cancels.
pub fn node(into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    todo!("{into:?} {}", watch.advance(0).is_break())
}

/// Packs this computer's Python into the folder `into/python-MAJOR.MINOR`, which may be there
/// already and is replaced.
///
/// # Errors
///
/// When there is none, it cannot be read or written, or `watch` cancels.
pub fn python(into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    todo!("{into:?} {}", watch.advance(0).is_break())
}

/// Packs a program with its libraries into the folder `into/NAME`, which must not be there yet.
///
/// # Errors
///
/// When it is no program, cannot be read or written, or `watch` cancels.
pub fn program(program: &Path, into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    todo!("{program:?} {into:?} {}", watch.advance(0).is_break())
}
