//! `package.json`: what is known of a package without looking into its tree.

use std::path::Path;

use serde::{Deserialize, Serialize};
use windlass_package::{Package, Requirement};

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
    pub(crate) added: u64,
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
        Self {
            format: FORMAT,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            title: manifest.title.clone(),
            require: manifest.requirements(),
            digest: digest.to_hex().to_string(),
            size_bytes: tree.size_bytes(),
            file_count: tree.file_count(),
            added: now(),
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

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
