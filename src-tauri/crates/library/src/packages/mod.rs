//! Packages: any number of versions of each name, side by side.
//!
//! ```text
//! packages/node-20/
//! ├── 9c0e44d1a7b35f02/          the first 16 digits of the tree digest
//! │   ├── package.json           what it is, from where it came       [record]
//! │   ├── files                  all that is in the tree              [store::tree]
//! │   └── tree/                  the package: meta/package.yaml and all
//! └── 51f7b0a2c6d8e933/          another version, or other content of the same version
//! ```
//!
//! Which of them is meant by the name alone is the one of the highest version, and of equal versions the one added last.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_package::{Package, Requirement, is_valid_name};

use crate::error::{Error, IoContext};
use crate::library::{Library, Listing};
use crate::parallel;

pub(crate) mod add;
pub(crate) mod lease;
mod migrate;
pub(crate) mod record;
pub(crate) mod remove;
pub(crate) mod resolve;

use record::Record;

/// The name of the tree in a package's folder, and of its list.
pub(crate) const TREE_FOLDER: &str = "tree";
pub(crate) const LIST_FILE: &str = "files";

/// How many digits of the tree digest are the name of a package's folder.
pub(crate) const FOLDER_DIGITS: usize = 16;

/// So few packages are listed before other threads have begun.
const FEW: usize = 200;

/// With fewer digits of a digest nothing is meant by them.
const DIGITS_MIN: usize = 8;

/// A package of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version, as its manifest has it.
    pub version: Option<String>,
    /// Its title.
    pub title: String,
    /// The packages that it needs.
    pub require: Vec<Requirement>,
    /// Its tree digest: 64 hexadecimal digits.
    pub digest: String,
    /// The bytes of its files.
    pub size_bytes: u64,
    /// How many files and links it has.
    pub file_count: u64,
    /// When it was added, in seconds since 1970.
    pub added: u64,
    /// From where it came, where that is known.
    pub origin: Option<Origin>,
    /// Whether [`prune_plan`](Library::prune_plan) leaves it alone whatever needs it.
    pub pinned: bool,
    /// Its tree: a folder with `meta/package.yaml` and all. To be read only: its files are shared with other packages.
    pub path: PathBuf,
}

/// From where a package came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The name of the registry.
    pub registry: String,
    /// The address of the archive. Whoever gives it takes care that no password is in it.
    pub url: String,
    /// The SHA-256 digest of the archive, in hexadecimal, where it was taken.
    pub archive_sha256: Option<String>,
}

