//! Images of others become ours: of each format, compressed by the tools of the distribution, cut off, and too large.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_image::convert::{ConvertOptions, Format, convert};
use windlass_image::disk::{self, DiskFormat};
use windlass_image::import::{ImportOptions, Imported, Packing, import, total_bytes};
use windlass_image::{Error, Image, ImageKind, Layout, Tree, Unwatched, rofs};

use crate::export::{assert_same, disk_file, qemu_img};

const MIB: u64 = 1 << 20;

fn options() -> ImportOptions {
    ImportOptions {
        leave_free_bytes: 0,
        ..ImportOptions::default()
    }
}

fn image_file(folder: &Path) -> PathBuf {
    let path = disk_file(folder, 100 * MIB + 512);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 512], 0).unwrap();
    file.write_all_at(&[0x55, 0xAA], 510).unwrap();
    path
}

/// Compresses a file beside itself.
fn packed(path: &Path, program: &str, extension: &str) -> PathBuf {
    let to = path.with_added_extension(extension);
    let status = Command::new(program)
        .args(["-1", "-c"])
        .arg(path)
        .stdout(File::create(&to).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    to
}

fn imported(from: &Path, to: &Path, options: &ImportOptions) -> Imported {
    let mut sum = 0;
    let mut watch = |bytes: u64| {
        sum += bytes;
        ControlFlow::Continue(())
    };
    let imported = import(from, to, options, &mut watch).unwrap();
    assert_eq!(sum, total_bytes(from).unwrap(), "{}", from.display());
    imported
}

#[test]
fn every_format_becomes_a_disk_that_machines_start_from() {
    let folder = tempfile::tempdir().unwrap();
    let raw = image_file(folder.path());
    let (_, original) = disk::open(&raw).unwrap();
    for name in ["raw", "qcow2", "vmdk", "vdi", "vhdx"] {
        let from = folder.path().join("from");
        let (raw_path, path) = (raw.to_str().unwrap(), from.to_str().unwrap());
        qemu_img(&["convert", "-f", "raw", "-O", name, raw_path, path]);
        let to = folder.path().join("to");
        let found = imported(&from, &to, &options());
        assert_eq!(found.from.to_string(), name);
        assert_eq!((found.format, found.packing), (DiskFormat::Raw, None));
        assert_eq!(
            (found.kind, found.layout),
            (ImageKind::MbrDisk, Layout::Mbr)
        );
        assert_same(&*original, &*disk::open(&to).unwrap().1);
        assert!(
            fs::metadata(&to).unwrap().blocks() * 512 < 3 * MIB,
            "{name}"
        );
        fs::remove_file(&to).unwrap();
    }
}

#[test]
fn compressed_files_are_unpacked_with_their_holes() {
    let folder = tempfile::tempdir().unwrap();
    let raw = image_file(folder.path());
    let qcow2 = folder.path().join("disk.qcow2");
    convert(
        &raw,
        &qcow2,
        Format::Qcow2,
        &ConvertOptions::default(),
        &mut Unwatched,
    )
    .unwrap();
    let (_, original) = disk::open(&raw).unwrap();
    for (program, extension, packing) in [
        ("gzip", "gz", Packing::Gzip),
        ("xz", "xz", Packing::Xz),
        ("zstd", "zst", Packing::Zstd),
    ] {
        for (file, from) in [(&raw, DiskFormat::Raw), (&qcow2, DiskFormat::Qcow2)] {
            let source = packed(file, program, extension);
            assert!(matches!(Image::open(&source), Err(Error::WrongKind { .. })));
            for format in [Format::Raw, Format::Qcow2] {
                let to = folder.path().join("to");
                let options = ImportOptions {
                    format,
                    ..options()
                };
                let found = imported(&source, &to, &options);
                assert_eq!((found.from, found.packing), (from, Some(packing)));
                assert_eq!(found.size_bytes, original.size_bytes());
                assert_same(&*original, &*disk::open(&to).unwrap().1);
                assert!(fs::metadata(&to).unwrap().blocks() * 512 < 3 * MIB);
                fs::remove_file(&to).unwrap();
            }
        }
    }
}

#[test]
fn cut_off_damaged_and_boundless_files_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let raw = image_file(folder.path());
    let into = tempfile::tempdir().unwrap();
    let to = into.path().join("to");
    for (program, extension) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        let source = packed(&raw, program, extension);
        let whole = fs::read(&source).unwrap();
        for kept in [10, whole.len() / 3, whole.len() - 9, whole.len() - 1] {
            fs::write(&source, &whole[..kept]).unwrap();
            let error = import(&source, &to, &options(), &mut Unwatched).unwrap_err();
            let Error::Packed { offset, .. } = &error else {
                panic!("{program}, {kept} of {}: {error}", whole.len())
            };
            assert!(*offset <= 100 * MIB + 512);
        }
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x55;
        fs::write(&source, &damaged).unwrap();
        assert!(import(&source, &to, &options(), &mut Unwatched).is_err());

        fs::write(&source, &whole).unwrap();
        let unpacked_bytes_max = 100 * MIB;
        let limited = ImportOptions {
            unpacked_bytes_max,
            ..options()
        };
        let error = import(&source, &to, &limited, &mut Unwatched).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        let leave_free_bytes = u64::MAX / 2;
        let full = ImportOptions {
            leave_free_bytes,
            ..options()
        };
        let error = import(&source, &to, &full, &mut Unwatched).unwrap_err();
        assert!(matches!(error, Error::NoRoom { .. }), "{error}");
        let mut stop = |_: u64| ControlFlow::Break(());
        let error = import(&source, &to, &options(), &mut stop).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
    }
    // Nothing that is known is in it.
    let mut text = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    text.write_all(b"no image").unwrap();
    let source = folder.path().join("text.gz");
    fs::write(&source, text.finish().unwrap()).unwrap();
    let error = import(&source, &to, &options(), &mut Unwatched).unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. }), "{error}");
    assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0);
}

