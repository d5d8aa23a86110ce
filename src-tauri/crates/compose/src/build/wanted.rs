//! What an image is to hold: the plan, and what the build itself adds.

use windlass_guest::GuestOs;
use windlass_image::{GuestPath, Node, Source, Tree, TreeError};

use super::record::What;
use crate::base::LINUX_COMMAND_LINE;
use crate::error::Error;
use crate::plan::{Entry, EntryKind, Origin, Plan};
use crate::stamp::Stamp;

/// The mode of folders that the build adds.
const FOLDER_MODE: u32 = 0o755;

/// What an image is to hold.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) plan: &'a Plan,
    /// In the order of paths; the plan has nothing there.
    added: Vec<(GuestPath, Node)>,
}

/// One path of it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) path: GuestPath,
    pub(super) is: Is,
}

#[derive(Debug, Clone)]
pub(super) enum Is {
    /// An entry of the plan, and which one it is.
    Planned(usize, Entry),
    Added(Node),
}

impl<'a> Wanted<'a> {
    /// The plan; in a Linux image with the command line in a file, where the init looks for it.
    pub(super) fn new(plan: &'a Plan, command_line: &str) -> Result<Self, Error> {
        let mut added = Vec::new();
        if plan.guest() == GuestOs::Linux {
            let path = GuestPath::new(LINUX_COMMAND_LINE).map_err(|source| Error::Path {
                layer: crate::base::NAME.to_owned(),
                source,
            })?;
            // An appliance that has the file itself knows what it does.
            if plan.get(&path).is_none() {
                let mut folder = path.parent();
                while let Some(at) = folder.filter(|folder| !folder.is_root()) {
                    match plan.get(&at).map(|entry| entry.kind) {
                        Some(EntryKind::Directory) => break,
                        Some(_) => {
                            let ancestor = at;
                            return Err(Error::Tree(TreeError::NotADirectory { path, ancestor }));
                        }
                        None => {}
                    }
                    folder = at.parent();
                    added.push((at, Node::Directory { mode: FOLDER_MODE }));
                }
                let line = format!("{command_line}\n");
                added.push((path, Node::bytes(line.as_bytes(), 0o644)));
                added.sort_by(|(one, _), (other, _)| one.cmp(other));
            }
        }
        Ok(Self { plan, added })
    }

    /// Everything, in the order of paths.
    pub(super) fn iter(&self) -> impl Iterator<Item = Item> + '_ {
        let mut added = self.added.iter().peekable();
        let mut planned = self.plan.entries().enumerate().peekable();
        std::iter::from_fn(move || {
            let next = match (planned.peek(), added.peek()) {
                (Some((_, (path, _))), Some((other, _))) => path < other,
                (planned, _) => planned.is_some(),
            };
            if next {
                let (index, (path, entry)) = planned.next()?;
                let is = Is::Planned(index, entry);
                return Some(Item { path, is });
            }
            let (path, node) = added.next()?;
            let is = Is::Added(node.clone());
            let path = path.clone();
            Some(Item { path, is })
        })
    }

    /// The tree that a file system writer takes.
    pub(super) fn tree(&self) -> Result<Tree, Error> {
        let mut tree = Tree::new();
        tree.reserve(self.plan.len() + self.added.len());
        for item in self.iter() {
            let node = match item.is {
                Is::Planned(_, entry) => entry.node(),
                Is::Added(node) => node,
            };
            tree.insert(item.path, node).map_err(Error::Tree)?;
        }
        self.plan.check_read()?;
        Ok(tree)
    }

    /// The bytes of all files.
    pub(super) fn content_bytes(&self) -> u64 {
        let added = self.added.iter().map(|(_, node)| match node {
            Node::File { size_bytes, .. } => *size_bytes,
            _ => 0,
        });
        self.plan.size_bytes() + added.sum::<u64>()
    }

    /// How many files and symlinks there are.
    pub(super) fn file_count(&self) -> usize {
        let is_file = |(_, node): &&(GuestPath, Node)| !matches!(node, Node::Directory { .. });
        self.plan.file_count() + self.added.iter().filter(is_file).count()
    }
}

impl Item {
    /// The number of the layer that it comes from.
    pub(super) fn layer(&self) -> Option<u32> {
        match &self.is {
            Is::Planned(_, entry) => u32::try_from(entry.layer).ok(),
            Is::Added(_) => None,
        }
    }

    /// Its permission bits.
    pub(super) fn mode(&self) -> u32 {
        match &self.is {
            Is::Planned(_, entry) => entry.mode,
            Is::Added(Node::Directory { mode } | Node::File { mode, .. }) => *mode,
            Is::Added(Node::Symlink { .. }) => 0,
        }
    }

    /// The stamp of the file that its bytes are in.
    pub(super) fn stamp(&self) -> Option<&Stamp> {
        match &self.is {
            Is::Planned(_, entry) => match &entry.origin {
                Origin::Host { stamp, .. } => Some(stamp),
                _ => None,
            },
            Is::Added(_) => None,
        }
    }

    /// What it is, given the digest of its bytes where these were not made up.
    pub(super) fn what(&self, digest: Option<blake3::Hash>, stamp: Option<Stamp>) -> What {
        let file = |mode, size_bytes, digest: Option<blake3::Hash>| What::File {
            mode,
            size_bytes,
            digest: digest.unwrap_or_else(|| blake3::Hash::from_bytes([0; 32])),
            stamp,
        };
        match &self.is {
            Is::Planned(_, entry) => match (&entry.kind, &entry.origin) {
                (EntryKind::Directory, _) => What::Directory { mode: entry.mode },
                (EntryKind::Symlink { target }, _) => What::Symlink {
                    target: target.clone(),
                },
                (EntryKind::File, Origin::Made(bytes)) => {
                    file(entry.mode, entry.size_bytes, Some(blake3::hash(bytes)))
                }
                (EntryKind::File, _) => file(entry.mode, entry.size_bytes, digest),
            },
            Is::Added(Node::Directory { mode }) => What::Directory { mode: *mode },
            Is::Added(Node::Symlink { target }) => What::Symlink {
                target: target.clone(),
            },
            Is::Added(Node::File {
                source,
                size_bytes,
                mode,
            }) => {
                let made = match source {
                    Source::Bytes(bytes) => Some(blake3::hash(bytes)),
                    _ => None,
                };
                file(*mode, *size_bytes, made)
            }
        }
    }
}
