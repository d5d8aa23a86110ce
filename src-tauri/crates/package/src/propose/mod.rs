//! stub
use std::path::Path;

use crate::{Error, Finding, Runtime};

/// What a folder without a manifest could be as a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// A valid package name.
    pub name: String,
    /// A title for people.
    pub title: String,
    /// Who makes it.
    pub author: String,
    /// Its first version.
    pub version: String,
    /// The packages that it needs, such as `node-20`.
    pub require: Vec<String>,
    /// What runs it; `None` for data alone.
    pub runtime: Option<Runtime>,
    /// What will be run, for a person; empty for data alone.
    pub command: String,
    /// The text of `meta/package.yaml`.
    pub package_yaml: String,
    /// The text of `meta/run.yaml`; `None` for data alone.
    pub run_yaml: Option<String>,
    /// How many files and links there are.
    pub file_count: u64,
    /// How many bytes the files have.
    pub size_bytes: u64,
    /// Why it was recognised as what it was, one sentence each.
    pub reasons: Vec<String>,
    /// What stands in the way, or will.
    pub problems: Vec<Finding>,
}

/// Looks at a folder and proposes a manifest for it. Nothing is written.
///
/// # Errors
///
/// When the folder is not there or cannot be listed.
pub fn propose(folder: &Path) -> Result<Proposal, Error> {
    todo!("{folder:?}")
}
