//! An image as text, for people and for comparisons.

use std::io::{self, Read, Seek, Write};

use super::{BLOCK_BYTES, Reader};
use crate::{Entry, EntryKind, Error, GuestPath};

impl<R: Read + Seek> Reader<R> {
    /// Writes the file system as text: the superblock, then a line for each entry with inode, kind,
    /// and path; for a directory the number of its entries, for a file its first block, its size and
    /// the start of its BLAKE3 digest, for a symlink its target.
    ///
    /// # Errors
    /// As [`walk`](Self::walk) and [`read`](Self::read); [`Error::Write`] for `text`.
    pub fn dump(&mut self, text: &mut impl Write) -> Result<(), Error> {
        let superblock = *self.superblock();
        let mut put = |line: String| writeln!(text, "{line}").map_err(Error::write(0));
        put(format!(
            "rofs: structure at block {}, blocks {}, directory entries {}, symlinks {}, inodes {}",
            superblock.structure_first_block,
            superblock.structure_blocks,
            superblock.directory_entries,
            superblock.symlinks,
            superblock.inodes
        ))?;
        put(self.describe(&self.root()?, None))?;
        // Reading needs the image, which the walk does not hold: a directory at a time.
        let mut to_do = self.list(&GuestPath::root())?;
        to_do.reverse();
        while let Some(entry) = to_do.pop() {
            let digest = match entry.kind {
                EntryKind::File { .. } => Some(self.digest(&entry)?),
                _ => None,
            };
            put(self.describe(&entry, digest))?;
            if matches!(entry.kind, EntryKind::Directory { .. }) {
                let mut children = self.list(&entry.path)?;
                children.reverse();
                to_do.append(&mut children);
            }
        }
        Ok(())
    }

    fn digest(&mut self, file: &Entry) -> Result<blake3::Hash, Error> {
        let EntryKind::File {
            offset_bytes,
            size_bytes,
        } = file.kind
        else {
            return Err(Error::NotFound {
                path: file.path.clone(),
            });
        };
        let mut hasher = blake3::Hasher::new();
        let mut content = self.read(file)?;
        let count = io::copy(&mut content, &mut hasher).map_err(Error::read(offset_bytes))?;
        if count < size_bytes {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(Error::Read {
                offset: offset_bytes + count,
                source,
            });
        }
        Ok(hasher.finalize())
    }

    #[expect(
        clippy::unused_self,
        reason = "reads as what the image says about an entry"
    )]
    fn describe(&self, entry: &Entry, digest: Option<blake3::Hash>) -> String {
        let path = escape(entry.path.as_bytes());
        let inode = entry.inode;
        match &entry.kind {
            EntryKind::Directory { children } => {
                format!("{inode:>4} dir   {children} entries  /{path}")
            }
            EntryKind::File {
                offset_bytes,
                size_bytes,
            } => {
                let digest = digest.map(|digest| digest.to_hex()[..16].to_owned());
                let digest = digest.unwrap_or_default();
                let block = offset_bytes / BLOCK_BYTES;
                format!("{inode:>4} file  block {block}  {size_bytes} bytes  {digest}  /{path}")
            }
            EntryKind::Symlink { target } => {
                format!("{inode:>4} link  /{path} -> {}", escape(target))
            }
        }
    }
}

/// UTF-8 as it is, control characters and other bytes as `\u{..}` and `\xNN`.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    text
}
