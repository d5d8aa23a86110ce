//! `package.json`: what is known of a package without looking into its tree.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use windlass_package::{Package, Requirement, Version};

use super::{InstalledPackage, Origin, TREE_FOLDER};
use crate::error::{Error, IoContext};
use crate::file::write_whole;
use crate::store::tree::Tree;

/// The name of the record in a package's folder.
pub(crate) const FILE: &str = "package.json";

/// The version of the record's format. A later one is read as far as it has the fields of this one.
const FORMAT: u32 = 1;

/// The form of the record on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    format: u32,
    pub(crate) name: String,
    version: Option<String>,
    title: String,
    #[serde(default)]
    require: Vec<Requirement>,
    pub(crate) digest: String,
    size_bytes: u64,
    file_count: u64,
    added: u64,
    /// What of that second had gone by, so that of two that were added in one the last is known.
    #[serde(default)]
    added_ns: u32,
    #[serde(default)]
    pub(crate) origin: Option<Origin>,
    #[serde(default)]
    pub(crate) pinned: bool,
}

impl Record {
    pub(crate) fn new(
        package: &Package,
        tree: &Tree,
        digest: &blake3::Hash,
        origin: Option<Origin>,
    ) -> Self {
        let manifest = &package.manifest;
        let now = now();
        Self {
            format: FORMAT,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            title: manifest.title.clone(),
            require: manifest.requirements(),
            digest: digest.to_hex().to_string(),
            size_bytes: tree.size_bytes(),
            file_count: tree.file_count(),
            added: now.as_secs(),
            added_ns: now.subsec_nanos(),
            origin,
            pinned: false,
        }
    }

    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path).context("read", &path)?;
        serde_json::from_slice(&text).map_err(|source| Error::Record { path, source })
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(FILE);
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })?;
        text.push(b'\n');
        write_whole(&path, &text)
    }

    /// Makes this the package that was added last.
    pub(crate) fn renew(&mut self) {
        let now = now();
        (self.added, self.added_ns) = (now.as_secs(), now.subsec_nanos());
    }

    /// What the newest of several is found by: the version, then when it was added.
    pub(crate) fn age(&self) -> (Option<Version>, u64, u32) {
        let version = self.version.as_deref();
        let version = version.and_then(|text| Version::parse(text).ok());
        (version, self.added, self.added_ns)
    }

    pub(crate) fn into_package(self, folder: &Path) -> InstalledPackage {
        InstalledPackage {
            name: self.name,
            version: self.version,
            title: self.title,
            require: self.require,
            digest: self.digest,
            size_bytes: self.size_bytes,
            file_count: self.file_count,
            added: self.added,
            origin: self.origin,
            pinned: self.pinned,
            path: folder.join(TREE_FOLDER),
        }
    }
}

/// The time since 1970.
fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}
