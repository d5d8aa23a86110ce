//! The values of a case, as a person picks one of them to vary it.

use std::path::Path;

use super::files::{CaseError, Files};

/// The most entries of all files together; a case written by hand has some hundreds.
const MOST: usize = 20_000;

/// A dictionary of a case, and the entries that have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFile {
    /// Its path within the case, without `.gz`.
    pub path: String,
    /// Its entries, in the order of the file.
    pub entries: Vec<CaseEntry>,
}

/// An entry whose value can be another one in each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseEntry {
    /// Its path within the file: `solvers/p/tolerance`.
    pub path: String,
    /// Its value, without `uniform` and dimensions.
    pub value: String,
    /// Its line, from 1.
    pub line: usize,
}

/// The dictionaries of a case with their entries. What says of what kind a file is (`FoamFile`), and what is too long
/// to be typed, is left out.
///
/// # Errors
///
/// There is no case in the folder; it cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<CaseFile>, CaseError> {
    let files = Files::read(folder)?;
    let mut left = MOST;
    let mut found = Vec::new();
    for (path, dictionary) in files.all() {
        let leaves = dictionary.leaves().into_iter();
        let entries: Vec<CaseEntry> = leaves
            .filter(|leaf| {
                leaf.path
                    .names
                    .first()
                    .is_none_or(|name| name != "FoamFile")
            })
            .filter_map(|leaf| {
                Some(CaseEntry {
                    path: leaf.path.to_string(),
                    value: leaf.value?,
                    line: leaf.line,
                })
            })
            .take(left)
            .collect();
        left -= entries.len();
        if !entries.is_empty() {
            let path = path.to_owned();
            found.push(CaseFile { path, entries });
        }
    }
    Ok(found)
}
