//! Small changes of an image in its place, whole or not at all.
//!
//! ```text
//!   set_command_line   OSv's area behind the boot sector, or the boot loader's file on a Linux disk
//!   replace_file       as an update in which one file differs
//!        └─ what is free is written, then the journal commits the rest        [journal]
//! ```
//!
//! Only raw images can be changed: in other formats a disk's bytes have no fixed place.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::disk::{DiskFormat, Part, Raw, SharedDisk, Stream};
use crate::ext4::{Ext4Options, WrittenBy};
use crate::file_system::{FileSystem, FileSystemKind, StatKind, walk};
use crate::update::{Changes, Patch, Updated};
use crate::{Error, GuestPath, Image, Node, Source, Tree, Unwatched, Volume};
use crate::{ext4, journal, linux, osv, rofs};

/// Sets the boot command line that a disk of OSv, or a Linux disk that boots by itself, carries.
///
/// # Errors
/// [`Error::CommandLine`] where it does not fit; [`Error::WrongKind`] for what carries none, or is
/// not raw; [`Error::Busy`] where somebody else writes to it; the errors of [`Image::open`]; [`Error::Write`].
pub fn set_command_line(image_path: &Path, command_line: &str) -> Result<(), Error> {
    let (file, image) = open(image_path)?;
    let mut collected = Collected {
        stream: Stream::new(SharedDisk::clone(image.disk())),
        at: 0,
        writes: BTreeMap::new(),
    };
    if image.osv().is_some() {
        osv::set_command_line(&mut collected, command_line)?;
    } else {
        linux::set_command_line(image.disk(), command_line, &mut collected)?;
    }
    let patch = Patch {
        writes: collected.writes,
        size_bytes: image.size_bytes(),
        written: Vec::new(),
    };
    commit(image_path, &file, &patch)
}

/// Gives a file that is there other bytes; its permissions stay.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::WrongKind`] for what is no file, or a file system that was made by others;
/// [`Error::Busy`]; [`Error::TooSmall`]; the errors of [`Image::open`] and of
/// writing. The image is then as it was.
pub fn replace_file(
    image_path: &Path,
    volume: Option<u32>,
    guest_path: &GuestPath,
    source: Source,
    size_bytes: u64,
) -> Result<(), Error> {
    let (file, image) = open(image_path)?;
    let volume = match volume {
        Some(number) => image.volumes().iter().find(|it| it.number == number),
        None => image.root_volume(),
    };
    let volume = volume.ok_or_else(|| Error::WrongKind {
        expected: "a disk with that volume",
        found: "it has none of that number, or none that can be read".to_owned(),
    })?;
    let file_system = image.file_system(volume)?;
    let stat = file_system.find(guest_path)?;
    if !matches!(stat.kind, StatKind::File { .. }) {
        return Err(Error::WrongKind {
            expected: "a file",
            found: format!("{guest_path} is something else"),
        });
    }
    let mode = stat.mode.unwrap_or(0o644) & 0o7777;
    let node = Node::File {
        source,
        size_bytes,
        mode,
    };
    let tree = tree_of(file_system.as_ref(), guest_path, &node)?;
    let changes = Changes {
        removed: Vec::new(),
        put: vec![guest_path.clone()],
    };
    match update(&file, &image, volume, file_system.as_ref(), &tree, &changes)? {
        Updated::Patch(patch) => commit(image_path, &file, &patch),
        Updated::Rebuild { reason } => Err(Error::WrongKind {
            expected: "a file system that can be changed from outside",
            found: reason,
        }),
    }
}

fn open(path: &Path) -> Result<(File, Image), Error> {
    let opened = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    journal::recover(path).map_err(opened)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(opened)?;
    if !journal::lock(&file).map_err(opened)? {
        let path = path.to_owned();
        return Err(Error::Busy { path });
    }
    let image = Image::open(path)?;
    if image.format() != DiskFormat::Raw {
        return Err(Error::WrongKind {
            expected: "a raw image, the only kind that can be changed in its place",
            found: "convert it to raw first".to_owned(),
        });
    }
    Ok((file, image))
}

fn commit(image_path: &Path, file: &File, patch: &Patch) -> Result<(), Error> {
    journal::commit(image_path, file, patch, &[], SystemTime::now()).map_err(Error::write(0))
}

fn tree_error(error: &crate::TreeError) -> Error {
    Error::WrongKind {
        expected: "an image whose tree is sound",
        found: error.to_string(),
    }
}

