use std::io::Cursor;

use super::*;
use crate::Unwatched;

fn tree() -> Tree {
    let mut tree = Tree::new();
    for (path, content) in [
        ("etc/hosts", "127.0.0.1"),
        ("empty", ""),
        ("usr/bin/süß", "x"),
    ] {
        let node = Node::bytes(content.as_bytes().to_vec(), 0o644);
        tree.insert(GuestPath::new(path).unwrap(), node).unwrap();
    }
    tree
}

fn written(tree: &Tree, options: &Ext4Options) -> Result<Vec<u8>, Error> {
    let mut out = Cursor::new(Vec::new());
    let size = write(tree, &mut out, options, &mut Unwatched)?;
    assert_eq!(out.get_ref().len() as u64, size);
    Ok(out.into_inner())
}

fn superblock(tree: &Tree, options: &Ext4Options) -> Superblock {
    Superblock::read(&mut Cursor::new(written(tree, options).unwrap())).unwrap()
}

#[test]
fn a_fitted_size_has_room_to_write() {
    let fitted = superblock(&tree(), &Ext4Options::default());
    assert!(
        fitted.size_bytes >= 64 << 20 && fitted.size_bytes < 80 << 20,
        "{fitted:?}"
    );
    assert!(fitted.has_journal && fitted.clean && !fitted.needs_recovery);
    let tight = Ext4Options {
        headroom_bytes: Some(0),
        label: "data".to_owned(),
        ..Ext4Options::default()
    };
    let tight = superblock(&tree(), &tight);
    assert_eq!(
        (tight.size_bytes, tight.label.as_str()),
        (SIZE_BYTES_MIN, "data")
    );
    assert!(!tight.has_journal, "there is no room for a journal");
}

#[test]
fn what_osv_writes_has_no_journal() {
    for size_bytes in [8 << 20, 64 << 20, 640 << 20] {
        let options = Ext4Options {
            size_bytes: Some(size_bytes),
            written_by: WrittenBy::Osv,
            ..Ext4Options::default()
        };
        let superblock = superblock(&tree(), &options);
        assert!(
            !superblock.has_journal && superblock.size_bytes == size_bytes,
            "{superblock:?}"
        );
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let options = Ext4Options {
        size_bytes: Some(16 << 20),
        ..Ext4Options::default()
    };
    let first = written(&tree(), &options).unwrap();
    assert!(first == written(&tree(), &options).unwrap());
    let mut other = tree();
    other
        .insert(
            GuestPath::new("more").unwrap(),
            Node::Directory { mode: 0o755 },
        )
        .unwrap();
    let other = written(&other, &options).unwrap();
    assert_ne!(
        first[1024 + 0x68..1024 + 0x78],
        other[1024 + 0x68..1024 + 0x78],
        "the UUID"
    );
}

#[test]
fn what_does_not_fit_is_refused_before_a_byte_is_written() {
    let mut refusals = Vec::new();
    let mut refuse = |tree: &Tree, options: &Ext4Options| {
        let mut out = Cursor::new(Vec::new());
        let error = write(tree, &mut out, options, &mut Unwatched).unwrap_err();
        assert!(out.into_inner().is_empty());
        refusals.push(error.to_string());
    };
    let sized = |size_bytes| Ext4Options {
        size_bytes: Some(size_bytes),
        ..Ext4Options::default()
    };
    refuse(&tree(), &sized(1 << 20));
    refuse(&tree(), &sized((8 << 20) - 1));
    let label = "seventeen letters".to_owned();
    refuse(
        &tree(),
        &Ext4Options {
            label,
            ..Ext4Options::default()
        },
    );
    let mut large = Tree::new();
    large
        .insert(
            GuestPath::new("x").unwrap(),
            Node::bytes(vec![1; 9 << 20], 0o644),
        )
        .unwrap();
    refuse(&large, &sized(8 << 20));
    let link = |target: &[u8]| Node::Symlink {
        target: target.to_vec(),
    };
    for (path, node) in [
        (&b"caf\xE9"[..], link(b"x")),
        (b"link", link(b"")),
        (b"link", link(&[b'x'; 4096])),
        (b"link", link(b"caf\xE9")),
        (b"lost+found/x", link(b"x")),
        (&[b'n'; 256], link(b"x")),
    ] {
        let mut tree = Tree::new();
        tree.insert(GuestPath::new(path).unwrap(), node).unwrap();
        refuse(&tree, &Ext4Options::default());
    }
    insta::assert_snapshot!(refusals.join("\n").replace(&"n".repeat(256), "nnn..."), @"
    the ext4 file system has room for 1048576 bytes, 8388608 are needed
    the ext4 file system has room for 8384512 bytes, 8388608 are needed
    the ext4 label has room for 16 bytes, 17 are needed
    the ext4 file system has room for 8388608 bytes, 9465856 are needed
    /caf� does not fit into ext4: its name is not valid UTF-8
    /link does not fit into ext4: its target is empty
    /link does not fit into ext4: its target is 4096 bytes long, at most 4095 are possible
    /link does not fit into ext4: its target is not valid UTF-8
    /lost+found/x does not fit into ext4: the file system keeps lost+found for itself
    /nnn... does not fit into ext4: its name is 256 bytes long, at most 255 are possible
    ");
}

#[test]
fn an_empty_lost_and_found_is_that_of_the_file_system() {
    let mut tree = tree();
    let path = GuestPath::new("lost+found").unwrap();
    tree.insert(path, Node::Directory { mode: 0o700 }).unwrap();
    assert!(written(&tree, &Ext4Options::default()).is_ok());
}

#[test]
fn what_is_no_ext4_is_refused() {
    let refusal = |bytes: Vec<u8>| {
        Superblock::read(&mut Cursor::new(bytes))
            .unwrap_err()
            .to_string()
    };
    let mut cut = written(&tree(), &Ext4Options::default()).unwrap();
    cut.truncate(1 << 20);
    let mut odd = cut.clone();
    odd[1024 + 0x18] = 77;
    let refusals = [
        refusal(vec![]),
        refusal(vec![0; 4096]),
        refusal(cut),
        refusal(odd),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @"
    this is not an ext4 file system: it has only 0 bytes
    this is not an ext4 file system: 0x0000 is at byte 1080 instead of 0xef53
    the image is damaged: ext4 superblock at byte 1028: expected at most the 1048576 bytes of the image, found 74448896 bytes
    the image is damaged: ext4 superblock at byte 1048: expected a block size of 1 to 64 KiB, found 2^77 KiB
    ");
}
