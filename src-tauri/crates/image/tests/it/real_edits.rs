//! Real OSv disks that are changed in their place, and boot with the change: ours, and `usr.img` as OSv's own scripts make
//! it, which Capstan's images are.
//!
//! `WINDLASS_OSV_SCRIPTS` names the folder `scripts` of an OSv source tree; the other variables are those of `real_osv`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_image::convert::{ConvertOptions, Format, convert};
use windlass_image::ext4::Ext4Options;
use windlass_image::osv::Root;
use windlass_image::{
    FileSystemKind, GuestPath, Image, Node, Source, Tree, Unwatched, edit, resize,
};

use crate::real_osv::{
    READ, READ_AND_WRITE, boot, compare, disk, expected, ext4_is_read_and_written, guest_tree,
    program, set,
};
use crate::trees::path;

/// A tree in which a file has other bytes.
fn with(tree: &Tree, at: &str, bytes: &[u8]) -> Tree {
    let mut changed = Tree::new();
    for (known, node) in tree {
        let is_it = known == path(at);
        let node = if is_it {
            Node::bytes(bytes.to_vec(), 0o644)
        } else {
            node.clone()
        };
        changed.insert(known.clone(), node).unwrap();
    }
    changed
}

fn replace(image: &Path, at: &str, bytes: &[u8]) {
    let (source, length) = (Source::Bytes(bytes.into()), bytes.len() as u64);
    edit::replace_file(image, None, &path(at), source, length).unwrap();
}

const LONGER: &[u8] = &[b'x'; 70_001];

#[test]
fn a_disk_with_another_command_line_and_another_file_boots() {
    let Some(loader) = set("WINDLASS_OSV_LOADER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), false);
    let (_folder, image) = disk(Some(loader), "/nothing", &Root::Rofs, &tree);
    edit::set_command_line(&image, READ).unwrap();
    replace(&image, "tree/sizes/513", LONGER);
    replace(&image, "tree/sizes/100000", b"shorter");
    let tree = with(
        &with(&tree, "tree/sizes/513", LONGER),
        "tree/sizes/100000",
        b"shorter",
    );
    compare(&expected(&tree), &boot(&image, &[]));
}

#[test]
fn an_ext4_disk_with_another_command_line_and_another_file_boots() {
    let Some(loader) = set("WINDLASS_OSV_EXT_LOADER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), true);
    let root = Root::Ext4(Ext4Options::default());
    let (_folder, image) = disk(Some(loader), "/nothing", &root, &tree);
    edit::set_command_line(&image, READ_AND_WRITE).unwrap();
    replace(&image, "tree/sizes/513", LONGER);
    let tree = with(&tree, "tree/sizes/513", LONGER);
    ext4_is_read_and_written(&image, &tree, &[]);
}

/// A disk as `scripts/build fs=rofs` puts it together: the loader, its partition right behind, and room to ten times that.
fn usr_img(folder: &Path, loader: &Path, scripts: &Path, tree: &Tree) -> PathBuf {
    let stage = folder.join("stage");
    let mut manifest = String::from("[manifest]\n");
    for (at, node) in tree {
        let file = at.below(&stage);
        match node {
            Node::Directory { .. } => fs::create_dir_all(&file).unwrap(),
            Node::File {
                source: Source::Bytes(bytes),
                ..
            } => {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, bytes).unwrap();
            }
            _ => continue,
        }
        manifest.push_str(&format!("/{at}: {}\n", file.display()).replace("//", "/"));
    }
    let program = program(folder);
    writeln!(manifest, "/walk: {}", program.display()).unwrap();
    let (list, rofs) = (folder.join("usr.manifest"), folder.join("rofs.img"));
    fs::write(&list, manifest).unwrap();
    let made = Command::new("python3")
        .arg(scripts.join("gen-rofs-img.py"))
        .arg("-o")
        .arg(&rofs)
        .arg("-m")
        .arg(&list)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );

    let (mut bytes, part) = (fs::read(loader).unwrap(), fs::read(&rofs).unwrap());
    let start = bytes.len().next_multiple_of(512);
    bytes.resize(start, 0);
    bytes.extend(&part);
    let total = (bytes.len() * 10).next_multiple_of(1 << 20);
    let mut entry = vec![0, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF];
    for sectors in [start / 512, part.len() / 512] {
        entry.extend(u32::try_from(sectors).unwrap().to_le_bytes());
    }
    bytes[0x1CE..0x1DE].copy_from_slice(&entry);
    bytes[512..512 + 9].copy_from_slice(b"/nothing\0");
    let raw = folder.join("bare.raw");
    fs::write(&raw, bytes).unwrap();
    let raw_file = fs::File::options().write(true).open(&raw).unwrap();
    raw_file.set_len(total as u64).unwrap();
    let usr = folder.join("usr.img");
    let convert = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &usr])
        .status();
    assert!(convert.unwrap().success());
    usr
}

