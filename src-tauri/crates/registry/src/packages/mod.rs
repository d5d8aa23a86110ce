//! Packages: a folder each, named as the package is.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio_util::sync::CancellationToken;
use windlass_package::{Package, is_valid_name};

use crate::error::{Error, IoContext};
use crate::file::{copy_tree, remove_tree, sync_parent, unfinished_folder};
use crate::library::{Library, Listing, UNFINISHED_PREFIX};

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
        let growing = unfinished_folder(&self.packages_folder())?;
        let grown = growing.path().join("package");
        if fs::rename(folder, &grown).is_err() {
            // It lies on another disk, or in a folder that we may not change.
            copy_tree(folder, &grown)?;
        }
        if destination.exists() {
            exchange(&grown, &destination).context("replace", &destination)?;
            sync_parent(&destination)?;
            // What was there lies in `growing` now.
            remove_tree(growing.path()).context("remove", growing.path())?;
        } else {
            fs::rename(&grown, &destination).context("create", &destination)?;
            sync_parent(&destination)?;
        }
        if folder.exists()
            && let Err(error) = remove_tree(folder)
        {
            tracing::warn!(path = %folder.display(), %error, "the folder that was copied stays");
        }
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
        // It vanishes at once under a name that is swept, should we be killed while files go.
        let going = tempfile::Builder::new()
            .prefix(UNFINISHED_PREFIX)
            .tempdir_in(self.packages_folder())
            .context("create a folder in", &self.packages_folder())?;
        fs::rename(&folder, going.path().join(name)).context("remove", &folder)?;
        remove_tree(going.path()).context("remove", &folder)
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

/// Puts a folder in the place of another, which gets its place; no moment without either where the system can do that.
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            let aside = one.with_extension("old");
            fs::rename(other, &aside)?;
            fs::rename(one, other)
        }
        Err(error) => Err(error.into()),
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
