//! Packages: a folder each.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::library::{Library, Listing};

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
        todo!()
    }

    /// The package with this name.
    ///
    /// # Errors
    /// [`Error::NoPackage`], or when its manifest cannot be read.
    pub fn package(&self, name: &str) -> Result<InstalledPackage, Error> {
        todo!("{name}")
    }

    /// Moves a packed folder into the library, where it takes the place of a package of the same name.
    ///
    /// # Errors
    /// When its manifest cannot be read, or it cannot be moved.
    pub fn install_package(&self, folder: &Path) -> Result<InstalledPackage, Error> {
        todo!("{}", folder.display())
    }

    /// Removes a package.
    ///
    /// # Errors
    /// [`Error::NoPackage`], or when its folder cannot be removed.
    pub fn remove_package(&self, name: &str) -> Result<(), Error> {
        todo!("{name}")
    }

    /// The packages that a `require` list brings in, in the order in which they are laid over each other:
    /// depth first, what a package needs before it, each once.
    ///
    /// # Errors
    /// [`Error::NoPackage`] names the one that is missing and who needs it, [`Error::Cycle`] the path that closes.
    pub fn resolve(&self, require: &[String]) -> Result<Vec<InstalledPackage>, Error> {
        todo!("{require:?}")
    }
}
