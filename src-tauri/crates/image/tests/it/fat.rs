//! FAT, judged by dosfstools and mtools.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use windlass_image::fat::{self, Fat, FatKind, FatOptions};
use windlass_image::{
    FileSystem, FileSystemKind, GuestPath, Image, Layout, Node, StatKind, Tree, Unwatched,
    file_system,
};

use crate::ext4::tool;
use crate::trees::{Content, contents_of_tree, files, path};

fn written(tree: &Tree, options: &FatOptions) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let mut file = fs::File::create(&image).unwrap();
    let size = fat::write(tree, &mut file, options, &mut Unwatched).unwrap();
    assert_eq!(file.metadata().unwrap().len(), size);
    (folder, image)
}

/// Whether `fsck.fat -n` has nothing to say.
pub fn check(image: &Path) {
    let Some(mut fsck) = tool("fsck.fat") else {
        return;
    };
    let output = fsck.arg("-n").arg(image).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}");
}

/// What `mcopy` takes out of the image.
fn extracted(image: &Path) -> Option<BTreeMap<GuestPath, Content>> {
    let mut mcopy = tool("mcopy")?;
    let target = tempfile::tempdir().unwrap();
    let output = mcopy
        .env("MTOOLS_SKIP_CHECK", "1")
        .args(["-s", "-n", "-Q", "-i"])
        .arg(image)
        .arg("::*")
        .arg(target.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut found = BTreeMap::new();
    crate::ext4::collect(target.path(), &GuestPath::root(), &mut found);
    Some(found)
}

fn contents(fat: &Fat) -> BTreeMap<GuestPath, Content> {
    let mut found = BTreeMap::new();
    for stat in file_system::walk(fat) {
        let stat = stat.unwrap();
        let content = match stat.kind {
            StatKind::File { size_bytes } => {
                let mut bytes = vec![0; usize::try_from(size_bytes).unwrap()];
                assert_eq!(fat.read(&stat, 0, &mut bytes).unwrap(), bytes.len());
                Content::File(bytes)
            }
            _ => Content::Directory,
        };
        found.insert(stat.path, content);
    }
    found
}

fn seed() -> Tree {
    files(&[
        ("meta-data", b"instance-id: one\n"),
        ("user-data", b"#cloud-config\n"),
        ("openstack/latest/meta_data.json", b"{}"),
        ("Gr\u{f6}\u{df}e \u{65e5}\u{672c}.txt", b"\x00\x01"),
        ("empty", b""),
        ("EFI/BOOT/BOOTX64.EFI", &[7; 7000]),
    ])
}

#[test]
fn other_tools_read_each_kind() {
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let options = FatOptions {
            kind: Some(kind),
            label: "CIDATA".to_owned(),
            ..FatOptions::default()
        };
        let (_folder, image) = written(&seed(), &options);
        check(&image);
        if let Some(mut minfo) = tool("minfo") {
            let output = minfo.arg("-i").arg(&image).arg("::").output().unwrap();
            let words = String::from_utf8_lossy(&output.stdout);
            let name = format!("disk type=\"{kind:?}").to_uppercase();
            assert!(words.to_uppercase().contains(&name), "{words}");
        }
        if let Some(mut mlabel) = tool("mlabel") {
            let output = mlabel.args(["-s", "-i"]).arg(&image).arg("::").output();
            let words = String::from_utf8(output.unwrap().stdout).unwrap();
            assert_eq!(words.trim(), "Volume label is CIDATA");
        }
        if let Some(mut blkid) = tool("blkid") {
            let output = blkid.args(["-p", "-s", "LABEL", "-o", "value"]).arg(&image);
            let words = String::from_utf8(output.output().unwrap().stdout).unwrap();
            assert_eq!(words.trim(), "CIDATA", "what cloud-init looks for");
        }
        if let Some(mut found) = extracted(&image) {
            // Names of other scripts depend on the locale that mtools runs in.
            let mut wanted = contents_of_tree(&seed());
            for contents in [&mut found, &mut wanted] {
                contents.retain(|path, _| path.as_bytes().is_ascii());
            }
            found.retain(|path, _| wanted.contains_key(path) || !path.to_string().contains("Gr"));
            assert_eq!(found, wanted, "{kind:?}");
        }
    }
}

