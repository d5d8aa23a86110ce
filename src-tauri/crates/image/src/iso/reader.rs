//! Reads ISO 9660: by Rock Ridge where it is there, else by Joliet, else by the plain names.

use super::rock_ridge::Said;
use super::{
    DESCRIPTORS_AT, END, IS_DIRECTORY, PRIMARY, SECTOR, SECTOR_BYTES, STANDARD, SUPPLEMENTARY,
};
use crate::disk::{SharedDisk, le_u32};
use crate::file_system::{Budget, FileSystem, FileSystemKind, Stat, StatKind};
use crate::{Error, GuestPath};

/// No disk has more descriptors.
const DESCRIPTORS_MAX: u64 = 64;
/// Some hundred thousand names; a larger directory is none.
const DIRECTORY_BYTES_MAX: u64 = 32 << 20;
/// How often a record goes on elsewhere.
const CONTINUATIONS_MAX: u32 = 32;
const CONTINUATION_BYTES_MAX: u32 = 2048;
const RECORD_BYTES_MIN: usize = 34;
const GOES_ON: u8 = 0x80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    RockRidge { passed_over: usize },
    Joliet,
    Plain,
}

/// An open ISO 9660 file system.
#[derive(Debug)]
pub struct Iso {
    disk: SharedDisk,
    /// Where the root directory is.
    root: u64,
    names: Names,
    label: String,
}

/// What a record says.
#[derive(Debug)]
struct Record {
    /// Where its bytes are, and how many.
    start: u64,
    bytes: u64,
    flags: u8,
    name: Vec<u8>,
    said: Said,
}

impl Iso {
    /// Opens a file system that is all of `disk`.
    ///
    /// # Errors
    /// [`Error::WrongKind`]; [`Error::Corrupt`]; [`Error::Read`].
    pub fn open(disk: SharedDisk) -> Result<Self, Error> {
        if !super::is_present(disk.as_ref())? {
            let found = format!("there is none at byte {DESCRIPTORS_AT}");
            let expected = "an ISO 9660 file system";
            return Err(Error::WrongKind { expected, found });
        }
        let (mut primary, mut joliet) = (None, None);
        for number in 0..DESCRIPTORS_MAX {
            let at = DESCRIPTORS_AT + number * SECTOR;
            let mut descriptor = vec![0; SECTOR_BYTES];
            if at + SECTOR > disk.size_bytes() {
                break;
            }
            disk.read_at(at, &mut descriptor)?;
            if &descriptor[1..6] != STANDARD || descriptor[0] == END {
                break;
            }
            match descriptor[0] {
                PRIMARY if primary.is_none() => primary = Some((at, descriptor)),
                SUPPLEMENTARY if is_joliet(&descriptor) => joliet = Some((at, descriptor)),
                _ => {}
            }
        }
        let Some((at, primary)) = primary else {
            return Err(corrupt(DESCRIPTORS_AT, "a primary descriptor", "none"));
        };
        let sector = u16::from_le_bytes([primary[128], primary[129]]);
        if u64::from(sector) != SECTOR {
            return Err(corrupt(at + 128, "blocks of 2048 bytes", sector));
        }
        let label = String::from_utf8_lossy(&primary[40..72])
            .trim_end()
            .to_owned();
        let mut iso = Self {
            disk,
            root: u64::from(le_u32(&primary, 158)) * SECTOR,
            names: Names::RockRidge { passed_over: 0 },
            label,
        };
        // The root's own record says whether there is Rock Ridge.
        let said = iso.record(iso.root)?.map(|(record, _)| record.said);
        iso.names = match (said.and_then(|said| said.passed_over), joliet) {
            (Some(passed_over), _) => Names::RockRidge {
                passed_over: usize::from(passed_over),
            },
            (None, Some((_, joliet))) => {
                iso.root = u64::from(le_u32(&joliet, 158)) * SECTOR;
                Names::Joliet
            }
            (None, None) => Names::Plain,
        };
        Ok(iso)
    }

    /// The volume's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The record at a place, and its length; `None` where the sector has no more.
    fn record(&self, at: u64) -> Result<Option<(Record, usize)>, Error> {
        let left = self.disk.size_bytes().saturating_sub(at);
        // Records do not go beyond their sector.
        let most = (SECTOR - at % SECTOR).min(255).min(left);
        let mut bytes = vec![0; usize::try_from(most).unwrap_or(0)];
        self.disk.read_at(at, &mut bytes)?;
        self.parse(at, &bytes)
    }

