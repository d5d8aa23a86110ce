//! What the fuzz targets do with their bytes, and what each begins with.
//!
//! Images are larger than what a fuzzer likes to change, and mostly empty. So the bytes are the parts of a disk that hold
//! something:
//!
//! ```text
//!   u16 size of the disk in 64 KiB | (u16 which KiB, 1024 bytes)*
//! ```
//!
//! Checksums that would keep changes out are put right.

#![allow(
    dead_code,
    reason = "each fuzz target is a program of its own, and calls one of these"
)]

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use windlass_image::disk::{self, Part, Qcow2, ReadAt, SharedDisk, Stream, Vdi, Vhdx, Vmdk};
use windlass_image::export::{
    Compression, Qcow2Options, write_qcow2, write_vdi, write_vhdx, write_vmdk, write_vmdk_stream,
};
use windlass_image::ext4::{self, Ext4, Ext4Options, WrittenBy};
use windlass_image::fat::{self, Fat, FatOptions};
use windlass_image::file_system::{FileSystem, walk};
use windlass_image::iso::{self, Iso, IsoOptions};
use windlass_image::rofs::{self, Rofs};
use windlass_image::{Error, GuestPath, Image, Node, Tree, Unwatched, detect, gpt, mbr, osv};

/// A target: its name, what it does, and what it begins with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const ALL: [Target; 11] = [
    ("read_disk", read_disk, disk_seeds),
    ("read_ext4", read_ext4, ext4_seeds),
    ("read_fat", read_fat, fat_seeds),
    ("read_gpt", read_gpt, gpt_seeds),
    ("read_image", read_image, image_seeds),
    ("read_iso", read_iso, iso_seeds),
    ("read_qcow2", read_qcow2, qcow2_seeds),
    ("read_rofs", read_rofs, rofs_seeds),
    ("read_vdi", read_vdi, vdi_seeds),
    ("read_vhdx", read_vhdx, vhdx_seeds),
    ("read_vmdk", read_vmdk, vmdk_seeds),
];

const KIB: usize = 1024;
const UNIT: u64 = 64 << 10;
/// How much of a file system or disk is looked at.
const LOOKS: usize = 300;

/// A disk that is mostly empty.
#[derive(Debug)]
struct Sparse {
    parts: BTreeMap<u64, Vec<u8>>,
    size_bytes: u64,
}

impl Sparse {
    fn of(bytes: &[u8]) -> Self {
        let (size, rest) = bytes.split_at(bytes.len().min(2));
        let number =
            |bytes: &[u8]| u64::from(bytes[0]) | u64::from(*bytes.get(1).unwrap_or(&0)) << 8;
        let size_bytes = if size.is_empty() {
            0
        } else {
            number(size) * UNIT
        };
        let parts = rest
            .chunks(2 + KIB)
            .filter(|part| part.len() > 2)
            .map(|part| {
                let mut bytes = part[2..].to_vec();
                bytes.resize(KIB, 0);
                (number(part), bytes)
            });
        Self {
            parts: parts.collect(),
            size_bytes,
        }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = at + index as u64;
            let part = self
                .parts
                .entry(at / KIB as u64)
                .or_insert_with(|| vec![0; KIB]);
            part[usize::try_from(at % KIB as u64).unwrap()] = *byte;
        }
    }

    fn get(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let _ = self.read_at(at, &mut bytes);
        bytes
    }

    fn shared(self) -> SharedDisk {
        Arc::new(self)
    }
}

impl ReadAt for Sparse {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size_bytes) {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(Error::Read { offset, source });
        }
        let mut done = 0;
        while done < buffer.len() {
            let here = offset + done as u64;
            let within = usize::try_from(here % KIB as u64).unwrap();
            let count = (KIB - within).min(buffer.len() - done);
            match self.parts.get(&(here / KIB as u64)) {
                Some(part) => {
                    buffer[done..done + count].copy_from_slice(&part[within..within + count]);
                }
                None => buffer[done..done + count].fill(0),
            }
            done += count;
        }
        Ok(())
    }
}

/// The parts of an image that hold something.
fn packed(image: &[u8]) -> Vec<u8> {
    let units = u16::try_from((image.len() as u64).div_ceil(UNIT)).unwrap();
    let mut bytes = units.to_le_bytes().to_vec();
    for (number, part) in image.chunks(KIB).enumerate() {
        if part.iter().any(|byte| *byte != 0) {
            bytes.extend(u16::try_from(number).unwrap().to_le_bytes());
            bytes.extend(part);
            bytes.resize(bytes.len() + KIB - part.len(), 0);
        }
    }
    bytes
}

