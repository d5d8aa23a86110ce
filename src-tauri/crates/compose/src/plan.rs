//! The merged tree: who wins each path, and over whom.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use windlass_guest::{GuestOs, RootFs};
use windlass_image::{GuestPath, Tree};
use windlass_package::Finding;
use windlass_package::boot::Script;

use crate::error::Error;
use crate::layer::{Layer, LayerKind};
use crate::scan::ScannedLayer;

/// What a layer adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSummary {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// What it is.
    pub kind: LayerKind,
    /// Its folder; empty for the base.
    pub path: PathBuf,
    /// The files and symlinks that it holds, whether they win or not.
    pub file_count: usize,
    /// The bytes that these hold.
    pub size_bytes: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
}

/// What is at a path, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file.
    pub size_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// The layer that wins, an index into [`Plan::layers`].
    pub layer: usize,
    /// The layers that have another file here, lowest first.
    pub overridden: Vec<usize>,
}

/// One row of a directory's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name; lossy where it is not UTF-8.
    pub name: String,
    /// Its path, with a leading `/`.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file, or of all files below a directory.
    pub size_bytes: u64,
    /// The name of the layer that wins.
    pub layer: String,
    /// The names of the layers that it wins over, lowest first.
    pub overrides: Vec<String>,
    /// How many entries are directly in it.
    pub child_count: usize,
}

/// The merged tree of all layers.
#[derive(Debug, Clone)]
pub struct Plan {
    guest: GuestOs,
    root_fs: RootFs,
}

/// Scans the layers and composes them; [`scan`](crate::scan()) and [`Plan::compose`] in one.
///
/// # Errors
/// As these two.
pub fn plan(
    layers: &[Layer],
    guest: GuestOs,
    root_fs: RootFs,
    scripts: &[Script],
    cancel: &CancellationToken,
) -> Result<Plan, Error> {
    let scanned = layers
        .iter()
        .map(|layer| crate::scan(layer, cancel))
        .collect::<Result<_, _>>()?;
    Plan::compose(scanned, guest, root_fs, scripts)
}

impl Plan {
    /// Lays the layers over each other, above the base of the guest.
    ///
    /// # Errors
    /// [`Error::Path`] where a path cannot be in any guest.
    pub fn compose(
        layers: Vec<ScannedLayer>,
        guest: GuestOs,
        root_fs: RootFs,
        scripts: &[Script],
    ) -> Result<Self, Error> {
        let _ = (layers, guest, root_fs, scripts);
        todo!()
    }

    /// The guest that it is for.
    pub fn guest(&self) -> GuestOs {
        self.guest
    }

    /// The file system that it is for.
    pub fn root_fs(&self) -> RootFs {
        self.root_fs
    }

    /// The layers, lowest first; the first is the base.
    pub fn layers(&self) -> &[LayerSummary] {
        todo!()
    }

    /// What is at a path.
    pub fn get(&self, path: &GuestPath) -> Option<&Entry> {
        let _ = path;
        todo!()
    }

    /// Everything but the root, sorted.
    pub fn entries(&self) -> impl Iterator<Item = (&GuestPath, &Entry)> {
        std::iter::empty()
    }

    /// How many files and symlinks there will be.
    pub fn file_count(&self) -> usize {
        todo!()
    }

    /// The bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }

    /// One directory, folders first, then by name; `None` where there is no such directory.
    pub fn list(&self, directory: &GuestPath) -> Option<Vec<Listed>> {
        let _ = directory;
        todo!()
    }

    /// What was noticed while laying the layers over each other: a file in the place of a directory.
    pub fn findings(&self) -> &[Finding] {
        &[]
    }

    /// The tree that a file system writer takes.
    ///
    /// # Errors
    /// Never in a plan that was composed; kept as an error rather than a panic.
    pub fn tree(&self) -> Result<Tree, Error> {
        todo!()
    }
}
