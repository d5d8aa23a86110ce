//! Another size for a disk, and for the last file system on it.
//!
//! ```text
//!   raw      partition table, ext4 books ──> one patch, by the journal: the disk as it was, or done
//!   qcow2    the disk with the patch ──> a new file beside it, renamed
//!   ext4 laid out by others ──> a raw copy, e2fsck and resize2fs of this computer ──> renamed
//! ```
//!
//! Only the last partition grows, and only with an ext4 in it: others are left as they are, to be grown by the guest.

mod host;
mod table;

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::convert::Place;
use crate::disk::{DiskFormat, Part, Raw, ReadAt, SharedDisk};
use crate::export::{self, Qcow2Options};
use crate::ext4::{self, Grown};
use crate::update::Patch;
use crate::{Error, FileSystemKind, Image, Layout, Volume, Watch, disk, journal};

/// How a disk is resized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeOptions {
    /// Whether the last partition, and the ext4 in it, grow with the disk.
    pub grow_last_volume: bool,
}

impl Default for ResizeOptions {
    fn default() -> Self {
        Self {
            grow_last_volume: true,
        }
    }
}

/// What has been done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// The size of the disk before.
    pub old_bytes: u64,
    /// Its size now.
    pub new_bytes: u64,
    /// The partition that has grown; 0 is a file system without a disk around it.
    pub volume: Option<u32>,
    /// The file system that has grown.
    pub file_system: Option<FileSystemKind>,
}

/// Gives a raw or qcow2 disk another size, a multiple of 512 bytes. A disk can be made smaller where nothing lies there.
/// Nobody may use it meanwhile. Killed in the middle, it is as it was, or, the next time that it is opened, done. The watch
/// counts bytes of the disk, where it is copied.
///
/// # Errors
/// [`Error::Resize`] says why it cannot have that size; the errors of [`Image::open`](crate::Image::open).
pub fn resize(
    image: &Path,
    size_bytes: u64,
    options: &ResizeOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Resized, Error> {
    let refuse = |reason: String| Err(Error::Resize { size_bytes, reason });
    if size_bytes == 0 || !size_bytes.is_multiple_of(512) {
        return refuse("it has to be a multiple of 512".to_owned());
    }
    let _ = journal::recover(image);
    let opened = |source| Error::Open {
        path: image.to_owned(),
        source,
    };
    let file = OpenOptions::new().read(true).write(true).open(image);
    let file = file.map_err(opened)?;
    if !journal::lock(&file).map_err(opened)? {
        return refuse("somebody is changing it".to_owned());
    }
    let raw: SharedDisk = Arc::new(Raw::new(file.try_clone().map_err(opened)?)?);
    let (format, disk) = disk::of(raw)?;
    if !matches!(format, DiskFormat::Raw | DiskFormat::Qcow2) {
        return refuse(format!(
            "it is a {format} file; convert it to raw or qcow2 first"
        ));
    }
    // A volume without a file system is no image, and can be resized all the same.
    let known = match Image::of(image, format, SharedDisk::clone(&disk)) {
        Ok(known) => Some(known),
        Err(Error::WrongKind { .. }) => None,
        Err(error) => return Err(error),
    };
    let plan = Plan::new(&disk, known.as_ref(), size_bytes, options)?;
    let resized = Resized {
        old_bytes: disk.size_bytes(),
        new_bytes: size_bytes,
        volume: plan.grown.as_ref().map(|grown| grown.number),
        file_system: plan.grown.as_ref().map(|_| FileSystemKind::Ext4),
    };
    let by_others = plan.grown.as_ref().filter(|grown| grown.by_others);
    match (format, by_others) {
        (DiskFormat::Raw, None) => {
            let now = SystemTime::now();
            let committed = journal::commit(image, &file, &plan.patch, &[], now);
            committed.map_err(Error::write(0))?;
        }
        (_, None) => {
            let patched = Patched {
                disk,
                patch: plan.patch,
            };
            replace(image, &file, format, &patched, watch)?;
        }
        (_, Some(grown)) => {
            let range = grown.range.clone();
            let mut copy = draft(image, &file)?;
            let patched = Patched {
                disk,
                patch: plan.patch,
            };
            export::write_raw(&patched, copy.file(), watch)?;
            host::grow_ext4(copy.draft(), size_bytes, &range, watch)?;
            if format == DiskFormat::Raw {
                copy.keep()?;
            } else {
                let grown = Raw::new(File::open(copy.draft()).map_err(opened)?)?;
                let mut only_stops = |_: u64| watch.advance(0);
                replace(image, &file, format, &grown, &mut only_stops)?;
            }
        }
    }
    Ok(resized)
}

/// A file that is to take the place of another, with its permissions.
fn draft(path: &Path, old: &File) -> Result<Place, Error> {
    let mut place = Place::new(path, true)?;
    let permissions = old.metadata().map(|metadata| metadata.permissions());
    let set = permissions.and_then(|permissions| place.file().set_permissions(permissions));
    set.map_err(Error::write(0))?;
    Ok(place)
}

fn replace(
    path: &Path,
    old: &File,
    format: DiskFormat,
    disk: &dyn ReadAt,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let mut place = draft(path, old)?;
    match format {
        DiskFormat::Qcow2 => {
            export::write_qcow2(disk, place.file(), Qcow2Options::default(), watch)?;
        }
        _ => export::write_raw(disk, place.file(), watch)?,
    }
    place.keep()
}

/// A volume that grows.
struct GrownVolume {
    number: u32,
    /// Where it will be on the disk.
    range: Range<u64>,
    /// Its file system is for `resize2fs` to grow.
    by_others: bool,
}

/// What there is to do.
struct Plan {
    patch: Patch,
    grown: Option<GrownVolume>,
}

impl Plan {
    fn new(
        disk: &SharedDisk,
        known: Option<&Image>,
        size_bytes: u64,
        options: &ResizeOptions,
    ) -> Result<Self, Error> {
        let layout = known.map_or(Layout::Bare, Image::layout);
        let volumes = known.map_or(&[][..], Image::volumes);
        let last = volumes.iter().max_by_key(|volume| end_of(volume));
        // Behind the last partition of a GPT disk there is room for the copy of the table.
        let behind = if layout == Layout::Gpt {
            table::gpt_end_bytes(disk.as_ref())?
        } else {
            0
        };
        if size_bytes < disk.size_bytes() {
            check_shrink(disk.as_ref(), layout, last, size_bytes, behind)?;
        }
        let mut plan = Self {
            patch: Patch {
                size_bytes,
                ..Patch::default()
            },
            grown: None,
        };
        let may_grow = |volume: &&Volume| {
            options.grow_last_volume
                && size_bytes >= disk.size_bytes()
                && volume.file_system == Some(FileSystemKind::Ext4)
        };
        // Whole blocks, so that the file system fills it.
        let end = (size_bytes - behind) / 4096 * 4096;
        if let Some(volume) = last.filter(may_grow)
            && end >= end_of(volume)
            && table::can_grow(layout, volume)
        {
            plan.grow(disk, volume, end)?;
        }
        let new_end = |number: u32| {
            let grown = plan.grown.as_ref();
            grown
                .filter(|grown| grown.number == number)
                .map(|grown| grown.range.end)
        };
        let writes = match layout {
            Layout::Bare => Vec::new(),
            Layout::Mbr => table::mbr(disk.as_ref(), new_end)?,
            Layout::Gpt => table::gpt(disk.as_ref(), size_bytes, new_end)?,
        };
        plan.patch.writes.extend(writes);
        Ok(plan)
    }

    fn grow(&mut self, disk: &SharedDisk, volume: &Volume, end: u64) -> Result<(), Error> {
        let start = volume.start_bytes;
        let rest = Part::new(SharedDisk::clone(disk), start, u64::MAX);
        let by_others = match ext4::grow(&rest, end - start)? {
            Grown::Already => return Ok(()),
            Grown::NotHere => true,
            Grown::Patch(patch) => {
                self.patch.take(patch, start);
                false
            }
        };
        self.grown = Some(GrownVolume {
            number: volume.number,
            range: start..end,
            by_others,
        });
        Ok(())
    }
}

fn end_of(volume: &Volume) -> u64 {
    volume.start_bytes.saturating_add(volume.size_bytes)
}

/// Refuses to cut off anything but zeros and the copy of a partition table.
fn check_shrink(
    disk: &dyn ReadAt,
    layout: Layout,
    last: Option<&Volume>,
    size_bytes: u64,
    behind: u64,
) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Resize { size_bytes, reason });
    if let Some(last) = last {
        if layout == Layout::Bare {
            return refuse(
                "a file system fills it, and file systems are not made smaller".to_owned(),
            );
        }
        if end_of(last).saturating_add(behind) > size_bytes {
            let number = last.number;
            return refuse(format!("partition {number} ends at byte {}", end_of(last)));
        }
    }
    let end = disk.size_bytes() - behind.min(disk.size_bytes());
    let mut position = size_bytes;
    while let Some(data) = disk.next_data(position)?.filter(|data| data.start < end) {
        let data = data.start..data.end.min(end).min(data.start + (1 << 20));
        let mut bytes = vec![0; usize::try_from(data.end - data.start).unwrap_or(0)];
        disk.read_at(data.start, &mut bytes)?;
        if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
            return refuse(format!(
                "there is something at byte {}",
                data.start + at as u64
            ));
        }
        position = data.end;
    }
    Ok(())
}

