//! What has to be done so that a guest that runs holds what a plan has.
//!
//! ```text
//!   <image>.record, or what was kept after the last push ─────> Held ──┐
//!                                                                      ├─> Push: changes in the order in which they are made
//!   plan, its files digested where they are not known ─────────────────┘
//! ```
//!
//! What a guest holds is known, not asked for: a program in it may have written files of its own, and these stay. While a
//! push goes on, what it changes is kept as [`Content::Unknown`]: one that was interrupted is begun again by the next.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use windlass_guest::CommandLine;
use windlass_image::escape::{escape, unescape};
use windlass_image::{GuestPath, Node, Source};

use super::files::{FileKind, FileList};
use super::wanted::Wanted;
use super::{digests, image_command_line};
use crate::digest::DigestCache;
use crate::error::{Error, IoContext};
use crate::plan::Plan;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Its length.
        size_bytes: u64,
        /// The BLAKE3 digest of its content.
        digest: blake3::Hash,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
    /// Something, and nobody knows what: a push was interrupted.
    Unknown,
}

/// What a guest holds, as far as it came from here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    entries: BTreeMap<GuestPath, Content>,
    command_line: String,
}

/// One thing that is to be done in the guest.
#[derive(Debug, Clone)]
pub enum Change {
    /// A file, a symlink or a directory is to go; a directory that holds what is not from here stays.
    Remove {
        /// Where.
        path: GuestPath,
        /// Something else comes in its place.
        is_replaced: bool,
    },
    /// A directory is to be there.
    Directory {
        /// Where.
        path: GuestPath,
        /// Permission bits.
        mode: u32,
    },
    /// A file is to have this content.
    File {
        /// Where.
        path: GuestPath,
        /// Permission bits.
        mode: u32,
        /// Its length.
        size_bytes: u64,
        /// The BLAKE3 digest of its content.
        digest: blake3::Hash,
        /// Where its bytes are.
        source: Source,
    },
    /// A symlink is to be there.
    Symlink {
        /// Where.
        path: GuestPath,
        /// What it points to.
        target: Vec<u8>,
    },
    /// Only the permission bits are others.
    Mode {
        /// Where.
        path: GuestPath,
        /// Permission bits.
        mode: u32,
    },
}

/// What is to be done, and what the guest holds then.
#[derive(Debug, Clone)]
pub struct Push {
    /// In the order in which it is to be done.
    pub changes: Vec<Change>,
    /// How many files and symlinks are new.
    pub added: usize,
    /// How many have other content, another mode, or are of another kind.
    pub changed: usize,
    /// How many are no more.
    pub removed: usize,
    /// The bytes of the files that are sent.
    pub bytes: u64,
    /// The boot command line that goes with the plan, where it is another than the guest's.
    pub command_line: Option<String>,
    /// What the guest holds when all of this was done.
    pub after: Held,
}

impl Change {
    /// Where it is done.
    pub fn path(&self) -> &GuestPath {
        match self {
            Self::Remove { path, .. }
            | Self::Directory { path, .. }
            | Self::File { path, .. }
            | Self::Symlink { path, .. }
            | Self::Mode { path, .. } => path,
        }
    }
}

impl Push {
    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.command_line.is_none()
    }

    /// What the guest holds for certain while this is done.
    #[must_use]
    pub fn during(&self, before: &Held) -> Held {
        let mut held = before.clone();
        for change in &self.changes {
            held.entries.insert(change.path().clone(), Content::Unknown);
        }
        held
    }
}

/// What is written of a held path.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<FileKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    command_line: String,
    files: Vec<Line>,
}

impl Held {
    /// What an image holds, by the list of files beside it.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn of_image(image: &Path) -> Result<Self, Error> {
        let list = FileList::read(image)?;
        let lines = list.files.into_iter().map(|file| Line {
            path: file.path,
            kind: Some(file.kind),
            mode: file.mode,
            size_bytes: file.size_bytes,
            digest: file.digest,
            target: file.target,
        });
        let kept = Kept {
            command_line: list.command_line,
            files: lines.collect(),
        };
        Ok(Self::from_kept(kept))
    }

    /// What was written by [`write`](Self::write); `None` where nothing was.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result.context("read", path)?,
        };
        let kept = serde_json::from_slice(&bytes).map_err(|source| Error::FileList {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Some(Self::from_kept(kept)))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let folder = super::folder_of(path);
        let mut file =
            tempfile::NamedTempFile::new_in(folder).context("create a file in", folder)?;
        let bytes = serde_json::to_vec(&self.to_kept()).map_err(|source| Error::FileList {
            path: path.to_path_buf(),
            source,
        })?;
        file.write_all(&bytes)
            .and_then(|()| file.as_file().sync_all())
            .context("write", path)?;
        file.persist(path)
            .map_err(|error| error.error)
            .context("write", path)?;
        Ok(())
    }

    fn from_kept(kept: Kept) -> Self {
        let entries = kept.files.into_iter().filter_map(|line| {
            let path = GuestPath::new(unescape(&line.path)).ok()?;
            // What says too little is not known.
            Some((path, content(line).unwrap_or(Content::Unknown)))
        });
        Self {
            entries: entries.collect(),
            command_line: kept.command_line,
        }
    }

    fn to_kept(&self) -> Kept {
        let lines = self.entries.iter().map(|(path, content)| {
            let mut line = Line {
                path: format!("/{}", escape(path.as_bytes())),
                kind: None,
                mode: None,
                size_bytes: None,
                digest: None,
                target: None,
            };
            match content {
                Content::Directory { mode } => {
                    line.kind = Some(FileKind::Directory);
                    line.mode = Some(*mode);
                }
                Content::File {
                    mode,
                    size_bytes,
                    digest,
                } => {
                    line.kind = Some(FileKind::File);
                    line.mode = Some(*mode);
                    line.size_bytes = Some(*size_bytes);
                    line.digest = Some(digest.to_hex().to_string());
                }
                Content::Symlink { target } => {
                    line.kind = Some(FileKind::Symlink);
                    line.target = Some(escape(target));
                }
                Content::Unknown => {}
            }
            line
        });
        Kept {
            command_line: self.command_line.clone(),
            files: lines.collect(),
        }
    }
}

