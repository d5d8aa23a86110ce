use std::io::Cursor;
use std::sync::Arc;

use super::*;
use crate::{GuestPath, ImageKind, Node, Source, Tree, Unwatched, detect, rofs};

/// A loader as OSv builds it: boot sector, room for the command line, a kernel of two units.
fn loader_bytes() -> Vec<u8> {
    let mut loader = vec![0; (64 << 10) + 2 * (32 << 10)];
    loader[..5].copy_from_slice(&[0xEA, 0x5E, 0x7C, 0x00, 0x00]);
    loader[0x10] = 2;
    loader[0x1B8..0x1BB].copy_from_slice(b"VSO");
    loader[510..512].copy_from_slice(&[0x55, 0xAA]);
    // What an earlier owner left where the command line goes.
    loader[512..4096].fill(b'#');
    for (at, byte) in loader.iter_mut().enumerate().skip(64 << 10) {
        *byte = u8::try_from(at % 251).unwrap();
    }
    loader
}

fn loader() -> Source {
    Source::Bytes(Arc::from(loader_bytes()))
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    tree.insert(
        GuestPath::new("hello").unwrap(),
        Node::bytes(*b"hello\n", 0o755),
    )
    .unwrap();
    tree
}

fn disk(loader: Option<&Source>, command_line: &str) -> Result<(DiskLayout, Vec<u8>), Error> {
    let mut out = Cursor::new(Vec::new());
    let layout = write_disk(
        loader,
        command_line,
        &Root::Rofs,
        &tree(),
        &mut out,
        &mut Unwatched,
    )?;
    Ok((layout, out.into_inner()))
}

#[test]
fn a_disk_holds_loader_command_line_and_partition() {
    let loader = loader_bytes();
    let (layout, bytes) = disk(Some(&self::loader()), "--rootfs=rofs /hello").unwrap();
    assert_eq!(layout.size_bytes, bytes.len() as u64);
    assert_eq!(layout.partition.start_bytes, 2 << 20);
    assert_eq!(bytes[..446], loader[..446], "the boot code is as it was");
    assert_eq!(bytes[512..532], *b"--rootfs=rofs /hello");
    assert!(
        bytes[532..32 << 10].iter().all(|&byte| byte == 0),
        "nothing is left behind the NUL"
    );
    assert_eq!(bytes[32 << 10..loader.len()], loader[32 << 10..]);
    assert!(bytes[loader.len()..2 << 20].iter().all(|&byte| byte == 0));
    assert_eq!(
        detect(&mut Cursor::new(&bytes)).unwrap(),
        ImageKind::OsvDisk
    );

    let (partition, section) = root_partition(Cursor::new(&bytes)).unwrap();
    assert_eq!((partition, partition.number), (layout.partition, 2));
    let reader = rofs::Reader::open(section).unwrap();
    let paths: Vec<String> = reader
        .walk()
        .map(|entry| entry.unwrap().path.to_string())
        .collect();
    assert_eq!(paths, ["/hello"]);
}

#[test]
fn a_disk_without_a_loader_is_the_same_but_for_the_kernel() {
    let (layout, bytes) = disk(None, "/hello").unwrap();
    assert_eq!(layout.partition.start_bytes, 2 << 20);
    assert_eq!(bytes[510..512], [0x55, 0xAA]);
    assert_eq!(
        detect(&mut Cursor::new(&bytes)).unwrap(),
        ImageKind::OsvKernelLessDisk
    );
    assert_eq!(
        read_command_line(&mut Cursor::new(&bytes)).unwrap(),
        "/hello"
    );
    assert!(root_partition(Cursor::new(&bytes)).is_ok());
}

#[test]
fn the_partition_is_where_osv_looks_for_it() {
    let (layout, bytes) = disk(Some(&loader()), "").unwrap();
    let entries: Vec<&[u8]> = bytes[446..510].chunks(16).collect();
    assert_eq!(entries[0], [0; 16], "entry 1 stays empty");
    assert_ne!(
        entries[1][2] & 0x3F,
        0,
        "a zero CHS sector hides the partition"
    );
    assert_eq!(entries[1][8..12], 4096_u32.to_le_bytes());
    let sectors = u32::try_from(layout.partition.size_bytes / 512).unwrap();
    assert_eq!(entries[1][12..16], sectors.to_le_bytes());

    let mut hidden = bytes.clone();
    hidden[446 + 16 + 1..446 + 16 + 4].fill(0);
    let error = root_partition(Cursor::new(hidden)).unwrap_err();
    insta::assert_snapshot!(error, @"the image is damaged: partition table at byte 462: expected a CHS address with a sector, without which OSv skips the partition, found sector 0");
    let error = root_partition(Cursor::new(loader_bytes())).unwrap_err();
    insta::assert_snapshot!(error, @"this is not an OSv disk with a root file system: entry 2 of its partition table is not used");
}

