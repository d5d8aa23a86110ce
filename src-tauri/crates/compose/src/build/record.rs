//! `<image>.record`: what an update has to know of the build before.
//!
//! ```text
//! "windlass record 1\n" | u32 length, head as JSON
//!   | u64 parts of the image's digest, 32 bytes each
//!   | u64 entries: u16 length, path | kind
//!       'd' u32 mode     'l' u32 length, target
//!       'f' u32 mode, u64 size, digest [32], u8 has stamp [size, device, inode u64, modified, changed i128]
//!   | BLAKE3 of all before, 32 bytes
//! ```
//!
//! All numbers are little-endian. It belongs to one state of one file: where the image's inode, length or time of
//! change is another, the record is as good as none, and so is one that is damaged. It saves work, and holds nothing
//! that a full build would not find again.
//!
//! A file's stamp is kept only where it had been unchanged for two seconds: until then it could change again without
//! its times showing it.

use std::borrow::Borrow;
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_image::subtree::Subtree;
use windlass_image::{GuestPath, Node, Tree, journal};

use crate::stamp::Stamp;

const MAGIC: &[u8] = b"windlass record 1\n";
pub(super) const SUFFIX: &str = "record";
const BUFFER_BYTES: usize = 256 << 10;

/// Where the record of an image is: `<image>.record`.
pub fn record_path(image: &Path) -> PathBuf {
    journal::companion(image, SUFFIX)
}

/// Whether an image is the one that was built, told by its record: nobody wrote to it since.
pub(crate) fn image_is_as_built(image: &Path) -> bool {
    Record::read(image).is_some_and(|record| {
        std::fs::metadata(image).is_ok_and(|there| ImageStamp::of(&there) == record.head.image)
    })
}

/// By what an image is known to be the one that was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageStamp {
    pub(super) size_bytes: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) modified_ns: u64,
}

impl ImageStamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let nanoseconds = metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec());
        Self {
            size_bytes: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified_ns: u64::try_from(nanoseconds).unwrap_or(0),
        }
    }
}

/// What the whole image was made by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) guest: String,
    pub(super) root_fs: String,
    /// As the recipe has it.
    pub(super) size_bytes: Option<u64>,
    /// The digest of the loader image.
    pub(super) loader: Option<String>,
    pub(super) command_line: String,
    /// A digest of which layer each path comes from.
    pub(super) layers: String,
    pub(super) image: ImageStamp,
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) path: GuestPath,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        size_bytes: u64,
        digest: blake3::Hash,
        stamp: Option<Stamp>,
    },
    Symlink {
        target: Vec<u8>,
    },
}

impl What {
    /// What a node is, given the digest of its bytes.
    pub(super) fn of(node: &Node, digest: Option<blake3::Hash>, stamp: Option<Stamp>) -> Self {
        match node {
            Node::Directory { mode } => Self::Directory { mode: *mode },
            Node::Symlink { target } => Self::Symlink {
                target: target.clone(),
            },
            Node::File {
                size_bytes, mode, ..
            } => Self::File {
                mode: *mode,
                size_bytes: *size_bytes,
                digest: digest.unwrap_or_else(|| blake3::Hash::from_bytes([0; 32])),
                stamp,
            },
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    /// Whether a guest sees the same; `has_modes` says whether it sees permissions.
    pub(super) fn is_same(&self, other: &Self, has_modes: bool) -> bool {
        match (self, other) {
            (Self::Directory { mode }, Self::Directory { mode: old }) => !has_modes || mode == old,
            (
                Self::File {
                    mode,
                    size_bytes,
                    digest,
                    ..
                },
                Self::File {
                    mode: old_mode,
                    size_bytes: old_size,
                    digest: old_digest,
                    ..
                },
            ) => size_bytes == old_size && digest == old_digest && (!has_modes || mode == old_mode),
            (Self::Symlink { target }, Self::Symlink { target: old }) => target == old,
            _ => false,
        }
    }
}

/// What an update has to know of the build before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) parts: Vec<Subtree>,
    /// In the order of paths.
    pub(super) entries: Vec<Known>,
}

/// The entries of a tree with what is known of its files, in the same order.
pub(super) fn entries<'a>(
    tree: &'a Tree,
    known: impl Iterator<Item = (Option<blake3::Hash>, Option<Stamp>)> + 'a,
) -> impl Iterator<Item = Known> + 'a {
    tree.iter()
        .zip(known)
        .map(|((path, node), (digest, stamp))| Known {
            path: path.clone(),
            what: What::of(node, digest, stamp),
        })
}

/// Writes a record whose entries, so many, need not be in memory.
pub(super) fn write(
    file: &mut impl Write,
    head: &Head,
    parts: &[Subtree],
    count: usize,
    entries: impl Iterator<Item = impl Borrow<Known>>,
) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let mut hasher = blake3::Hasher::new();
    let mut out = MAGIC.to_vec();
    out.extend(length(head.len())?.to_le_bytes());
    out.extend(head);
    out.extend((parts.len() as u64).to_le_bytes());
    out.extend(parts.as_flattened());
    out.extend((count as u64).to_le_bytes());
    for known in entries {
        if out.len() > BUFFER_BYTES {
            hasher.update(&out);
            file.write_all(&out)?;
            out.clear();
        }
        put(&mut out, known.borrow())?;
    }
    hasher.update(&out);
    out.extend(hasher.finalize().as_bytes());
    file.write_all(&out)?;
    file.flush()
}

fn length(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(io::Error::other)
}