    fn parse(&self, at: u64, bytes: &[u8]) -> Result<Option<(Record, usize)>, Error> {
        let length = usize::from(bytes.first().copied().unwrap_or(0));
        if length == 0 {
            return Ok(None);
        }
        let name_length = usize::from(bytes.get(32).copied().unwrap_or(0));
        let name_end = 33 + name_length;
        if length < RECORD_BYTES_MIN || length > bytes.len() || name_end > length {
            let expected = format!("a record of {RECORD_BYTES_MIN} to {} bytes", bytes.len());
            return Err(corrupt(
                at,
                expected,
                format!("{length}, its name {name_length}"),
            ));
        }
        if bytes[26] != 0 || bytes[27] != 0 {
            let what = "an interleaved file".to_owned();
            return Err(Error::Unsupported {
                what,
                offset: at + 26,
            });
        }
        let mut said = Said::default();
        if let Names::RockRidge { passed_over } = self.names {
            let area = name_end.next_multiple_of(2) + passed_over;
            said = self.said(at, bytes.get(area..length).unwrap_or_default())?;
        }
        let record = Record {
            start: u64::from(le_u32(bytes, 2)) * SECTOR,
            bytes: u64::from(le_u32(bytes, 10)),
            flags: bytes[25],
            name: bytes[33..name_end].to_vec(),
            said,
        };
        Ok(Some((record, length)))
    }

    /// Reads the system's part of a record, wherever it goes on.
    fn said(&self, at: u64, area: &[u8]) -> Result<Said, Error> {
        let mut said = Said::default();
        let too_long = |expected: &'static str| corrupt(at, expected, "more");
        said.read(area).map_err(too_long)?;
        for _ in 0..CONTINUATIONS_MAX {
            let Some((sector, within, length)) = said.goes_on else {
                return Ok(said);
            };
            let start = u64::from(sector) * SECTOR + u64::from(within);
            let end = start + u64::from(length);
            if length > CONTINUATION_BYTES_MAX || end > self.disk.size_bytes() {
                let expected = "a continuation of at most 2048 bytes within the disk";
                return Err(corrupt(at, expected, format!("{length} from byte {start}")));
            }
            let mut area = vec![0; length as usize];
            self.disk.read_at(start, &mut area)?;
            said.read(&area).map_err(too_long)?;
        }
        Err(corrupt(at, "a record that ends", "one that goes on and on"))
    }

    /// How many bytes a directory has, by its own record.
    fn directory_bytes(&self, start: u64) -> Result<u64, Error> {
        let own = if start < self.disk.size_bytes() {
            self.record(start)?
        } else {
            None
        };
        let Some((own, _)) = own.filter(|(own, _)| own.name == [0] && own.start == start) else {
            return Err(corrupt(start, "a directory", "something else"));
        };
        let end = start.saturating_add(own.bytes);
        if own.bytes > DIRECTORY_BYTES_MAX || end > self.disk.size_bytes() {
            let expected =
                format!("a directory of at most {DIRECTORY_BYTES_MAX} bytes within the disk");
            return Err(corrupt(start, expected, own.bytes));
        }
        Ok(own.bytes)
    }

    /// What is in a directory, with the place of each record.
    fn children(&self, path: &GuestPath, start: u64) -> Result<Vec<Stat>, Error> {
        let bytes = self.directory_bytes(start)?;
        let (mut children, mut budget) = (Vec::new(), Budget::default());
        let mut sector = vec![0; SECTOR_BYTES];
        for sector_at in (0..bytes).step_by(SECTOR_BYTES) {
            let length = usize::try_from((bytes - sector_at).min(SECTOR)).unwrap_or(0);
            self.disk
                .read_at(start + sector_at, &mut sector[..length])?;
            let mut within = 0;
            while within < length {
                let at = start + sector_at + within as u64;
                let Some((record, used)) = self.parse(at, &sector[within..length])? else {
                    break;
                };
                within += used;
                if record.name != [0] && record.name != [1] && !record.said.is_moved {
                    let child = self.stat(path, at, record)?;
                    budget.take_stat(&child)?;
                    children.push(child);
                }
            }
        }
        children.sort_by(|one, other| one.path.cmp(&other.path));
        children.dedup_by(|one, other| one.path == other.path);
        Ok(children)
    }

