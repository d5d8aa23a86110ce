//! Entries as bytes, one behind the other, in the order of paths.
//!
//! ```text
//!   varint bytes shared with the path before | varint length, rest of the path | u8 kind | varint layer + 1, or 0
//!     'd' varint mode     'l' varint length, target     'x' nothing: it is no more
//!     'f' varint mode, size | digest [32] | u8 stamp? (varint device, inode | i64 modified | zigzag changed - modified)
//!   u8 0, 0, 'e' at the end
//! ```
//!
//! Varints are LEB128. Neighbours share most of their paths, and a file's times are mostly the same.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use crate::stamp::Stamp;

use super::What;

const BUFFER_BYTES: usize = 256 << 10;

/// No path or target of a guest is longer.
const LENGTH_MAX: u64 = 1 << 16;

/// What stands behind the last entry.
const END: u8 = b'e';

/// An entry of a record: what is at a path, or that nothing is any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) path: &'a [u8],
    pub(super) layer: Option<u32>,
    pub(super) what: Option<&'a What>,
}

/// Writes a file, and digests it on the way.
pub(super) struct Writer<W> {
    out: W,
    hasher: blake3::Hasher,
    pending: Vec<u8>,
    last: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            hasher: blake3::Hasher::new(),
            pending: Vec::with_capacity(BUFFER_BYTES + 4096),
            last: Vec::new(),
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let shared = self.last.iter().zip(line.path);
        let shared = shared.take_while(|(one, other)| one == other).count();
        let rest = &line.path[shared..];
        let out = &mut self.pending;
        put(out, shared as u64);
        put(out, rest.len() as u64);
        out.extend_from_slice(rest);
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
        let kind = match line.what {
            None => b'x',
            Some(What::Directory { .. }) => b'd',
            Some(What::Symlink { .. }) => b'l',
            Some(What::File { .. }) => b'f',
        };
        out.push(kind);
        put(out, line.layer.map_or(0, |layer| u64::from(layer) + 1));
        match line.what {
            None => {}
            Some(What::Directory { mode }) => put(out, u64::from(*mode)),
            Some(What::Symlink { target }) => {
                put(out, target.len() as u64);
                out.extend_from_slice(target);
            }
            Some(What::File {
                mode,
                size_bytes,
                digest,
                stamp,
            }) => {
                put(out, u64::from(*mode));
                put(out, *size_bytes);
                out.extend_from_slice(digest.as_bytes());
                out.push(u8::from(stamp.is_some()));
                if let Some(stamp) = stamp {
                    put(out, stamp.device);
                    put(out, stamp.inode);
                    out.extend_from_slice(&stamp.modified_ns.to_le_bytes());
                    let later = stamp.changed_ns.wrapping_sub(stamp.modified_ns);
                    put(out, ((later << 1) ^ (later >> 63)).cast_unsigned());
                }
            }
        }
        self.bytes(&[])
    }

    /// Ends the entries.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.last.clear();
        self.bytes(&[0, 0, END])
    }

    /// Writes the digest of all before, and returns it.
    pub(super) fn finish(mut self) -> io::Result<[u8; 32]> {
        self.flush()?;
        let digest = *self.hasher.finalize().as_bytes();
        self.out.write_all(&digest)?;
        self.out.flush()?;
        Ok(digest)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.pending);
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads a file from the first byte to the last, and digests it on the way. What is told before the end is only as good as
/// the digest, which [`finish`](Self::finish) compares.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a File,
    /// Where the next byte is in the file, and where what is digested ends.
    at: u64,
    end: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    position: usize,
}

/// An entry that was read.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) path: Vec<u8>,
    pub(super) layer: Option<u32>,
    pub(super) what: Option<What>,
}

pub(super) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is damaged")
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            at: 0,
            end: length.checked_sub(32).ok_or_else(damaged)?,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
            position: 0,
        })
    }

    /// Sees to it that so many bytes are at hand, or all that are left.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.buffer.len() - self.position >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.position);
        self.position = 0;
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let more = left.min(BUFFER_BYTES.max(wanted));
        let from = self.buffer.len();
        self.buffer.resize(from + more, 0);
        self.file.read_exact_at(&mut self.buffer[from..], self.at)?;
        self.hasher.update(&self.buffer[from..]);
        self.at += more as u64;
        Ok(())
    }

    pub(super) fn bytes(&mut self, length: usize) -> io::Result<&[u8]> {
        self.fill(length)?;
        let from = self.position;
        let bytes = self.buffer.get(from..from + length).ok_or_else(damaged)?;
        self.position += length;
        Ok(bytes)
    }

    pub(super) fn take<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        self.bytes(LENGTH)?.try_into().map_err(|_| damaged())
    }

    fn number(&mut self) -> io::Result<u64> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let [byte] = self.take()?;
            if shift > 63 {
                return Err(damaged());
            }
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    fn mode(&mut self) -> io::Result<u32> {
        u32::try_from(self.number()?).map_err(|_| damaged())
    }

    fn length(&mut self) -> io::Result<usize> {
        let length = self.number()?;
        if length > LENGTH_MAX {
            return Err(damaged());
        }
        usize::try_from(length).map_err(|_| damaged())
    }

    /// Reads the next entry over the last one, whose path it shares; `false` at the end of entries.
    pub(super) fn line(&mut self, slot: &mut Slot) -> io::Result<bool> {
        let shared = self.length()?;
        let rest = self.length()?;
        if shared > slot.path.len() {
            return Err(damaged());
        }
        slot.path.truncate(shared);
        let bytes = self.bytes(rest)?;
        slot.path.extend_from_slice(bytes);
        let [kind] = self.take()?;
        if kind == END {
            return Ok(false);
        }
        slot.layer = match self.number()? {
            0 => None,
            layer => Some(u32::try_from(layer - 1).map_err(|_| damaged())?),
        };
        slot.what = Some(match kind {
            b'x' => {
                slot.what = None;
                return Ok(true);
            }
            b'd' => What::Directory { mode: self.mode()? },
            b'l' => {
                let length = self.length()?;
                What::Symlink {
                    target: self.bytes(length)?.to_vec(),
                }
            }
            b'f' => {
                let mode = self.mode()?;
                let size_bytes = self.number()?;
                let digest = blake3::Hash::from_bytes(self.take()?);
                let stamp = match self.take()? {
                    [0_u8] => None,
                    _ => Some(self.stamp(size_bytes)?),
                };
                What::File {
                    mode,
                    size_bytes,
                    digest,
                    stamp,
                }
            }
            _ => return Err(damaged()),
        });
        Ok(true)
    }

    fn stamp(&mut self, size_bytes: u64) -> io::Result<Stamp> {
        let (device, inode) = (self.number()?, self.number()?);
        let modified_ns = i64::from_le_bytes(self.take()?);
        let zigzag = self.number()?;
        let later = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        Ok(Stamp {
            size_bytes,
            device,
            inode,
            modified_ns,
            changed_ns: modified_ns.wrapping_add(later),
        })
    }

    /// Compares the digest; all has to be read.
    pub(super) fn finish(mut self) -> io::Result<[u8; 32]> {
        self.fill(1)?;
        let mut digest = [0; 32];
        self.file.read_exact_at(&mut digest, self.end)?;
        if self.position != self.buffer.len() || *self.hasher.finalize().as_bytes() != digest {
            return Err(damaged());
        }
        Ok(digest)
    }
}