fn put(out: &mut Vec<u8>, Known { path, what }: &Known) -> io::Result<()> {
    // No guest path is longer than 4 KiB.
    let path_bytes = u16::try_from(path.as_bytes().len()).map_err(io::Error::other)?;
    out.extend(path_bytes.to_le_bytes());
    out.extend(path.as_bytes());
    match what {
        What::Directory { mode } => {
            out.push(b'd');
            out.extend(mode.to_le_bytes());
        }
        What::Symlink { target } => {
            out.push(b'l');
            out.extend(length(target.len())?.to_le_bytes());
            out.extend(target);
        }
        What::File {
            mode,
            size_bytes,
            digest,
            stamp,
        } => {
            out.push(b'f');
            out.extend(mode.to_le_bytes());
            out.extend(size_bytes.to_le_bytes());
            out.extend(digest.as_bytes());
            out.push(u8::from(stamp.is_some()));
            if let Some(stamp) = stamp {
                for number in [stamp.size_bytes, stamp.device, stamp.inode] {
                    out.extend(number.to_le_bytes());
                }
                for time in [stamp.modified_ns, stamp.changed_ns] {
                    out.extend(i128::from(time).to_le_bytes());
                }
            }
        }
    }
    Ok(())
}

impl Record {
    /// The record of an image, if it is there, sound, and of this image as it is.
    pub(super) fn read(image: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(image).ok()?;
        let bytes = std::fs::read(record_path(image)).ok()?;
        let record = Self::from_bytes(&bytes);
        if record.is_none() {
            tracing::warn!(image = %image.display(), "the record of the last build is damaged");
        }
        record.filter(|record| record.head.image == ImageStamp::of(&metadata))
    }

    /// Takes the place of the record of the same image.
    pub(super) fn replace(&self, image: &Path) -> io::Result<()> {
        let path = record_path(image);
        let folder = image.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".record-")
            .tempfile_in(folder)?;
        self.write(&mut file.as_file())?;
        file.persist(path)?;
        Ok(())
    }

    pub(super) fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let (count, entries) = (self.entries.len(), self.entries.iter());
        write(file, &self.head, &self.parts, count, entries)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (bytes, digest) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(bytes) != *digest {
            return None;
        }
        let mut rest = Rest(bytes.strip_prefix(MAGIC)?);
        let length = rest.u32()? as usize;
        let head = serde_json::from_slice(rest.bytes(length)?).ok()?;
        let count = usize::try_from(rest.u64()?).ok()?;
        let parts = rest
            .bytes(count.checked_mul(32)?)?
            .as_chunks::<32>()
            .0
            .to_vec();
        let mut entries: Vec<Known> = Vec::new();
        for _ in 0..rest.u64()? {
            let length = usize::from(u16::from_le_bytes(rest.take()?));
            let path = GuestPath::new(rest.bytes(length)?).ok()?;
            let what = match rest.take::<1>()? {
                [b'd'] => What::Directory { mode: rest.u32()? },
                [b'l'] => {
                    let length = rest.u32()? as usize;
                    What::Symlink {
                        target: rest.bytes(length)?.to_vec(),
                    }
                }
                [b'f'] => What::File {
                    mode: rest.u32()?,
                    size_bytes: rest.u64()?,
                    digest: blake3::Hash::from_bytes(rest.take()?),
                    stamp: if rest.take::<1>()? == [1] {
                        Some(rest.stamp()?)
                    } else {
                        None
                    },
                },
                _ => return None,
            };
            if entries.last().is_some_and(|last| last.path >= path) {
                return None;
            }
            entries.push(Known { path, what });
        }
        rest.0.is_empty().then_some(Self {
            head,
            parts,
            entries,
        })
    }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        self.0.split_off(..length)
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.bytes(LENGTH)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn stamp(&mut self) -> Option<Stamp> {
        Some(Stamp {
            size_bytes: self.u64()?,
            device: self.u64()?,
            inode: self.u64()?,
            modified_ns: i64::try_from(i128::from_le_bytes(self.take()?)).ok()?,
            changed_ns: i64::try_from(i128::from_le_bytes(self.take()?)).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_damaged_one_is_none() {
        let stamp = Stamp {
            size_bytes: 3,
            device: 1,
            inode: 2,
            modified_ns: -5,
            changed_ns: 7,
        };
        let file = |stamp| What::File {
            mode: 0o644,
            size_bytes: 3,
            digest: blake3::hash(b"abc"),
            stamp,
        };
        let whats = [
            ("a", What::Directory { mode: 0o755 }),
            ("a/b", file(Some(stamp))),
            ("a/c", file(None)),
            (
                "z",
                What::Symlink {
                    target: b"a/b".to_vec(),
                },
            ),
        ];
        let record = Record {
            head: Head {
                guest: "osv".to_owned(),
                root_fs: "rofs".to_owned(),
                size_bytes: None,
                loader: Some("digest".to_owned()),
                command_line: "/hello".to_owned(),
                layers: String::new(),
                image: ImageStamp {
                    size_bytes: 1,
                    device: 2,
                    inode: 3,
                    modified_ns: 4,
                },
            },
            parts: vec![[1; 32], [2; 32]],
            entries: whats
                .map(|(path, what)| Known {
                    path: GuestPath::new(path).unwrap(),
                    what,
                })
                .to_vec(),
        };
        let mut bytes = Vec::new();
        record.write(&mut bytes).unwrap();
        assert_eq!(Record::from_bytes(&bytes), Some(record));
        for at in 0..bytes.len() {
            assert_eq!(Record::from_bytes(&bytes[..at]), None);
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert_eq!(Record::from_bytes(&damaged), None);
        }
    }
}
