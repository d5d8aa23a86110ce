//! Disks as random-access bytes, whatever file they lie in.
//!
//! ```text
//!   raw file ──┐
//!   qcow2, vmdk,
//!   vdi, vhdx ─┼─> dyn ReadAt ──> Part (a partition) ──> a file system's reader
//!   bytes ─────┘        └──────> Stream (Read + Seek)
//! ```
//!
//! A disk is read by position and through `&self`, so that one open disk serves several readers. What
//! lies beyond its end is an error and never zeros.

mod blocks;
mod qcow2;
pub(crate) mod vdi;
pub(crate) mod vhdx;
pub(crate) mod vmdk;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

pub use qcow2::Qcow2;
pub use vdi::Vdi;
pub use vhdx::Vhdx;
pub use vmdk::Vmdk;

use crate::Error;

/// Bytes that can be read at any place.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// How many bytes there are.
    fn size_bytes(&self) -> u64;

    /// Fills the whole buffer with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`Error::Read`], also for what lies beyond the end; [`Error::Corrupt`] where a disk format contradicts itself.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// The next stretch at or after `offset` that may hold anything but zeros; `None` if only zeros follow. Who cannot tell
    /// holes says that all of it may.
    ///
    /// # Errors
    /// [`Error::Read`].
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        let end = self.size_bytes();
        Ok((offset < end).then_some(offset..end))
    }
}

/// A disk that several readers share.
pub type SharedDisk = Arc<dyn ReadAt>;

impl ReadAt for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(buffer.len())?))
            .and_then(|range| self.get(range));
        match part {
            Some(part) => buffer.copy_from_slice(part),
            None => return Err(beyond_end(offset)),
        }
        Ok(())
    }
}

/// A disk image without a format: its bytes are the disk's.
#[derive(Debug)]
pub struct Raw {
    file: File,
    size_bytes: u64,
}

impl Raw {
    /// Takes an open file as a disk.
    ///
    /// # Errors
    /// [`Error::Read`] where its size cannot be told.
    pub fn new(mut file: File) -> Result<Self, Error> {
        // A block device says 0 in its metadata.
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(Error::read(0))?;
        Ok(Self { file, size_bytes })
    }
}

impl ReadAt for Raw {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(Error::read(offset))
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        if offset >= self.size_bytes {
            return Ok(None);
        }
        let start = match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            // A file system or device that knows no holes.
            Err(_) => return Ok(Some(offset..self.size_bytes)),
        };
        let end = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Hole(start))
            .unwrap_or(self.size_bytes);
        let end = end.min(self.size_bytes);
        Ok((start < end).then_some(start..end))
    }
}

/// The bytes `start..start + size` of a disk, such as a partition.
#[derive(Debug, Clone)]
pub struct Part {
    disk: SharedDisk,
    start_bytes: u64,
    size_bytes: u64,
}

impl Part {
    /// A part of a disk; what of it lies beyond the disk's end cannot be read.
    pub fn new(disk: SharedDisk, start_bytes: u64, size_bytes: u64) -> Self {
        let size_bytes = size_bytes.min(disk.size_bytes().saturating_sub(start_bytes));
        Self {
            disk,
            start_bytes,
            size_bytes,
        }
    }
}

impl ReadAt for Part {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size_bytes) {
            return Err(beyond_end(offset));
        }
        self.disk.read_at(self.start_bytes + offset, buffer)
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        let end = self.start_bytes + self.size_bytes;
        let data = self.disk.next_data(self.start_bytes + offset)?;
        Ok(data
            .filter(|data| data.start < end)
            .map(|data| data.start - self.start_bytes..data.end.min(end) - self.start_bytes))
    }
}

/// A disk for those who read and seek.
#[derive(Debug, Clone)]
pub struct Stream {
    disk: SharedDisk,
    position: u64,
}

impl Stream {
    /// Starts at the first byte.
    pub fn new(disk: SharedDisk) -> Self {
        Self { disk, position: 0 }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.disk.size_bytes().saturating_sub(self.position);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.disk
            .read_at(self.position, &mut buffer[..count])
            .map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.disk.size_bytes().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// The format of a disk image's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFormat {
    /// Its bytes are the disk's.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
    /// `VMware`'s format.
    Vmdk,
    /// `VirtualBox`'s format.
    Vdi,
    /// Hyper-V's format.
    Vhdx,
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhdx => "vhdx",
        })
    }
}

/// Opens a disk image, its format told by its first bytes.
///
/// # Errors
/// [`Error::Open`]; the errors of [`of`].
pub fn open(path: &Path) -> Result<(DiskFormat, SharedDisk), Error> {
    let opened = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(opened)?;
    if file.metadata().map_err(opened)?.is_dir() {
        return Err(opened(io::ErrorKind::IsADirectory.into()));
    }
    let raw = Raw::new(file)?;
    of(Arc::new(raw))
}

/// The disk in a file's bytes.
///
/// # Errors
/// The errors of [`Qcow2::open`], [`Vmdk::open`], [`Vdi::open`] and [`Vhdx::open`].
pub fn of(file: SharedDisk) -> Result<(DiskFormat, SharedDisk), Error> {
    let mut start = [0; vdi::MAGIC_AT + 4];
    let there = usize::try_from(file.size_bytes()).unwrap_or(start.len());
    let there = there.min(start.len());
    file.read_at(0, &mut start[..there])?;
    let disk: SharedDisk = match format_of(&start) {
        DiskFormat::Raw => {
            if start.starts_with(vmdk::DESCRIPTOR_MAGIC) {
                return Err(vmdk::only_a_descriptor());
            }
            file
        }
        DiskFormat::Qcow2 => Arc::new(Qcow2::open(file, None)?),
        DiskFormat::Vmdk => Arc::new(Vmdk::open(file)?),
        DiskFormat::Vdi => Arc::new(Vdi::open(file)?),
        DiskFormat::Vhdx => Arc::new(Vhdx::open(file)?),
    };
    Ok((format_of(&start), disk))
}

fn format_of(start: &[u8]) -> DiskFormat {
    if start.starts_with(&qcow2::MAGIC) {
        DiskFormat::Qcow2
    } else if start.starts_with(&vmdk::MAGIC) {
        DiskFormat::Vmdk
    } else if start.starts_with(&vhdx::MAGIC) {
        DiskFormat::Vhdx
    } else if le_u32(start, vdi::MAGIC_AT) == vdi::MAGIC {
        DiskFormat::Vdi
    } else {
        DiskFormat::Raw
    }
}

fn beyond_end(offset: u64) -> Error {
    Error::Read {
        offset,
        source: io::ErrorKind::UnexpectedEof.into(),
    }
}

pub(crate) fn be_u32(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

pub(crate) fn be_u64(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

pub(crate) fn le_u16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u16::from_le_bytes)
}

pub(crate) fn le_u32(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

pub(crate) fn le_u64(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|field| field.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
