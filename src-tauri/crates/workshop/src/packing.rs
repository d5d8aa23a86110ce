//! Packing: from a folder, an archive, a program, a project to a package of the library. First a
//! preview that writes nothing, then the package.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;

use crate::Workshop;
use crate::appliances::Finding;
use crate::error::{AppError, Result};
use crate::guests::GuestOs;
use crate::jobs::Job;

/// What something is packed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PackKind {
    /// A folder as it is.
    Folder,
    /// An archive's content.
    Archive,
    /// A program with all that it needs.
    Program,
    /// A Node project.
    Node,
    /// A Python project with its virtual environment.
    Python,
    /// A `.jar` with a Java runtime.
    Jar,
    /// Packages of the distribution with what they depend on.
    Debian,
    /// An OCI image, flattened.
    Oci,
}

/// What is to be packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackSource {
    /// What it is packed as.
    pub kind: PackKind,
    /// Its path; for Debian, names of packages separated by spaces.
    pub value: String,
    /// The guest that it is to run in.
    pub guest: GuestOs,
}

/// A file of this computer that is to be in the package, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackAddition {
    /// Where it is here.
    pub host: String,
    /// Where it is to be in the guest.
    pub guest: String,
}

/// How it is to be packed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct PackOptions {
    /// The package's name; guessed where nothing is said.
    pub name: Option<String>,
    /// The package's version; guessed where nothing is said.
    pub version: Option<String>,
    /// Paths in the guest that are not to be in it.
    pub leave_out: Vec<String>,
    /// What is to be in it beside what was found.
    pub add: Vec<PackAddition>,
    /// Whether the program may be run to see which files it opens.
    pub observe: bool,
    /// Whether a Java runtime is reduced to the modules that are used.
    pub java_reduce: bool,
}

/// What an entry of a preview is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PackFileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
}

/// One file of the package that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackFile {
    /// Its path in the guest.
    pub guest: String,
    /// The file of this computer that it is taken from.
    pub host: Option<String>,
    /// Its size.
    pub size_bytes: u64,
    /// Why it is in the package.
    pub reason: String,
    /// What it is.
    pub kind: PackFileKind,
    /// Whether it was left out, by the user or by a rule of the guest.
    pub left: bool,
    /// Whether the program does not start without it.
    pub required: bool,
}

/// Files that are in the package for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackGroup {
    /// The reason.
    pub reason: String,
    /// How many there are.
    pub files: u64,
    /// How large they are.
    pub size_bytes: u64,
}

/// The package that would be made. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackPreview {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Its title.
    pub title: String,
    /// How large all files are.
    pub total_bytes: u64,
    /// The files, by path; the first 20000 of them.
    pub files: Vec<PackFile>,
    /// Whether there are more.
    pub truncated: bool,
    /// What is in it for which reason, largest first.
    pub groups: Vec<PackGroup>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// The text of its `meta/package.yaml`.
    pub package_yaml: String,
    /// The text of its `meta/run.yaml`, where it can be run.
    pub run_yaml: Option<String>,
}

impl Workshop {
    /// What something can be packed as, best first.
    ///
    /// # Errors
    /// `NotFound` when it is not there (any more).
    pub async fn pack_kinds(&self, _path: &Path) -> Result<Vec<PackKind>> {
        Err(AppError::not_there_yet("Packing"))
    }

    /// The package that would be made. Nothing is written.
    ///
    /// # Errors
    /// `NotFound`; `Input` when it is not what it is to be packed as.
    pub async fn pack_preview(
        &self,
        _source: PackSource,
        _options: PackOptions,
    ) -> Result<PackPreview> {
        Err(AppError::not_there_yet("Packing"))
    }

    /// Makes a package and puts it into the library, as a job.
    ///
    /// # Errors
    /// `Input` when a manifest has a mistake.
    pub fn start_pack(
        self: &Arc<Self>,
        _source: PackSource,
        _options: PackOptions,
        _package_yaml: String,
        _run_yaml: Option<String>,
    ) -> Result<Job> {
        Err(AppError::not_there_yet("Packing"))
    }
}
