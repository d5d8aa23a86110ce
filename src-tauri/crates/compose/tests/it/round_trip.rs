//! Any tree comes out of an image as it went in.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use windlass_guest::{GuestOs, RootFs};
use windlass_image::{EntryKind, osv, rofs};

use crate::support::Workshop;

/// What a test puts at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Directory,
    File(Vec<u8>),
    Symlink(String),
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,3}",
        "[a-z][a-zA-Z0-9äöü %.+-]{1,20}x",
        "[a-z]{255}"
    ]
}

fn trees() -> impl Strategy<Value = BTreeMap<Vec<String>, What>> {
    let what = prop_oneof![
        Just(What::Directory),
        proptest::collection::vec(any::<u8>(), 0..1500).prop_map(What::File),
        "[a-z/.ü]{1,80}".prop_map(What::Symlink),
    ];
    proptest::collection::vec((proptest::collection::vec(names(), 1..5), what), 1..20).prop_map(
        |entries| {
            let mut tree: BTreeMap<Vec<String>, What> = BTreeMap::new();
            for (mut path, what) in entries {
                // Apart from what the base and the manifest bring.
                path[0].replace_range(..1, "_");
                let is_free = (1..path.len())
                    .all(|end| matches!(tree.get(&path[..end]), None | Some(What::Directory)));
                if is_free && !tree.contains_key(&path) {
                    for end in 1..path.len() {
                        tree.insert(path[..end].to_vec(), What::Directory);
                    }
                    tree.insert(path, what);
                }
            }
            tree
        },
    )
}

fn write_to(root: &Path, tree: &BTreeMap<Vec<String>, What>) {
    for (path, what) in tree {
        let place = root.join(path.join("/"));
        match what {
            What::Directory => fs::create_dir(place).unwrap(),
            What::File(content) => fs::write(place, content).unwrap(),
            What::Symlink(target) => symlink(target, place).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn by_our_own_reader_of_rofs(tree in trees()) {
        let mut workshop = Workshop::new();
        let root = workshop.layer("tree", &[]);
        write_to(&root, &tree);
        let built = workshop.build(GuestOs::Osv, RootFs::Rofs, "/x").unwrap();
        let (_, section) = osv::root_partition(File::open(&built.path).unwrap()).unwrap();
        let mut reader = rofs::Reader::open(section).unwrap();
        let entries: Vec<_> = reader.walk().collect::<Result<_, _>>().unwrap();
        let mut found = BTreeMap::new();
        for entry in entries {
            let path = entry.path.to_string();
            if !path.starts_with("/_") {
                continue;
            }
            let what = match &entry.kind {
                EntryKind::Directory { .. } => What::Directory,
                EntryKind::Symlink { target } => What::Symlink(String::from_utf8(target.clone()).unwrap()),
                EntryKind::File { .. } => {
                    let mut content = Vec::new();
                    reader.read(&entry).unwrap().read_to_end(&mut content).unwrap();
                    What::File(content)
                }
            };
            found.insert(path[1..].split('/').map(str::to_owned).collect::<Vec<_>>(), what);
        }
        prop_assert_eq!(found, tree);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn by_the_distributions_own_tools_of_ext4(tree in trees(), is_linux: bool) {
        let mut workshop = Workshop::new();
        let root = workshop.layer("tree", &[]);
        write_to(&root, &tree);
        let guest = if is_linux { GuestOs::Linux } else { GuestOs::Osv };
        let built = workshop.build(guest, RootFs::Ext4, "/x").unwrap();
        let image = workshop.path("root.img");
        if is_linux {
            fs::copy(&built.path, &image).unwrap();
        } else {
            let (_, mut section) = osv::root_partition(File::open(&built.path).unwrap()).unwrap();
            std::io::copy(&mut section, &mut File::create(&image).unwrap()).unwrap();
        }
        let Ok(checked) = Command::new("e2fsck").args(["-fn"]).arg(&image).output() else {
            eprintln!("skipped: no e2fsck here");
            return Ok(());
        };
        prop_assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        let out = workshop.path("out");
        fs::create_dir(&out).unwrap();
        let dumped = Command::new("debugfs")
            .arg("-R")
            .arg(format!("rdump / {}", out.display()))
            .arg(&image)
            .output()
            .unwrap();
        prop_assert!(dumped.status.success());
        let mut found = BTreeMap::new();
        read_back(&out, &mut Vec::new(), &mut found);
        found.retain(|path, _| path[0].starts_with('_'));
        prop_assert_eq!(found, tree);
    }
}

fn read_back(folder: &Path, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, What>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        path.push(entry.file_name().into_string().unwrap());
        let kind = entry.file_type().unwrap();
        let what = if kind.is_dir() {
            read_back(&entry.path(), path, found);
            What::Directory
        } else if kind.is_symlink() {
            What::Symlink(
                fs::read_link(entry.path())
                    .unwrap()
                    .into_os_string()
                    .into_string()
                    .unwrap(),
            )
        } else {
            What::File(fs::read(entry.path()).unwrap())
        };
        found.insert(path.clone(), what);
        path.pop();
    }
}
