//! An image that was updated is the image that a full build gives, in all that a guest sees.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use windlass_image::disk::{Raw, SharedDisk};
use windlass_image::ext4::{Ext4Options, WrittenBy};
use windlass_image::update::{Changes, Updated};
use windlass_image::{GuestPath, Image, Node, Tree, Unwatched, ext4, osv, rofs};

use crate::ext4::{check, extracted};
use crate::readers::contents_of;
use crate::trees::{any_name, any_tree, contents_of_tree, files, path, sampler, text_name};

/// What differs between two trees.
pub fn changes(old: &Tree, new: &Tree) -> Changes {
    let removed = old.iter().filter(|(path, _)| new.get(path).is_none());
    let put = new
        .iter()
        .filter(|(path, node)| old.get(path) != Some(node.clone()));
    Changes {
        removed: removed.map(|(path, _)| path.clone()).collect(),
        put: put.map(|(path, _)| path.clone()).collect(),
    }
}

/// Which kind of image.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Rofs,
    Linux,
    Osv,
    OsvDisk,
}

fn options(kind: Kind) -> Ext4Options {
    Ext4Options {
        size_bytes: Some(16 << 20),
        written_by: if matches!(kind, Kind::Linux) {
            WrittenBy::Linux
        } else {
            WrittenBy::Osv
        },
        ..Ext4Options::default()
    }
}

fn write(kind: Kind, tree: &Tree, file: &mut File) {
    file.set_len(0).unwrap();
    file.rewind().unwrap();
    match kind {
        Kind::Rofs => assert!(rofs::write(tree, file, &mut Unwatched).unwrap() > 0),
        Kind::Linux | Kind::Osv => {
            assert!(ext4::write(tree, file, &options(kind), &mut Unwatched).unwrap() > 0);
        }
        Kind::OsvDisk => {
            osv::write_disk(None, "/old", &osv::Root::Rofs, tree, file, &mut Unwatched).unwrap();
        }
    }
}

/// Updates, and tells whether it was possible. What was not patched yet is looked at on the way.
fn update(kind: Kind, old: &Tree, new: &Tree, file: &mut File) -> bool {
    let changes = changes(old, new);
    let disk: SharedDisk = Arc::new(Raw::new(file.try_clone().unwrap()).unwrap());
    let updated = match kind {
        Kind::Rofs => rofs::update(disk, 0, new, &changes, file, &mut Unwatched),
        Kind::Linux | Kind::Osv => {
            ext4::update(disk, 0, new, &changes, &options(kind), file, &mut Unwatched)
        }
        Kind::OsvDisk => osv::update_disk(
            &disk,
            "/new",
            &osv::Root::Rofs,
            new,
            &changes,
            file,
            &mut Unwatched,
        ),
    };
    let patch = match updated.unwrap() {
        Updated::Patch(patch) => patch,
        Updated::Rebuild { .. } => {
            write(kind, new, file);
            return false;
        }
    };
    // Until the patch, the image is the old one.
    assert_eq!(contents(file), contents_of_tree(old));
    for (&at, bytes) in &patch.writes {
        file.write_all_at(bytes, at).unwrap();
    }
    file.set_len(patch.size_bytes).unwrap();
    file.flush().unwrap();
    true
}

fn contents(file: &File) -> BTreeMap<GuestPath, crate::trees::Content> {
    let disk: SharedDisk = Arc::new(Raw::new(file.try_clone().unwrap()).unwrap());
    let image = Image::of(
        Path::new("image"),
        windlass_image::disk::DiskFormat::Raw,
        disk,
    )
    .unwrap();
    contents_of(image.root().unwrap().as_ref()).unwrap()
}

fn image_file(folder: &Path) -> File {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(folder.join("image"))
        .unwrap()
}

fn go_through(kind: Kind, trees: &[Tree]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let mut file = image_file(folder.path());
    write(kind, &trees[0], &mut file);
    for pair in trees.windows(2) {
        update(kind, &pair[0], &pair[1], &mut file);
        let mut expected = contents_of_tree(&pair[1]);
        expected.remove(&path("lost+found"));
        prop_assert_eq!(contents(&file), expected.clone());
        if matches!(kind, Kind::Linux | Kind::Osv) {
            check(&folder.path().join("image"));
            if let Some(found) = extracted(&folder.path().join("image")) {
                prop_assert_eq!(found, expected);
            }
        }
    }
    Ok(())
}