fn look_at_files(file_system: &dyn FileSystem) {
    let mut buffer = [0; 512];
    for stat in walk(file_system).take(LOOKS) {
        match stat {
            Ok(stat) => {
                let _ = file_system.find(&stat.path);
                for offset in [0, 5000, u64::MAX - 3] {
                    let _ = file_system.read(&stat, offset, &mut buffer);
                }
            }
            Err(error) => drop((error.to_string(), error.hint())),
        }
    }
}

fn look_at_disk<D: ReadAt>(disk: Result<D, Error>) {
    let disk = match disk {
        Ok(disk) => disk,
        Err(error) => return drop((error.to_string(), error.hint())),
    };
    let mut buffer = [0; 4096];
    for offset in [
        0,
        disk.size_bytes() / 2,
        disk.size_bytes().saturating_sub(4096),
    ] {
        let _ = disk.read_at(offset, &mut buffer);
    }
    let mut offset = 0;
    for _ in 0..LOOKS {
        let Ok(Some(data)) = disk.next_data(offset) else {
            break;
        };
        assert!(data.start >= offset && data.start < data.end && data.end <= disk.size_bytes());
        let length = usize::try_from((data.end - data.start).min(4096)).unwrap();
        let _ = disk.read_at(data.start, &mut buffer[..length]);
        offset = data.end;
    }
}

/// Some files, a link and a folder.
fn tree() -> Tree {
    let mut tree = Tree::new();
    let mut put = |path: &str, node| tree.insert(GuestPath::new(path).unwrap(), node).unwrap();
    put("usr/bin/run", Node::bytes(*b"#!/bin/sh\n", 0o755));
    put(
        "usr/lib/a rather long name.so.1",
        Node::bytes(vec![1; 5000], 0o644),
    );
    put("empty", Node::bytes(*b"", 0o600));
    put("tmp", Node::Directory { mode: 0o1777 });
    tree
}

fn tree_with_link() -> Tree {
    let mut tree = tree();
    let target = b"../usr/bin/run".to_vec();
    let path = GuestPath::new("usr/link").unwrap();
    tree.insert(path, Node::Symlink { target }).unwrap();
    tree
}

fn made(make: impl FnOnce(&mut Cursor<Vec<u8>>)) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    make(&mut out);
    out.into_inner()
}

/// A disk of half a MiB: text, a hole, bytes.
fn content() -> Vec<u8> {
    let mut content = vec![0; 512 << 10];
    content[..5000].copy_from_slice(&"windlass ".repeat(1000).as_bytes()[..5000]);
    content[300 << 10..(300 << 10) + 100].fill(7);
    content
}

/// Any disk: recognised, its partitions, command line and superblocks read.
pub fn read_disk(bytes: &[u8]) {
    let disk = Sparse::of(bytes).shared();
    let mut stream = Stream::new(Arc::clone(&disk));
    let _ = detect(&mut stream);
    let _ = mbr::read(&mut stream);
    let _ = gpt::read(disk.as_ref());
    let _ = osv::read_command_line(&mut stream);
    let _ = ext4::Superblock::read(&mut stream);
    if let Ok((_, section)) = osv::root_partition(stream) {
        let _ = rofs::Reader::open(section).map(|reader| reader.walk().take(LOOKS).count());
    }
}

fn disk_seeds() -> Vec<Vec<u8>> {
    vec![packed(&mbr_disk())]
}

/// ROFS in the second partition of a disk.
fn mbr_disk() -> Vec<u8> {
    let mut disk = vec![0; 128 << 10];
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk[462 + 1..462 + 12]
        .copy_from_slice(&[0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF, 128, 0, 0, 0]);
    let root = made(|out| {
        rofs::write(&tree(), out, &mut Unwatched).unwrap();
    });
    let sectors = u32::try_from(root.len() / 512).unwrap();
    disk[462 + 12..462 + 16].copy_from_slice(&sectors.to_le_bytes());
    disk.truncate(128 * 512);
    disk.extend(root);
    disk
}