#[test]
fn a_command_line_is_replaced_without_a_rest() {
    let (_, bytes) = disk(Some(&loader()), "--rootfs=rofs /a/rather/long/one").unwrap();
    let mut disk = Cursor::new(bytes.clone());
    set_command_line(&mut disk, "/süß").unwrap();
    assert_eq!(read_command_line(&mut disk).unwrap(), "/süß");
    let changed = disk.into_inner();
    assert!(changed[512 + 6..32 << 10].iter().all(|&byte| byte == 0));
    assert!(changed[..512] == bytes[..512] && changed[32 << 10..] == bytes[32 << 10..]);
}

#[test]
fn garbage_behind_the_nul_is_not_read() {
    let (_, mut bytes) = disk(Some(&loader()), "/hello").unwrap();
    bytes[512 + 7..2000].fill(0xFF);
    assert_eq!(
        read_command_line(&mut Cursor::new(bytes)).unwrap(),
        "/hello"
    );
}

#[test]
fn the_longest_command_line_fits_and_a_longer_one_is_refused() {
    let longest = "x".repeat(COMMAND_LINE_BYTES_MAX);
    let (_, bytes) = disk(Some(&loader()), &longest).unwrap();
    assert_eq!(
        read_command_line(&mut Cursor::new(&bytes)).unwrap(),
        longest
    );
    let error = disk(None, &"x".repeat(COMMAND_LINE_BYTES_MAX + 1)).unwrap_err();
    insta::assert_snapshot!(error, @"the command line cannot be stored: it has 32256 bytes, the boot sector reads 32255");
    assert!(error.hint().unwrap().contains("runscript"));
    insta::assert_snapshot!(disk(None, "/a\0b").unwrap_err(), @"the command line cannot be stored: its byte 2 is a NUL, which would end it");
    let mut endless = bytes;
    endless[512..32 << 10].fill(b'x');
    insta::assert_snapshot!(read_command_line(&mut Cursor::new(endless)).unwrap_err(), @"the image is damaged: command line at byte 32768: expected a NUL at its end, found none");
}

#[test]
fn no_command_line_is_written_to_the_disk_of_another_system() {
    let mut grub = vec![0; 1 << 20];
    grub[..4].copy_from_slice(&[0xEB, 0x63, 0x90, 0x10]);
    grub[510..512].copy_from_slice(&[0x55, 0xAA]);
    let error = set_command_line(&mut Cursor::new(&mut grub[..]), "/hello").unwrap_err();
    insta::assert_snapshot!(error, @"this is not an OSv disk: its boot sector starts with [EB, 63, 90, 10, 00]");
    assert!(grub[512..].iter().all(|&byte| byte == 0));
}

#[test]
fn what_is_not_a_raw_loader_is_refused_before_anything_is_written() {
    let with = |at: usize, bytes: &[u8]| {
        let mut loader = loader_bytes();
        loader[at..at + bytes.len()].copy_from_slice(bytes);
        loader
    };
    let mut cut = loader_bytes();
    cut.truncate(100_000);
    let files = [
        Vec::new(),
        with(0, b"QFI\xfb"),
        with(0, &[0x1F, 0x8B, 0x08]),
        with(0, b"\x7fELF"),
        with(0, &[0xEB]),
        with(510, &[0, 0]),
        with(446 + 16 + 4, &[0x83]),
        cut,
    ];
    let words: Vec<String> = files
        .iter()
        .map(|file| {
            let mut out = Cursor::new(Vec::new());
            let source = Source::Bytes(Arc::from(&file[..]));
            let error = write_disk(
                Some(&source),
                "",
                &Root::Rofs,
                &tree(),
                &mut out,
                &mut Unwatched,
            )
            .unwrap_err();
            assert!(out.into_inner().is_empty());
            error.to_string()
        })
        .collect();
    insta::assert_snapshot!(words.join("\n"), @"
    the loader is not a raw OSv loader image: at byte 0, expected a boot sector of 512 bytes, found 0 bytes
    the loader is not a raw OSv loader image: at byte 0, expected a boot sector, found a qcow2 disk
    the loader is not a raw OSv loader image: at byte 0, expected a boot sector, found gzip-compressed data
    the loader is not a raw OSv loader image: at byte 0, expected a boot sector, found an ELF kernel
    the loader is not a raw OSv loader image: at byte 0, expected [EA, 5E, 7C, 00, 00], found [EB, 5E, 7C, 00, 00]
    the loader is not a raw OSv loader image: at byte 510, expected 55 AA, found 00 00
    the loader is not a raw OSv loader image: at byte 446, expected an empty partition table, found partition 2 of 0 bytes
    the loader is not a raw OSv loader image: at byte 16, expected a kernel that ends at byte 131072, found 100000 bytes in all
    ");
}