/// Trees that grow out of each other: part of the one before, and part of another.
fn sequence(
    name: impl Strategy<Value = Vec<u8>>,
    target: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Vec<Tree>> {
    let steps = vec((any_tree(name, target), any::<u64>()), 2..6);
    steps.prop_map(|steps| {
        let mut trees: Vec<Tree> = Vec::new();
        for (other, seed) in steps {
            let Some(last) = trees.last() else {
                trees.push(other);
                continue;
            };
            let mut tree = Tree::new();
            let chosen = |at: usize, share: u64| {
                (seed.rotate_left(u32::try_from(at % 64).unwrap()) & 7) < share
            };
            for (at, (path, node)) in last.iter().enumerate() {
                if chosen(at, 6) {
                    let _ = tree.insert(path.clone(), node.clone());
                }
            }
            for (at, (path, node)) in other.iter().enumerate() {
                if chosen(at + 13, 3) {
                    let _ = tree.insert(path.clone(), node.clone());
                }
            }
            trees.push(tree);
        }
        trees
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_rofs(trees in sequence(any_name(), vec(1..=255_u8, 1..300))) {
        go_through(Kind::Rofs, &trees)?;
        go_through(Kind::OsvDisk, &trees)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_ext4(trees in sequence(text_name(), "[a-z/.]{1,80}".prop_map(String::into_bytes)), is_linux: bool) {
        go_through(if is_linux { Kind::Linux } else { Kind::Osv }, &trees)?;
    }
}

fn with(tree: &Tree, put: &[(&str, &[u8])], without: &[&str]) -> Tree {
    let mut new = Tree::new();
    for (at, node) in tree {
        let gone = without
            .iter()
            .any(|gone| at.to_string()[1..].starts_with(gone));
        let replaced = put.iter().any(|(put, _)| path(put) == at);
        if !gone && !replaced {
            new.insert(at.clone(), node.clone()).unwrap();
        }
    }
    for (at, bytes) in put {
        new.insert(path(at), Node::bytes(bytes.to_vec(), 0o644))
            .unwrap();
    }
    new
}

#[test]
fn a_directory_grows_an_index_and_loses_it() {
    let names: Vec<String> = (0..7_900)
        .map(|number| format!("many/{number:0250}"))
        .collect();
    let pairs: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let few = files(&pairs[..10]);
    let some = files(&pairs[..2_000]);
    let large = Ext4Options {
        size_bytes: Some(64 << 20),
        ..Ext4Options::default()
    };
    for written_by in [WrittenBy::Linux, WrittenBy::Osv] {
        let options = Ext4Options {
            written_by,
            ..large.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        let mut file = image_file(folder.path());
        let mut now = few.clone();
        ext4::write(&now, &mut file, &options, &mut Unwatched).unwrap();
        // Names so long that the index has two levels.
        for next in [&some, &files(&pairs), &files(&pairs[100..6_000]), &few] {
            let disk: SharedDisk = Arc::new(Raw::new(file.try_clone().unwrap()).unwrap());
            let updated = ext4::update(
                disk,
                0,
                next,
                &changes(&now, next),
                &options,
                &mut file,
                &mut Unwatched,
            )
            .unwrap();
            let Updated::Patch(patch) = updated else {
                panic!("{updated:?}")
            };
            for (&at, bytes) in &patch.writes {
                file.write_all_at(bytes, at).unwrap();
            }
            check(&folder.path().join("image"));
            assert_eq!(contents(&file), contents_of_tree(next));
            now = next.clone();
        }
    }
}

#[test]
fn one_changed_file_writes_one_file() {
    let large = vec![7; 3 << 20];
    let tree = with(
        &sampler(),
        &[("data/large", &large), ("data/other", &large)],
        &[],
    );
    let new = with(&tree, &[("etc/hosts", b"127.0.0.1 changed\n")], &[]);
    for kind in [Kind::Rofs, Kind::Linux, Kind::Osv] {
        let folder = tempfile::tempdir().unwrap();
        let mut file = image_file(folder.path());
        write(kind, &tree, &mut file);
        let disk: SharedDisk = Arc::new(Raw::new(file.try_clone().unwrap()).unwrap());
        assert!(disk.size_bytes() > 6 << 20);
        let changes = changes(&tree, &new);
        let updated = match kind {
            Kind::Rofs => rofs::update(disk, 0, &new, &changes, &mut file, &mut Unwatched),
            _ => ext4::update(
                disk,
                0,
                &new,
                &changes,
                &options(kind),
                &mut file,
                &mut Unwatched,
            ),
        };
        let Updated::Patch(patch) = updated.unwrap() else {
            panic!("rebuilt")
        };
        assert!(
            patch.bytes_written() < 32 << 10,
            "{kind:?}: {}",
            patch.bytes_written()
        );
    }
}

#[test]
fn what_is_given_up_is_used_again_and_too_much_waste_asks_for_a_build() {
    let contents: Vec<Vec<u8>> = (0..200_u8).map(|fill| vec![fill; 100_000]).collect();
    let names: Vec<String> = (0..40).map(|number| format!("data/{number}")).collect();
    let tree_of = |shift: usize| {
        let list: Vec<(&str, &[u8])> = names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                (
                    name.as_str(),
                    &contents[(index + shift * usize::from(index < 5)) % 200][..],
                )
            })
            .collect();
        files(&list)
    };
    let folder = tempfile::tempdir().unwrap();
    let mut file = image_file(folder.path());
    write(Kind::Rofs, &tree_of(0), &mut file);
    let full = file.metadata().unwrap().len();
    for shift in 1..20 {
        assert!(update(
            Kind::Rofs,
            &tree_of(shift - 1),
            &tree_of(shift),
            &mut file
        ));
    }
    let now = file.metadata().unwrap().len();
    assert!(now < full + full / 4, "{full} became {now}");
    // Nearly all goes: it is not worth to keep the rest where it is.
    let little = files(&[("data/39", &contents[39])]);
    assert!(!update(Kind::Rofs, &tree_of(19), &little, &mut file));
    assert_eq!(
        fs::metadata(folder.path().join("image")).unwrap().len(),
        rofs::image_size_bytes(&little)
    );
}

#[test]
fn the_command_line_and_the_partition_follow() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = image_file(folder.path());
    let old = sampler();
    let new = with(&old, &[("data/new", &vec![1; 70_000])], &["srv"]);
    write(Kind::OsvDisk, &old, &mut file);
    assert!(update(Kind::OsvDisk, &old, &new, &mut file));
    let image = Image::open(&folder.path().join("image")).unwrap();
    assert_eq!(image.osv().unwrap().command_line.as_deref(), Some("/new"));
    let volume = &image.volumes()[0];
    assert_eq!(volume.start_bytes + volume.size_bytes, image.size_bytes());
    assert_eq!(contents(&file), contents_of_tree(&new));
}
