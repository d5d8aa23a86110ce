//! Images that lie. Nothing here may panic, run on, or take memory that the image does not have.

use std::io::{Cursor, Read, Seek, SeekFrom};

use proptest::collection::vec;
use proptest::prelude::*;
use windlass_image::{EntryKind, GuestPath, detect, ext4, mbr, osv, rofs};

use crate::trees::{files, path, rofs_image, sampler};

/// Reads all that can be read.
fn read_everything(image: &[u8]) -> Result<(), windlass_image::Error> {
    let _ = detect(&mut Cursor::new(image))?;
    let _ = mbr::read(&mut Cursor::new(image));
    let _ = osv::read_command_line(&mut Cursor::new(image));
    let _ = osv::root_partition(Cursor::new(image));
    let _ = ext4::Superblock::read(&mut Cursor::new(image));
    let mut reader = rofs::Reader::open(Cursor::new(image))?;
    let entries = reader.walk().collect::<Result<Vec<_>, _>>()?;
    for entry in entries {
        if let EntryKind::File { size_bytes, .. } = entry.kind {
            let mut bytes = Vec::new();
            reader.read(&entry)?.read_to_end(&mut bytes).unwrap();
            assert_eq!(
                bytes.len() as u64,
                size_bytes,
                "what the tables promise is there"
            );
        }
    }
    reader.dump(&mut Vec::new())
}

fn words(image: &[u8]) -> String {
    read_everything(image).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
}

#[test]
fn every_flipped_byte_is_survived() {
    let image = rofs_image(&sampler());
    let mut refused = 0;
    for at in 0..image.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut changed = image.clone();
            changed[at] ^= flip;
            refused += usize::from(read_everything(&changed).is_err());
        }
    }
    assert!(refused > 500, "{refused} of the changes were found");
}

#[test]
fn every_truncation_is_refused() {
    let image = rofs_image(&sampler());
    for length in 0..image.len() {
        assert!(
            read_everything(&image[..length]).is_err(),
            "{length} of {} bytes",
            image.len()
        );
    }
}

#[test]
fn an_error_says_where_and_what() {
    let image = rofs_image(&files(&[("a/b", b"content"), ("c", b"")]));
    // Blocks: 0 superblock, 1 content, 2 structure: entries of 11, 11 and 11 bytes, inodes.
    let inodes = 1024 + 33;
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = image.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        words(&changed)
    };
    let huge = u64::MAX.to_le_bytes();
    let lies = [
        with(0, b"X"),
        with(8, &[2]),
        with(16, &[0, 4]),
        with(24, &[0]),
        with(24, &huge),
        with(32, &huge),
        with(40, &huge),
        with(48, &huge),
        with(56, &[0]),
        with(56, &huge),
        with(1024, &[1]),
        with(1024, &huge),
        with(1024 + 11, &[2]),
        with(1024 + 8, &[0]),
        with(1024 + 8, &[0, 1]),
        with(1024 + 10, b"/"),
        with(1024 + 21, b"a"),
        with(inodes, &[0, 0x80]),
        with(inodes + 8, &[9]),
        with(inodes + 16, &huge),
        with(inodes + 24, &huge),
        with(inodes + 32 + 16, &[0]),
        with(inodes + 64, &[0, 0x20]),
        with(inodes + 64, &[0, 0xA0]),
        with(inodes + 64 + 16, &huge),
        with(inodes + 64 + 24, &huge),
        words(&image[..1024]),
        words(&image),
    ];
    insta::assert_snapshot!(lies.join("\n"), @r#"
    this is not a ROFS file system: it starts with 0x00000000deadbe58 instead of 0x00000000deadbead
    the image is damaged: ROFS superblock at byte 8: expected version 1, found 2
    the image is damaged: ROFS superblock at byte 16: expected a block size of 512, found 1024
    the image is damaged: ROFS superblock at byte 24: expected a structure behind the superblock, found 0
    the image is damaged: ROFS superblock at byte 24: expected at most 3 blocks, found 18446744073709551615
    the image is damaged: ROFS superblock at byte 32: expected a structure of at most 1 blocks, found 18446744073709551615
    the image is damaged: ROFS superblock at byte 40: expected at most 51 directory entries, found 18446744073709551615
    the image is damaged: ROFS superblock at byte 48: expected at most 241 symlinks, found 18446744073709551615
    the image is damaged: ROFS superblock at byte 56: expected a root inode, found 0
    the image is damaged: ROFS superblock at byte 56: expected at most 15 inodes, found 18446744073709551615
    the image is damaged: ROFS directory entry at byte 1024: expected an inode of 2 to 4, found 1
    the image is damaged: ROFS directory entry at byte 1024: expected an inode of 2 to 4, found 18446744073709551615
    the image is damaged: ROFS directory entry at byte 1035: expected an inode not named before, found 2
    the image is damaged: ROFS directory entry at byte 1032: expected a name of 1 to 255 bytes, found 0
    the image is damaged: ROFS directory entry at byte 1032: expected a name of 1 to 255 bytes, found 256
    the image is damaged: ROFS directory entry at byte 1034: expected a file's name, found "/"
    the image is damaged: ROFS directory entry at byte 1035: expected one entry of each name in /, found two of "a"
    the image is damaged: ROFS inode at byte 1057: expected a root directory, found 0x8000
    the image is damaged: ROFS inode at byte 1065: expected number 1, found 9
    the image is damaged: ROFS inode at byte 1073: expected children within 3, found 2 from 18446744073709551615
    the image is damaged: ROFS inode at byte 1073: expected children within 3, found 18446744073709551615 from 0
    the image is damaged: ROFS inode at byte 1105: expected children that are in no other directory, found entry 0
    the image is damaged: ROFS inode at byte 1121: expected a directory, a file or a symlink, found mode 0x2000
    the image is damaged: ROFS inode at byte 1137: expected one of 0 symlinks, found 1
    the image is damaged: ROFS inode at byte 1137: expected a file within the 1536 bytes of the image, found 7 bytes from block 18446744073709551615
    the image is damaged: ROFS inode at byte 1137: expected a file within the 1536 bytes of the image, found 18446744073709551615 bytes from block 1
    the image is damaged: ROFS superblock at byte 32: expected a structure of at most 0 blocks, found 1
    fine
    "#);
}

