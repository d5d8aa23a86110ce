//! FAT, read.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::directory::{self, Found, Parsed, Parser};
use super::geometry::Geometry;
use super::{DIRECTORY_BYTES_MAX, ENTRY_BYTES, FatKind};
use crate::disk::{SharedDisk, le_u16, le_u32};
use crate::file_system::{Budget, FileSystem, FileSystemKind, Stat, StatKind};
use crate::{Error, GuestPath};

/// Files are known by where their entry is, with this bit; directories by their first cluster, which is smaller.
const IS_FILE: u64 = 1 << 62;

/// The number of FAT12's and FAT16's root directory.
const FIXED_ROOT: u64 = 0;

/// How much of the FAT is kept at hand.
const WINDOW_BYTES: u64 = 32 << 10;

/// An open FAT file system.
#[derive(Debug)]
pub struct Fat {
    disk: SharedDisk,
    geometry: Geometry,
    label: Option<String>,
    memory: Mutex<Memory>,
}

/// What makes reading on quick.
#[derive(Debug, Default)]
struct Memory {
    /// A stretch of the FAT.
    window: Vec<u8>,
    window_offset: u64,
    /// Which directory a cluster was found in, by its first one, and as which. No cluster is in two places: what there is to
    /// list is never more than what is on the disk.
    claimed: HashMap<u32, (u32, usize)>,
    /// Of the file that was read last: its first cluster, and which of its clusters is where.
    place: Option<(u32, u64, u32)>,
}

impl Fat {
    /// Opens a file system.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for what is none; [`Error::Corrupt`]; [`Error::Read`].
    pub fn open(disk: SharedDisk) -> Result<Self, Error> {
        let mut sector = [0; 512];
        if disk.size_bytes() < sector.len() as u64 {
            return Err(Error::WrongKind {
                expected: "a FAT file system",
                found: format!("it has only {} bytes", disk.size_bytes()),
            });
        }
        disk.read_at(0, &mut sector)?;
        let geometry = Geometry::parse(&sector)?;
        if geometry.size_bytes() > disk.size_bytes() {
            let expected = format!("at most {} bytes", disk.size_bytes());
            let found = format!("{} sectors", geometry.sectors);
            return Err(Error::corrupt("FAT boot sector", 32, expected, found));
        }
        let label_at = if geometry.kind == FatKind::Fat32 {
            71
        } else {
            43
        };
        let label = String::from_utf8_lossy(&sector[label_at..label_at + 11])
            .trim_end()
            .to_owned();
        Ok(Self {
            disk,
            geometry,
            label: (sector[label_at - 5] == 0x29 && label != "NO NAME").then_some(label),
            memory: Mutex::default(),
        })
    }

    /// Which of the three it is.
    pub fn fat_kind(&self) -> FatKind {
        self.geometry.kind
    }

    /// The volume's label, by its boot sector.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Where the bytes of a file are in the file system.
    ///
    /// # Errors
    /// As [`FileSystem::read`].
    pub fn extents(&self, file: &Stat) -> Result<Vec<Range<u64>>, Error> {
        let (found, mut left) = self.file(file)?;
        let mut extents: Vec<Range<u64>> = Vec::new();
        let mut index = 0;
        while left > 0 {
            let cluster = self.cluster_at(&found, index)?;
            let at = self.geometry.cluster_offset(cluster);
            let length = left.min(self.geometry.cluster_bytes);
            match extents.last_mut() {
                Some(last) if last.end == at => last.end += length,
                _ => extents.push(at..at + length),
            }
            left -= length;
            index += 1;
        }
        Ok(extents)
    }

    /// The entry of a file, and its size.
    fn file(&self, file: &Stat) -> Result<(Found, u64), Error> {
        let not_found = || Error::NotFound {
            path: file.path.clone(),
        };
        if file.inode & IS_FILE == 0 {
            return Err(not_found());
        }
        let mut entry = [0; ENTRY_BYTES];
        self.disk.read_at(file.inode & !IS_FILE, &mut entry)?;
        let found = directory::file(&entry);
        if found.is_directory {
            return Err(not_found());
        }
        let size_bytes = u64::from(found.size_bytes);
        Ok((found, size_bytes))
    }

