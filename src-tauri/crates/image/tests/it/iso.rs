//! ISO 9660: what we write is read by isoinfo and by us; what genisoimage writes, by us.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use windlass_image::file_system::{FileSystem, StatKind, walk};
use windlass_image::iso::{self, Iso, IsoOptions};
use windlass_image::{Error, FileSystemKind, GuestPath, Image, ImageKind, Node, Tree, Unwatched};

use crate::trees::{any_name, any_tree};

fn options() -> IsoOptions {
    IsoOptions {
        label: "cidata".to_owned(),
    }
}

fn written(tree: &Tree) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let size = iso::write(tree, &mut out, &options(), &mut Unwatched).unwrap();
    let bytes = out.into_inner();
    assert_eq!(bytes.len() as u64, size);
    bytes
}

fn seed() -> Tree {
    let mut tree = Tree::new();
    let mut put = |path: &str, node| tree.insert(GuestPath::new(path).unwrap(), node).unwrap();
    put(
        "user-data",
        Node::bytes(*b"#cloud-config\nhostname: windlass\n", 0o600),
    );
    put("meta-data", Node::bytes(*b"instance-id: one\n", 0o644));
    put("network-config", Node::bytes(*b"version: 2\n", 0o644));
    put("empty", Node::bytes(*b"", 0o644));
    put(
        "Grüße/very long name with spaces and (brackets).tar.gz",
        Node::bytes(vec![7; 5000], 0o755),
    );
    put(
        &format!("deep/{}/file", ["d"; 12].join("/")),
        Node::bytes(*b"deep", 0o644),
    );
    put(
        &format!("long/{}", "n".repeat(255)),
        Node::bytes(*b"long", 0o644),
    );
    put(
        "link",
        Node::Symlink {
            target: b"../a/./b/user-data".to_vec(),
        },
    );
    put(
        "absolute",
        Node::Symlink {
            target: b"/etc/hosts".to_vec(),
        },
    );
    put(
        "far",
        Node::Symlink {
            target: ["component"; 100].join("/").into_bytes(),
        },
    );
    put("tmp", Node::Directory { mode: 0o1777 });
    for number in 0..200 {
        put(
            &format!("many/file-with-a-name-{number}"),
            Node::bytes(vec![1; number], 0o640),
        );
    }
    tree
}

/// Everything in a file system as it should be in the tree, and nothing else.
fn assert_same(file_system: &dyn FileSystem, tree: &Tree) {
    let mut count = 0;
    for stat in walk(file_system) {
        let stat = stat.unwrap();
        count += 1;
        let node = tree
            .get(&stat.path)
            .unwrap_or_else(|| panic!("{} is too much", stat.path));
        let mode = match node {
            Node::Directory { mode } => {
                assert_eq!(stat.kind, StatKind::Directory);
                mode
            }
            Node::Symlink { target } => {
                let target = target.clone();
                assert_eq!(stat.kind, StatKind::Symlink { target });
                0o777
            }
            Node::File {
                size_bytes,
                mode,
                source,
            } => {
                assert_eq!(stat.kind, StatKind::File { size_bytes }, "{}", stat.path);
                let windlass_image::Source::Bytes(expected) = source else {
                    panic!()
                };
                let mut bytes = vec![0; expected.len() + 1];
                let length = file_system.read(&stat, 0, &mut bytes).unwrap();
                assert!(bytes[..length] == expected[..], "{}", stat.path);
                mode
            }
        };
        assert_eq!(stat.mode, Some(mode), "{}", stat.path);
        assert_eq!(
            stat.modified_seconds,
            Some(windlass_image::ext4::EPOCH_SECONDS)
        );
        assert_eq!(file_system.find(&stat.path).unwrap(), stat);
    }
    assert_eq!(count, tree.len());
}

fn said(program: &str, arguments: &[&str], path: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_seed_is_read_by_us_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.iso");
    fs::write(&path, written(&seed())).unwrap();
    assert_eq!(fs::read(&path).unwrap(), written(&seed()));
    let image = Image::open(&path).unwrap();
    assert_eq!(image.kind(), ImageKind::Iso9660);
    let volume = &image.volumes()[0];
    assert_eq!(volume.file_system, Some(FileSystemKind::Iso9660));
    assert_same(image.root().unwrap().as_ref(), &seed());
    assert_eq!(
        Iso::open(Arc::new(fs::read(&path).unwrap()))
            .unwrap()
            .label(),
        "cidata"
    );
}

#[test]
fn isoinfo_finds_both_names_of_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.iso");
    fs::write(&path, written(&seed())).unwrap();
    let description = said("isoinfo", &["-d", "-i"], &path);
    assert!(description.contains("Volume id: cidata"), "{description}");
    assert!(
        description.contains("Joliet with UCS level 3 found"),
        "{description}"
    );
    assert!(
        description.contains("Rock Ridge signatures version 1 found"),
        "{description}"
    );
    let find = |arguments: &[&str]| {
        let list = said("isoinfo", arguments, &path);
        let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let rock_ridge = find(&["-R", "-f", "-i"]);
    let mut expected: Vec<String> = seed().iter().map(|(path, _)| path.to_string()).collect();
    expected.sort();
    assert_eq!(rock_ridge, expected);
    let joliet = find(&["-J", "-f", "-i"]);
    assert!(joliet.contains(&"/user-data;1".to_owned()), "{joliet:?}");
    // Symlinks are not in Joliet's tree.
    assert_eq!(joliet.len(), expected.len() - 3);
    let plain = find(&["-f", "-i"]);
    assert!(plain.contains(&"/USER_DAT.;1".to_owned()), "{plain:?}");
    let content = said("isoinfo", &["-R", "-x", "/user-data", "-i"], &path);
    assert_eq!(content, "#cloud-config\nhostname: windlass\n");
    let list = said("isoinfo", &["-R", "-l", "-i"], &path);
    assert!(list.contains("absolute -> /etc/hosts"), "{list}");
    assert!(list.contains("link -> ../a/./b/user-data"), "{list}");
}