/// An ext4: opened, walked, and every file read.
pub fn read_ext4(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(1080, &[0x53, 0xEF]);
    if let Ok(ext4) = Ext4::open(disk.shared()) {
        look_at_files(&ext4);
    }
}

fn ext4_seeds() -> Vec<Vec<u8>> {
    let seeds = [WrittenBy::Osv, WrittenBy::Linux].map(|written_by| {
        let options = Ext4Options {
            size_bytes: Some(ext4::SIZE_BYTES_MIN),
            written_by,
            ..Ext4Options::default()
        };
        made(|out| {
            ext4::write(&tree_with_link(), out, &options, &mut Unwatched).unwrap();
        })
    });
    seeds.iter().map(|image| packed(image)).collect()
}

/// A FAT file system: opened, walked, and every file read.
pub fn read_fat(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(0, &[0xEB]);
    disk.put(11, &512_u16.to_le_bytes());
    disk.put(21, &[0xF8]);
    disk.put(510, &[0x55, 0xAA]);
    if let Ok(fat) = Fat::open(disk.shared()) {
        look_at_files(&fat);
    }
}

fn fat_seeds() -> Vec<Vec<u8>> {
    let options = FatOptions::default();
    let image = made(|out| {
        fat::write(&tree(), out, &options, &mut Unwatched).unwrap();
    });
    vec![packed(&image)]
}

