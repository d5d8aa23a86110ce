//! The merged tree: who wins each path, and over whom.
//!
//! ```text
//!   0 base           etc/hosts                    made up
//!   1 node-20        usr/bin/node   etc/hosts     a package
//!   2 my-service     server.js      etc/hosts     the appliance
//!                                      └ layer 2 wins; overridden: 0, 1
//! ```
//!
//! Folders of the same path become one. A file or symlink in the place of a folder takes it away with all that is in
//! it, and a folder in the place of a file or symlink takes that away: both are findings, because it is seldom meant.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_guest::{GuestOs, RootFs};
use windlass_image::spill::{self, Sorted};
use windlass_image::{GuestPath, Node, Source, Tree};
use windlass_package::Finding;
use windlass_package::boot::Script;

use crate::error::{Error, IoContext};
use crate::layer::{Layer, LayerKind};
use crate::scan::ScannedLayer;
use crate::stamp::Stamp;

mod layout;
mod list;
mod merge;
mod value;

pub use list::Listed;

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
    /// The layers that have something else here, lowest first.
    pub overridden: Vec<usize>,
    /// Where a file's bytes are.
    pub(crate) origin: Origin,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is no file.
    None,
    /// They were made up.
    Made(Arc<[u8]>),
    /// In a file of this computer, which looked like this when it was scanned: the one of the same path below a layer's
    /// folder.
    Host { folder: Arc<Path>, stamp: Stamp },
}

/// The merged tree of all layers.
#[derive(Debug, Clone)]
pub struct Plan {
    guest: GuestOs,
    root_fs: RootFs,
    layers: Vec<LayerSummary>,
    entries: Sorted<Entry>,
    findings: Vec<Finding>,
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
        .collect::<Result<Vec<_>, _>>()?;
    Plan::compose(scanned, guest, root_fs, scripts)
}

impl Plan {
    /// Lays the layers over each other, above the base of the guest; the run scripts come last.
    ///
    /// # Errors
    /// [`Error::Path`] where a run script's path cannot be in a guest.
    pub fn compose(
        layers: Vec<ScannedLayer>,
        guest: GuestOs,
        root_fs: RootFs,
        scripts: &[Script],
    ) -> Result<Self, Error> {
        merge::compose(layers, guest, root_fs, scripts)
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
        &self.layers
    }

    /// What is at a path; nothing is known of the root.
    pub fn get(&self, path: &GuestPath) -> Option<Entry> {
        self.entries.get(path)
    }

    /// Everything but the root, sorted.
    pub fn entries(&self) -> impl Iterator<Item = (GuestPath, Entry)> + '_ {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether all of the plan could be gone through: a large one does not lie in memory.
    ///
    /// # Errors
    /// [`Error::Io`] says why it could not.
    pub fn check_read(&self) -> Result<(), Error> {
        self.entries
            .check()
            .context("read", Path::new("a temporary file"))
    }

    /// Where a path is among the entries.
    pub(crate) fn index_of(&self, path: &GuestPath) -> Option<usize> {
        self.entries.find(path).ok()
    }

    /// One of the entries.
    pub(crate) fn entry(&self, index: usize) -> Option<(GuestPath, Entry)> {
        self.entries.at(index)
    }

    /// The entries, to be gone through in parts and by reference.
    pub(crate) fn sorted(&self) -> &Sorted<Entry> {
        &self.entries
    }

    /// Whether there are more entries than are held in memory.
    pub(crate) fn is_large(&self) -> bool {
        self.len() > spill::in_memory()
    }

    /// Whether an entry has this path.
    pub(crate) fn is_at(&self, index: usize, path: &GuestPath) -> bool {
        self.entries.is_at(index, path)
    }

    /// How many files and symlinks there will be.
    pub fn file_count(&self) -> usize {
        let mut count = 0;
        self.entries
            .each(|_, entry| count += usize::from(entry.kind != EntryKind::Directory));
        count
    }

    /// The bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        let mut bytes = 0;
        self.entries.each(|_, entry| bytes += entry.size_bytes);
        bytes
    }

    /// What was noticed while laying the layers over each other: a file in the place of a folder.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The tree that a file system writer takes.
    ///
    /// # Errors
    /// [`Error::Tree`], should the plan contradict itself.
    pub fn tree(&self) -> Result<Tree, Error> {
        let mut tree = Tree::new();
        tree.reserve(self.entries.len() + 1);
        for (path, entry) in &self.entries {
            tree.insert(path, entry.node()).map_err(Error::Tree)?;
        }
        Ok(tree)
    }
}

impl Entry {
    /// As a writer takes it.
    pub(crate) fn node(&self) -> Node {
        match (&self.kind, &self.origin) {
            (EntryKind::Symlink { target }, _) => Node::Symlink {
                target: target.clone(),
            },
            (EntryKind::File, Origin::Made(bytes)) => Node::bytes(bytes.clone(), self.mode),
            (EntryKind::File, Origin::Host { folder, .. }) => Node::File {
                source: Source::Below(Arc::clone(folder)),
                size_bytes: self.size_bytes,
                mode: self.mode,
            },
            _ => Node::Directory { mode: self.mode },
        }
    }
}

/// Whether a path lies below a directory.
pub(crate) fn is_below(path: &GuestPath, directory: &GuestPath) -> bool {
    directory.is_root()
        || path
            .as_bytes()
            .strip_prefix(directory.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'/'))
}