/// The lines of `tar -tv` without dates, which are those of the file system.
fn listed(archive: &Path) -> String {
    let output = Command::new("tar")
        .arg("-tvf")
        .arg(archive)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let list = String::from_utf8(output.stdout).unwrap();
    let short = list.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}\n", words[0], words[2], words[5..].join(" "))
    });
    short
        .collect::<String>()
        .replace(&"d".repeat(120), "DDD")
        .replace(&"f".repeat(150), "FFF")
}

#[test]
fn a_volume_becomes_a_tar_archive() {
    use windlass_image::{GuestPath, Node, ext4};
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(150));
    let mut put = |path: &str, node| tree.insert(GuestPath::new(path).unwrap(), node).unwrap();
    put("bin/run", Node::bytes(*b"#!/bin/sh\n", 0o755));
    put("empty", Node::bytes(*b"", 0o600));
    put("large", Node::bytes(vec![7; 3 << 20], 0o644));
    put(
        "link",
        Node::Symlink {
            target: b"bin/run".to_vec(),
        },
    );
    put("tmp", Node::Directory { mode: 0o1777 });
    put(&long, Node::bytes(*b"deep", 0o644));
    let images = ["ext4.img", "rofs.img"].map(|name| folder.path().join(name));
    let ext4_options = ext4::Ext4Options::default();
    ext4::write(
        &tree,
        &mut File::create(&images[0]).unwrap(),
        &ext4_options,
        &mut Unwatched,
    )
    .unwrap();
    rofs::write(
        &tree,
        &mut File::create(&images[1]).unwrap(),
        &mut Unwatched,
    )
    .unwrap();
    let mut lists = Vec::new();
    for image in &images {
        let archives = ["one.tar", "two.tar"].map(|name| folder.path().join(name));
        for archive in &archives {
            let options = ConvertOptions {
                replace: true,
                ..ConvertOptions::default()
            };
            let mut sum = 0;
            let mut watch = |bytes: u64| {
                sum += bytes;
                ControlFlow::Continue(())
            };
            let done = convert(image, archive, Format::Tar, &options, &mut watch).unwrap();
            assert_eq!(
                (done.size_bytes, done.left_out, sum),
                (tree.total_bytes(), 0, tree.total_bytes())
            );
        }
        assert!(fs::read(&archives[0]).unwrap() == fs::read(&archives[1]).unwrap());
        lists.push(listed(&archives[0]));
        let out = tempfile::tempdir().unwrap();
        let status = Command::new("tar")
            .arg("-xf")
            .arg(&archives[0])
            .arg("-C")
            .arg(out.path())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(
            fs::read(out.path().join("large")).unwrap(),
            vec![7; 3 << 20]
        );
        assert_eq!(fs::read(out.path().join(&long)).unwrap(), b"deep");
    }
    insta::assert_snapshot!(lists.join("--\n"), @"
    drwxr-xr-x 0 bin/
    -rwxr-xr-x 10 bin/run
    drwxr-xr-x 0 DDD/
    -rw-r--r-- 4 DDD/FFF
    -rw------- 0 empty
    -rw-r--r-- 3145728 large
    lrwxrwxrwx 0 link -> bin/run
    drwxrwxrwt 0 tmp/
    --
    drwxr-xr-x 0 bin/
    -rwxr-xr-x 10 bin/run
    drwxr-xr-x 0 DDD/
    -rwxr-xr-x 4 DDD/FFF
    -rwxr-xr-x 0 empty
    -rwxr-xr-x 3145728 large
    lrwxrwxrwx 0 link -> bin/run
    drwxr-xr-x 0 tmp/
    ");
}
