//! ext4, judged by e2fsprogs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;
use windlass_image::disk::Raw;
use windlass_image::ext4::{Ext4, Ext4Options, WrittenBy};
use windlass_image::{FileSystem, GuestPath, Node, Source, Tree, Unwatched, ext4};

use crate::trees::{Content, any_tree, contents_of_tree, path, sampler, text_name};

/// Finds a tool that may be where only root looks.
pub fn tool(name: &str) -> Option<Command> {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.exists());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed (`./dev setup`)");
    }
    found.map(Command::new)
}

fn written(tree: &Tree, options: &Ext4Options) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let mut file = fs::File::create(&image).unwrap();
    let size = ext4::write(tree, &mut file, options, &mut Unwatched).unwrap();
    assert_eq!(file.metadata().unwrap().len(), size);
    (folder, image)
}

/// Whether `e2fsck -fn` has nothing to say.
pub fn check(image: &Path) {
    let Some(mut e2fsck) = tool("e2fsck") else {
        return;
    };
    let output = e2fsck.arg("-fn").arg(image).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{words}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What debugfs takes out of the image.
pub fn extracted(image: &Path) -> Option<BTreeMap<GuestPath, Content>> {
    let target = tempfile::tempdir().unwrap();
    let mut debugfs = tool("debugfs")?;
    let request = format!("rdump / {}", target.path().display());
    let output = debugfs.arg("-R").arg(request).arg(image).output().unwrap();
    assert!(output.status.success());
    let mut found = BTreeMap::new();
    collect(target.path(), &GuestPath::root(), &mut found);
    found.remove(&path("lost+found"));
    Some(found)
}

pub fn collect(folder: &Path, at: &GuestPath, found: &mut BTreeMap<GuestPath, Content>) {
    use std::os::unix::ffi::OsStrExt;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name().as_bytes()).unwrap();
        let kind = entry.file_type().unwrap();
        let content = if kind.is_dir() {
            collect(&entry.path(), &path, found);
            Content::Directory
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            Content::Symlink(target.as_os_str().as_bytes().to_vec())
        } else {
            Content::File(fs::read(entry.path()).unwrap())
        };
        found.insert(path, content);
    }
}

fn round_trip(tree: &Tree, options: &Ext4Options) {
    let (_folder, image) = written(tree, options);
    check(&image);
    if let Some(found) = extracted(&image) {
        assert_eq!(found, contents_of_tree(tree));
    }
}

fn for_osv() -> Ext4Options {
    Ext4Options {
        written_by: WrittenBy::Osv,
        ..Ext4Options::default()
    }
}

#[test]
fn a_tree_of_everything_is_sound_for_linux_and_for_osv() {
    round_trip(&sampler(), &Ext4Options::default());
    round_trip(&sampler(), &for_osv());
}

#[test]
fn every_size_is_sound() {
    for mib in [
        8, 9, 15, 16, 17, 127, 128, 129, 300, 2048, 2049, 2050, 2176, 5000, 20_000,
    ] {
        for written_by in [WrittenBy::Linux, WrittenBy::Osv] {
            let size_bytes = Some(mib << 20);
            let options = Ext4Options {
                size_bytes,
                written_by,
                ..Ext4Options::default()
            };
            let mut tree = Tree::new();
            tree.insert(path("x"), Node::bytes(*b"x", 0o644)).unwrap();
            let (_folder, image) = written(&tree, &options);
            check(&image);
        }
    }
}

#[test]
fn a_tight_fit_holds_what_it_has_to() {
    let mut many = Tree::new();
    for number in 0..9000 {
        let name = format!("folder {}/{number:0>200}", number % 3);
        many.insert(path(&name), Node::bytes(*b"x", 0o644)).unwrap();
    }
    let mut empty = Tree::new();
    for number in 0..40_000 {
        empty
            .insert(path(&format!("{number}")), Node::bytes(*b"", 0o644))
            .unwrap();
    }
    let mut large = Tree::new();
    large
        .insert(path("large"), Node::bytes(vec![7; 140 << 20], 0o644))
        .unwrap();
    let mut huge = Tree::new();
    for number in 0..17_000 {
        // More than one block of an index.
        huge.insert(
            path(&format!("{number:0>120}")),
            Node::Directory { mode: 0o755 },
        )
        .unwrap();
    }
    for tree in [many, empty, large, huge] {
        for written_by in [WrittenBy::Linux, WrittenBy::Osv] {
            let headroom_bytes = Some(0);
            let options = Ext4Options {
                headroom_bytes,
                written_by,
                ..Ext4Options::default()
            };
            let (_folder, image) = written(&tree, &options);
            check(&image);
        }
    }
}

#[test]
fn a_directory_of_a_hundred_thousand_is_sound() {
    const COUNT: usize = 100_000;
    let mut tree = Tree::new();
    for number in 0..COUNT {
        let at = path(&format!("many/{number:0>9}"));
        tree.insert(at, Node::bytes(*b"", 0o644)).unwrap();
    }
    for written_by in [WrittenBy::Linux, WrittenBy::Osv] {
        let options = Ext4Options {
            written_by,
            ..Ext4Options::default()
        };
        let (_folder, image) = written(&tree, &options);
        check(&image);
        let disk = Raw::new(fs::File::open(&image).unwrap()).unwrap();
        let found = Ext4::open(Arc::new(disk)).unwrap();
        assert_eq!(
            found
                .list(&found.find(&path("many")).unwrap())
                .unwrap()
                .len(),
            COUNT
        );
    }
}

/// More extents than an inode holds, in files that are mostly holes, and in a journal that copies of the superblock cut.
#[test]
fn slow_a_file_of_sixty_gibibytes_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    let size_bytes = 60 << 30;
    fs::File::create(&large)
        .unwrap()
        .set_len(size_bytes)
        .unwrap();
    let mut tree = Tree::new();
    for name in ["before", "zzz"] {
        tree.insert(path(name), Node::bytes(*b"small", 0o644))
            .unwrap();
    }
    let node = Node::File {
        source: Source::Path(large),
        size_bytes,
        mode: 0o644,
    };
    tree.insert(path("large"), node).unwrap();
    let (_folder, image) = written(&tree, &Ext4Options::default());
    check(&image);
}

#[test]
fn permissions_are_kept() {
    let mut tree = Tree::new();
    tree.insert(path("bin/su"), Node::bytes(*b"x", 0o4755))
        .unwrap();
    tree.insert(path("tmp"), Node::Directory { mode: 0o1777 })
        .unwrap();
    tree.insert(GuestPath::root(), Node::Directory { mode: 0o711 })
        .unwrap();
    let (_folder, image) = written(&tree, &Ext4Options::default());
    if tool("debugfs").is_none() {
        return;
    }
    let mode = |at: &str| {
        let mut debugfs = tool("debugfs").unwrap();
        let output = debugfs
            .arg("-R")
            .arg(format!("stat {at}"))
            .arg(&image)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mode = text
            .split("Mode:")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap();
        mode.to_owned()
    };
    assert_eq!(
        [mode("/bin/su"), mode("/tmp"), mode("/")],
        ["04755", "01777", "0711"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_is_sound(
        tree in any_tree(text_name(), "[a-z/]{1,200}".prop_map(String::into_bytes)),
        for_osv in any::<bool>(),
    ) {
        // debugfs quotes nothing: names that its command line could not hold are no matter here.
        let written_by = if for_osv { WrittenBy::Osv } else { WrittenBy::Linux };
        round_trip(&tree, &Ext4Options { written_by, ..Ext4Options::default() });
    }
}