#[test]
fn what_other_tools_make_is_read() {
    if tool("mkfs.fat").is_none() || tool("mcopy").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("sub folder/deeper")).unwrap();
    let big: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
    fs::write(tree.join("sub folder/deeper/big file.bin"), &big).unwrap();
    fs::write(tree.join("lower.txt"), b"small").unwrap();
    fs::write(tree.join("UPPER.TXT"), b"capitals").unwrap();
    for (size, bits) in [("2048", "12"), ("20000", "16"), ("40000", "32")] {
        let _ = fs::remove_file(&image);
        let mut mkfs = tool("mkfs.fat").unwrap();
        let made = mkfs.args(["-F", bits, "-C"]).arg(&image).arg(size).output();
        assert!(made.unwrap().status.success(), "FAT{bits}");
        let mut mcopy = tool("mcopy").unwrap();
        let copied = mcopy.args(["-s", "-i"]).arg(&image).args([
            tree.join("sub folder"),
            tree.join("lower.txt"),
            tree.join("UPPER.TXT"),
            PathBuf::from("::"),
        ]);
        assert!(copied.status().unwrap().success());
        let opened = Image::open(&image).unwrap();
        assert_eq!(opened.layout(), Layout::Bare);
        let root = opened.root().unwrap();
        assert_eq!(root.kind(), FileSystemKind::Fat);
        let found = root.find(&path("sub folder/deeper/big file.bin")).unwrap();
        let mut bytes = vec![0; big.len()];
        root.read(&found, 0, &mut bytes).unwrap();
        assert_eq!(bytes, big);
        let top = root.list(&root.find(&GuestPath::root()).unwrap()).unwrap();
        let names: Vec<String> = top.iter().map(|stat| stat.path.to_string()).collect();
        assert_eq!(names, ["/UPPER.TXT", "/lower.txt", "/sub folder"]);
    }
}

#[test]
fn every_flipped_byte_of_the_tables_is_survived() {
    let (_folder, image) = written(&seed(), &FatOptions::default());
    let bytes = fs::read(&image).unwrap();
    let read = |bytes: Vec<u8>| -> Result<(), windlass_image::Error> {
        let fat = Fat::open(Arc::new(bytes))?;
        for stat in file_system::walk(&fat).take(1000) {
            let stat = stat?;
            if matches!(stat.kind, StatKind::File { .. }) {
                fat.read(&stat, 0, &mut [0; 4096])?;
            }
        }
        Ok(())
    };
    let mut refused = 0;
    for at in (0..512)
        .chain(512..800)
        .chain(33 * 512..bytes.len().min(40 * 512))
    {
        for flip in [0x01, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            refused += usize::from(read(changed).is_err());
        }
    }
    assert!(refused > 50, "{refused} of the changes were found");
    let mut looped = bytes;
    // The directory `EFI` becomes its own child: its entry of "." is the one that is looked at, under another name.
    let place = looped
        .windows(11)
        .position(|window| window == b".          ")
        .unwrap();
    looped[place..place + 11].copy_from_slice(b"AGAIN      ");
    let error = read(looped).unwrap_err().to_string();
    assert!(
        error.contains("directories that are in one place"),
        "{error}"
    );
}

#[test]
fn a_chain_in_a_circle_ends() {
    let tree = files(&[("folder/file", &[1; 3000])]);
    let options = FatOptions {
        kind: Some(FatKind::Fat16),
        ..FatOptions::default()
    };
    let (_folder, image) = written(&tree, &options);
    let mut bytes = fs::read(&image).unwrap();
    // The first cluster is the folder's, the file's are behind it: each of them leads to itself.
    for cluster in 2_u16..8 {
        let at = 512 + 2 * usize::from(cluster);
        bytes[at..at + 2].copy_from_slice(&cluster.to_le_bytes());
    }
    let fat = Fat::open(Arc::new(bytes)).unwrap();
    let folder = fat.find(&path("folder")).unwrap();
    let error = fat.list(&folder).unwrap_err().to_string();
    assert!(error.contains("clusters of its own"), "{error}");
}

