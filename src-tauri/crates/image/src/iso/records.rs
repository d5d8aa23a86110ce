//! What directories, descriptors and path tables are made of.

use super::SECTOR_BYTES;

/// A time of year since 1900, month, day, hour, minute, second, and quarters of an hour from Greenwich: 2024-01-01.
const TIME: [u8; 7] = [124, 1, 1, 0, 0, 0, 0];
/// The same in digits.
pub(super) const LONG_TIME: &[u8; 17] = b"2024010100000000\0";
pub(super) const NO_TIME: &[u8; 17] = b"0000000000000000\0";

/// The bytes of a record before the name.
const HEADER_BYTES: usize = 33;
/// The longest record; its length is one byte, and even.
pub(super) const RECORD_BYTES_MAX: usize = 254;

/// A number of 32 bits in both orders.
pub(super) fn both(number: u32) -> [u8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&number.to_le_bytes());
    both[4..].copy_from_slice(&number.to_be_bytes());
    both
}

/// A number of 16 bits in both orders.
pub(super) fn both_short(number: u16) -> [u8; 4] {
    let [a, b] = number.to_le_bytes();
    [a, b, b, a]
}

pub(super) fn short_time() -> [u8; 7] {
    TIME
}

/// How long a record is without a system's own part.
pub(super) fn length(name: &[u8]) -> usize {
    (HEADER_BYTES + name.len()).next_multiple_of(2)
}

/// One directory record.
pub(super) fn record(name: &[u8], sector: u32, bytes: u32, flags: u8, system: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both(sector));
    record.extend(both(bytes));
    record.extend(TIME);
    record.extend([flags, 0, 0]);
    record.extend(both_short(1));
    record.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    record.extend(name);
    record.resize(length(name), 0);
    record.extend(system);
    record.resize(record.len().next_multiple_of(2), 0);
    record[0] = u8::try_from(record.len()).unwrap_or(u8::MAX);
    record
}

/// How many bytes records take, none of which is cut by the end of a sector.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) bytes: usize,
}

impl Packed {
    /// Where a record of this length goes.
    pub(super) fn add(&mut self, length: usize) -> usize {
        if self.bytes % SECTOR_BYTES + length > SECTOR_BYTES {
            self.bytes = self.bytes.next_multiple_of(SECTOR_BYTES);
        }
        let at = self.bytes;
        self.bytes += length;
        at
    }
}

/// One entry of a path table.
pub(super) fn path_entry(name: &[u8], sector: u32, parent: u16, is_big_endian: bool) -> Vec<u8> {
    let mut entry = vec![u8::try_from(name.len()).unwrap_or(u8::MAX), 0];
    if is_big_endian {
        entry.extend(sector.to_be_bytes());
        entry.extend(parent.to_be_bytes());
    } else {
        entry.extend(sector.to_le_bytes());
        entry.extend(parent.to_le_bytes());
    }
    entry.extend(name);
    entry.resize(entry.len().next_multiple_of(2), 0);
    entry
}