fn content(line: Line) -> Option<Content> {
    Some(match line.kind? {
        FileKind::Directory => Content::Directory { mode: line.mode? },
        FileKind::File => Content::File {
            mode: line.mode?,
            size_bytes: line.size_bytes?,
            digest: line.digest?.parse().ok()?,
        },
        FileKind::Symlink => Content::Symlink {
            target: unescape(&line.target?),
        },
    })
}

/// Finds what has to be done so that the guest holds what the plan has.
///
/// # Errors
/// [`Error::Changed`] where a file is not what was scanned; I/O errors; [`Error::Cancelled`].
pub fn push(
    plan: &Plan,
    command_line: &CommandLine,
    held: &Held,
    cache: &DigestCache,
    cancel: &CancellationToken,
) -> Result<Push, Error> {
    let mut known = digests::remembered(plan, cache);
    digests::complete(plan, cache, &mut known, cancel)?;
    let line = image_command_line(plan.guest(), plan.root_fs(), command_line).to_string();
    let tree = Wanted::new(plan, &line)?.tree()?;
    let mut push = Push {
        changes: Vec::new(),
        added: 0,
        changed: 0,
        removed: 0,
        bytes: 0,
        command_line: (line != held.command_line).then(|| line.clone()),
        after: Held {
            entries: BTreeMap::new(),
            command_line: line,
        },
    };
    let mut planned = plan.entries().enumerate().peekable();
    for (path, node) in &tree {
        let digest = match planned.next_if(|(_, (planned, _))| *planned == path) {
            Some((index, _)) => known.get(index),
            None => made_digest(&node),
        };
        let Some(content) = content_of(&node, digest) else {
            continue;
        };
        push.compare(&path, &node, &content, held.entries.get(&path));
        push.after.entries.insert(path, content);
    }
    // What lies in a directory goes before it.
    let mut removals = Vec::new();
    for (path, old) in held.entries.iter().rev() {
        let is_replaced = match push.after.entries.entry(path.clone()) {
            MapEntry::Vacant(_) => {
                push.removed += usize::from(!matches!(old, Content::Directory { .. }));
                false
            }
            MapEntry::Occupied(new) => {
                let is_other_kind = |old: &Content, new: &Content| {
                    matches!(old, Content::Directory { .. })
                        != matches!(new, Content::Directory { .. })
                };
                let is_maybe_directory =
                    *old == Content::Unknown && !matches!(new.get(), Content::Directory { .. });
                // A file takes the place of a file or symlink by itself.
                if !is_maybe_directory
                    && (*old == Content::Unknown || !is_other_kind(old, new.get()))
                {
                    continue;
                }
                true
            }
        };
        let path = path.clone();
        removals.push(Change::Remove { path, is_replaced });
    }
    removals.append(&mut push.changes);
    push.changes = removals;
    Ok(push)
}

impl Push {
    fn compare(&mut self, path: &GuestPath, node: &Node, new: &Content, old: Option<&Content>) {
        if old == Some(new) {
            return;
        }
        let path = path.clone();
        let is_directory = matches!(new, Content::Directory { .. });
        if !is_directory {
            *(if old.is_some() {
                &mut self.changed
            } else {
                &mut self.added
            }) += 1;
        }
        let change = match (new, node) {
            (
                Content::File {
                    mode,
                    size_bytes,
                    digest,
                },
                Node::File { source, .. },
            ) => {
                let has_content =
                    matches!(old, Some(Content::File { digest: old, .. }) if old == digest);
                if has_content {
                    Change::Mode { path, mode: *mode }
                } else {
                    self.bytes += size_bytes;
                    Change::File {
                        path,
                        mode: *mode,
                        size_bytes: *size_bytes,
                        digest: *digest,
                        source: source.clone(),
                    }
                }
            }
            (Content::Symlink { target }, _) => Change::Symlink {
                path,
                target: target.clone(),
            },
            (Content::Directory { mode }, _) => Change::Directory { path, mode: *mode },
            _ => return,
        };
        self.changes.push(change);
    }
}

fn made_digest(node: &Node) -> Option<blake3::Hash> {
    match node {
        Node::File {
            source: Source::Bytes(bytes),
            ..
        } => Some(blake3::hash(bytes)),
        _ => None,
    }
}

fn content_of(node: &Node, digest: Option<blake3::Hash>) -> Option<Content> {
    Some(match node {
        Node::Directory { mode } => Content::Directory { mode: *mode },
        Node::File {
            size_bytes, mode, ..
        } => Content::File {
            mode: *mode,
            size_bytes: *size_bytes,
            digest: digest?,
        },
        Node::Symlink { target } => Content::Symlink {
            target: target.clone(),
        },
    })
}
