//! `<image>.record`: what is in an image, and what an update has to know of the build before.
//!
//! ```text
//!   <image>.record    "windlass record 2\n"                      | u32 length, head as JSON | entries   [encode]
//!                     | parts of the image's digest, 32 bytes each | u64 entries, u64 parts | BLAKE3 of all before
//!   <image>.changes   "windlass changes 2\n" | BLAKE3 of the record | u32 length, head | entries that differ, or are no more
//!                     | parts … as above
//! ```
//!
//! An update writes what is different since the last full record, so that it costs what changed. Where that has become
//! much, the record is written anew. Changes that belong to another record are none.
//!
//! The record belongs to one state of one file: where the image's inode, length or time of change is another, it says
//! nothing of what may be left as it is. It is read from the first entry to the last, never as a whole: memory does not
//! grow with it. Damage shows in the digest at the end, by when nothing was written yet.
//!
//! A file's stamp is kept only where it had been unchanged for two seconds: until then it could change again without
//! its times showing it.

use std::cmp::Ordering;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_image::subtree::{self, Subtree};
use windlass_image::{GuestPath, journal};

use crate::stamp::Stamp;
use encode::{Line, Reader, Slot, Writer, damaged};

mod cursor;
mod encode;

pub(super) use cursor::Cursor;

const MAGIC: &[u8] = b"windlass record 2\n";
const CHANGES_MAGIC: &[u8] = b"windlass changes 2\n";
pub(super) const SUFFIX: &str = "record";
pub(super) const CHANGES_SUFFIX: &str = "changes";

const DIGEST_BYTES: u64 = 32;
/// The numbers of entries and parts, and the digest.
const TRAILER_BYTES: u64 = 16 + DIGEST_BYTES;

/// A record of fewer entries is always written anew: it costs no more than a second file.
const CHANGES_FROM: u64 = 512;
/// Where more than so large a share of the entries differ, the record is written anew.
const CHANGES_SHARE: u64 = 16;

/// Where the record of an image is: `<image>.record`.
pub fn record_path(image: &Path) -> PathBuf {
    journal::companion(image, SUFFIX)
}

/// Where the changes since the record of an image are: `<image>.changes`.
pub(super) fn changes_path(image: &Path) -> PathBuf {
    journal::companion(image, CHANGES_SUFFIX)
}

/// Whether an image is the one that was built, told by its record: nobody wrote to it since.
pub fn is_as_built(image: &Path) -> bool {
    Record::open(image).is_some()
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
    /// The size that the root file system was given afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) given_bytes: Option<u64>,
    /// The digest of the loader image.
    pub(super) loader: Option<String>,
    pub(super) command_line: String,
    /// The names of the layers.
    pub(super) layers: Vec<String>,
    pub(super) image: ImageStamp,
}

/// What is known of a path.
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

/// What a path has become; nothing, where it is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) path: GuestPath,
    pub(super) layer: Option<u32>,
    pub(super) what: Option<What>,
}

/// What is known of the build before.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) parts: Vec<Subtree>,
    base: File,
    base_digest: [u8; 32],
    /// How many entries and parts the base has.
    count: u64,
    part_count: u64,
    /// What differs from the base, in the order of paths.
    changes: Vec<Changed>,
}

impl Record {
    /// The record of an image, if it is there, and of this image as it is.
    pub(super) fn open(image: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(image).ok()?;
        let record = Self::beside(image).ok()?;
        (record.head.image == ImageStamp::of(&metadata)).then_some(record)
    }

