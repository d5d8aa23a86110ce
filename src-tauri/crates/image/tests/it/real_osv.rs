//! Our images in a real OSv: everything in them is read back inside the guest, booted from disk and
//! by kernel.
//!
//! `WINDLASS_OSV_LOADER` and `WINDLASS_OSV_KERNEL` name a loader image and an ELF kernel;
//! `WINDLASS_OSV_EXT_LOADER` and `WINDLASS_OSV_EXT_KERNEL` those of an OSv built with ext4 for its
//! root. Where one is not set, its test says so and does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use windlass_image::disk::{Raw, SharedDisk};
use windlass_image::ext4::Ext4Options;
use windlass_image::osv::{Root, root_partition, update_disk, write_disk};
use windlass_image::resize::{ResizeOptions, resize};
use windlass_image::update::Updated;
use windlass_image::{FileSystemKind, GuestPath, Node, Section, Source, Tree, Unwatched};

use crate::trees::{Content, contents_of_tree, path, sampler};

/// Boots take seconds; a computer that is busy with other tests takes its time.
const PATIENCE: Duration = Duration::from_mins(3);

/// The value of a variable, or a word that the test is skipped.
pub fn set(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    value.map(PathBuf::from)
}

/// A file of pseudo-random bytes that has no zeros by accident.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect()
}

/// Everything that is worth a look under `/tree`, and the program that looks at `/walk`.
pub fn guest_tree(folder: &Path, names_are_text: bool) -> Tree {
    let mut tree = Tree::new();
    let under = |at: &GuestPath| GuestPath::new([&b"tree/"[..], at.as_bytes()].concat()).unwrap();
    for (at, node) in &sampler() {
        tree.insert(under(&at), node.clone()).unwrap();
    }
    let sizes = [
        0,
        1,
        511,
        512,
        513,
        4095,
        4096,
        4097,
        32_767,
        32_768,
        32_769,
        100_000,
        (1 << 20) + 7,
        3 << 20,
    ];
    for size in sizes {
        let at = path(&format!("sizes/{size}"));
        tree.insert(under(&at), Node::bytes(noise(size), 0o644))
            .unwrap();
    }
    let longest = "n".repeat(255);
    let mut add = |at: &[u8], node: Node| {
        tree.insert(under(&GuestPath::new(at).unwrap()), node)
            .unwrap();
    };
    add(
        format!("{longest}/{longest}").as_bytes(),
        Node::bytes(*b"long", 0o644),
    );
    add(
        "\u{e4}".repeat(127).as_bytes(),
        Node::bytes(*b"long and not ASCII", 0o644),
    );
    add(
        b"link",
        Node::Symlink {
            target: "t\u{fc}r/".repeat(10).into_bytes(),
        },
    );
    add(
        &["deep"; 40].join("/").into_bytes(),
        Node::Directory { mode: 0o755 },
    );
    if !names_are_text {
        add(b"caf\xE9/\xFF\xFE", Node::bytes(*b"not UTF-8", 0o644));
        add(
            b"long-link",
            Node::Symlink {
                target: vec![b't'; 600],
            },
        );
    }
    for number in 0..500 {
        add(
            format!("many/file {number}").as_bytes(),
            Node::bytes(noise(number * 7), 0o644),
        );
    }
    let program = program(folder);
    let size_bytes = program.metadata().unwrap().len();
    tree.insert(
        path("walk"),
        Node::File {
            source: Source::Path(program),
            size_bytes,
            mode: 0o755,
        },
    )
    .unwrap();
    tree
}

pub fn program(folder: &Path) -> PathBuf {
    let program = folder.join("walk");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/walk.c");
    let mut compile = Command::new("cc");
    compile
        .args(["-O2", "-fPIE", "-pie", "-o"])
        .arg(&program)
        .arg(source);
    assert!(compile.status().unwrap().success());
    program
}

fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |state, &byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// What the guest has to say about the tree, by path.
pub fn expected(tree: &Tree) -> BTreeMap<Vec<u8>, String> {
    contents_of_tree(tree)
        .into_iter()
        .filter(|(at, _)| at.depth() > 1 && at.as_bytes().starts_with(b"tree/"))
        .map(|(at, content)| {
            let (kind, bytes) = match content {
                Content::Directory => ("dir", Vec::new()),
                Content::File(bytes) => ("file", bytes),
                Content::Symlink(target) => ("link", target),
            };
            let line = format!("{kind} {} {:016x}", bytes.len(), digest(&bytes));
            ([b"/", at.as_bytes()].concat(), line)
        })
        .collect()
}