/// What is there now, but for one path; the bytes of other files are not looked at, since none of them is written.
fn tree_of(file_system: &dyn FileSystem, but: &GuestPath, is: &Node) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    let root = file_system.find(&GuestPath::root())?;
    let mode = root.mode.unwrap_or(0o755) & 0o7777;
    tree.insert(GuestPath::root(), Node::Directory { mode })
        .map_err(|error| tree_error(&error))?;
    for stat in walk(file_system) {
        let stat = stat?;
        if stat.path == *but {
            tree.insert(stat.path, is.clone())
                .map_err(|error| tree_error(&error))?;
            continue;
        }
        let node = match stat.kind {
            StatKind::Directory => Node::Directory {
                mode: stat.mode.unwrap_or(0o755) & 0o7777,
            },
            StatKind::File { size_bytes } => Node::File {
                source: Source::Bytes(Arc::from([])),
                size_bytes,
                mode: stat.mode.unwrap_or(0o644) & 0o7777,
            },
            StatKind::Symlink { target } => Node::Symlink { target },
            StatKind::Special { what } => {
                return Err(Error::WrongKind {
                    expected: "a file system with files, folders and links alone",
                    found: format!("{} is a {what}", stat.path),
                });
            }
        };
        tree.insert(stat.path, node)
            .map_err(|error| tree_error(&error))?;
    }
    Ok(tree)
}

fn update(
    file: &File,
    image: &Image,
    volume: &Volume,
    file_system: &dyn FileSystem,
    tree: &Tree,
    changes: &Changes,
) -> Result<Updated, Error> {
    let clone = file.try_clone().map_err(Error::read(0))?;
    let disk: SharedDisk = Arc::new(Raw::new(clone)?);
    let (mut out, mut watch) = (file, Unwatched);
    let options = Ext4Options {
        size_bytes: Some(file_system.size_bytes()),
        written_by: if image.osv().is_some() {
            WrittenBy::Osv
        } else {
            WrittenBy::Linux
        },
        ..Ext4Options::default()
    };
    let start = volume.start_bytes;
    let part: SharedDisk = Arc::new(Part::new(
        SharedDisk::clone(&disk),
        start,
        volume.size_bytes,
    ));
    // OSv's own scripts make a disk larger than what is on it.
    let end = start.saturating_add(volume.size_bytes);
    let may_grow = is_empty_from(&disk, end)?;
    if let (Some(osv), 1, true) = (image.osv(), image.volumes().len(), may_grow) {
        let root = match volume.file_system {
            Some(FileSystemKind::Rofs) => osv::Root::Rofs,
            _ => osv::Root::Ext4(options),
        };
        let line = osv.command_line.clone().unwrap_or_default();
        let updated = osv::update_disk(&disk, &line, &root, tree, changes, &mut out, &mut watch)?;
        return Ok(match updated {
            Updated::Patch(mut patch) if end < image.size_bytes() => {
                // What is behind the partition stays zero: it does not become smaller.
                if patch.size_bytes < end {
                    patch.writes.remove(&0);
                }
                patch.size_bytes = patch.size_bytes.max(image.size_bytes());
                Updated::Patch(patch)
            }
            updated => updated,
        });
    }
    let updated = match volume.file_system {
        Some(FileSystemKind::Ext4) => {
            ext4::update(part, start, tree, changes, &options, &mut out, &mut watch)?
        }
        Some(FileSystemKind::Rofs) if start == 0 => {
            return rofs::update(part, start, tree, changes, &mut out, &mut watch);
        }
        _ => return Ok(Updated::rebuild("it can only be read")),
    };
    let Updated::Patch(inner) = updated else {
        return Ok(updated);
    };
    if inner.size_bytes > volume.size_bytes {
        return Err(Error::TooSmall {
            what: "partition",
            needed_bytes: inner.size_bytes,
            size_bytes: volume.size_bytes,
        });
    }
    let mut patch = Patch {
        size_bytes: image.size_bytes(),
        ..Patch::default()
    };
    patch.take(
        Patch {
            size_bytes: 0,
            ..inner
        },
        start,
    );
    Ok(Updated::Patch(patch))
}

/// Whether nothing but zeros lies on a disk from a place on.
fn is_empty_from(disk: &SharedDisk, mut position: u64) -> Result<bool, Error> {
    const PIECE_BYTES: u64 = 1 << 20;
    while let Some(data) = disk.next_data(position)? {
        let end = data.end.min(data.start + PIECE_BYTES);
        let mut bytes = vec![0; usize::try_from(end - data.start).unwrap_or(0)];
        disk.read_at(data.start, &mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        position = end;
    }
    Ok(true)
}

/// Reads from a disk, and keeps what is written for later.
struct Collected {
    stream: Stream,
    at: u64,
    writes: BTreeMap<u64, Vec<u8>>,
}

impl Read for Collected {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.seek(SeekFrom::Start(self.at))?;
        let count = self.stream.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.insert(self.at, bytes.to_vec());
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Collected {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self
                .at
                .checked_add_signed(by)
                .ok_or(io::ErrorKind::InvalidInput)?,
            SeekFrom::End(_) => self.stream.seek(to)?,
        };
        Ok(self.at)
    }
}
