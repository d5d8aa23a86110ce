//! Images in the formats of others: made by us and read by QEMU, made by QEMU and read by us.

use std::fs::{self, File};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use windlass_image::convert::{ConvertOptions, Format, convert};
use windlass_image::disk::{self, DiskFormat, ReadAt};
use windlass_image::export::{write_vdi, write_vhdx, write_vmdk, write_vmdk_stream};
use windlass_image::{Error, Unwatched};

use crate::export::{assert_same, disk_file, qemu_img};

const MIB: u64 = 1 << 20;

const FORMATS: [(Format, DiskFormat, &str); 4] = [
    (Format::Vmdk, DiskFormat::Vmdk, "vmdk"),
    (Format::VmdkStream, DiskFormat::Vmdk, "vmdk"),
    (Format::Vdi, DiskFormat::Vdi, "vdi"),
    (Format::Vhdx, DiskFormat::Vhdx, "vhdx"),
];

/// A disk that is divided by an MBR, as an image has to be to be opened.
fn image_file(folder: &Path, size_bytes: u64) -> std::path::PathBuf {
    let path = disk_file(folder, size_bytes);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 512], 0).unwrap();
    file.write_all_at(&[0x55, 0xAA], 510).unwrap();
    path
}

fn made(from: &Path, to: &Path, format: Format) {
    let converted = convert(from, to, format, &ConvertOptions::default(), &mut Unwatched).unwrap();
    assert_eq!(converted.format, format);
    assert_eq!(converted.file_bytes, fs::metadata(to).unwrap().len());
}

