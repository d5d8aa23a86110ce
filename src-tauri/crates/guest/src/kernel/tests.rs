use std::fmt::Write;
use std::io::Cursor;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn look(bytes: impl Into<Vec<u8>>) -> Result<KernelFacts, NotAKernel> {
    identify(&mut Cursor::new(bytes.into()))
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    if bytes.len() < offset + part.len() {
        bytes.resize(offset + part.len(), 0);
    }
    bytes[offset..offset + part.len()].copy_from_slice(part);
}

/// A Linux kernel's header, with a body of 4 KiB.
fn bzimage() -> Vec<u8> {
    let mut bytes = vec![0; 0x200 * 2 + 4096];
    put(&mut bytes, 0, b"MZ");
    put(&mut bytes, 0x1f1, &[1]);
    put(&mut bytes, 0x1f4, &256_u32.to_le_bytes());
    put(&mut bytes, 0x1fe, &[0x55, 0xaa]);
    put(&mut bytes, 0x202, b"HdrS\x0f\x02");
    put(&mut bytes, 0x20e, &0x100_u16.to_le_bytes());
    put(&mut bytes, 0x211, &[1]);
    put(&mut bytes, 0x236, &[0x3f]);
    put(
        &mut bytes,
        0x300,
        b"6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP\0",
    );
    bytes
}

/// An ELF64 file with notes of Xen's and some data behind them.
fn elf(machine: u16, guest_os: Option<&str>, is_pvh: bool, data: &[u8]) -> Vec<u8> {
    let mut notes = Vec::new();
    let mut note = |kind: u32, value: &[u8]| {
        let value_size = u32::try_from(value.len()).unwrap();
        for field in [4, value_size, kind] {
            notes.extend(field.to_le_bytes());
        }
        notes.extend(b"Xen\0");
        notes.extend(value);
        notes.resize(notes.len().next_multiple_of(4), 0);
    };
    note(5, b"xen-3.0\0");
    if let Some(name) = guest_os {
        note(6, name.as_bytes());
    }
    if is_pvh {
        note(18, &[0; 8]);
    }
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    put(&mut bytes, 16, &2_u16.to_le_bytes());
    put(&mut bytes, 18, &machine.to_le_bytes());
    put(&mut bytes, 32, &64_u64.to_le_bytes());
    put(&mut bytes, 56, &1_u16.to_le_bytes());
    put(&mut bytes, 64, &4_u32.to_le_bytes());
    put(&mut bytes, 64 + 8, &128_u64.to_le_bytes());
    put(&mut bytes, 64 + 32, &(notes.len() as u64).to_le_bytes());
    put(&mut bytes, 128, &notes);
    bytes.extend(data);
    bytes
}

/// A loader image whose kernel is one piece that is not compressed.
fn osv_loader(kernel: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; (64 << 10) + (32 << 10)];
    put(&mut bytes, 0, &[0xea, 0x5e, 0x7c, 0, 0]);
    put(&mut bytes, 0x10, &1_u16.to_le_bytes());
    put(&mut bytes, 0x1fe, &[0x55, 0xaa]);
    let start = 64 << 10;
    put(&mut bytes, start, b"\x7fELF\x01\x01\x01");
    put(&mut bytes, start + 32, &0x100_u32.to_le_bytes());
    put(&mut bytes, start + 48, &1_u16.to_le_bytes());
    let size = u32::try_from(kernel.len()).unwrap();
    let section = start + 0x100;
    put(&mut bytes, section + 4, &1_u32.to_le_bytes());
    put(&mut bytes, section + 16, &0x200_u32.to_le_bytes());
    put(&mut bytes, section + 20, &(size + 16).to_le_bytes());
    let data = start + 0x200;
    put(&mut bytes, data, &(size + 4).to_le_bytes());
    put(&mut bytes, data + 4, kernel);
    for (index, field) in [1, size, size].into_iter().enumerate() {
        put(
            &mut bytes,
            data + 4 + kernel.len() + index * 4,
            &u32::to_le_bytes(field),
        );
    }
    bytes
}

const X86_64: u16 = 62;
const GREETING: &[u8] = b"....OSv v0.57.0-398-g0e34e4dc\n\0";

#[test]
fn each_kind_of_kernel_is_told_from_its_bytes() {
    let linux = look(bzimage()).unwrap();
    assert_eq!(linux.form, KernelForm::LinuxBzImage);
    assert_eq!(linux.version.as_deref(), Some("6.1.0-56-cloud-amd64"));
    assert_eq!(linux.root_file_systems, [RootFs::Ext4]);

    let osv = look(elf(X86_64, Some("osv"), true, GREETING)).unwrap();
    assert_eq!((osv.guest, osv.form), (GuestOs::Osv, KernelForm::OsvElf));
    assert_eq!(osv.version.as_deref(), Some("v0.57.0-398-g0e34e4dc"));
    assert_eq!(osv.root_file_systems, [RootFs::Rofs]);

    let loader = look(osv_loader(GREETING)).unwrap();
    assert_eq!(
        (loader.guest, loader.form),
        (GuestOs::Osv, KernelForm::OsvLoader)
    );
    assert_eq!(loader.version.as_deref(), Some("v0.57.0-398-g0e34e4dc"));
}