/// What the guest said about the tree, by path.
fn seen(console: &str) -> BTreeMap<Vec<u8>, String> {
    let lines = console
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("walk: "));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(what, _)| *what != "end")
        .map(|(what, at)| (unhex(at), what.to_owned()))
        .collect()
}

/// The guest has seen all that is expected, as it is, and nothing else.
pub fn compare(expected: &BTreeMap<Vec<u8>, String>, console: &str) {
    let seen = seen(console);
    let paths: BTreeSet<_> = expected.keys().chain(seen.keys()).collect();
    let differences: Vec<String> = paths
        .into_iter()
        .filter(|at| expected.get(*at) != seen.get(*at))
        .map(|at| {
            format!(
                "{}: {:?}, not {:?}",
                at.escape_ascii(),
                seen.get(at),
                expected.get(at)
            )
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{}\n\n{console}",
        differences.join("\n")
    );
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text
        .as_bytes()
        .chunks(2)
        .map(|pair| str::from_utf8(pair).unwrap());
    digits
        .map(|pair| u8::from_str_radix(pair, 16).unwrap_or(b'?'))
        .collect()
}

/// Runs QEMU until the guest powers off, and returns its console.
pub fn boot(disk: &Path, arguments: &[OsString]) -> String {
    let drive = format!("file={},if=none,id=disk,format=raw", disk.display());
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-machine",
        "pc",
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-m",
        "512",
        "-nodefaults",
    ])
    .args([
        "-no-user-config",
        "-display",
        "none",
        "-nic",
        "none",
        "-no-reboot",
    ])
    .args(["-serial", "stdio", "-drive", &drive])
    .args(["-device", "virtio-blk-pci,drive=disk"])
    .args(arguments)
    .stdin(Stdio::null())
    .stdout(Stdio::piped())
    .stderr(Stdio::inherit());
    let mut child = qemu.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let console = std::thread::spawn(move || {
        let mut console = Vec::new();
        stdout.read_to_end(&mut console).unwrap();
        String::from_utf8_lossy(&console).into_owned()
    });
    let start = Instant::now();
    let mut ended = true;
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            ended = false;
            child.kill().unwrap();
            child.wait().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let console = console.join().unwrap();
    assert!(
        ended,
        "the guest did not power off within {PATIENCE:?}:\n{console}"
    );
    console
}

/// A disk and the folder that it is in.
pub fn disk(
    loader: Option<PathBuf>,
    command_line: &str,
    root: &Root,
    tree: &Tree,
) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    let mut file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    let loader = loader.map(Source::Path);
    let layout = write_disk(
        loader.as_ref(),
        command_line,
        root,
        tree,
        &mut file,
        &mut Unwatched,
    )
    .unwrap();
    assert_eq!(file.metadata().unwrap().len(), layout.size_bytes);
    (folder, image)
}

/// A disk of another tree and command line that was updated, in two steps.
fn updated_disk(
    loader: Option<PathBuf>,
    command_line: &str,
    root: &Root,
    tree: &Tree,
) -> (TempDir, PathBuf) {
    let older = |step: usize| {
        let mut older = Tree::new();
        for (number, (at, node)) in tree.iter().enumerate() {
            let node = match node {
                Node::File { .. } if (number + step).is_multiple_of(9) => continue,
                Node::File { .. } if (number + step).is_multiple_of(7) => {
                    Node::bytes(noise(number * 7 * step % 3000), 0o600)
                }
                node => node.clone(),
            };
            older.insert(at.clone(), node).unwrap();
        }
        let gone = path(&format!("tree/gone-{step}/with/folders"));
        older
            .insert(gone, Node::bytes(noise(70_000), 0o644))
            .unwrap();
        older
    };
    let trees = [older(1), older(2), tree.clone()];
    let (folder, image) = disk(loader, "/other", root, &trees[0]);
    let mut file = File::options().read(true).write(true).open(&image).unwrap();
    for pair in trees.windows(2) {
        let old: SharedDisk = Arc::new(Raw::new(file.try_clone().unwrap()).unwrap());
        let changes = crate::updates::changes(&pair[0], &pair[1]);
        let updated = update_disk(
            &old,
            command_line,
            root,
            &pair[1],
            &changes,
            &mut file,
            &mut Unwatched,
        );
        let Updated::Patch(patch) = updated.unwrap() else {
            panic!("the disk was not updated");
        };
        for (&at, bytes) in &patch.writes {
            file.write_all_at(bytes, at).unwrap();
        }
        file.set_len(patch.size_bytes).unwrap();
    }
    (folder, image)
}

