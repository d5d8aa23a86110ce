//! What others made, read by us: `mke2fs`, `qemu-img`, `sfdisk`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;
use windlass_image::disk::{self, DiskFormat, Qcow2, ReadAt, SharedDisk};
use windlass_image::ext4::{Ext4, Ext4Options};
use windlass_image::{
    Error, FileSystem, FileSystemKind, GuestPath, Image, Layout, StatKind, Tree, Unwatched, ext4,
    file_system, osv, rofs,
};

use crate::ext4::tool;
use crate::trees::{Content, contents_of_tree, sampler};

/// All that is in a file system, by the interface that each of them has.
pub fn contents_of(file_system: &dyn FileSystem) -> Result<BTreeMap<GuestPath, Content>, Error> {
    let mut found = BTreeMap::new();
    for stat in file_system::walk(file_system) {
        let stat = stat?;
        let content = match &stat.kind {
            StatKind::Directory => Content::Directory,
            StatKind::Symlink { target } => Content::Symlink(target.clone()),
            StatKind::File { size_bytes } => {
                let mut bytes = Vec::new();
                let mut part = [0; 3000];
                loop {
                    let count = file_system.read(&stat, bytes.len() as u64, &mut part)?;
                    bytes.extend_from_slice(&part[..count]);
                    // A damaged image may claim any size.
                    if count < part.len() || bytes.len() > 8 << 20 {
                        break;
                    }
                }
                if *size_bytes <= 8 << 20 {
                    assert_eq!(bytes.len() as u64, *size_bytes);
                }
                Content::File(bytes)
            }
            StatKind::Special { what } => panic!("{what} at {}", stat.path),
        };
        found.insert(stat.path, content);
    }
    found.remove(&GuestPath::new("lost+found").unwrap());
    Ok(found)
}

fn folder_with_everything() -> (TempDir, BTreeMap<GuestPath, Content>) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    let mut expected = BTreeMap::new();
    let mut put = |at: &str, content: Content| {
        let path = root.join(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match &content {
            Content::Directory => fs::create_dir_all(&path).unwrap(),
            Content::File(bytes) => fs::write(&path, bytes).unwrap(),
            Content::Symlink(target) => symlink(str::from_utf8(target).unwrap(), &path).unwrap(),
        }
        let mut at = GuestPath::new(at).unwrap();
        expected.insert(at.clone(), content);
        while let Some(parent) = at.parent().filter(|parent| !parent.is_root()) {
            expected.entry(parent.clone()).or_insert(Content::Directory);
            at = parent;
        }
    };
    put("empty", Content::File(Vec::new()));
    put("hello", Content::File(b"hello".to_vec()));
    let noise: Vec<u8> = (0_u32..3_000_000)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    put("large", Content::File(noise));
    put("short-link", Content::Symlink(b"hello".to_vec()));
    put("long-link", Content::Symlink(vec![b'x'; 200]));
    put("deep/er/and/deeper", Content::Directory);
    for number in 0..600 {
        put(
            &format!("many/a-name-that-takes-some-room-{number}"),
            Content::File(vec![b'n'; number]),
        );
    }
    (folder, expected)
}

/// An ext4 of a folder by `mke2fs`, or nothing where it is not installed.
fn made_by_mke2fs(folder: &Path, options: &[&str]) -> Option<PathBuf> {
    let image = folder.join("made.img");
    let _ = fs::remove_file(&image);
    let output = tool("mke2fs")?
        .args(["-q", "-d"])
        .arg(folder.join("tree"))
        .args(options)
        .arg(&image)
        .arg("24M")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(image)
}

#[test]
fn every_kind_of_ext4_that_mke2fs_makes() {
    let (folder, expected) = folder_with_everything();
    for options in [
        &["-t", "ext4", "-b", "4096"][..],
        &["-t", "ext4", "-b", "2048"],
        &["-t", "ext4", "-b", "1024"],
        &["-t", "ext4", "-b", "4096", "-O", "^64bit,^metadata_csum"],
        &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^flex_bg"],
        &["-t", "ext3", "-b", "1024"],
        &["-t", "ext2", "-b", "4096"],
    ] {
        let Some(image) = made_by_mke2fs(folder.path(), options) else {
            return;
        };
        let image = Image::open(&image).unwrap();
        assert_eq!(
            (image.format(), image.layout()),
            (DiskFormat::Raw, Layout::Bare)
        );
        let root = image.root().unwrap();
        assert_eq!(root.kind(), FileSystemKind::Ext4);
        assert!(
            contents_of(root.as_ref()).unwrap() == expected,
            "{options:?}"
        );
    }
}

