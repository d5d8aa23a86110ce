use std::io::Cursor;
use std::sync::Arc;

use super::names::{self, Taken};
use super::*;
use crate::file_system::{self, FileSystem};
use crate::{StatKind, Tree, Unwatched};

fn path(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap()
}

fn written(tree: &Tree, options: &FatOptions) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let size_bytes = write(tree, &mut out, options, &mut Unwatched).unwrap();
    let bytes = out.into_inner();
    assert_eq!(bytes.len() as u64, size_bytes);
    bytes
}

#[test]
fn names_get_short_ones_that_are_their_own() {
    let mut taken = Taken::default();
    let transcript: Vec<String> = [
        "README.TXT",
        "readme.md",
        "vmlinuz",
        "long name.text",
        "long name.tex",
        ".hidden",
        "a.b.c",
        "größe",
        "日本",
        "LONGNA~1.TEX",
        "Readme.TXT",
        "grubx64.efi",
        "+x",
        "NOEXT",
    ]
    .iter()
    .map(|name| match taken.take(name) {
        Some((short, is_whole)) => format!(
            "{name} = [{}]{}",
            String::from_utf8_lossy(&short),
            if is_whole { " alone" } else { "" }
        ),
        None => format!("{name} is taken"),
    })
    .collect();
    insta::assert_snapshot!(transcript.join("\n"), @"
    README.TXT = [README  TXT] alone
    readme.md = [README  MD ]
    vmlinuz = [VMLINUZ    ]
    long name.text = [LONGNA~1TEX]
    long name.tex = [LONGNA~2TEX]
    .hidden = [HIDDEN~1   ]
    a.b.c = [AB~1    C  ]
    größe = [GR__E~1    ]
    日本 = [__~1       ]
    LONGNA~1.TEX = [LONGNA~3TEX]
    Readme.TXT is taken
    grubx64.efi = [GRUBX64 EFI]
    +x = [_X~1       ]
    NOEXT = [NOEXT      ] alone
    ");
}

#[test]
fn names_that_cannot_be_had_are_refused() {
    let refused = ["a:b", "a\u{7f}", "dot.", "space ", "q?"];
    for name in refused {
        assert!(names::check(name.as_bytes()).is_err(), "{name}");
    }
    assert!(names::check(b"\xFF").is_err());
    assert!(names::check("x".repeat(256).as_bytes()).is_err());
    assert!(names::check("x".repeat(255).as_bytes()).is_ok());
    let link = Node::Symlink {
        target: b"x".to_vec(),
    };
    insta::assert_snapshot!(check_entry(&path("bin"), &link).unwrap_err(), @"/bin does not fit into FAT: it is a symbolic link, which there are none of");
    let mut tree = Tree::new();
    tree.insert(path("a"), Node::bytes(*b"", 0o644)).unwrap();
    tree.insert(path("A"), Node::bytes(*b"", 0o644)).unwrap();
    let error = write(
        &tree,
        &mut Cursor::new(Vec::new()),
        &FatOptions::default(),
        &mut Unwatched,
    );
    insta::assert_snapshot!(error.unwrap_err(), @"/a does not fit into FAT: another name in the same directory differs from it by capitals alone");
}

#[test]
fn each_kind_is_read_as_it_was_written() {
    let mut tree = Tree::new();
    let big: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    tree.insert(
        path("EFI/BOOT/BOOTX64.EFI"),
        Node::bytes(big.clone(), 0o644),
    )
    .unwrap();
    tree.insert(path("user-data"), Node::bytes(*b"#cloud-config\n", 0o644))
        .unwrap();
    tree.insert(path("empty"), Node::bytes(*b"", 0o644))
        .unwrap();
    tree.insert(
        path("folder/nothing in it"),
        Node::Directory { mode: 0o755 },
    )
    .unwrap();
    for number in 0..600 {
        let name = format!("folder/a rather long name, number {number}");
        tree.insert(
            path(&name),
            Node::bytes(number.to_string().into_bytes(), 0o644),
        )
        .unwrap();
    }
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let options = FatOptions {
            kind: Some(kind),
            label: "CIDATA".to_owned(),
            ..FatOptions::default()
        };
        let bytes = written(&tree, &options);
        assert_eq!(bytes, written(&tree, &options), "the same bytes again");
        let fat = Fat::open(Arc::new(bytes)).unwrap();
        assert_eq!((fat.fat_kind(), fat.label()), (kind, Some("CIDATA")));
        let mut found = Tree::new();
        for stat in file_system::walk(&fat) {
            let stat = stat.unwrap();
            assert_eq!(stat.modified_seconds, Some(crate::ext4::EPOCH_SECONDS));
            let node = match stat.kind {
                StatKind::Directory => Node::Directory { mode: 0o755 },
                StatKind::File { size_bytes } => {
                    let mut bytes = vec![0; usize::try_from(size_bytes).unwrap()];
                    assert_eq!(fat.read(&stat, 0, &mut bytes).unwrap(), bytes.len());
                    Node::bytes(bytes, 0o644)
                }
                _ => unreachable!(),
            };
            found.insert(stat.path, node).unwrap();
        }
        assert!(found == tree, "{kind:?}");
        let stat = fat.find(&path("efi/boot/bootx64.efi")).unwrap();
        let mut middle = [0; 1000];
        assert_eq!(fat.read(&stat, 199_500, &mut middle).unwrap(), 500);
        assert_eq!(middle[..500], big[199_500..]);
        assert_eq!(fat.extents(&stat).unwrap().len(), 1);
    }
}

#[test]
fn sizes_are_kept_or_refused() {
    let tree = Tree::new();
    for size_mib in [1, 2, 4, 8, 16, 33, 64, 128, 513] {
        let options = FatOptions {
            size_bytes: Some(size_mib << 20),
            ..FatOptions::default()
        };
        let fat = Fat::open(Arc::new(written(&tree, &options))).unwrap();
        assert_eq!(fat.size_bytes(), size_mib << 20);
    }
    let options = FatOptions {
        size_bytes: Some(1 << 20),
        kind: Some(FatKind::Fat32),
        ..FatOptions::default()
    };
    let error = write(
        &tree,
        &mut Cursor::new(Vec::new()),
        &options,
        &mut Unwatched,
    )
    .unwrap_err();
    insta::assert_snapshot!(error, @"the FAT file system has room for 1048576 bytes, 34120192 are needed");
}