/// Claims to be as large as a disk, and is empty.
#[derive(Debug)]
struct Endless {
    start: Vec<u8>,
    position: u64,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            let at = usize::try_from(self.position).unwrap_or(usize::MAX);
            *byte = self.start.get(at).copied().unwrap_or(0);
            self.position += 1;
        }
        Ok(buffer.len())
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::End(_) => 1 << 60,
            SeekFrom::Current(distance) => self.position.saturating_add_signed(distance),
        };
        Ok(self.position)
    }
}

#[test]
fn a_structure_of_an_exabyte_is_not_read() {
    let mut start = Vec::new();
    for field in [0xDEAD_BEAD_u64, 1, 512, 1, 1 << 50, 1 << 40, 0, 1] {
        start.extend(field.to_le_bytes());
    }
    let error = rofs::Reader::open(Endless { start, position: 0 }).unwrap_err();
    insta::assert_snapshot!(error, @"the image is damaged: ROFS superblock at byte 32: expected a structure of at most 2097152 blocks, found 1125899906842624");
}

/// Tables of as many files in the root as one likes, made up as they are read.
struct MadeUp {
    files: u64,
    /// What every inode but the root's is.
    mode: u64,
    target: Vec<u8>,
    position: u64,
}

const MADE_UP_ENTRY: u64 = 10 + 8;

impl MadeUp {
    fn symlinks(&self) -> u64 {
        u64::from(!self.target.is_empty())
    }

    fn inodes_start(&self) -> u64 {
        let symlinks = self.symlinks() * (2 + self.target.len() as u64);
        512 + self.files * MADE_UP_ENTRY + symlinks
    }

    fn length(&self) -> u64 {
        (self.inodes_start() + (self.files + 1) * 32).next_multiple_of(512)
    }

    fn byte(&self, at: u64) -> u8 {
        let links = 512 + self.files * MADE_UP_ENTRY;
        let of = |fields: &[u64], at: u64| {
            let byte = usize::try_from(at % 8).unwrap();
            let field = fields.get(usize::try_from(at / 8).unwrap());
            field.map_or(0, |field| field.to_le_bytes()[byte])
        };
        if at < 512 {
            let blocks = self.length() / 512 - 1;
            let (files, symlinks) = (self.files, self.symlinks());
            of(
                &[0xDEAD_BEAD, 1, 512, 1, blocks, files, symlinks, files + 1],
                at,
            )
        } else if at < links {
            let (file, within) = ((at - 512) / MADE_UP_ENTRY, (at - 512) % MADE_UP_ENTRY);
            match within {
                0..8 => of(&[file + 2], within),
                8 => 8,
                9 => 0,
                _ => {
                    b"0123456789abcdef"[usize::try_from(file >> (4 * (17 - within)) & 15).unwrap()]
                }
            }
        } else if at < self.inodes_start() {
            let length = u16::try_from(self.target.len()).unwrap().to_le_bytes();
            let within = usize::try_from(at - links).unwrap();
            length
                .iter()
                .chain(&self.target)
                .nth(within)
                .copied()
                .unwrap_or(0)
        } else {
            let (inode, within) = (
                (at - self.inodes_start()) / 32 + 1,
                (at - self.inodes_start()) % 32,
            );
            match inode {
                1 => of(&[0x4000, 1, 0, self.files], within),
                _ if inode > self.files + 1 => 0,
                _ => of(&[self.mode, inode, 0, self.symlinks()], within),
            }
        }
    }
}

