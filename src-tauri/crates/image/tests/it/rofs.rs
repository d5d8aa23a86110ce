use std::fs;
use std::io::Cursor;
use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;
use windlass_image::{Error, GuestPath, Node, Source, Tree, Unwatched, rofs};

use crate::trees::{any_name, any_tree, contents_of_rofs, contents_of_tree, files, path};
use crate::trees::{rofs_image, sampler};

fn dump(image: &[u8]) -> String {
    let mut text = Vec::new();
    rofs::Reader::open(Cursor::new(image))
        .unwrap()
        .dump(&mut text)
        .unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_tree_of_everything() {
    insta::assert_snapshot!(dump(&rofs_image(&sampler())), @r#"
    rofs: structure at block 9, blocks 2, directory entries 19, symlinks 2, inodes 20
       1 dir   8 entries  /
       2 link  /bin -> usr/bin
       3 dir   2 entries  /data
       4 file  block 1  512 bytes  9310ba63247ab770  /data/one-block
       5 file  block 2  513 bytes  ed5fbad56c30826a  /data/one-byte-more
       6 file  block 4  28 bytes  897a4ad6b7d12228  /data-1
       7 dir   3 entries  /etc
       8 file  block 0  0 bytes  af1349b9f5f9a1a6  /etc/empty
       9 file  block 5  20 bytes  f16092148f84b2ee  /etc/hosts
      10 link  /etc/self -> /proc/self
      11 file  block 6  10 bytes  84d6ecb1ed643efe  /hello
      12 dir   2 entries  /srv
      13 dir   1 entries  /srv/Zürich
      14 file  block 7  3 bytes  f8f925e0702b1d0d  /srv/Zürich/日本語.txt
      15 file  block 8  1 bytes  3ae7d805f6789a64  /srv/with space\tand tab
      16 dir   0 entries  /tmp
      17 dir   1 entries  /usr
      18 dir   1 entries  /usr/lib
      19 dir   1 entries  /usr/lib/deep
      20 dir   0 entries  /usr/lib/deep/er
    "#);
}

#[test]
fn an_empty_tree_is_a_root_directory() {
    let image = rofs_image(&Tree::new());
    assert_eq!(image.len(), 1024);
    insta::assert_snapshot!(dump(&image), @"
    rofs: structure at block 1, blocks 1, directory entries 0, symlinks 0, inodes 1
       1 dir   0 entries  /
    ");
}

/// The bytes themselves, so that a change of the format cannot hide in a reader that changed with it.
#[test]
fn the_tables_are_packed_as_osv_reads_them() {
    let mut tree = files(&[("a/\u{fc}", b"content")]);
    tree.insert(
        path("l"),
        Node::Symlink {
            target: b"a".to_vec(),
        },
    )
    .unwrap();
    let image = rofs_image(&tree);
    let mut expected = Vec::new();
    let numbers = |bytes: &mut Vec<u8>, numbers: &[u64]| {
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    };
    numbers(&mut expected, &[0xDEAD_BEAD, 1, 512, 2, 1, 3, 1, 4]);
    expected.resize(512, 0);
    expected.extend(b"content");
    expected.resize(1024, 0);
    numbers(&mut expected, &[2]);
    expected.extend(b"\x01\0a");
    numbers(&mut expected, &[4]);
    expected.extend(b"\x01\0l");
    numbers(&mut expected, &[3]);
    expected.extend(b"\x02\0\xC3\xBC");
    expected.extend(b"\x01\0a");
    numbers(&mut expected, &[0x4000, 1, 0, 2]);
    numbers(&mut expected, &[0x4000, 2, 2, 1]);
    numbers(&mut expected, &[0x8000, 3, 1, 7]);
    numbers(&mut expected, &[0xA000, 4, 0, 1]);
    expected.resize(1536, 0);
    assert_eq!(image, expected);
}

#[test]
fn files_are_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    for (number, size) in [0, 1, 511, 512, 513, 70_000, (1 << 20) + 1, 5 << 20]
        .iter()
        .enumerate()
    {
        let file = folder.path().join(number.to_string());
        let content = vec![u8::try_from(number).unwrap(); *size];
        fs::write(&file, content).unwrap();
        let size_bytes = *size as u64;
        let node = Node::File {
            source: Source::Path(file),
            size_bytes,
            mode: 0o644,
        };
        tree.insert(path(&format!("data/{number}")), node).unwrap();
    }
    assert!(contents_of_rofs(Cursor::new(rofs_image(&tree))) == contents_of_tree(&tree));
}

#[test]
fn what_rofs_cannot_hold_is_refused_before_a_byte_is_written() {
    let mut refusals = Vec::new();
    let long = "n".repeat(256);
    for (at, node) in [
        (format!("a/{long}"), Node::bytes(*b"", 0o644)),
        (long.clone(), Node::Directory { mode: 0o755 }),
        (
            "link".to_owned(),
            Node::Symlink {
                target: vec![b't'; 65_536],
            },
        ),
        ("link".to_owned(), Node::Symlink { target: Vec::new() }),
        (
            "link".to_owned(),
            Node::Symlink {
                target: b"a\0b".to_vec(),
            },
        ),
        (
            "large".to_owned(),
            Node::File {
                source: Source::Path("large".into()),
                size_bytes: rofs::FILE_BYTES_MAX + 1,
                mode: 0o644,
            },
        ),
    ] {
        let mut tree = files(&[("first", b"content")]);
        tree.insert(path(&at), node).unwrap();
        let mut out = Cursor::new(Vec::new());
        let error = rofs::write(&tree, &mut out, &mut Unwatched).unwrap_err();
        assert!(out.into_inner().is_empty());
        refusals.push(format!("{error}\n  hint: {}", error.hint().unwrap()));
    }
    insta::assert_snapshot!(refusals.join("\n").replace(&long, "nnn..."), @"
    /a/nnn... does not fit into ROFS: its name is 256 bytes long, at most 255 are possible
      hint: rename the file, or leave it out with a line in .capstanignore
    /nnn... does not fit into ROFS: its name is 256 bytes long, at most 255 are possible
      hint: rename the file, or leave it out with a line in .capstanignore
    /link does not fit into ROFS: its target is 65536 bytes long, at most 65535 are possible
      hint: make the symlink point to a shorter, valid path, or leave it out
    /link does not fit into ROFS: its target is empty
      hint: make the symlink point to a shorter, valid path, or leave it out
    /link does not fit into ROFS: its target is cut off by a NUL byte
      hint: make the symlink point to a shorter, valid path, or leave it out
    /large does not fit into ROFS: it is 2199023255553 bytes long, at most 2199023255552 are possible
      hint: split the file, or keep it on a volume
    ");
}

#[test]
fn a_write_can_be_cancelled_and_a_full_disk_is_named() {
    let tree = sampler();
    let mut stop = |_: u64| ControlFlow::Break(());
    let error = rofs::write(&tree, &mut Cursor::new(Vec::new()), &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    let mut full = [0; 1024];
    let error = rofs::write(&tree, &mut Cursor::new(&mut full[..]), &mut Unwatched).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error:?}");
}

#[test]
fn a_tree_as_deep_as_a_path_can_be_is_read() {
    let mut tree = Tree::new();
    let deep = GuestPath::new(vec!["d"; 2047].join("/")).unwrap();
    tree.insert(deep, Node::bytes(*b"at the bottom", 0o644))
        .unwrap();
    assert!(contents_of_rofs(Cursor::new(rofs_image(&tree))) == contents_of_tree(&tree));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read(tree in any_tree(any_name(), vec(1_u8.., 1..700))) {
        let image = rofs_image(&tree);
        prop_assert_eq!(contents_of_rofs(Cursor::new(&image)), contents_of_tree(&tree));
        prop_assert_eq!(image.len() % 512, 0);
    }

    #[test]
    fn the_order_of_insertion_does_not_matter(tree in any_tree(any_name(), vec(1_u8.., 1..9))) {
        let mut backwards = Tree::new();
        for (at, node) in tree.nodes().into_iter().rev() {
            backwards.insert(at.clone(), node.clone()).unwrap();
        }
        prop_assert_eq!(&tree, &backwards);
        prop_assert_eq!(rofs_image(&tree), rofs_image(&backwards));
    }

}