prop_compose! {
    fn any_fat_tree()(names in vec(("[a-zA-Z0-9 ._~+-]{0,30}[a-z0-9]", 0_usize..4, vec(any::<u8>(), 0..3000), any::<bool>()), 0..60)) -> Tree {
        let mut tree = Tree::new();
        let mut folders = vec![GuestPath::root()];
        for (name, folder, bytes, is_directory) in names {
            let folder = folders[folder % folders.len()].clone();
            let Ok(path) = folder.join(name.as_bytes()) else { continue };
            let is_taken = tree.iter().any(|(there, _)| {
                there.to_string().to_uppercase() == path.to_string().to_uppercase()
            });
            let node = if is_directory { Node::Directory { mode: 0o755 } } else { Node::bytes(bytes, 0o644) };
            if is_taken || fat::check_entry(&path, &node).is_err() {
                continue;
            }
            if is_directory {
                folders.push(path.clone());
            }
            tree.insert(path, node).unwrap();
        }
        tree
    }
}

/// Walks over it and reads a little of each file.
fn look(bytes: Vec<u8>) {
    let Ok(fat) = Fat::open(Arc::new(bytes)) else {
        return;
    };
    for stat in file_system::walk(&fat).map_while(Result::ok).take(1000) {
        if matches!(stat.kind, StatKind::File { .. }) {
            let _ = fat.read(&stat, 0, &mut [0; 2000]);
            let _ = fat.read(&stat, u64::from(u32::MAX) - 10, &mut [0; 20]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn damage_is_survived(
        kind in 0..3_usize,
        damage in vec((0..20_000_usize, vec(any::<u8>(), 1..8)), 1..20),
    ) {
        let kind = [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32][kind];
        let (_folder, image) = written(&seed(), &FatOptions { kind: Some(kind), ..FatOptions::default() });
        let mut bytes = fs::read(&image).unwrap();
        // The tables, and where the root and the first directories are.
        let tables = if kind == FatKind::Fat32 { 32 * 512 } else { 512 };
        let data = usize::try_from(Image::open(&image).unwrap().size_bytes() / 32).unwrap();
        for (at, with) in damage {
            let at = match at % 3 {
                0 => at % 90,
                1 => tables + at % 200,
                _ => data + at,
            };
            let end = (at + with.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        look(bytes);
    }

    #[test]
    fn any_bytes_behind_a_boot_sector_are_survived(
        numbers in vec(any::<u8>(), 80),
        sectors in 8_u16..200,
        rest in vec(prop_oneof![Just(0_u8), any::<u8>()], 4096..30_000),
    ) {
        let mut bytes = vec![0; 512];
        bytes[..80].copy_from_slice(&numbers);
        bytes[0] = 0xEB;
        bytes[11..13].copy_from_slice(&512_u16.to_le_bytes());
        bytes[13] = 1 << (numbers[13] % 3);
        bytes[14..16].copy_from_slice(&[1, 0]);
        bytes[16] = 1;
        bytes[17..19].copy_from_slice(&[32, 0]);
        bytes[19..21].copy_from_slice(&sectors.to_le_bytes());
        bytes[21] = 0xF8;
        bytes[22..24].copy_from_slice(&[1, 0]);
        bytes[510..].copy_from_slice(&[0x55, 0xAA]);
        bytes.extend(rest);
        look(bytes);
    }

    #[test]
    fn any_tree_is_read_as_it_was_written(tree in any_fat_tree(), kind in 0..3_usize) {
        let kind = [None, Some(FatKind::Fat12), Some(FatKind::Fat16)][kind];
        let (_folder, image) = written(&tree, &FatOptions { kind, ..FatOptions::default() });
        check(&image);
        let fat = Fat::open(Arc::new(fs::read(&image).unwrap())).unwrap();
        prop_assert_eq!(contents(&fat), contents_of_tree(&tree));
        // Of an empty one mcopy says that nothing is there.
        if !tree.is_empty() && let Some(found) = extracted(&image) {
            prop_assert_eq!(found, contents_of_tree(&tree));
        }
    }
}
