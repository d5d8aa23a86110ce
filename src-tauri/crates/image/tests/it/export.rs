//! Disks in other formats, checked and compared by QEMU's own tool, and read back by ours.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use windlass_image::disk::{self, ReadAt};
use windlass_image::export::{Compression, Qcow2Options, write_qcow2, write_raw};
use windlass_image::{Error, Unwatched};

const MIB: u64 = 1 << 20;
const WAYS: [Option<Compression>; 3] = [None, Some(Compression::Deflate), Some(Compression::Zstd)];

/// A sparse disk: text that compresses, noise that does not, written zeros, holes, and an end in the middle of a cluster.
pub(crate) fn disk_file(folder: &Path, size_bytes: u64) -> std::path::PathBuf {
    let path = folder.join("disk.raw");
    let mut file = File::create(&path).unwrap();
    file.set_len(size_bytes).unwrap();
    let mut noise = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (noise >> 56) as u8
    })
    .take(300_000)
    .collect();
    let zeros = vec![0; 200_000];
    let text = "windlass raises the anchor\n".repeat(20_000);
    for (at, bytes) in [
        (0, text.as_bytes()),
        (5 * MIB + 1, &noise),
        (7 * MIB, &zeros),
        (size_bytes / 2 + 77, text.as_bytes()),
        (size_bytes - 100_000, &noise[..100_000]),
    ] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    }
    path
}

pub(crate) fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {said}");
}

fn export(from: &Path, to: &Path, compression: Option<Compression>) {
    let (_, disk) = disk::open(from).unwrap();
    let mut out = File::create(to).unwrap();
    write_qcow2(
        &*disk,
        &mut out,
        Qcow2Options { compression },
        &mut Unwatched,
    )
    .unwrap();
}

pub(crate) fn assert_same(one: &dyn ReadAt, other: &dyn ReadAt) {
    assert_eq!(one.size_bytes(), other.size_bytes());
    let mut buffers = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut offset = 0;
    while offset < one.size_bytes() {
        let length = usize::try_from((one.size_bytes() - offset).min(MIB)).unwrap();
        one.read_at(offset, &mut buffers.0[..length]).unwrap();
        other.read_at(offset, &mut buffers.1[..length]).unwrap();
        assert!(
            buffers.0[..length] == buffers.1[..length],
            "differs after byte {offset}"
        );
        offset += MIB;
    }
}

#[test]
fn qemu_finds_the_same_disk_in_the_qcow2_file() {
    let folder = tempfile::tempdir().unwrap();
    // Larger than what one L2 table finds, and no multiple of a cluster or sector group.
    let raw = disk_file(folder.path(), 1300 * MIB + 512);
    let mut sizes = Vec::new();
    for compression in WAYS {
        let qcow2 = folder.path().join("disk.qcow2");
        export(&raw, &qcow2, compression);
        let (raw, qcow2) = (raw.to_str().unwrap(), qcow2.to_str().unwrap());
        qemu_img(&["check", "-f", "qcow2", qcow2]);
        qemu_img(&["compare", "-f", "raw", "-F", "qcow2", raw, qcow2]);
        let (format, ours) = disk::open(Path::new(qcow2)).unwrap();
        assert_eq!(format, disk::DiskFormat::Qcow2);
        assert_same(&*disk::open(Path::new(raw)).unwrap().1, &*ours);
        sizes.push(std::fs::metadata(qcow2).unwrap().len());
    }
    assert!(sizes[0] < 3 * MIB, "only data is written: {sizes:?}");
    assert!(sizes[1] < sizes[0] && sizes[2] < sizes[0], "{sizes:?}");
}

#[test]
fn the_same_disk_gives_the_same_bytes_whatever_its_holes() {
    let folder = tempfile::tempdir().unwrap();
    let raw = disk_file(folder.path(), 64 * MIB);
    // All of it written out.
    let full = folder.path().join("full.raw");
    std::fs::write(&full, std::fs::read(&raw).unwrap()).unwrap();
    for compression in WAYS {
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        export(&raw, &one, compression);
        export(&full, &other, compression);
        assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap());
    }
}

#[test]
fn a_raw_disk_keeps_its_holes_and_loses_written_zeros() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let raw = disk_file(folder.path(), 1300 * MIB + 512);
    let qcow2 = folder.path().join("disk.qcow2");
    export(&raw, &qcow2, Some(Compression::Deflate));
    for from in [&raw, &qcow2] {
        let to = folder.path().join("again.raw");
        let (_, disk) = disk::open(from).unwrap();
        write_raw(&*disk, &mut File::create(&to).unwrap(), &mut Unwatched).unwrap();
        assert_same(&*disk, &*disk::open(&to).unwrap().1);
        assert!(std::fs::metadata(&to).unwrap().blocks() * 512 < 3 * MIB);
    }
}

#[test]
fn progress_adds_up_and_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    let (_, disk) = disk::open(&disk_file(folder.path(), 64 * MIB)).unwrap();
    for compression in WAYS {
        let (mut sum, mut out) = (0, std::io::Cursor::new(Vec::new()));
        let mut watch = |bytes: u64| {
            sum += bytes;
            ControlFlow::Continue(())
        };
        write_qcow2(&*disk, &mut out, Qcow2Options { compression }, &mut watch).unwrap();
        assert_eq!(sum, 64 * MIB);

        let mut out = std::io::Cursor::new(Vec::new());
        let mut stop = |_: u64| ControlFlow::Break(());
        let result = write_qcow2(&*disk, &mut out, Qcow2Options { compression }, &mut stop);
        assert!(matches!(result, Err(Error::Cancelled)));
        assert!(
            !out.into_inner().starts_with(b"QFI"),
            "half a file is no qcow2"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_disk_is_read_back(
        size in 0_u64..(3 << 20),
        pieces in prop::collection::vec((0_usize..(3 << 20), 1_usize..200_000, any::<u8>(), any::<bool>()), 0..6),
        way in 0_usize..3,
    ) {
        let mut bytes = vec![0_u8; usize::try_from(size).unwrap()];
        for (at, length, seed, noisy) in pieces {
            let end = (at + length).min(bytes.len());
            for (index, byte) in bytes.get_mut(at..end).unwrap_or_default().iter_mut().enumerate() {
                let noise = index.wrapping_mul(2_654_435_761).to_le_bytes()[1];
                *byte = if noisy { noise ^ seed } else { seed };
            }
        }
        let mut out = std::io::Cursor::new(Vec::new());
        let options = Qcow2Options { compression: WAYS[way] };
        write_qcow2(&bytes, &mut out, options, &mut Unwatched).unwrap();
        let (format, read) = disk::of(std::sync::Arc::new(out.into_inner())).unwrap();
        prop_assert_eq!(format, disk::DiskFormat::Qcow2);
        let mut again = vec![1; bytes.len()];
        read.read_at(0, &mut again).unwrap();
        prop_assert!(again == bytes);
    }
}