fn kernel(kernel: PathBuf, command_line: &str) -> [OsString; 4] {
    [
        "-kernel".into(),
        kernel.into(),
        "-append".into(),
        command_line.into(),
    ]
}

pub const READ: &str = "--rootfs=rofs --console=serial /walk /tree";
pub const READ_AND_WRITE: &str = "--rootfs=ext --console=serial /walk /tree /tree/etc/new";

#[test]
fn a_disk_boots_and_all_of_it_is_read() {
    let Some(loader) = set("WINDLASS_OSV_LOADER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), false);
    let (_folder, image) = disk(Some(loader), READ, &Root::Rofs, &tree);
    let console = boot(&image, &[]);
    compare(&expected(&tree), &console);
}

#[test]
fn a_disk_without_a_loader_is_read_by_a_kernel() {
    let Some(elf) = set("WINDLASS_OSV_KERNEL") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), false);
    let (_folder, image) = disk(None, "", &Root::Rofs, &tree);
    let console = boot(&image, &kernel(elf, READ));
    compare(&expected(&tree), &console);
}

#[test]
fn a_bootable_disk_is_read_by_a_kernel_too() {
    let Some(loader) = set("WINDLASS_OSV_LOADER") else {
        return;
    };
    let Some(elf) = set("WINDLASS_OSV_KERNEL") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), false);
    let (_folder, image) = disk(Some(loader), "/nothing", &Root::Rofs, &tree);
    let console = boot(&image, &kernel(elf, READ));
    compare(&expected(&tree), &console);
}

#[test]
fn a_disk_that_was_updated_boots_and_all_of_it_is_read() {
    let Some(loader) = set("WINDLASS_OSV_LOADER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), false);
    let (_folder, image) = updated_disk(Some(loader), READ, &Root::Rofs, &tree);
    let console = boot(&image, &[]);
    compare(&expected(&tree), &console);
}

#[test]
fn an_ext4_disk_that_was_updated_boots_is_read_and_written() {
    let Some(loader) = set("WINDLASS_OSV_EXT_LOADER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), true);
    let root = Root::Ext4(Ext4Options::default());
    let (_folder, image) = updated_disk(Some(loader), READ_AND_WRITE, &root, &tree);
    ext4_is_read_and_written(&image, &tree, &[]);
}

/// The guest writes to its root, which is sound afterwards.
pub fn ext4_is_read_and_written(image: &Path, tree: &Tree, arguments: &[OsString]) {
    let mut expected = expected(tree);
    let words = b"written by the guest";
    let line = format!("file {} {:016x}", words.len(), digest(words));
    expected.insert(b"/tree/etc/new".to_vec(), line);
    let console = boot(image, arguments);
    compare(&expected, &console);

    let (partition, _) = root_partition(File::open(image).unwrap()).unwrap();
    let part = image.with_extension("ext4");
    let mut section = Section::new(
        File::open(image).unwrap(),
        partition.start_bytes,
        partition.size_bytes,
    )
    .unwrap();
    std::io::copy(&mut section, &mut File::create(&part).unwrap()).unwrap();
    crate::ext4::check(&part);
}

#[test]
fn an_ext4_disk_boots_is_read_and_written() {
    let Some(loader) = set("WINDLASS_OSV_EXT_LOADER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), true);
    let root = Root::Ext4(Ext4Options::default());
    let (_folder, image) = disk(Some(loader), READ_AND_WRITE, &root, &tree);
    ext4_is_read_and_written(&image, &tree, &[]);
}

#[test]
fn an_ext4_disk_that_has_grown_boots_is_read_and_written() {
    let Some(loader) = set("WINDLASS_OSV_EXT_LOADER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), true);
    let root = Root::Ext4(Ext4Options::default());
    let (_folder, image) = disk(Some(loader), READ_AND_WRITE, &root, &tree);
    let options = ResizeOptions::default();
    let resized = resize(&image, 1 << 30, &options, &mut Unwatched).unwrap();
    assert_eq!(resized.file_system, Some(FileSystemKind::Ext4));
    ext4_is_read_and_written(&image, &tree, &[]);
}

#[test]
fn an_ext4_disk_is_read_and_written_by_a_kernel() {
    let Some(elf) = set("WINDLASS_OSV_EXT_KERNEL") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tree = guest_tree(folder.path(), true);
    let root = Root::Ext4(Ext4Options::default());
    let (_folder, image) = disk(None, "", &root, &tree);
    ext4_is_read_and_written(&image, &tree, &kernel(elf, READ_AND_WRITE));
}
