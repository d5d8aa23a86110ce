//! stub
use std::path::Path;

use crate::Error;

/// Writes the appliance *hello*, a native program, as the new folder `into`.
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn hello(into: &Path, program: &[u8]) -> Result<(), Error> {
    todo!("{into:?} {}", program.len())
}

/// Writes the appliance *node-microservice* as the new folder `into`; `node_package` is the name
/// of the package that runs it, such as `node-20`.
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn node_microservice(into: &Path, node_package: &str) -> Result<(), Error> {
    todo!("{into:?} {node_package}")
}

/// Writes the appliance *python* as the new folder `into`; `python_package` is the name of the
/// package that runs it, such as `python-3.11`.
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn python(into: &Path, python_package: &str) -> Result<(), Error> {
    todo!("{into:?} {python_package}")
}