#[test]
fn a_kernel_with_the_ext_driver_can_mount_ext4() {
    let kernel = [
        GREETING,
        b"\0/usr/lib/fs/libext.so\0 /usr/lib/liblwext4.so\0",
    ]
    .concat();
    let both = [RootFs::Rofs, RootFs::Ext4];
    assert_eq!(look(osv_loader(&kernel)).unwrap().root_file_systems, both);
    assert_eq!(
        look(elf(X86_64, Some("osv"), true, &kernel))
            .unwrap()
            .root_file_systems,
        both
    );
}

#[test]
fn words_are_found_across_the_blocks_that_a_file_is_read_in() {
    for distance in 1..40 {
        let mut kernel = elf(X86_64, Some("osv"), true, b"");
        kernel.resize((1 << 16) - distance, 0);
        kernel.extend(GREETING);
        assert_eq!(
            look(kernel).unwrap().version.as_deref(),
            Some("v0.57.0-398-g0e34e4dc")
        );
    }
}

#[test]
fn what_is_not_a_kernel_is_named_with_what_to_give_instead() {
    let mut tar = vec![b'a'; 600];
    put(&mut tar, 257, b"ustar");
    let mut disk = vec![0; 512];
    put(&mut disk, 0x1fe, &[0x55, 0xaa]);
    let mut program = elf(X86_64, None, false, b"hello");
    put(&mut program, 64, &3_u32.to_le_bytes());
    let mut kernel32 = bzimage();
    put(&mut kernel32, 0x236, &[0]);
    let files: Vec<Vec<u8>> = vec![
        vec![],
        b"QFI\xfb\0\0\0\x03".to_vec(),
        b"\x1f\x8b\x08".to_vec(),
        b"!<arch>\ndebian-binary".to_vec(),
        b"070701".to_vec(),
        b"#!/bin/sh\necho hello\n".to_vec(),
        tar,
        disk,
        program,
        elf(183, None, false, b""),
        elf(183, Some("osv"), false, GREETING),
        elf(X86_64, Some("osv"), false, GREETING),
        elf(X86_64, Some("linux"), true, b""),
        kernel32,
        bzimage()[..3000].to_vec(),
        osv_loader(GREETING)[..70_000].to_vec(),
        osv_loader(GREETING)[..512].to_vec(),
        vec![1, 2, 3, 0, 0xff],
    ];
    let mut transcript = String::new();
    for file in files {
        let error = look(file).unwrap_err();
        let hint = error.hint().unwrap_or_default();
        writeln!(transcript, "error: {error}\n hint: {hint}").unwrap();
    }
    assert_snapshot!(transcript);
}

#[test]
fn tables_beyond_the_end_are_no_reading_error() {
    let mut kernel = elf(X86_64, Some("osv"), true, GREETING);
    put(&mut kernel, 32, &u64::MAX.to_le_bytes());
    let path = std::env::temp_dir().join(format!("windlass-guest-kernel-{}", std::process::id()));
    std::fs::write(&path, kernel).unwrap();
    let error = identify(&mut std::fs::File::open(&path).unwrap()).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(error, NotAKernel::Other { .. }), "{error:?}");
}

proptest! {
    #[test]
    fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = look(bytes);
    }

    #[test]
    fn a_damaged_kernel_can_be_looked_at(
        which in 0..3_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = match which {
            0 => bzimage(),
            1 => elf(X86_64, Some("osv"), true, GREETING),
            _ => osv_loader(GREETING),
        };
        for (index, byte) in changes {
            let position = index.index(bytes.len().min(70_000));
            bytes[position] = byte;
        }
        bytes.truncate(length.index(bytes.len() * 2));
        let _ = look(bytes);
    }
}

#[test]
fn what_makes_zfs_and_what_mounts_it_are_told_apart() {
    let with = |version: &str, words: &str| {
        let kernel = format!("....OSv {version}\n\0/usr/lib/fs/libsolaris.so\0{words}\0");
        look(elf(X86_64, Some("osv"), true, kernel.as_bytes())).unwrap()
    };
    let tools = "/tools/mkfs.so\0/tools/cpiod.so\0zpool_name_to_prop";
    let told = |facts: &KernelFacts| {
        let roots: Vec<String> = facts
            .root_file_systems
            .iter()
            .map(ToString::to_string)
            .collect();
        format!(
            "{}, {}, makes ZFS: {}",
            facts.form,
            roots.join(" "),
            facts.makes_zfs
        )
    };
    assert_snapshot!(told(&with("v0.57.0", "")), @"OSv ELF kernel, rofs, makes ZFS: false");
    assert_snapshot!(told(&with("v0.57.0", "zpool_name_to_prop")), @"OSv ELF kernel, rofs zfs, makes ZFS: false");
    assert_snapshot!(told(&with("v0.57.0", tools)), @"OSv ZFS builder, zfs, makes ZFS: true");
    assert_snapshot!(told(&with("v0.56.0-141-gf935ca14", tools)), @"OSv ZFS builder, zfs, makes ZFS: true");
    assert_snapshot!(told(&with("v0.55.0", tools)), @"OSv ELF kernel, rofs zfs, makes ZFS: true");
    let loader = look(osv_loader(tools.as_bytes())).unwrap();
    assert_snapshot!(told(&loader), @"OSv loader image, rofs zfs, makes ZFS: false");
}