impl InstalledPackage {
    /// The folder that holds its record and its tree.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Its name and version.
    pub fn label(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Library {
    /// All packages in all their versions: by name, the newest of each first.
    ///
    /// # Errors
    /// When the folder cannot be listed. A package that cannot be read is in [`Listing::broken`].
    pub fn packages(&self) -> Result<Listing<InstalledPackage>, Error> {
        let folder = self.packages_folder();
        let mut listing = Listing::default();
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).context("list", &folder)? {
            let entry = entry.context("list", &folder)?;
            names.extend(entry.file_name().into_string());
        }
        names.retain(|name| is_valid_name(name));
        names.sort_unstable();
        if names.len() < FEW {
            for name in names {
                self.list_versions(&name, &mut listing)?;
            }
            return Ok(listing);
        }
        let listings = parallel::for_all(&names, |name, _| self.package_versions(name), &mut ())?;
        for versions in listings {
            listing.entries.extend(versions.entries);
            listing.broken.extend(versions.broken);
        }
        Ok(listing)
    }

    /// All versions of one package, the newest first.
    ///
    /// # Errors
    /// [`Error::PackageName`], or when the folder cannot be listed; none at all is an empty list.
    pub fn package_versions(&self, name: &str) -> Result<Listing<InstalledPackage>, Error> {
        let mut listing = Listing::default();
        self.list_versions(name, &mut listing)?;
        Ok(listing)
    }

    /// The newest version of the package with this name.
    ///
    /// # Errors
    /// [`Error::PackageName`], [`Error::NoPackage`]; where all there is cannot be read, why.
    pub fn package(&self, name: &str) -> Result<InstalledPackage, Error> {
        let Listing { entries, broken } = self.package_versions(name)?;
        let newest = entries.into_iter().next();
        newest.ok_or_else(|| {
            broken
                .into_iter()
                .next()
                .unwrap_or_else(|| no_package(name))
        })
    }

    /// The package with this name and version or, with at least 8 digits, tree digest; of several the one that was added
    /// last.
    ///
    /// # Errors
    /// [`Error::PackageName`], [`Error::NoPackage`], [`Error::NoVersion`].
    pub fn package_version(&self, name: &str, which: &str) -> Result<InstalledPackage, Error> {
        let there = self.package_versions(name)?.entries;
        if there.is_empty() {
            return Err(no_package(name));
        }
        let is_version = |package: &&InstalledPackage| package.version.as_deref() == Some(which);
        let is_digest = |package: &&InstalledPackage| {
            which.len() >= DIGITS_MIN && package.digest.starts_with(which)
        };
        let found = there
            .iter()
            .find(is_version)
            .or_else(|| there.iter().find(is_digest));
        found.cloned().ok_or_else(|| Error::NoVersion {
            name: name.to_owned(),
            wanted: which.to_owned(),
            there: there
                .iter()
                .filter_map(|package| package.version.clone())
                .collect(),
        })
    }

    /// Pins a package, or lets it go: what is pinned is never pruned.
    ///
    /// # Errors
    /// As [`package_version`](Self::package_version), or when its record cannot be written.
    pub fn pin_package(&self, name: &str, which: &str, pinned: bool) -> Result<(), Error> {
        let _lock = self.lock(&tokio_util::sync::CancellationToken::new())?;
        let package = self.package_version(name, which)?;
        let mut record = Record::read(package.folder())?;
        record.pinned = pinned;
        record.write(package.folder())
    }

    fn list_versions(
        &self,
        name: &str,
        listing: &mut Listing<InstalledPackage>,
    ) -> Result<(), Error> {
        let folder = self.package_folder(name)?;
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error).context("list", &folder),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.context("list", &folder)?;
            let folder = entry.path();
            if entry.file_name() == windlass_package::META_DIRECTORY {
                listing
                    .broken
                    .push(old_layout(&self.packages_folder().join(name)));
            } else if is_digits(&entry.file_name().to_string_lossy()) {
                match Record::read(&folder) {
                    Ok(record) => found.push((record.age(), record.into_package(&folder))),
                    // It was removed while we looked.
                    Err(Error::Io { .. }) if !folder.exists() => {}
                    Err(error) => listing.broken.push(error),
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| other.cmp(one));
        listing
            .entries
            .extend(found.into_iter().map(|(_, package)| package));
        Ok(())
    }

    /// The folder of all versions of a package.
    pub(crate) fn package_folder(&self, name: &str) -> Result<PathBuf, Error> {
        if is_valid_name(name) {
            Ok(self.packages_folder().join(name))
        } else {
            Err(Error::PackageName {
                name: name.to_owned(),
            })
        }
    }
}

/// Whether a name is that of one version's folder.
pub(crate) fn is_digits(name: &str) -> bool {
    name.len() == FOLDER_DIGITS
        && name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// Why a folder of the old layout is none of the packages.
fn old_layout(folder: &Path) -> Error {
    match open(folder) {
        Err(error) => error,
        Ok(_) => Error::NotMigrated {
            path: folder.to_path_buf(),
        },
    }
}

/// Reads what describes the package in a folder.
pub(crate) fn open(folder: &Path) -> Result<Package, Error> {
    Package::open(folder).map_err(|source| package_error(folder, source))
}

/// Gives an error of the crate below the path that it is about.
pub(crate) fn package_error(path: &Path, source: windlass_package::Error) -> Error {
    match source {
        windlass_package::Error::Cancelled => Error::Cancelled,
        source => Error::Package {
            path: path.to_path_buf(),
            source: Box::new(source),
        },
    }
}

pub(crate) fn no_package(name: &str) -> Error {
    Error::NoPackage {
        name: name.to_owned(),
    }
}