#[test]
fn what_our_writers_make_is_read_by_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let tree = sampler();
    for root in [osv::Root::Rofs, osv::Root::Ext4(Ext4Options::default())] {
        let mut file = fs::File::create(&path).unwrap();
        osv::write_disk(
            None,
            "--verbose /hello",
            &root,
            &tree,
            &mut file,
            &mut Unwatched,
        )
        .unwrap();
        let image = Image::open(&path).unwrap();
        assert_eq!(image.layout(), Layout::Mbr);
        let found = image.osv().unwrap();
        assert_eq!(
            (found.has_loader, found.command_line.as_deref()),
            (false, Some("--verbose /hello"))
        );
        assert_eq!(image.volumes().len(), 1);
        assert_eq!(
            contents_of(image.root().unwrap().as_ref()).unwrap(),
            contents_of_tree(&tree)
        );
    }
    let mut file = fs::File::create(&path).unwrap();
    rofs::write(&tree, &mut file, &mut Unwatched).unwrap();
    let image = Image::open(&path).unwrap();
    assert_eq!(image.layout(), Layout::Bare);
    assert_eq!(
        contents_of(image.root().unwrap().as_ref()).unwrap(),
        contents_of_tree(&tree)
    );
}

#[test]
fn qcow2_in_all_that_qemu_img_writes() {
    let (folder, expected) = folder_with_everything();
    let Some(raw) = made_by_mke2fs(folder.path(), &["-t", "ext4"]) else {
        return;
    };
    let Some(_) = tool("qemu-img") else { return };
    let qemu_img = |words: &[&str]| {
        let output = tool("qemu-img")
            .unwrap()
            .current_dir(folder.path())
            .args(words)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    for options in [
        &["-o", "cluster_size=65536"][..],
        &["-o", "cluster_size=512"],
        &["-o", "compat=0.10"],
        &["-c"],
        &["-c", "-o", "cluster_size=4096"],
        &["-c", "-o", "compression_type=zstd"],
    ] {
        qemu_img(
            &[
                &["convert", "-f", "raw", "-O", "qcow2"],
                options,
                &["made.img", "disk.qcow2"],
            ]
            .concat(),
        );
        let image = Image::open(&folder.path().join("disk.qcow2")).unwrap();
        assert_eq!(image.format(), DiskFormat::Qcow2);
        assert_eq!(image.size_bytes(), fs::metadata(&raw).unwrap().len());
        assert!(
            contents_of(image.root().unwrap().as_ref()).unwrap() == expected,
            "{options:?}"
        );
    }

    // What is not there comes from below, if that is given.
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "made.img",
        "-F",
        "raw",
        "over.qcow2",
        "32M",
    ]);
    let over = folder.path().join("over.qcow2");
    insta::assert_snapshot!(Image::open(&over).unwrap_err(), @r#"the image has a backing file ("made.img") (at byte 8), which cannot be read here"#);
    let open = |path: &Path| -> SharedDisk {
        Arc::new(disk::Raw::new(fs::File::open(path).unwrap()).unwrap())
    };
    let over: SharedDisk = Arc::new(Qcow2::open(open(&over), Some(open(&raw))).unwrap());
    assert!(contents_of(&Ext4::open(over).unwrap()).unwrap() == expected);
}