    fn stat(&self, parent: &GuestPath, at: u64, mut record: Record) -> Result<Stat, Error> {
        let name = self.name(&mut record);
        let path = parent.join(&name);
        let path = path.map_err(|error| corrupt(at + 33, "the name of a file", error))?;
        if record.flags & GOES_ON != 0 {
            let what = format!("a file in several parts ({path})");
            return Err(Error::Unsupported {
                what,
                offset: at + 25,
            });
        }
        let said = &mut record.said;
        let (mut inode, is_symlink) = (at, said.is_symlink());
        let kind = if let Some(sector) = said.moved_to {
            inode = u64::from(sector) * SECTOR;
            StatKind::Directory
        } else if record.flags & IS_DIRECTORY != 0 {
            inode = record.start;
            StatKind::Directory
        } else if let (true, Some(target)) = (is_symlink, said.target.take()) {
            StatKind::Symlink { target }
        } else if let Some(what) = said.special() {
            StatKind::Special { what }
        } else {
            let end = record.start.saturating_add(record.bytes);
            if record.bytes > 0 && end > self.disk.size_bytes() {
                let expected = format!("a file within {} bytes", self.disk.size_bytes());
                return Err(corrupt(
                    at + 2,
                    expected,
                    format!("{} from {}", record.bytes, record.start),
                ));
            }
            let size_bytes = record.bytes;
            StatKind::File { size_bytes }
        };
        Ok(Stat {
            path,
            inode,
            kind,
            mode: said.mode.map(|mode| mode & 0o7777),
            modified_seconds: said.modified.and_then(seconds),
        })
    }

    fn name(&self, record: &mut Record) -> Vec<u8> {
        if let Some(name) = record.said.name.take() {
            return name;
        }
        if self.names == Names::Joliet {
            let units = record.name.chunks_exact(2);
            let units: Vec<u16> = units
                .map(|unit| u16::from_be_bytes([unit[0], unit[1]]))
                .collect();
            let text = String::from_utf16_lossy(&units);
            return text
                .split(';')
                .next()
                .unwrap_or_default()
                .as_bytes()
                .to_vec();
        }
        let name = record
            .name
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase()
    }

    fn root(&self) -> Result<Stat, Error> {
        let said = self.record(self.root)?.map(|(record, _)| record.said);
        let said = said.unwrap_or_default();
        Ok(Stat {
            path: GuestPath::root(),
            inode: self.root,
            kind: StatKind::Directory,
            mode: said.mode.map(|mode| mode & 0o7777),
            modified_seconds: said.modified.and_then(seconds),
        })
    }
}

impl FileSystem for Iso {
    fn kind(&self) -> FileSystemKind {
        FileSystemKind::Iso9660
    }

    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn find(&self, path: &GuestPath) -> Result<Stat, Error> {
        let mut stat = self.root()?;
        for name in path.components() {
            let not_found = || Error::NotFound { path: path.clone() };
            if stat.kind != StatKind::Directory {
                return Err(not_found());
            }
            let mut children = self.children(&stat.path, stat.inode)?.into_iter();
            stat = children
                .find(|child| child.path.name() == name)
                .ok_or_else(not_found)?;
        }
        Ok(stat)
    }

    fn list(&self, directory: &Stat) -> Result<Vec<Stat>, Error> {
        if directory.kind != StatKind::Directory {
            let path = directory.path.clone();
            return Err(Error::NotFound { path });
        }
        self.children(&directory.path, directory.inode)
    }

    fn read(&self, file: &Stat, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let not_found = || Error::NotFound {
            path: file.path.clone(),
        };
        if !matches!(file.kind, StatKind::File { .. }) {
            return Err(not_found());
        }
        let (record, _) = self.record(file.inode)?.ok_or_else(not_found)?;
        if record.said.is_compressed {
            let what = "a file that zisofs has compressed".to_owned();
            return Err(Error::Unsupported {
                what,
                offset: file.inode,
            });
        }
        let left = record.bytes.saturating_sub(offset);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if count > 0 {
            self.disk
                .read_at(record.start + offset, &mut buffer[..count])?;
        }
        Ok(count)
    }
}

fn is_joliet(descriptor: &[u8]) -> bool {
    [b"%/@", b"%/C", b"%/E"]
        .iter()
        .any(|escape| descriptor[88..].starts_with(*escape))
}

/// Seconds since 1970 of a short time.
fn seconds(time: [u8; 7]) -> Option<i64> {
    let [year, month, day, hour, minute, second, quarters] = time;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from the civil calendar, with years that begin in March.
    let (month, day) = (i64::from(month), i64::from(day));
    let year = 1900 + i64::from(year) - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    let clock = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(days * 86_400 + clock - i64::from(quarters.cast_signed()) * 900)
}

fn corrupt(offset: u64, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
    Error::corrupt("ISO 9660", offset, expected, found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_counted_from_1970() {
        assert_eq!(super::seconds([70, 1, 1, 0, 0, 0, 0]), Some(0));
        assert_eq!(
            super::seconds([124, 1, 1, 0, 0, 0, 0]),
            Some(crate::ext4::EPOCH_SECONDS)
        );
        assert_eq!(
            super::seconds([124, 2, 29, 13, 0, 1, 4]),
            Some(1_709_208_001)
        );
        assert_eq!(super::seconds([124, 13, 1, 0, 0, 0, 0]), None);
    }
}
