//! Entries of directories: 32 bytes each.
//!
//! ```text
//!  0  short name, 11 bytes; 0xE5: nobody's, 0: the last one was before
//! 11  attributes: 0x01 read-only, 0x08 label, 0x10 directory, 0x20 archive; 0x0F: a part of a long name
//! 20  upper half of the first cluster     22  time     24  date     26  lower half     28  u32 size
//!
//! long name, its last part first:
//!  0  number of the part from 1, 0x40 in the last one    13  checksum of the short name
//!  1, 14, 28  5, 6 and 2 units of UTF-16: the name, a 0, and 0xFFFF up to the end
//! ```

use super::ENTRY_BYTES;
use super::names::{self, ShortName};
use crate::disk::{le_u16, le_u32};

pub(super) const LABEL: u8 = 0x08;
pub(super) const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const LONG_NAME: u8 = 0x0F;
const LAST_PART: u8 = 0x40;
const UNITS: usize = 13;
/// 255 units in parts of 13.
const PARTS_MAX: u8 = 20;
const NOBODYS: u8 = 0xE5;
/// Stands for a first letter that is [`NOBODYS`].
const ESCAPED: u8 = 0x05;

/// 2024-01-01, as everywhere in our images.
const DATE: u16 = (2024 - 1980) << 9 | 1 << 5 | 1;

pub(super) type RawEntry = [u8; ENTRY_BYTES];

/// How many entries a name takes.
pub(super) fn count(name: &str, is_short: bool) -> u64 {
    let parts = if is_short {
        0
    } else {
        name.encode_utf16().count().div_ceil(UNITS)
    };
    1 + parts as u64
}

/// One entry with a short name alone.
pub(super) fn short(name: ShortName, attributes: u8, cluster: u32, size_bytes: u32) -> RawEntry {
    let mut entry = [0; ENTRY_BYTES];
    let [a, b, c, d] = cluster.to_le_bytes();
    entry[..11].copy_from_slice(&name);
    entry[11] = attributes;
    for date in [16, 18, 24] {
        entry[date..date + 2].copy_from_slice(&DATE.to_le_bytes());
    }
    entry[20..22].copy_from_slice(&[c, d]);
    entry[26..28].copy_from_slice(&[a, b]);
    entry[28..32].copy_from_slice(&size_bytes.to_le_bytes());
    entry
}

/// The entries of a file (with its size) or a directory.
pub(super) fn entries(
    name: &str,
    (short_name, is_short): (ShortName, bool),
    size_bytes: Option<u32>,
    cluster: u32,
) -> Vec<RawEntry> {
    let mut entries = Vec::new();
    if !is_short {
        let mut units: Vec<u16> = name.encode_utf16().collect();
        if !units.len().is_multiple_of(UNITS) {
            units.push(0);
            units.resize(units.len().next_multiple_of(UNITS), 0xFFFF);
        }
        let checksum = names::checksum(&short_name);
        for (number, part) in (1_u8..).zip(units.chunks(UNITS)) {
            let mut entry = [0; ENTRY_BYTES];
            entry[0] = number;
            entry[11] = LONG_NAME;
            entry[13] = checksum;
            for (at, unit) in places().zip(part) {
                entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
            }
            entries.push(entry);
        }
        if let Some(last) = entries.last_mut() {
            last[0] |= LAST_PART;
        }
        entries.reverse();
    }
    let attributes = if size_bytes.is_some() {
        ARCHIVE
    } else {
        DIRECTORY
    };
    entries.push(short(
        short_name,
        attributes,
        cluster,
        size_bytes.unwrap_or(0),
    ));
    entries
}

/// Where the units of a part are.
fn places() -> impl Iterator<Item = usize> {
    (1..11)
        .step_by(2)
        .chain((14..26).step_by(2))
        .chain((28..32).step_by(2))
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) is_directory: bool,
    pub(super) cluster: u32,
    pub(super) size_bytes: u32,
    pub(super) modified_seconds: Option<i64>,
}

/// Reads entries one after the other. A long name that does not belong to the short one behind it is left out, as other
/// systems do: the file has its short name then.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The units so far, the last part first; which part is next; the checksum.
    long: Option<(Vec<u16>, u8, u8)>,
}

/// What comes of one entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// Nothing yet.
    Nothing,
    /// A file or directory.
    Entry(Found),
    /// The directory ends here.
    End,
}

impl Parser {
    pub(super) fn next(&mut self, entry: &RawEntry) -> Parsed {
        match entry[0] {
            0 => return Parsed::End,
            NOBODYS => {
                self.long = None;
                return Parsed::Nothing;
            }
            _ => {}
        }
        if entry[11] & 0x3F == LONG_NAME {
            self.take_part(entry);
            return Parsed::Nothing;
        }
        let long = self.long.take();
        if entry[11] & LABEL != 0 {
            return Parsed::Nothing;
        }
        let found = file(entry);
        let name = long
            .filter(|(_, next, checksum)| *next == 0 && *checksum == names::checksum(&name(entry)))
            .map(|(units, ..)| String::from_utf16_lossy(&units));
        Parsed::Entry(Found {
            name: name.unwrap_or_else(|| found.name.clone()),
            ..found
        })
    }

    fn take_part(&mut self, entry: &RawEntry) {
        let number = entry[0] & !LAST_PART;
        let part: Vec<u16> = places()
            .map(|at| le_u16(entry, at))
            .take_while(|&unit| unit != 0)
            .collect();
        self.long = match self.long.take() {
            _ if entry[0] & LAST_PART != 0 && (1..=PARTS_MAX).contains(&number) => {
                Some((part, number - 1, entry[13]))
            }
            Some((units, next, checksum))
                if next == number && checksum == entry[13] && number > 0 =>
            {
                Some(([part, units].concat(), number - 1, checksum))
            }
            _ => None,
        };
    }
}

fn name(entry: &RawEntry) -> ShortName {
    entry.first_chunk().copied().unwrap_or_default()
}

/// What the entry with the short name says.
pub(super) fn file(entry: &RawEntry) -> Found {
    let mut short = name(entry);
    if short[0] == ESCAPED {
        short[0] = NOBODYS;
    }
    Found {
        name: names::display(&short, entry[12]),
        is_directory: entry[11] & DIRECTORY != 0,
        cluster: u32::from(le_u16(entry, 20)) << 16 | u32::from(le_u16(entry, 26)),
        size_bytes: le_u32(entry, 28),
        modified_seconds: seconds(le_u16(entry, 24), le_u16(entry, 22)),
    }
}

/// A date and a time as seconds since 1970. The zone is nowhere said.
fn seconds(date: u16, time: u16) -> Option<i64> {
    let (year, month, day) = (
        i64::from(date >> 9) + 1980,
        i64::from(date >> 5 & 15),
        i64::from(date & 31),
    );
    if !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // Days since 1970 of the civil calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era_days =
        year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = era_days - 719_468;
    let (hours, minutes, halves) = (time >> 11, time >> 5 & 63, time & 31);
    let of_day = i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(halves) * 2;
    Some(days * 86_400 + of_day)
}