    /// The record beside an image, whether it fits it or not.
    pub(super) fn beside(image: &Path) -> io::Result<Self> {
        let mut record = Self::open_at(&record_path(image))?;
        match File::open(changes_path(image)) {
            Ok(file) => {
                if let Err(error) = record.take_changes(&file) {
                    tracing::warn!(image = %image.display(), %error, "what changed since the record was left out");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(record)
    }

    /// A record that lies anywhere.
    pub(super) fn open_at(path: &Path) -> io::Result<Self> {
        let base = File::open(path)?;
        let length = base.metadata()?.len();
        let trailer = length.checked_sub(TRAILER_BYTES).ok_or_else(damaged)?;
        let number = |at: u64| -> io::Result<u64> {
            let mut bytes = [0; 8];
            base.read_exact_at(&mut bytes, trailer + at)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let (count, part_count) = (number(0)?, number(8)?);
        let mut base_digest = [0; 32];
        base.read_exact_at(&mut base_digest, trailer + 16)?;
        let parts_bytes = part_count
            .checked_mul(DIGEST_BYTES)
            .filter(|&bytes| bytes <= trailer)
            .ok_or_else(damaged)?;
        let mut parts = vec![[0; 32]; usize::try_from(part_count).map_err(|_| damaged())?];
        base.read_exact_at(parts.as_flattened_mut(), trailer - parts_bytes)?;
        let mut reader = Reader::new(&base)?;
        let head = read_head(&mut reader, MAGIC, None)?;
        drop(reader);
        Ok(Self {
            head,
            parts,
            base,
            base_digest,
            count,
            part_count,
            changes: Vec::new(),
        })
    }

    /// Takes over what has changed since, if it belongs to this record.
    fn take_changes(&mut self, file: &File) -> io::Result<()> {
        let mut reader = Reader::new(file)?;
        let head = read_head(&mut reader, CHANGES_MAGIC, Some(&self.base_digest))?;
        let mut changes = Vec::new();
        let mut slot = Slot::default();
        while reader.line(&mut slot)? {
            let path = GuestPath::new(slot.path.as_slice()).map_err(|_| damaged())?;
            let (layer, what) = (slot.layer, slot.what.take());
            changes.push(Changed { path, layer, what });
        }
        let is_sorted = changes.is_sorted_by(|one, other| one.path < other.path);
        let length = file.metadata()?.len();
        let part_count = subtree::count(head.image.size_bytes);
        if !is_sorted || part_count.saturating_mul(DIGEST_BYTES) > length {
            return Err(damaged());
        }
        let mut parts = Vec::new();
        for _ in 0..part_count {
            parts.push(reader.take()?);
        }
        reader.bytes(16)?;
        reader.finish()?;
        (self.head, self.parts, self.changes) = (head, parts, changes);
        Ok(())
    }

    /// About how many entries there are.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0) + self.changes.len()
    }

    /// The digest of the image.
    pub(super) fn digest(&self) -> blake3::Hash {
        subtree::whole(&self.parts, self.head.image.size_bytes)
    }

    /// The name of a layer.
    pub(super) fn layer(&self, number: Option<u32>) -> Option<&str> {
        let number = usize::try_from(number?).ok()?;
        self.head.layers.get(number).map(String::as_str)
    }

    /// What differs from the base, once this has become different as well; `None` where that is so much that the record is
    /// better written anew.
    pub(super) fn changes_with(&self, new: &[Changed]) -> Option<Vec<Changed>> {
        let mut all = Vec::with_capacity(self.changes.len() + new.len());
        let (mut old, mut new) = (self.changes.iter().peekable(), new.iter());
        let mut next = new.next();
        while let Some(changed) = next {
            match old.peek().map(|old| old.path.cmp(&changed.path)) {
                Some(Ordering::Less) => all.extend(old.next().cloned()),
                order => {
                    if order == Some(Ordering::Equal) {
                        old.next();
                    }
                    all.push(changed.clone());
                    next = new.next();
                }
            }
        }
        all.extend(old.cloned());
        let is_little = all.len() as u64 <= self.count / CHANGES_SHARE;
        (self.count >= CHANGES_FROM && is_little).then_some(all)
    }

    /// Writes changes to this record: all that differs from its base.
    pub(super) fn write_changes(
        &self,
        out: impl Write,
        head: &Head,
        parts: &[Subtree],
        changes: &[Changed],
    ) -> io::Result<()> {
        let mut writer = RecordWriter::start(out, CHANGES_MAGIC, &self.base_digest, head)?;
        for changed in changes {
            writer.put(
                changed.path.as_bytes(),
                changed.layer,
                changed.what.as_ref(),
            )?;
        }
        writer.finish(parts)
    }

    /// Writes a whole record: this one, as it is with these changes.
    pub(super) fn write_whole(
        &self,
        out: impl Write,
        head: &Head,
        parts: &[Subtree],
        changes: &[Changed],
    ) -> io::Result<()> {
        let mut writer = RecordWriter::new(out, head)?;
        let mut cursor = self.cursor()?;
        let mut changes = changes.iter().peekable();
        let mut is_there = cursor.advance()?;
        loop {
            let order = match (is_there, changes.peek()) {
                (false, None) => break,
                (true, None) => Ordering::Less,
                (false, Some(_)) => Ordering::Greater,
                (true, Some(next)) => cursor.compare(&next.path),
            };
            if order == Ordering::Less {
                writer.put(cursor.path(), cursor.layer(), cursor.what())?;
            } else if let Some(next) = changes.next()
                && next.what.is_some()
            {
                writer.put(next.path.as_bytes(), next.layer, next.what.as_ref())?;
            }
            if order != Ordering::Greater {
                is_there = cursor.advance()?;
            }
        }
        writer.finish(parts)
    }
}

fn read_head(reader: &mut Reader<'_>, magic: &[u8], of: Option<&[u8; 32]>) -> io::Result<Head> {
    if reader.bytes(magic.len())? != magic {
        return Err(damaged());
    }
    if let Some(of) = of
        && reader.take::<32>()? != *of
    {
        let other = "it belongs to another record";
        return Err(io::Error::new(io::ErrorKind::InvalidData, other));
    }
    let length = u32::from_le_bytes(reader.take()?) as usize;
    if length > HEAD_BYTES_MAX {
        return Err(damaged());
    }
    serde_json::from_slice(reader.bytes(length)?).map_err(io::Error::other)
}

/// Command lines and names of layers; what is larger is none of ours.
const HEAD_BYTES_MAX: usize = 16 << 20;

/// Writes a record entry by entry, in the order of paths.
pub(super) struct RecordWriter<W> {
    writer: Writer<W>,
    count: u64,
}

impl<W: Write> RecordWriter<W> {
    pub(super) fn new(out: W, head: &Head) -> io::Result<Self> {
        Self::start(out, MAGIC, &[], head)
    }

    fn start(out: W, magic: &[u8], of: &[u8], head: &Head) -> io::Result<Self> {
        let head = serde_json::to_vec(head)?;
        let length = u32::try_from(head.len()).map_err(io::Error::other)?;
        let mut writer = Writer::new(out);
        for bytes in [magic, of, &length.to_le_bytes(), &head] {
            writer.bytes(bytes)?;
        }
        Ok(Self { writer, count: 0 })
    }

    pub(super) fn put(
        &mut self,
        path: &[u8],
        layer: Option<u32>,
        what: Option<&What>,
    ) -> io::Result<()> {
        self.count += 1;
        self.writer.line(&Line { path, layer, what })
    }

    pub(super) fn finish(mut self, parts: &[Subtree]) -> io::Result<()> {
        self.writer.end()?;
        self.writer.bytes(parts.as_flattened())?;
        self.writer.bytes(&self.count.to_le_bytes())?;
        self.writer.bytes(&(parts.len() as u64).to_le_bytes())?;
        self.writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
