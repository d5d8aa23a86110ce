//! The merged tree that a writer turns into a file system.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::spill::{self, Decoder, Sorted, Value};
use crate::{Error, GuestPath};

/// The mode of directories that were implied by what is in them, and of the root.
const IMPLIED_MODE: u32 = 0o755;

/// Where the bytes of a file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this computer, read when the image is written.
    Path(PathBuf),
    /// The file below this folder that has the path of the node; none has to be kept for each file so.
    Below(Arc<Path>),
    /// Bytes made up for the image.
    Bytes(Arc<[u8]>),
}

impl Source {
    /// The file that a node's bytes are in, if they are in one.
    pub fn file(&self, node: &GuestPath) -> Option<Cow<'_, Path>> {
        match self {
            Self::Path(path) => Some(Cow::Borrowed(path)),
            Self::Below(folder) => Some(Cow::Owned(node.below(folder))),
            Self::Bytes(_) => None,
        }
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory {
        /// Permission bits (`0o7777`); file systems without permissions drop them.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Where its bytes come from.
        source: Source,
        /// How many there are; a source that has more or fewer when it is read is an error.
        size_bytes: u64,
        /// Permission bits (`0o7777`); file systems without permissions drop them.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, as the guest reads it.
        target: Vec<u8>,
    },
}

impl Node {
    /// A file whose bytes are at hand.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>, mode: u32) -> Self {
        let bytes = bytes.into();
        let size_bytes = bytes.len() as u64;
        Self::File {
            source: Source::Bytes(bytes),
            size_bytes,
            mode,
        }
    }
}

/// Why a node cannot be where it was put.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Something is there already.
    #[error("{path} is there already")]
    Occupied {
        /// The path that is taken.
        path: GuestPath,
    },
    /// A component on the way is not a directory.
    #[error("{path} cannot be put under {ancestor}, which is not a directory")]
    NotADirectory {
        /// The path that was to be inserted.
        path: GuestPath,
        /// The file or symlink that stands in its way.
        ancestor: GuestPath,
    },
}

/// Files, directories and symlinks by path: sorted, parents before what is in them, root implied.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Trees are mostly made in their order, and then read from the first node to the last, several times.
    nodes: Sorted<Node>,
    root_mode: u32,
    total_bytes: u64,
    /// The directory that the last node was put into, which is there: mostly it is the next one's, too.
    last_parent: GuestPath,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.root_mode == other.root_mode
            && self.len() == other.len()
            && self.iter().eq(other.iter())
    }
}

impl Eq for Tree {}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty tree: a root directory with nothing in it.
    pub fn new() -> Self {
        Self {
            nodes: Sorted::default(),
            root_mode: IMPLIED_MODE,
            total_bytes: 0,
            last_parent: GuestPath::root(),
        }
    }

    /// Puts a node at a path. Missing parents become directories of mode `0o755`; a directory may be
    /// inserted again, which sets its mode.
    ///
    /// # Errors
    /// [`TreeError`] where the path is taken, or lies under something that is not a directory.
    pub fn insert(&mut self, path: GuestPath, node: Node) -> Result<(), TreeError> {
        if path.is_root() {
            let Node::Directory { mode } = node else {
                return Err(TreeError::Occupied { path });
            };
            self.root_mode = mode;
            return Ok(());
        }
        if let Some(there) = self.get(&path) {
            return match (there, &node) {
                (Node::Directory { .. }, Node::Directory { .. }) => {
                    self.nodes.put(path, node);
                    Ok(())
                }
                _ => Err(TreeError::Occupied { path }),
            };
        }
        if path.parent_bytes() != self.last_parent.as_bytes() {
            self.imply_parents(&path)?;
            self.last_parent = path.parent().unwrap_or_default();
        }
        if let Node::File { size_bytes, .. } = node {
            self.total_bytes = self.total_bytes.saturating_add(size_bytes);
        }
        self.nodes.put(path, node);
        Ok(())
    }

    /// Makes room for so many more nodes.
    pub fn reserve(&mut self, nodes: usize) {
        self.nodes.reserve(nodes);
    }

    fn imply_parents(&mut self, path: &GuestPath) -> Result<(), TreeError> {
        let mut missing = Vec::new();
        let mut ancestor = path.parent();
        while let Some(directory) = ancestor.filter(|directory| !directory.is_root()) {
            match self.get(&directory) {
                Some(Node::Directory { .. }) => break,
                Some(_) => {
                    return Err(TreeError::NotADirectory {
                        path: path.clone(),
                        ancestor: directory,
                    });
                }
                None => {}
            }
            ancestor = directory.parent();
            missing.push(directory);
        }
        for directory in missing.into_iter().rev() {
            let mode = IMPLIED_MODE;
            self.nodes.put(directory, Node::Directory { mode });
        }
        Ok(())
    }

    /// What is at a path other than the root.
    pub fn get(&self, path: &GuestPath) -> Option<Node> {
        // What comes in order need not be looked for.
        if self.nodes.last_path().is_none_or(|last| last < path) {
            return None;
        }
        self.nodes.get(path)
    }

    /// Everything but the root, sorted, each directory directly followed by what is in it.
    pub fn iter(&self) -> Iter<'_> {
        self.nodes.iter()
    }

    /// As [`iter`](Self::iter), for trees of a few files.
    pub fn nodes(&self) -> Vec<(GuestPath, Node)> {
        self.iter().collect()
    }

    /// Whether all of the tree could be gone through: a large one does not lie in memory.
    ///
    /// # Errors
    /// Why it could not.
    pub fn check(&self) -> std::io::Result<()> {
        self.nodes.check()
    }

    /// The permission bits of the root directory.
    pub fn root_mode(&self) -> u32 {
        self.root_mode
    }

    /// How many nodes there are, without the root.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The sizes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }
}