#[test]
fn qemu_and_we_find_the_same_disk_in_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    // More than what some tables find, and no multiple of any block.
    let raw = image_file(folder.path(), 1300 * MIB + 512);
    for (format, read_as, name) in FORMATS {
        let made_file = folder.path().join(format!("{format:?}"));
        made(&raw, &made_file, format);
        let path = made_file.to_str().unwrap();
        if name != "vmdk" || format == Format::Vmdk {
            qemu_img(&["check", "-f", name, path]);
        }
        qemu_img(&[
            "compare",
            "-f",
            "raw",
            "-F",
            name,
            raw.to_str().unwrap(),
            path,
        ]);
        let (found, ours) = disk::open(&made_file).unwrap();
        assert_eq!(found, read_as);
        assert_same(&*disk::open(&raw).unwrap().1, &*ours);
        let allocated = fs::metadata(&made_file).unwrap().blocks() * 512;
        assert!(allocated < 12 * MIB, "{format:?} takes {allocated} bytes");

        // The same once more, byte for byte, and back again without what is empty.
        let again = folder.path().join("again");
        made(&raw, &again, format);
        assert!(fs::read(&made_file).unwrap() == fs::read(&again).unwrap());
        let back = folder.path().join("back.img");
        made(&made_file, &back, Format::Raw);
        assert_same(
            &*disk::open(&raw).unwrap().1,
            &*disk::open(&back).unwrap().1,
        );
        assert!(fs::metadata(&back).unwrap().blocks() * 512 < 3 * MIB);
        for file in [again, back] {
            fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn we_find_the_same_disk_in_what_qemu_writes() {
    let folder = tempfile::tempdir().unwrap();
    let raw = disk_file(folder.path(), 200 * MIB + 512);
    for (name, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=monolithicSparse,zeroed_grain=on"),
        ("vmdk", "subformat=streamOptimized"),
        ("vdi", "static=off"),
        ("vdi", "static=on"),
        ("vhdx", "subformat=dynamic"),
        ("vhdx", "subformat=fixed"),
        ("vhdx", "subformat=dynamic,block_size=1048576"),
        ("qcow2", "cluster_size=512"),
    ] {
        let made = folder.path().join("made");
        let (raw, path) = (raw.to_str().unwrap(), made.to_str().unwrap());
        qemu_img(&["convert", "-f", "raw", "-O", name, "-o", options, raw, path]);
        let (format, disk) = disk::open(&made).unwrap();
        assert_eq!(format.to_string(), name);
        assert_same(&*disk::open(Path::new(raw)).unwrap().1, &*disk);
        fs::remove_file(made).unwrap();
    }
}

#[test]
fn what_lies_in_other_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let base = at("base.vmdk");
    qemu_img(&["create", "-f", "vmdk", &base, "8M"]);
    qemu_img(&[
        "create",
        "-f",
        "vmdk",
        "-b",
        &base,
        "-F",
        "vmdk",
        &at("child.vmdk"),
    ]);
    qemu_img(&[
        "create",
        "-f",
        "vmdk",
        "-o",
        "subformat=monolithicFlat",
        &at("flat.vmdk"),
        "8M",
    ]);
    qemu_img(&[
        "create",
        "-f",
        "vmdk",
        "-o",
        "subformat=twoGbMaxExtentSparse",
        &at("two.vmdk"),
        "8M",
    ]);
    for name in ["child.vmdk", "flat.vmdk", "two.vmdk"] {
        let error = disk::open(Path::new(&at(name))).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn nothing_is_left_of_what_is_cancelled_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let raw = image_file(folder.path(), 64 * MIB);
    let to = folder.path().join("to");
    for (format, ..) in FORMATS {
        let mut stop = |_: u64| ControlFlow::Break(());
        let result = convert(&raw, &to, format, &ConvertOptions::default(), &mut stop);
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    fs::write(&to, "mine").unwrap();
    let mut options = ConvertOptions::default();
    let error = convert(&raw, &to, Format::Vdi, &options, &mut Unwatched).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!(fs::read(&to).unwrap(), b"mine");
    options.replace = true;
    convert(&raw, &to, Format::Vdi, &options, &mut Unwatched).unwrap();
    assert_eq!(disk::open(&to).unwrap().0, DiskFormat::Vdi);
}

#[test]
fn progress_adds_up_whatever_the_disk_ends_with() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.img");
    let file = File::create(&raw).unwrap();
    file.write_all_at(&[0x55, 0xAA], 510).unwrap();
    file.set_len(40 * MIB).unwrap();
    for (format, ..) in FORMATS {
        let mut sum = 0;
        let mut watch = |bytes: u64| {
            sum += bytes;
            ControlFlow::Continue(())
        };
        let to = folder.path().join(format!("{format:?}"));
        convert(&raw, &to, format, &ConvertOptions::default(), &mut watch).unwrap();
        assert_eq!(sum, 40 * MIB, "{format:?}");
    }
}

/// Writes a disk in one of the formats, in memory.
fn write(way: usize, bytes: &dyn ReadAt) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    match way {
        0 => write_vmdk(bytes, &mut out, &mut Unwatched),
        1 => write_vmdk_stream(bytes, &mut out, &mut Unwatched),
        2 => write_vdi(bytes, &mut out, &mut Unwatched),
        _ => write_vhdx(bytes, &mut out, &mut Unwatched),
    }
    .unwrap();
    out.into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_disk_is_read_back(
        sectors in 0_usize..(6 << 11),
        pieces in prop::collection::vec((0_usize..(3 << 20), 1_usize..200_000, any::<u8>(), any::<bool>()), 0..6),
        way in 0_usize..4,
    ) {
        let mut bytes = vec![0_u8; sectors * 512];
        for (at, length, seed, noisy) in pieces {
            let end = (at + length).min(bytes.len());
            for (index, byte) in bytes.get_mut(at..end).unwrap_or_default().iter_mut().enumerate() {
                let noise = index.wrapping_mul(2_654_435_761).to_le_bytes()[1];
                *byte = if noisy { noise ^ seed } else { seed };
            }
        }
        let (_, read) = disk::of(Arc::new(write(way, &bytes))).unwrap();
        prop_assert_eq!(read.size_bytes(), bytes.len() as u64);
        let mut again = vec![1; bytes.len()];
        read.read_at(0, &mut again).unwrap();
        prop_assert!(again == bytes);

        // Only what is found as data can be other than zero.
        let mut found = vec![0; bytes.len()];
        let mut offset = 0;
        while let Some(data) = read.next_data(offset).unwrap() {
            let range = usize::try_from(data.start).unwrap()..usize::try_from(data.end).unwrap();
            read.read_at(data.start, &mut found[range]).unwrap();
            offset = data.end;
        }
        prop_assert!(found == bytes);
    }
}

#[test]
fn what_lies_is_refused_with_the_place_and_the_reason() {
    let refusal = |way: usize, at: usize, lie: &[u8]| {
        let mut bytes = write(way, &vec![7_u8; 3 << 20]);
        bytes[at..at + lie.len()].copy_from_slice(lie);
        let opened = disk::of(Arc::new(bytes)).map(|(_, disk)| disk);
        let read = opened.and_then(|disk| disk.read_at(1 << 20, &mut [0; 512]));
        read.unwrap_err().to_string()
    };
    let footer = write(1, &vec![7_u8; 3 << 20]).len() - 1024;
    insta::assert_snapshot!(
        [
            refusal(0, 20, &[3]),
            refusal(0, 44, &[0; 4]),
            refusal(0, 56, &[0xFF; 7]),
            refusal(0, 13_312, &[0xFF; 4]),
            refusal(1, footer, b"x"),
            refusal(1, footer + 77, &[9]),
            refusal(2, 68, &[2]),
            refusal(2, 76, &[4]),
            refusal(2, 376, &[1]),
            refusal(2, 384, &[1]),
            refusal(2, 340, &[0xFF; 4]),
            refusal(2, 516, &[9]),
            refusal(3, 2 << 20, b"M"),
            refusal(3, (2 << 20) + (64 << 10), &[1]),
            refusal(3, (3 << 20) + 8, &[7]),
            refusal(3, (3 << 20) + 15, &[0xFF]),
        ]
        .join("\n")
    );
}
