//! The merged tree that a writer turns into a file system.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::GuestPath;

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
    /// Sorted. Trees are mostly made in their order, and then read from the first node to the last, several times.
    nodes: Vec<(GuestPath, Node)>,
    root_mode: u32,
    total_bytes: u64,
    /// The directory that the last node was put into, which is there: mostly it is the next one's, too.
    last_parent: GuestPath,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.root_mode == other.root_mode && self.nodes == other.nodes
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
            nodes: Vec::new(),
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
        if let Ok(place) = self.place_of(&path) {
            return match (&mut self.nodes[place].1, node) {
                (Node::Directory { mode }, Node::Directory { mode: new }) => {
                    *mode = new;
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
        self.put(path, node);
        Ok(())
    }

    /// Where a path is, or where it would be.
    fn place_of(&self, path: &GuestPath) -> Result<usize, usize> {
        // What comes in order need not be looked for.
        match self.nodes.last() {
            Some((last, _)) if last >= path => {
                self.nodes.binary_search_by(|(other, _)| other.cmp(path))
            }
            _ => Err(self.nodes.len()),
        }
    }

    /// Puts a node where none is.
    fn put(&mut self, path: GuestPath, node: Node) {
        if let Err(place) = self.place_of(&path) {
            self.nodes.insert(place, (path, node));
        }
    }

    /// Makes room for so many more nodes.
    pub fn reserve(&mut self, nodes: usize) {
        self.nodes.reserve_exact(nodes);
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
        for directory in missing {
            self.put(directory, Node::Directory { mode: IMPLIED_MODE });
        }
        Ok(())
    }

    /// What is at a path other than the root.
    pub fn get(&self, path: &GuestPath) -> Option<&Node> {
        let place = self.place_of(path).ok()?;
        self.nodes.get(place).map(|(_, node)| node)
    }

    /// Everything but the root, sorted, each directory directly followed by what is in it.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.nodes.iter())
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

/// Goes over a tree in its order.
#[derive(Debug, Clone)]
pub struct Iter<'tree>(std::slice::Iter<'tree, (GuestPath, Node)>);

impl<'tree> Iterator for Iter<'tree> {
    type Item = (&'tree GuestPath, &'tree Node);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(path, node)| (path, node))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(path, node)| (path, node))
    }
}

impl<'tree> IntoIterator for &'tree Tree {
    type Item = (&'tree GuestPath, &'tree Node);
    type IntoIter = Iter<'tree>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
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
            Some(&Node::Directory { mode: 0o1777 })
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
