//! What a program opens while it runs: libraries that are in no table.
use crate::{Error, Finding, Watch};
use std::path::{Path, PathBuf};
/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub libraries: Vec<PathBuf>,
    pub files: Vec<PathBuf>,
    pub findings: Vec<Finding>,
}
pub(super) fn observe(
    _program: &Path,
    _scratch: &Path,
    _watch: &mut dyn Watch,
) -> Result<Seen, Error> {
    Ok(Seen::default())
}