#[test]
fn a_usr_img_of_osvs_scripts_is_read_changed_and_boots() {
    let (Some(loader), Some(scripts)) = (set("WINDLASS_OSV_LOADER"), set("WINDLASS_OSV_SCRIPTS"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    for (at, bytes) in [
        ("tree/hello.txt", &b"hello"[..]),
        ("tree/sub/more", b"more"),
        ("tree/sub/empty", b""),
        ("tree/last", &[7; 3000]),
    ] {
        tree.insert(path(at), Node::bytes(bytes.to_vec(), 0o644))
            .unwrap();
    }
    let usr = usr_img(folder.path(), &loader, &scripts, &tree);

    let image = Image::open(&usr).unwrap();
    let line = image.osv().unwrap().command_line.clone();
    assert_eq!(line.as_deref(), Some("/nothing"));
    let volume = image.root_volume().unwrap();
    assert_eq!(
        (volume.number, volume.file_system),
        (2, Some(FileSystemKind::Rofs))
    );
    let root = image.root().unwrap();
    let list = root.list(&root.find(&path("tree")).unwrap()).unwrap();
    let names: Vec<String> = list.iter().map(|stat| stat.path.to_string()).collect();
    assert_eq!(names, ["/tree/hello.txt", "/tree/last", "/tree/sub"]);
    let mut bytes = [0; 16];
    let count = root.read(&list[0], 0, &mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"hello");
    drop((root, image));
    let refused = edit::set_command_line(&usr, READ).unwrap_err().to_string();
    assert!(refused.contains("convert it to raw first"), "{refused}");

    let raw = folder.path().join("usr.raw");
    convert(
        &usr,
        &raw,
        Format::Raw,
        &ConvertOptions::default(),
        &mut Unwatched,
    )
    .unwrap();
    let size_bytes = fs::metadata(&raw).unwrap().len();
    edit::set_command_line(&raw, READ).unwrap();
    replace(&raw, "tree/hello.txt", LONGER);
    replace(&raw, "tree/last", b"short");
    let tree = with(
        &with(&tree, "tree/hello.txt", LONGER),
        "tree/last",
        b"short",
    );
    assert_eq!(fs::metadata(&raw).unwrap().len(), size_bytes);
    compare(&expected(&tree), &boot(&raw, &[]));

    // And once more behind a resize.
    let options = resize::ResizeOptions::default();
    resize::resize(&raw, size_bytes + (8 << 20), &options, &mut Unwatched).unwrap();
    replace(&raw, "tree/sub/empty", b"not any more");
    let tree = with(&tree, "tree/sub/empty", b"not any more");
    compare(&expected(&tree), &boot(&raw, &[]));
    assert!(
        Image::open(&raw)
            .unwrap()
            .root()
            .unwrap()
            .find(&GuestPath::root())
            .is_ok()
    );
}