/// A disk as it will be.
#[derive(Debug)]
struct Patched {
    disk: SharedDisk,
    patch: Patch,
}

impl ReadAt for Patched {
    fn size_bytes(&self) -> u64 {
        self.patch.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let there = self.disk.size_bytes().saturating_sub(offset);
        let there = usize::try_from(there).map_or(buffer.len(), |there| there.min(buffer.len()));
        let (inside, beyond) = buffer.split_at_mut(there);
        if !inside.is_empty() {
            self.disk.read_at(offset, inside)?;
        }
        beyond.fill(0);
        let end = offset + buffer.len() as u64;
        for (&at, bytes) in self.patch.writes.range(..end) {
            let (from, to) = (at.max(offset), (at + bytes.len() as u64).min(end));
            if from < to {
                let index = |place: u64, base: u64| usize::try_from(place - base).unwrap_or(0);
                let part = &bytes[index(from, at)..index(to, at)];
                buffer[index(from, offset)..index(to, offset)].copy_from_slice(part);
            }
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        let old = self.disk.next_data(offset)?;
        let old = old.map(|data| data.start..data.end.min(self.size_bytes()));
        let new = self.patch.writes.iter().find_map(|(&at, bytes)| {
            let end = at + bytes.len() as u64;
            (end > offset).then(|| at.max(offset)..end)
        });
        Ok(match (old.filter(|data| data.start < data.end), new) {
            (Some(old), Some(new)) if new.start < old.start => Some(new),
            (None, new) => new,
            (old, _) => old,
        })
    }
}