impl Read for MadeUp {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.length() - self.position).unwrap();
        let count = left.min(buffer.len());
        for byte in &mut buffer[..count] {
            *byte = self.byte(self.position);
            self.position += 1;
        }
        Ok(count)
    }
}

impl Seek for MadeUp {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::End(_) => self.length(),
            SeekFrom::Current(distance) => self.position.saturating_add_signed(distance),
        };
        Ok(self.position)
    }
}

/// What the child of the next test does.
#[test]
#[ignore = "a child of another test"]
fn child_that_opens_large_tables() {
    let image = MadeUp {
        files: 400_000,
        mode: 0x8000,
        target: Vec::new(),
        position: 0,
    };
    let before = high_water_kib();
    let reader = rofs::Reader::open(image).unwrap();
    println!("open {}", high_water_kib() - before);
    let last = reader.find(&path("00061a7f")).unwrap();
    assert_eq!(last.inode, 400_001);
}

fn high_water_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn large_tables_are_not_taken_into_memory() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "corrupt::child_that_opens_large_tables",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}");
    let line = words.lines().find_map(|line| line.split("open ").nth(1));
    let taken_kib: u64 = line.unwrap().trim().parse().unwrap();
    // The tables have 20 MB.
    assert!(taken_kib < 8192, "{taken_kib} KiB");
}

#[test]
fn many_names_of_one_long_link_are_refused() {
    let image = MadeUp {
        files: 20_000,
        mode: 0xA000,
        target: vec![b'x'; 60_000],
        position: 0,
    };
    let reader = rofs::Reader::open(image).unwrap();
    let error = reader.list(&GuestPath::root()).unwrap_err();
    let found = error.to_string();
    assert!(
        found.contains("entries take at most 256 MiB, found more in /"),
        "{found}"
    );
}

#[test]
fn tables_that_say_nothing_are_not_gone_over() {
    // A gibibyte of empty symlinks, of which a few kilobytes of a compressed disk may be all.
    let mut start = Vec::new();
    for field in [0xDEAD_BEAD_u64, 1, 512, 1, 2 << 20, 0, 1 << 28, 1] {
        start.extend(field.to_le_bytes());
    }
    let error = rofs::Reader::open(Endless { start, position: 0 }).unwrap_err();
    insta::assert_snapshot!(error, @"the image is damaged: ROFS superblock at byte 48: expected at most 0 symlinks for 1 inodes, found 268435456");
}

#[test]
fn directories_in_a_circle_are_not_walked() {
    // Two directories that hold each other, hanging under nothing.
    let mut image = rofs_image(&files(&[("a/b/c", b"")]));
    let structure = 512;
    let numbers: Vec<u8> = [2_u64, 3, 4].iter().flat_map(|n| n.to_le_bytes()).collect();
    assert_eq!(image[structure..structure + 8], numbers[..8]);
    // The root's child becomes a file; a holds b, and b holds a.
    image[structure..structure + 8].copy_from_slice(&numbers[16..]);
    image[structure + 22..structure + 30].copy_from_slice(&numbers[..8]);
    let reader = rofs::Reader::open(Cursor::new(&image)).unwrap();
    let paths: Vec<_> = reader.walk().map(|entry| entry.unwrap().path).collect();
    assert_eq!(paths, [path("a")]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..3000)) {
        let _ = read_everything(&bytes);
    }

    #[test]
    fn any_tables_are_survived(
        counts in [0_u64..20, 0_u64..20, 0_u64..20, 0_u64..20],
        structure in vec(prop_oneof![4 => Just(0_u8), 1 => 1_u8..5, 1 => any::<u8>()], 0..2048),
    ) {
        let [blocks, entries, symlinks, inodes] = counts;
        let mut image: Vec<u8> = [0xDEAD_BEAD_u64, 1, 512, 1, blocks, entries, symlinks, inodes]
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect();
        image.resize(512, 0);
        image.extend(structure);
        let _ = read_everything(&image);
    }

    #[test]
    fn any_few_changes_are_survived(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut image = rofs_image(&sampler());
        for (at, byte) in changes {
            let at = at.index(image.len());
            image[at] = byte;
        }
        let _ = read_everything(&image);
    }
}