    /// What the FAT says comes behind a cluster; nothing at the end of a chain.
    fn next(&self, memory: &mut Memory, cluster: u32) -> Result<Option<u32>, Error> {
        let kind = self.geometry.kind;
        let at = u64::from(cluster) * kind.bits() / 8;
        let start = at / WINDOW_BYTES * WINDOW_BYTES;
        let offset = self.geometry.fat_offset(0);
        if memory.window.is_empty() || memory.window_offset != start {
            // An entry of 12 bits may lie across the border.
            let fat_bytes = self.geometry.fat_sectors * self.geometry.sector_bytes;
            let length = (WINDOW_BYTES + 4).min(fat_bytes.saturating_sub(start));
            memory.window.clear();
            memory
                .window
                .resize(usize::try_from(length).unwrap_or(0), 0);
            let read = self.disk.read_at(offset + start, &mut memory.window);
            if read.is_err() {
                memory.window.clear();
            }
            read?;
            memory.window_offset = start;
        }
        let inside = usize::try_from(at - start).unwrap_or(0);
        let entry = match kind {
            FatKind::Fat12 if cluster % 2 == 1 => u32::from(le_u16(&memory.window, inside)) >> 4,
            FatKind::Fat12 => u32::from(le_u16(&memory.window, inside)) & 0xFFF,
            FatKind::Fat16 => u32::from(le_u16(&memory.window, inside)),
            FatKind::Fat32 => le_u32(&memory.window, inside) & 0x0FFF_FFFF,
        };
        let (_, end) = kind.end_of_chain();
        if entry >= end {
            return Ok(None);
        }
        if !self.geometry.has(entry) {
            let expected = format!("a cluster from 2 to {}", self.geometry.clusters + 1);
            return Err(Error::corrupt("FAT", offset + at, expected, entry));
        }
        Ok(Some(entry))
    }

    /// The cluster of a file that has a number, from 0.
    fn cluster_at(&self, file: &Found, index: u64) -> Result<u32, Error> {
        if !self.geometry.has(file.cluster) || index >= self.geometry.clusters {
            let expected = format!("a chain of {} clusters at most", self.geometry.clusters);
            let found = format!("cluster {} and {index} behind it", file.cluster);
            return Err(Error::corrupt("FAT directory", 0, expected, found));
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut at, mut cluster) = match memory.place {
            Some((first, at, cluster)) if first == file.cluster && at <= index => (at, cluster),
            _ => (0, file.cluster),
        };
        while at < index {
            cluster = self.next(&mut memory, cluster)?.ok_or_else(|| {
                let offset = self.geometry.fat_offset(0)
                    + u64::from(cluster) * self.geometry.kind.bits() / 8;
                let expected = format!("the next cluster of a file of {} bytes", file.size_bytes);
                Error::corrupt("FAT", offset, expected, "the end of its chain")
            })?;
            at += 1;
        }
        memory.place = Some((file.cluster, at, cluster));
        Ok(cluster)
    }

    fn root_number(&self) -> u64 {
        match self.geometry.kind {
            FatKind::Fat32 => self.geometry.root_cluster.into(),
            _ => FIXED_ROOT,
        }
    }

    /// The stretches that a directory's entries lie in.
    fn stretches(&self, directory: &Stat) -> Result<Vec<Range<u64>>, Error> {
        if directory.inode == FIXED_ROOT && self.geometry.kind != FatKind::Fat32 {
            let start = self.geometry.root_offset();
            let length = self.geometry.root_entries * ENTRY_BYTES as u64;
            return Ok(std::iter::once(start..start + length).collect());
        }
        let first = u32::try_from(directory.inode).unwrap_or(0);
        let mut cluster = first;
        if !self.geometry.has(cluster) {
            return Err(Error::NotFound {
                path: directory.path.clone(),
            });
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stretches = Vec::new();
        let mut bytes = 0;
        loop {
            let at = self.geometry.cluster_offset(cluster);
            let place = (first, stretches.len());
            let claimed = *memory.claimed.entry(cluster).or_insert(place);
            if claimed != place {
                let expected = "a directory with clusters of its own";
                let found = format!("cluster {cluster} of directory {}", claimed.0);
                return Err(Error::corrupt("FAT directory", at, expected, found));
            }
            stretches.push(at..at + self.geometry.cluster_bytes);
            bytes += self.geometry.cluster_bytes;
            match self.next(&mut memory, cluster)? {
                Some(_) if bytes >= DIRECTORY_BYTES_MAX => {
                    let expected = format!("a directory of {DIRECTORY_BYTES_MAX} bytes at most");
                    return Err(Error::corrupt("FAT directory", at, expected, "more"));
                }
                Some(next) => cluster = next,
                None => return Ok(stretches),
            }
        }
    }

    fn stat(&self, directory: &GuestPath, found: &Found, at: u64) -> Result<Stat, Error> {
        let corrupt =
            |expected: &str, what: String| Err(Error::corrupt("FAT directory", at, expected, what));
        let Ok(path) = directory.join(found.name.as_bytes()) else {
            return corrupt("a name", format!("{:?}", found.name));
        };
        let is_somewhere = self.geometry.has(found.cluster);
        let (inode, kind) = if found.is_directory {
            if !is_somewhere {
                return corrupt("a directory's first cluster", found.cluster.to_string());
            }
            (found.cluster.into(), StatKind::Directory)
        } else {
            if !is_somewhere && found.size_bytes > 0 {
                return corrupt("a file's first cluster", found.cluster.to_string());
            }
            let size_bytes = found.size_bytes.into();
            (IS_FILE | at, StatKind::File { size_bytes })
        };
        Ok(Stat {
            path,
            inode,
            kind,
            mode: None,
            modified_seconds: found.modified_seconds,
        })
    }
}

impl FileSystem for Fat {
    fn kind(&self) -> FileSystemKind {
        FileSystemKind::Fat
    }