/// Refuses a tree of which something could not be read again: what was made of it lacks that.
pub(crate) fn check_read(tree: &Tree) -> Result<(), Error> {
    tree.check().map_err(|source| Error::Source {
        path: PathBuf::new(),
        guest_path: GuestPath::root(),
        source,
    })
}

/// Goes over a tree in its order.
pub type Iter<'tree> = spill::Iter<'tree, Node>;

impl<'tree> IntoIterator for &'tree Tree {
    type Item = (GuestPath, Node);
    type IntoIter = Iter<'tree>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What the nodes of a tree share.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    folders: Vec<Arc<Path>>,
    bytes: Vec<Arc<[u8]>>,
}

impl Value for Node {
    type Shared = Shared;

    fn encode(&self, shared: &mut Shared, out: &mut Vec<u8>) {
        let (kind, mode) = match self {
            Self::Directory { mode } => (b'd', *mode),
            Self::Symlink { .. } => (b'l', 0),
            Self::File { source, mode, .. } => match source {
                Source::Path(_) => (b'p', *mode),
                Source::Below(_) => (b'b', *mode),
                Source::Bytes(_) => (b'm', *mode),
            },
        };
        out.push(kind);
        spill::put_number(out, u64::from(mode));
        match self {
            Self::Directory { .. } => {}
            Self::Symlink { target } => spill::put_bytes(out, target),
            Self::File {
                source, size_bytes, ..
            } => {
                spill::put_number(out, *size_bytes);
                match source {
                    Source::Path(path) => spill::put_bytes(out, path.as_os_str().as_bytes()),
                    Source::Below(folder) => {
                        spill::put_number(out, spill::place_of(&mut shared.folders, folder));
                    }
                    Source::Bytes(bytes) => {
                        shared.bytes.push(Arc::clone(bytes));
                        spill::put_number(out, shared.bytes.len() as u64 - 1);
                    }
                }
            }
        }
    }

    fn decode(shared: &Shared, from: &mut Decoder<'_>) -> Option<Self> {
        let kind = from.take(1)?[0];
        let mode = from.small()?;
        match kind {
            b'd' => return Some(Self::Directory { mode }),
            b'l' => {
                let target = from.bytes()?.to_vec();
                return Some(Self::Symlink { target });
            }
            _ => {}
        }
        let size_bytes = from.number()?;
        let source = match kind {
            b'p' => Source::Path(OsStr::from_bytes(from.bytes()?).into()),
            b'b' => Source::Below(Arc::clone(shared.folders.get(from.small::<usize>()?)?)),
            _ => Source::Bytes(Arc::clone(shared.bytes.get(from.small::<usize>()?)?)),
        };
        Some(Self::File {
            source,
            size_bytes,
            mode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new(text).unwrap()
    }

    #[test]
    fn parents_are_implied_and_come_first() {
        let mut tree = Tree::new();
        tree.insert(path("usr/lib/libz.so"), Node::bytes(*b"ELF", 0o644))
            .unwrap();
        tree.insert(
            path("bin"),
            Node::Symlink {
                target: b"usr/bin".to_vec(),
            },
        )
        .unwrap();
        let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["/bin", "/usr", "/usr/lib", "/usr/lib/libz.so"]);
        assert_eq!((tree.len(), tree.total_bytes()), (4, 3));
    }

    #[test]
    fn a_directory_may_come_again_and_sets_its_mode() {
        let mut tree = Tree::new();
        tree.insert(path("tmp/x"), Node::bytes(*b"", 0o644))
            .unwrap();
        tree.insert(path("tmp"), Node::Directory { mode: 0o1777 })
            .unwrap();
        tree.insert(GuestPath::root(), Node::Directory { mode: 0o700 })
            .unwrap();
        assert_eq!(
            tree.get(&path("tmp")),
            Some(Node::Directory { mode: 0o1777 })
        );
        assert_eq!(tree.root_mode(), 0o700);
    }

    #[test]
    fn what_is_taken_and_what_is_no_directory_is_refused() {
        let mut tree = Tree::new();
        tree.insert(path("etc/hosts"), Node::bytes(*b"", 0o644))
            .unwrap();
        let mut refusal =
            |at: &str, node: Node| tree.insert(path(at), node).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                refusal("etc/hosts", Node::bytes(*b"again", 0o644)),
                refusal("etc", Node::bytes(*b"", 0o644)),
                refusal("etc/hosts/a/b", Node::Directory { mode: 0o755 }),
                refusal("", Node::bytes(*b"", 0o644)),
            ].join("\n"), @"
        /etc/hosts is there already
        /etc is there already
        /etc/hosts/a/b cannot be put under /etc/hosts, which is not a directory
        / is there already
        ");
        assert_eq!(tree.len(), 2, "a refusal leaves nothing behind");
    }
}