#[test]
fn we_read_what_genisoimage_writes() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("some/where")).unwrap();
    fs::write(source.join("user-data"), "#cloud-config\n").unwrap();
    fs::write(source.join("some/where/A Name.with.dots"), vec![3; 10_000]).unwrap();
    std::os::unix::fs::symlink("some/where", source.join("link")).unwrap();
    let deep = source.join(["d"; 12].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    for (arguments, names) in [
        (&["-R", "-J"][..], ["/some/where/A Name.with.dots", "/link"]),
        (&["-J"][..], ["/some/where/A Name.with.dots", "/user-data"]),
        (&[][..], ["/some/where/a_name_w.dot", "/user_dat"]),
    ] {
        let path = folder.path().join("theirs.iso");
        let output = Command::new("genisoimage")
            .args(["-quiet", "-V", "theirs", "-o"])
            .arg(&path)
            .args(arguments)
            .arg(&source)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let image = Image::open(&path).unwrap();
        let file_system = image.root().unwrap();
        let found: Vec<String> = walk(file_system.as_ref())
            .map(|stat| stat.unwrap().path.to_string())
            .collect();
        for name in names {
            assert!(found.contains(&name.to_owned()), "{arguments:?}: {found:?}");
        }
        if arguments.contains(&"-R") {
            // Moved there by genisoimage, and moved back.
            let deep = format!("/{}/file", ["d"; 12].join("/"));
            let stat = file_system.find(&GuestPath::new(deep).unwrap()).unwrap();
            let mut bytes = [0; 10];
            assert_eq!(file_system.read(&stat, 0, &mut bytes).unwrap(), 4);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut tree = Tree::new();
    let target = vec![b'x'; 1025];
    tree.insert(GuestPath::new("far").unwrap(), Node::Symlink { target })
        .unwrap();
    let mut out = std::io::Cursor::new(Vec::new());
    let error = iso::write(&tree, &mut out, &options(), &mut Unwatched).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    let label = "seventeen letters".to_owned();
    let error = iso::write(
        &Tree::new(),
        &mut out,
        &IsoOptions { label },
        &mut Unwatched,
    );
    assert!(matches!(error, Err(Error::TooSmall { .. })));
    assert!(out.into_inner().is_empty());
}

#[test]
fn a_damaged_one_is_refused_with_the_place() {
    let whole = written(&seed());
    let mut refused = 0;
    for at in (32 << 10..whole.len().min(200 << 10)).step_by(37) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xFF;
        let Ok(iso) = Iso::open(Arc::new(damaged)) else {
            refused += 1;
            continue;
        };
        for stat in walk(&iso) {
            match stat {
                Ok(stat) if matches!(stat.kind, StatKind::File { .. }) => {
                    let _ = iso.read(&stat, 0, &mut [0; 64]);
                }
                Ok(_) => {}
                Err(Error::Corrupt { .. } | Error::Unsupported { .. }) => refused += 1,
                Err(error) => panic!("{at}: {error}"),
            }
        }
    }
    assert!(refused > 30, "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_tree_is_read_back(tree in any_tree(any_name(), any_name())) {
        let fits = tree.iter().all(|(path, node)| iso::check_entry(&path, &node).is_ok());
        prop_assume!(fits);
        let iso = Iso::open(Arc::new(written(&tree))).unwrap();
        let mut count = 0;
        for stat in walk(&iso) {
            let stat = stat.unwrap();
            prop_assert!(tree.get(&stat.path).is_some(), "{}", stat.path);
            count += 1;
        }
        prop_assert_eq!(count, tree.len());
    }
}

/// Names that isoinfo prints as they are, on a line of their own.
fn plain_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof!["[a-c]{1,2}", "[a-zA-Z0-9_+-]([a-zA-Z0-9 ._+-]{0,60}[a-z])?"]
        .prop_map(String::into_bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_tree_is_what_isoinfo_finds(tree in any_tree(plain_name(), plain_name())) {
        let fits = tree.iter().all(|(path, node)| iso::check_entry(&path, &node).is_ok());
        prop_assume!(fits);
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("any.iso");
        fs::write(&image, written(&tree)).unwrap();
        let list = said("isoinfo", &["-R", "-f", "-i"], &image);
        let mut lines: Vec<&str> = list.lines().collect();
        lines.sort_unstable();
        let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        let mut expected: Vec<&str> = paths.iter().map(String::as_str).collect();
        expected.sort_unstable();
        prop_assert_eq!(lines, expected);
        for (path, content) in crate::trees::contents_of_tree(&tree) {
            if let crate::trees::Content::File(bytes) = content {
                let path = path.to_string();
                let output = Command::new("isoinfo")
                    .args(["-R", "-x", &path, "-i"])
                    .arg(&image)
                    .output()
                    .unwrap();
                prop_assert_eq!(output.stdout, bytes, "{}", path);
            }
        }
    }
}

#[test]
fn an_iso_is_no_larger_than_it_must_be() {
    let mut tree = Tree::new();
    let node = Node::bytes(*b"x", 0o644);
    tree.insert(GuestPath::new("x").unwrap(), node).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut out = File::create(file.path()).unwrap();
    let size = iso::write(&tree, &mut out, &options(), &mut Unwatched).unwrap();
    // Descriptors, four path tables, two directories, what goes on elsewhere, and the file.
    assert_eq!(size, (16 + 3 + 4 + 2 + 1 + 1) * 2048);
}