    fn size_bytes(&self) -> u64 {
        self.geometry.size_bytes()
    }

    fn find(&self, path: &GuestPath) -> Result<Stat, Error> {
        let mut here = Stat {
            path: GuestPath::root(),
            inode: self.root_number(),
            kind: StatKind::Directory,
            mode: None,
            modified_seconds: None,
        };
        for component in path.components() {
            let inside = match here.kind {
                StatKind::Directory => self.list(&here)?,
                _ => Vec::new(),
            };
            let exact = inside.iter().position(|stat| stat.path.name() == component);
            // `EFI/boot` is `efi/BOOT`.
            let found = exact.or_else(|| {
                let is_same = |stat: &Stat| stat.path.name().eq_ignore_ascii_case(component);
                inside.iter().position(is_same)
            });
            here = found
                .and_then(|index| inside.into_iter().nth(index))
                .ok_or_else(|| Error::NotFound { path: path.clone() })?;
        }
        Ok(here)
    }

    fn list(&self, directory: &Stat) -> Result<Vec<Stat>, Error> {
        if directory.kind != StatKind::Directory {
            return Err(Error::NotFound {
                path: directory.path.clone(),
            });
        }
        let (mut stats, mut budget) = (Vec::new(), Budget::default());
        let mut parser = Parser::default();
        'stretches: for stretch in self.stretches(directory)? {
            // A cluster, or a fixed root: 2 MiB at most.
            let mut bytes = vec![0; usize::try_from(stretch.end - stretch.start).unwrap_or(0)];
            self.disk.read_at(stretch.start, &mut bytes)?;
            let places = (stretch.start..).step_by(ENTRY_BYTES);
            for (at, entry) in places.zip(bytes.as_chunks::<ENTRY_BYTES>().0) {
                match parser.next(entry) {
                    Parsed::End => break 'stretches,
                    Parsed::Entry(found) if !matches!(found.name.as_str(), "." | "..") => {
                        let stat = self.stat(&directory.path, &found, at)?;
                        budget.take_stat(&stat)?;
                        stats.push(stat);
                    }
                    Parsed::Entry(_) | Parsed::Nothing => {}
                }
            }
        }
        stats.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(stats)
    }

    fn read(&self, file: &Stat, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let (found, size_bytes) = self.file(file)?;
        let left = size_bytes.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let cluster_bytes = self.geometry.cluster_bytes;
        let mut done = 0;
        while done < wanted {
            let position = offset + done as u64;
            let (index, inside) = (position / cluster_bytes, position % cluster_bytes);
            let cluster = self.cluster_at(&found, index)?;
            let needed = (wanted - done) as u64;
            let mut length = (cluster_bytes - inside).min(needed);
            // Neighbours are read at once.
            let mut last = cluster;
            while length < needed {
                let next = self.cluster_at(&found, (position + length) / cluster_bytes)?;
                if last.checked_add(1) != Some(next) {
                    break;
                }
                last = next;
                length += cluster_bytes.min(needed - length);
            }
            let length = usize::try_from(length).unwrap_or(0);
            let at = self.geometry.cluster_offset(cluster) + inside;
            self.disk.read_at(at, &mut buffer[done..done + length])?;
            done += length;
        }
        Ok(wanted)
    }
}
