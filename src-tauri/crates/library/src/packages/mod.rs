//! Packages: a folder each, named as the package is.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio_util::sync::CancellationToken;
use windlass_package::{Package, is_valid_name};

use crate::error::{Error, IoContext};
use crate::file::{copy_tree, remove_tree, sync_parent, take_away, unfinished_folder};
use crate::library::{Library, Listing};

mod resolve;

/// A package of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its name, which is also its folder's.
    pub name: String,
    /// Its version, as its manifest has it.
    pub version: Option<String>,
    /// Its title.
    pub title: String,
    /// The packages that it needs.
    pub require: Vec<String>,
    /// Its folder.
    pub path: PathBuf,
}

impl Library {
    /// All packages, by name.
    ///
    /// # Errors
    /// When the folder cannot be listed. A package that cannot be read is in [`Listing::broken`].
    pub fn packages(&self) -> Result<Listing<InstalledPackage>, Error> {
        let folder = self.packages_folder();
        let mut listing = Listing::default();
        for entry in fs::read_dir(&folder).context("list", &folder)? {
            let entry = entry.context("list", &folder)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !is_valid_name(&name) || !entry.path().is_dir() {
                continue;
            }
            match read(&entry.path(), &name) {
                Ok(package) => listing.entries.push(package),
                // It was removed while we looked.
                Err(_) if !entry.path().exists() => {}
                Err(error) => listing.broken.push(error),
            }
        }
        listing
            .entries
            .sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listing)
    }

    /// The package with this name.
    ///
    /// # Errors
    /// [`Error::PackageName`], [`Error::NoPackage`]; [`Error::Package`] when its manifest cannot be read.
    pub fn package(&self, name: &str) -> Result<InstalledPackage, Error> {
        read(&self.package_folder(name)?, name)
    }

    /// The packages that a `require` list brings in, in the order in which they are laid over each other: depth first,
    /// what a package needs before it, each once.
    ///
    /// # Errors
    /// [`Error::NoPackage`] names the one that is missing and who needs it, [`Error::Cycle`] the path that closes.
    pub fn resolve(&self, require: &[String]) -> Result<Vec<InstalledPackage>, Error> {
        resolve::resolve(require, &|name| self.package(name))
    }

    /// Moves a packed folder into the library, where it takes the place of a package of the same name.
    ///
    /// # Errors
    /// When its manifest cannot be read, or it cannot be moved; then it stays where it is.
    pub fn install_package(&self, folder: &Path) -> Result<InstalledPackage, Error> {
        let package = open(folder)?;
        let name = package.manifest.name.as_str();
        if !package.has_manifest || !is_valid_name(name) {
            return Err(Error::PackageName {
                name: name.to_owned(),
            });
        }
        let destination = self.packages_folder().join(name);
        let _lock = self.lock(&CancellationToken::new())?;
        if is_same_folder(folder, &destination) {
            return self.package(name);
        }
        let growing = unfinished_folder(&self.packages_folder())?;
        let aside = growing.path().join("before");
        if put_in_place(folder, &destination, &aside).is_err() {
            // It lies on another disk, or in a folder that we may not change.
            let grown = growing.path().join("package");
            copy_tree(folder, &grown)?;
            put_in_place(&grown, &destination, &aside).context("create", &destination)?;
            clear_up(folder);
        }
        sync_parent(&destination)?;
        // What was there lies in it now; what cannot be removed is swept by the next writer.
        clear_up(growing.path());
        self.package(name)
    }

    /// Removes a package.
    ///
    /// # Errors
    /// [`Error::NoPackage`], or when its folder cannot be removed.
    pub fn remove_package(&self, name: &str) -> Result<(), Error> {
        let folder = self.package_folder(name)?;
        let _lock = self.lock(&CancellationToken::new())?;
        if !folder.is_dir() {
            return Err(no_package(name));
        }
        take_away(&folder)
    }

    fn package_folder(&self, name: &str) -> Result<PathBuf, Error> {
        if is_valid_name(name) {
            Ok(self.packages_folder().join(name))
        } else {
            Err(Error::PackageName {
                name: name.to_owned(),
            })
        }
    }
}

/// Gives a folder its place; what was there is at `aside` then. It goes there from where it lies, so that it is in one
/// of the two places whenever we are killed; no moment without either where the system can do that. When it fails, all
/// is as it was.
fn put_in_place(folder: &Path, destination: &Path, aside: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(destination).is_err() {
        return fs::rename(folder, destination);
    }
    match renameat_with(CWD, folder, CWD, destination, RenameFlags::EXCHANGE) {
        Ok(()) => fs::rename(folder, aside),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::rename(destination, aside)?;
            fs::rename(folder, destination).inspect_err(|_| {
                // The first of the two went well, and so does its reverse.
                let _ = fs::rename(aside, destination);
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Removes what is of no use any more. That it stays is no failure.
fn clear_up(folder: &Path) {
    if let Err(error) = remove_tree(folder) {
        tracing::warn!(path = %folder.display(), %error, "the folder stays");
    }
}

fn open(folder: &Path) -> Result<Package, Error> {
    Package::open(folder).map_err(|source| Error::Package {
        path: folder.to_path_buf(),
        source: Box::new(source),
    })
}

fn read(folder: &Path, name: &str) -> Result<InstalledPackage, Error> {
    if !folder.is_dir() {
        return Err(no_package(name));
    }
    let manifest = open(folder)?.manifest;
    Ok(InstalledPackage {
        name: name.to_owned(),
        version: manifest.version,
        title: manifest.title,
        require: manifest.require,
        path: folder.to_path_buf(),
    })
}

fn no_package(name: &str) -> Error {
    Error::NoPackage {
        name: name.to_owned(),
        required_by: Vec::new(),
    }
}
