//! A disk that holds nothing but what the machine is told: an ISO 9660 file system named `cidata`, with a file `user-data`.
//!
//! ```text
//!   block 16 (of 2048 bytes)   1, "CD001", …, volume name at 40 (32), the root folder's record at 156
//!   folder                     records: length 1, …, block 4 at 2, bytes 4 at 10, …, length of the name 1 at 32, name, …
//!                              "NM" length 1, version 1, flags 1, name      Rock Ridge, after the name
//!                              a record of length 0: the rest of the block is empty
//! ```
//!
//! Read here rather than mounted: no distribution has that file system in its kernel itself, and this is one file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use windlass_guest::user_data::LIMIT_BYTES;

const BLOCK_BYTES: usize = 2048;
const DESCRIPTOR_BLOCK: u64 = 16;
const VOLUME_NAME: &str = "cidata";
const FILE_NAME: &str = "user-data";
/// The same as file systems without longer names have it.
const SHORT_NAMES: [&str; 3] = ["USER-DAT", "USER_DAT", "USER_DATA"];
/// A folder of such a disk has three files.
const FOLDER_LIMIT_BYTES: usize = 64 << 10;

/// What the first such disk says.
pub(super) fn read(block: &Path) -> Option<String> {
    let mut disks: Vec<String> = fs::read_dir(block)
        .ok()?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| ["vd", "sr", "sd"].iter().any(|it| name.starts_with(it)))
        .collect();
    disks.sort();
    disks.iter().find_map(|name| {
        let file = File::open(Path::new("/dev").join(name)).ok()?;
        let text = user_data(&|offset, buffer| file.read_exact_at(buffer, offset).is_ok())?;
        Some(String::from_utf8_lossy(&text).into_owned())
    })
}

/// The file's bytes; `read` fills a buffer from an offset.
fn user_data(read: &dyn Fn(u64, &mut [u8]) -> bool) -> Option<Vec<u8>> {
    let blocks = |block: u64, bytes: usize| {
        let mut buffer = vec![0; bytes];
        let offset = block.checked_mul(u64::try_from(BLOCK_BYTES).ok()?)?;
        read(offset, &mut buffer).then_some(buffer)
    };
    let descriptor = blocks(DESCRIPTOR_BLOCK, BLOCK_BYTES)?;
    let volume_name = String::from_utf8_lossy(descriptor.get(40..72)?)
        .trim()
        .to_ascii_lowercase();
    if descriptor.get(..6)? != b"\x01CD001" || volume_name != VOLUME_NAME {
        return None;
    }
    let (block, bytes) = place(descriptor.get(156..)?)?;
    let folder = blocks(block, bytes.min(FOLDER_LIMIT_BYTES))?;
    let (block, bytes) = folder
        .chunks(BLOCK_BYTES)
        .flat_map(Records)
        .find(|record| is_wanted(record))
        .and_then(place)?;
    (bytes <= LIMIT_BYTES)
        .then(|| blocks(block, bytes))
        .flatten()
}

/// The records in one block of a folder.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.0.first()?);
        let (record, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        (length > 33).then_some(record)
    }
}

/// The first block of what a record is of, and its bytes.
fn place(record: &[u8]) -> Option<(u64, usize)> {
    let number = |at: usize| {
        let bytes = record.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    Some((number(2)?.into(), usize::try_from(number(10)?).ok()?))
}

fn is_wanted(record: &[u8]) -> bool {
    let length = record.get(32).copied().unwrap_or(0).into();
    let Some((name, after)) = record
        .get(33..)
        .and_then(|rest| rest.split_at_checked(length))
    else {
        return false;
    };
    let name = String::from_utf8_lossy(name);
    let short = name.split([';', '.']).next().unwrap_or_default();
    long_name(after).as_deref() == Some(FILE_NAME)
        || name.split(';').next().unwrap_or_default() == FILE_NAME.to_ascii_uppercase()
        || SHORT_NAMES.contains(&short)
}

/// The name that Rock Ridge has.
fn long_name(mut rest: &[u8]) -> Option<String> {
    // Records begin at even bytes.
    if rest.first() == Some(&0) {
        rest = rest.get(1..)?;
    }
    loop {
        let [a, b, length, ..] = *rest else {
            return None;
        };
        let field = rest.get(..length.into()).filter(|it| it.len() >= 4)?;
        if [a, b] == *b"NM" {
            return Some(String::from_utf8_lossy(field.get(5..)?).into_owned());
        }
        rest = rest.get(length.into()..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn of(disk: &[u8]) -> Option<Vec<u8>> {
        user_data(&|offset, buffer| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = disk.get(from..).and_then(|it| it.get(..buffer.len()));
            found.is_some_and(|it| {
                buffer.copy_from_slice(it);
                true
            })
        })
    }

    /// A disk as genisoimage makes it.
    fn disk(name: &str, options: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("meta-data"), "instance-id: a\n").unwrap();
        fs::write(
            folder.path().join("user-data"),
            "#windlass\nhost: 10.0.0.1 a\n",
        )
        .unwrap();
        let made = Command::new("genisoimage")
            .args(["-quiet", "-V", name])
            .args(options)
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        made.stdout
    }

    #[test]
    fn the_file_is_found_whatever_names_the_disk_has() {
        for options in [&["-joliet", "-rock"][..], &["-rock"], &[]] {
            for name in ["cidata", "CIDATA"] {
                let text = of(&disk(name, options)).unwrap();
                assert_eq!(text, b"#windlass\nhost: 10.0.0.1 a\n", "{name} {options:?}");
            }
        }
        assert_eq!(of(&disk("other", &["-rock"])), None);
        assert_eq!(of(&vec![0; 40 << 10]), None);
    }

    proptest! {
        #[test]
        fn a_damaged_disk_is_none_or_another_file(at in 0..(48_usize << 10), byte: u8, cut in 0..(400_usize << 10)) {
            static DISK: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| disk("cidata", &["-rock"]));
            let mut damaged = DISK.clone();
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            damaged.truncate(cut.max(33 << 10));
            let _ = of(&damaged);
        }
    }
}
