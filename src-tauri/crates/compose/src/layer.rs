//! The folders that an image is made from.

use std::fmt;
use std::path::PathBuf;

use windlass_package::{Ignore, Package};

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// What every image of a guest has; made up, no folder.
    Base,
    /// A package of the library.
    Package,
    /// The appliance itself.
    Appliance,
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Package => "package",
            Self::Appliance => "appliance",
        })
    }
}

/// A package's folder, to be laid over those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it is called, which is how findings and listings name it.
    pub name: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// What it is.
    pub kind: LayerKind,
    /// The folder.
    pub root: PathBuf,
    /// What of it stays out of the image; `meta` always does.
    pub ignore: Ignore,
}

impl Layer {
    /// The layer that a package makes.
    pub fn from_package(package: &Package, kind: LayerKind) -> Self {
        Self {
            name: package.manifest.name.clone(),
            version: package.manifest.version.clone(),
            kind,
            root: package.root.clone(),
            ignore: package.ignore.clone(),
        }
    }
}