/// A GUID partition table whose checksums are right.
pub fn read_gpt(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(512, b"EFI PART");
    let header = disk.get(512, 512);
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let entries_at = u64::from(number(72)).saturating_mul(512);
    let length = u64::from(number(80)) * u64::from(number(84));
    if length <= 1 << 20 {
        let entries = disk.get(entries_at, usize::try_from(length).unwrap());
        disk.put(600, &crc(0xEDB8_8320, &entries).to_le_bytes());
    }
    disk.put(528, &[0; 4]);
    let length = (number(12) as usize).min(512);
    let sum = crc(0xEDB8_8320, &disk.get(512, length));
    disk.put(528, &sum.to_le_bytes());
    match gpt::read(&disk) {
        Ok(parts) => assert!(
            parts
                .iter()
                .all(|part| part.start_bytes + part.size_bytes <= disk.size_bytes())
        ),
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

fn gpt_seeds() -> Vec<Vec<u8>> {
    let mut disk = vec![0; 128 << 10];
    for (at, number) in [
        (12, 92_u32),
        (24, 1),
        (32, 255),
        (40, 34),
        (48, 200),
        (72, 2),
        (80, 4),
        (84, 128),
    ] {
        disk[512 + at..512 + at + 4].copy_from_slice(&number.to_le_bytes());
    }
    for (at, first, last) in [(1024, 40_u32, 99_u32), (1152, 100, 180)] {
        disk[at..at + 16].fill(0xAF);
        disk[at + 32..at + 36].copy_from_slice(&first.to_le_bytes());
        disk[at + 40..at + 44].copy_from_slice(&last.to_le_bytes());
        disk[at + 56..at + 60].copy_from_slice(b"r\0o\0");
    }
    vec![packed(&disk)]
}

/// Any image: whatever format, division and file system, listed and read as the browser does.
pub fn read_image(bytes: &[u8]) {
    let Ok((format, disk)) = disk::of(Sparse::of(bytes).shared()) else {
        return;
    };
    let Ok(image) = Image::of(Path::new("fuzzed"), format, disk) else {
        return;
    };
    for volume in image.volumes().iter().take(8) {
        if let Ok(file_system) = image.file_system(volume) {
            look_at_files(file_system.as_ref());
        }
    }
}

fn image_seeds() -> Vec<Vec<u8>> {
    let compression = Some(Compression::Deflate);
    let qcow2 = made(|out| {
        write_qcow2(
            &mbr_disk(),
            out,
            Qcow2Options { compression },
            &mut Unwatched,
        )
        .unwrap();
    });
    vec![packed(&mbr_disk()), packed(&qcow2)]
}

/// An ISO 9660: opened, walked, and every file read.
pub fn read_iso(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(32 << 10, b"\x01CD001");
    if let Ok(iso) = Iso::open(disk.shared()) {
        look_at_files(&iso);
    }
}

fn iso_seeds() -> Vec<Vec<u8>> {
    let options = IsoOptions {
        label: "cidata".to_owned(),
    };
    let image = made(|out| {
        iso::write(&tree_with_link(), out, &options, &mut Unwatched).unwrap();
    });
    // Without what says that there is Rock Ridge, it is read by Joliet's names.
    let mut joliet = image.clone();
    let at = joliet
        .windows(7)
        .position(|part| part == b"SP\x07\x01\xBE\xEF\0")
        .unwrap();
    joliet[at] = b'X';
    vec![packed(&image), packed(&joliet)]
}

/// A qcow2 disk.
pub fn read_qcow2(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(0, b"QFI\xfb\0\0\0");
    look_at_disk(Qcow2::open(disk.shared(), None));
}

fn qcow2_seeds() -> Vec<Vec<u8>> {
    [None, Some(Compression::Deflate), Some(Compression::Zstd)]
        .map(|compression| {
            packed(&made(|out| {
                write_qcow2(
                    &content(),
                    out,
                    Qcow2Options { compression },
                    &mut Unwatched,
                )
                .unwrap();
            }))
        })
        .into()
}

/// A ROFS: opened, walked, and every file read.
pub fn read_rofs(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(0, &[0xDEAD_BEAD_u64, 1, 512].map(u64::to_le_bytes).concat());
    let disk = disk.shared();
    if let Ok(rofs) = Rofs::open(Arc::clone(&disk)) {
        look_at_files(&rofs);
    }
    let Ok(mut reader) = rofs::Reader::open(Stream::new(Arc::new(Part::new(disk, 0, u64::MAX))))
    else {
        return;
    };
    let entries: Vec<_> = reader.walk().map_while(Result::ok).take(LOOKS).collect();
    for entry in entries {
        if let Ok(mut content) = reader.read(&entry) {
            let _ = content.read(&mut [0; 512]);
        }
    }
}

fn rofs_seeds() -> Vec<Vec<u8>> {
    let image = made(|out| {
        rofs::write(&tree_with_link(), out, &mut Unwatched).unwrap();
    });
    vec![packed(&image)]
}

/// A vdi disk.
pub fn read_vdi(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(64, &[0x7F, 0x10, 0xDA, 0xBE, 1, 0, 1, 0]);
    look_at_disk(Vdi::open(disk.shared()));
}

fn vdi_seeds() -> Vec<Vec<u8>> {
    vec![packed(&made(|out| {
        write_vdi(&content(), out, &mut Unwatched).unwrap();
    }))]
}

/// A vhdx disk whose checksums are right.
pub fn read_vhdx(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(0, b"vhdxfile");
    for (at, length) in [
        (64 << 10, 4 << 10),
        (128 << 10, 4 << 10),
        (192 << 10, 64 << 10),
    ] {
        disk.put(at + 4, &[0; 4]);
        let sum = crc(0x82F6_3B78, &disk.get(at, length));
        disk.put(at + 4, &sum.to_le_bytes());
    }
    look_at_disk(Vhdx::open(disk.shared()));
}

fn vhdx_seeds() -> Vec<Vec<u8>> {
    vec![packed(&made(|out| {
        write_vhdx(&content(), out, &mut Unwatched).unwrap();
    }))]
}

/// A vmdk disk.
pub fn read_vmdk(bytes: &[u8]) {
    let mut disk = Sparse::of(bytes);
    disk.put(0, b"KDMV");
    look_at_disk(Vmdk::open(disk.shared()));
}

fn vmdk_seeds() -> Vec<Vec<u8>> {
    let whole = made(|out| write_vmdk(&content(), out, &mut Unwatched).unwrap());
    let mut stream = made(|out| write_vmdk_stream(&content(), out, &mut Unwatched).unwrap());
    // The footer ends the file, and our disks have whole units.
    let footer = stream.split_off(stream.len() - 1024);
    let rest = stream.len() + 1024;
    stream.resize(rest.next_multiple_of(64 << 10) - 1024, 0);
    stream.extend(footer);
    vec![packed(&whole), packed(&stream)]
}

/// A CRC of 32 bits by its polynomial, reversed.
fn crc(polynomial: u32, bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (value, entry) in (0..).zip(&mut table) {
        *entry = (0..8).fold(value, |value: u32, _| {
            (value >> 1) ^ (polynomial * (value & 1))
        });
    }
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (sum >> 8) ^ table[usize::from(sum.to_le_bytes()[0] ^ byte)]
    })
}