#[test]
fn a_gpt_disk_by_sfdisk() {
    let Some(mut sfdisk) = tool("sfdisk") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let file = fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let script = "label: gpt\nstart=2048, size=16384, name=\"boot\"\nstart=20480, size=65536, name=\"gr\u{f6}\u{df}e\"\n";
    fs::write(folder.path().join("script"), script).unwrap();
    let input = fs::File::open(folder.path().join("script")).unwrap();
    let output = sfdisk.arg("-q").arg(&path).stdin(input).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut section = windlass_image::Section::new(
        fs::File::options().write(true).open(&path).unwrap(),
        20480 * 512,
        65536 * 512,
    )
    .unwrap();
    let options = Ext4Options {
        size_bytes: Some(65536 * 512),
        ..Ext4Options::default()
    };
    ext4::write(&sampler(), &mut section, &options, &mut Unwatched).unwrap();

    let image = Image::open(&path).unwrap();
    let told: Vec<_> = image
        .volumes()
        .iter()
        .map(|volume| {
            format!(
                "{} {:?} {} + {} {:?}",
                volume.number,
                volume.name,
                volume.start_bytes,
                volume.size_bytes,
                volume.file_system
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    1 Some("boot") 1048576 + 8388608 None
    2 Some("größe") 10485760 + 33554432 Some(Ext4)
    "#);
    assert_eq!(
        contents_of(image.root().unwrap().as_ref()).unwrap(),
        contents_of_tree(&sampler())
    );

    let mut bytes = fs::read(&path).unwrap();
    bytes[1024 + 40] ^= 1;
    let error = Image::of(&path, DiskFormat::Raw, Arc::new(bytes))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "the image is damaged: GUID partition table at byte 600: expected the checksum"
        ),
        "{error}"
    );
}

/// Everything of a damaged image is read, as far as it goes.
fn read_all(bytes: Vec<u8>) {
    let Ok((format, disk)) = disk::of(Arc::new(bytes)) else {
        return;
    };
    let Ok(image) = Image::of(Path::new("damaged"), format, disk) else {
        return;
    };
    for volume in image.volumes() {
        if let Ok(file_system) = image.file_system(volume) {
            let _ = contents_of_damaged(file_system.as_ref());
        }
    }
}

fn contents_of_damaged(file_system: &dyn FileSystem) -> Result<(), Error> {
    for stat in file_system::walk(file_system).take(3000) {
        let stat = stat?;
        let mut part = [0; 5000];
        if let StatKind::File { size_bytes } = stat.kind {
            file_system.read(&stat, 0, &mut part)?;
            file_system.read(&stat, size_bytes.saturating_sub(1000), &mut part)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_image_is_refused_and_never_panics(
        kind in 0..4_usize,
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 1..12),
    ) {
        static IMAGES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        let images = IMAGES.get_or_init(images_to_damage);
        let mut bytes = images[kind % images.len()].clone();
        // Most of an image is content and holes, in which nothing can be wrong.
        let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        for (index, value, near_start) in flips {
            let at = if near_start { index.index(4096.min(bytes.len())) } else { used[index.index(used.len())] };
            bytes[at] = value;
        }
        read_all(bytes);
    }
}

fn images_to_damage() -> Vec<Vec<u8>> {
    let tree = sampler();
    let written = |write: &dyn Fn(&mut std::io::Cursor<Vec<u8>>)| {
        let mut out = std::io::Cursor::new(Vec::new());
        write(&mut out);
        out.into_inner()
    };
    let options = Ext4Options {
        size_bytes: Some(8 << 20),
        ..Ext4Options::default()
    };
    let mut images = vec![
        written(&|out| assert!(rofs::write(&tree, out, &mut Unwatched).unwrap() > 0)),
        written(&|out| assert!(ext4::write(&tree, out, &options, &mut Unwatched).unwrap() > 0)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    fs::write(&raw, &images[1]).unwrap();
    if let Some(mut qemu_img) = tool("qemu-img") {
        let packed = folder.path().join("packed");
        let convert = |command: &mut Command| {
            command
                .args([
                    "convert",
                    "-c",
                    "-f",
                    "raw",
                    "-O",
                    "qcow2",
                    "-o",
                    "cluster_size=4096",
                ])
                .arg(&raw)
                .arg(&packed)
                .status()
                .unwrap()
        };
        assert!(convert(&mut qemu_img).success());
        images.push(fs::read(&packed).unwrap());
    }
    images
}

#[test]
fn a_disk_ends_where_it_ends() {
    let bytes: SharedDisk = Arc::new(vec![7_u8; 100]);
    let part = disk::Part::new(bytes, 90, 1000);
    assert_eq!(part.size_bytes(), 10);
    assert!(part.read_at(5, &mut [0; 5]).is_ok());
    assert!(part.read_at(5, &mut [0; 6]).is_err());
    assert!(part.read_at(u64::MAX, &mut [0; 6]).is_err());
}

#[test]
fn what_is_not_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let disk = |at: u64, magic: &[u8]| {
        let path = folder.path().join("disk.img");
        let mut file = fs::File::create(&path).unwrap();
        let root = osv::Root::Empty {
            size_bytes: 1 << 20,
        };
        let layout = osv::write_disk(
            None,
            "--rootfs=zfs /hello",
            &root,
            &Tree::new(),
            &mut file,
            &mut Unwatched,
        )
        .unwrap();
        file.set_len(layout.size_bytes).unwrap();
        file.write_all_at(magic, layout.partition.start_bytes + at)
            .unwrap();
        Image::open(&path).unwrap()
    };
    let zfs = 0x00ba_b10c_u64;
    for (at, magic, name) in [
        (132 << 10, zfs.to_le_bytes().as_slice(), "ZFS"),
        (255 << 10, &zfs.to_be_bytes(), "ZFS"),
        (0, b"XFSB", "XFS"),
        (0, b"LUKS\xba\xbe", "LUKS"),
        (4086, b"SWAPSPACE2", "swap"),
    ] {
        let image = disk(at, magic);
        let [volume] = image.volumes() else {
            panic!("{:?}", image.volumes());
        };
        assert_eq!(volume.foreign.unwrap().to_string(), name);
        let error = image.file_system(volume).unwrap_err().to_string();
        assert!(error.contains(&format!("it holds {name}")), "{error}");
    }
    assert_eq!(disk(100, b"nothing").volumes()[0].foreign, None);
}
