//! Trees to write.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};

use proptest::collection::vec;
use proptest::prelude::*;
use windlass_image::{EntryKind, GuestPath, Node, Source, Tree, rofs};

/// A path, of text.
pub fn path(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap()
}

/// A tree of files with these contents.
pub fn files(files: &[(&str, &[u8])]) -> Tree {
    let mut tree = Tree::new();
    for (at, content) in files {
        tree.insert(path(at), Node::bytes(content.to_vec(), 0o644))
            .unwrap();
    }
    tree
}

/// One of everything that is worth a look.
pub fn sampler() -> Tree {
    let mut tree = files(&[
        ("hello", b"\x7fELF hello"),
        ("etc/hosts", b"127.0.0.1 localhost\n"),
        ("etc/empty", b""),
        ("data/one-block", &[b'b'; 512]),
        ("data/one-byte-more", &[b'c'; 513]),
        ("data-1", b"sorts behind what is in data"),
        (
            "srv/Z\u{fc}rich/\u{65e5}\u{672c}\u{8a9e}.txt",
            "\u{20ac}".as_bytes(),
        ),
        ("srv/with space\tand tab", b"x"),
    ]);
    let link = |target: &str| Node::Symlink {
        target: target.as_bytes().to_vec(),
    };
    tree.insert(path("bin"), link("usr/bin")).unwrap();
    tree.insert(path("etc/self"), link("/proc/self")).unwrap();
    tree.insert(path("tmp"), Node::Directory { mode: 0o1777 })
        .unwrap();
    tree.insert(path("usr/lib/deep/er"), Node::Directory { mode: 0o755 })
        .unwrap();
    tree
}

/// What is in a tree, with all bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

pub fn contents_of_tree(tree: &Tree) -> BTreeMap<GuestPath, Content> {
    tree.iter()
        .map(|(path, node)| {
            let content = match node {
                Node::Directory { .. } => Content::Directory,
                Node::File {
                    source: Source::Bytes(bytes),
                    ..
                } => Content::File(bytes.to_vec()),
                Node::File { source, .. } => {
                    Content::File(std::fs::read(source.file(&path).unwrap()).unwrap())
                }
                Node::Symlink { target } => Content::Symlink(target.clone()),
            };
            (path.clone(), content)
        })
        .collect()
}

pub fn contents_of_rofs(image: impl Read + Seek) -> BTreeMap<GuestPath, Content> {
    let mut reader = rofs::Reader::open(image).unwrap();
    let entries: Vec<_> = reader.walk().collect::<Result<_, _>>().unwrap();
    assert!(entries.is_sorted_by(|one, other| one.path < other.path));
    entries
        .into_iter()
        .map(|entry| {
            assert_eq!(reader.find(&entry.path).unwrap(), entry);
            let content = match &entry.kind {
                EntryKind::Directory { children } => {
                    assert_eq!(reader.list(&entry.path).unwrap().len() as u64, *children);
                    Content::Directory
                }
                EntryKind::File { size_bytes, .. } => {
                    let mut bytes = Vec::new();
                    reader
                        .read(&entry)
                        .unwrap()
                        .read_to_end(&mut bytes)
                        .unwrap();
                    assert_eq!(bytes.len() as u64, *size_bytes);
                    Content::File(bytes)
                }
                EntryKind::Symlink { target } => Content::Symlink(target.clone()),
            };
            (entry.path, content)
        })
        .collect()
}

pub fn rofs_image(tree: &Tree) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let size = rofs::write(tree, &mut out, &mut windlass_image::Unwatched).unwrap();
    assert_eq!(size, out.get_ref().len() as u64);
    assert_eq!(size, rofs::image_size_bytes(tree));
    out.into_inner()
}

/// Names as a file system sees them: any bytes but `/` and NUL.
pub fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![1_u8..b'/', b'0'..=255];
    prop_oneof![
        4 => "[a-c]{1,2}".prop_map(String::into_bytes),
        2 => "\\PC{1,20}".prop_map(String::into_bytes),
        2 => vec(byte.clone(), 1..20),
        1 => vec(byte, 250..=255),
    ]
    .prop_map(|name| {
        name.into_iter()
            .filter(|&byte| byte != b'/')
            .collect::<Vec<u8>>()
    })
    .prop_filter("a name", |name| {
        !matches!(name.as_slice(), b"" | b"." | b"..")
    })
}

/// Names for file systems that take text only.
pub fn text_name() -> impl Strategy<Value = Vec<u8>> {
    any_name().prop_filter_map("text", |name| {
        let name = String::from_utf8(name).ok()?;
        (name != "lost+found").then(|| name.into_bytes())
    })
}

fn any_node(target: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Node> {
    let sizes = prop_oneof![
        Just(0_usize),
        1_usize..2000,
        Just(512),
        Just(4096),
        Just(5000)
    ];
    prop_oneof![
        4 => (sizes, any::<u8>()).prop_map(|(size, fill)| Node::bytes(vec![fill; size], 0o644)),
        2 => Just(Node::Directory { mode: 0o755 }),
        1 => target.prop_map(|target| Node::Symlink { target }),
    ]
}

/// Trees of such names, up to ten levels deep. What cannot be where it would be is left out.
pub fn any_tree(
    name: impl Strategy<Value = Vec<u8>>,
    target: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Tree> {
    let at = vec(name, 1..10).prop_map(|names| GuestPath::new(names.join(&b'/')).unwrap());
    vec((at, any_node(target)), 0..40).prop_map(|nodes| {
        let mut tree = Tree::new();
        for (at, node) in nodes {
            let _ = tree.insert(at, node);
        }
        tree
    })
}
