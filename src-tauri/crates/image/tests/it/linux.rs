//! Disks of Linux that boot by themselves, with parts that only look like GRUB's: `library`'s tests boot from real ones.

use std::fs::{self, File, OpenOptions};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use windlass_image::disk::{self, SharedDisk};
use windlass_image::ext4::Ext4Options;
use windlass_image::linux::{self, BootParts, Pair, PairFiles};
use windlass_image::update::{Changes, Updated};
use windlass_image::{
    Boots, Error, FileSystemKind, Image, Layout, Node, Source, Tree, Unwatched, edit, journal,
    resize,
};

use crate::ext4::tool;
use crate::trees::{path, sampler};

fn bytes(bytes: Vec<u8>) -> Source {
    Source::Bytes(bytes.into())
}

fn parts() -> BootParts {
    let mut boot_sector = vec![0x90; 512];
    boot_sector[0] = 0xEB;
    boot_sector[510..].copy_from_slice(&[0x55, 0xAA]);
    let mut core = vec![0xC0; 512 * 9 + 100];
    core[508..512].copy_from_slice(&[9, 0, 0x20, 0x08]);
    BootParts {
        boot_sector: bytes(boot_sector),
        core: bytes(core),
        efi_program: bytes(b"MZ GRUB".to_vec()),
        kernel: bytes(vec![0x4C; 3_000_000]),
        initramfs: bytes(vec![0x30; 1024]),
        parameters: "console=ttyS0 quiet".to_owned(),
    }
}

fn options() -> Ext4Options {
    Ext4Options {
        label: "root".to_owned(),
        ..Ext4Options::default()
    }
}

fn written(tree: &Tree) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    let mut file = File::create(&image).unwrap();
    let layout = linux::write_disk(
        &parts(),
        "--env=A=1 /hello",
        &options(),
        tree,
        &mut file,
        &mut Unwatched,
    );
    assert_eq!(file.metadata().unwrap().len(), layout.unwrap().size_bytes);
    (folder, image)
}

fn open(image: &Path) -> SharedDisk {
    disk::open(image).unwrap().1
}

/// What other tools say of the table and of the file systems.
fn check(image: &Path) {
    if let Some(mut sgdisk) = tool("sgdisk") {
        let output = sgdisk.arg("-v").arg(image).output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(words.contains("No problems found"), "{words}");
    }
    if let Some(mut sfdisk) = tool("sfdisk") {
        let output = sfdisk.arg("--verify").arg(image).output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(words.contains("No errors detected"), "{words}");
    }
    let whole = fs::read(image).unwrap();
    for volume in &Image::open(image).unwrap().volumes()[1..] {
        let start = usize::try_from(volume.start_bytes).unwrap();
        let size = usize::try_from(volume.size_bytes).unwrap();
        let part = image.with_extension("part");
        fs::write(&part, &whole[start..start + size]).unwrap();
        match volume.file_system {
            Some(FileSystemKind::Fat) => crate::fat::check(&part),
            _ => crate::ext4::check(&part),
        }
        fs::remove_file(part).unwrap();
    }
}

#[test]
fn a_disk_is_known_for_what_it_is() {
    let (_folder, image) = written(&sampler());
    check(&image);
    let opened = Image::open(&image).unwrap();
    assert_eq!(opened.layout(), Layout::Gpt);
    assert_eq!(
        opened.boots(),
        Boots {
            by_bios: true,
            by_uefi: true
        }
    );
    let line = opened.linux().unwrap().command_line.as_deref();
    assert_eq!(line, Some("--env=A=1 /hello"));
    let volumes: Vec<String> = opened
        .volumes()
        .iter()
        .map(|volume| {
            format!(
                "{} {} at {} MiB: {:?}",
                volume.number,
                volume.name.as_deref().unwrap(),
                volume.start_bytes >> 20,
                volume.file_system
            )
        })
        .collect();
    insta::assert_snapshot!(volumes.join("\n"), @"
    1 bios-boot at 1 MiB: None
    2 esp at 2 MiB: Some(Fat)
    3 root at 35 MiB: Some(Ext4)
    ");
    let root = opened.root().unwrap();
    assert_eq!(root.kind(), FileSystemKind::Ext4);
    assert!(root.find(&path("etc/hosts")).is_ok());
    let efi = opened.file_system(&opened.volumes()[1]).unwrap();
    let configuration = efi.find(&path("windlass/grub.cfg")).unwrap();
    let mut text = vec![0; 4096];
    let length = efi.read(&configuration, 0, &mut text).unwrap();
    insta::assert_snapshot!(String::from_utf8_lossy(&text[..length]), @"
    # What the guest runs is in the file command-line.cpio beside this one.
    if serial --unit=0 --speed=115200; then
      terminal_input console serial
      terminal_output console serial
    fi
    set gfxpayload=keep
    linux /windlass/vmlinuz console=ttyS0 quiet
    initrd /windlass/initramfs /windlass/command-line.cpio
    echo
    boot
    ");
    let (_other_folder, other) = written(&sampler());
    assert!(
        fs::read(&image).unwrap() == fs::read(other).unwrap(),
        "the same again"
    );
}

#[test]
fn the_command_line_is_replaced_in_its_place() {
    let (_folder, image) = written(&sampler());
    let before = fs::read(&image).unwrap();
    let long = format!("--env=LONG={} /hello", "x".repeat(20_000));
    for line in [long.as_str(), "", "/bye --now", "--env=A=1 /hello"] {
        let mut out = OpenOptions::new().write(true).open(&image).unwrap();
        linux::set_command_line(&open(&image), line, &mut out).unwrap();
        assert_eq!(linux::read_command_line(&open(&image)).unwrap(), line);
    }
    assert!(
        fs::read(&image).unwrap() == before,
        "nothing else was touched"
    );
    check(&image);
    let refused = |line: &str| {
        let disk = open(&image);
        let out = &mut Cursor::new(Vec::new());
        linux::set_command_line(&disk, line, out)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!([refused("a\nb"), refused(&"x".repeat(32_768))].join("\n"), @"
    the command line cannot be stored: its byte 1 would end it
    the command line cannot be stored: it has 32768 bytes, the disk has room for 32767
    ");
    let nothing: SharedDisk = Arc::new(vec![0; 4096]);
    assert!(matches!(
        linux::read_command_line(&nothing),
        Err(Error::WrongKind { .. })
    ));
}

#[test]
fn an_update_writes_the_root_and_the_command_line() {
    let (_folder, image) = written(&sampler());
    let mut tree = sampler();
    tree.insert(path("new"), Node::bytes(vec![7; 5000], 0o755))
        .unwrap();
    let changes = Changes {
        put: vec![path("new")],
        ..Changes::default()
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    let updated = linux::update_disk(
        &open(&image),
        "/new",
        &options(),
        &tree,
        &changes,
        &mut file,
        &mut Unwatched,
    );
    let Updated::Patch(patch) = updated.unwrap() else {
        panic!("a patch")
    };
    assert!(patch.bytes_written() < 200_000, "{}", patch.bytes_written());
    assert_eq!(
        linux::read_command_line(&open(&image)).unwrap(),
        "--env=A=1 /hello"
    );
    journal::commit(&image, &file, &patch, &[], std::time::SystemTime::now()).unwrap();
    check(&image);
    let opened = Image::open(&image).unwrap();
    assert_eq!(
        opened.linux().unwrap().command_line.as_deref(),
        Some("/new")
    );
    assert!(opened.root().unwrap().find(&path("new")).is_ok());
}

#[test]
fn parts_that_are_none_of_grubs_are_refused() {
    let refused = |boot: &BootParts| {
        let out = &mut Cursor::new(Vec::new());
        linux::write_disk(
            boot,
            "/hello",
            &options(),
            &Tree::new(),
            out,
            &mut Unwatched,
        )
        .unwrap_err()
        .to_string()
    };
    let no_sector = BootParts {
        boot_sector: bytes(vec![0; 512]),
        ..parts()
    };
    let cut = BootParts {
        core: bytes(vec![0xC0; 512 * 8]),
        ..parts()
    };
    let gone = BootParts {
        kernel: Source::Path("/nowhere/vmlinuz".into()),
        ..parts()
    };
    insta::assert_snapshot!([refused(&no_sector), refused(&cut), refused(&gone)].join("\n"), @"
    the boot loader is not GRUB's boot.img: it is no boot sector of 512 bytes
    the boot loader is not GRUB's core.img for a BIOS: its first sector does not say how long it is
    the guest kernel /nowhere/vmlinuz cannot be read
    ");
}

#[test]
fn a_pair_of_kernel_and_disk_is_written_whole_or_not_at_all() {
    let (folder, image) = written(&sampler());
    let kernel = folder.path().join("kernel");
    let initramfs = folder.path().join("initramfs");
    fs::write(&kernel, b"Linux").unwrap();
    fs::write(&initramfs, b"070701").unwrap();
    let target = tempfile::tempdir().unwrap();
    let files = PairFiles::of(target.path(), "my-service");
    let disk = open(&image);
    let pair = Pair {
        kernel: &kernel,
        initramfs: Some(&initramfs),
        command_line: "--env=A=1 /hello",
        disk: &disk,
    };
    linux::write_pair(&files, &pair, &mut Unwatched).unwrap();
    assert!(fs::read(&files.disk).unwrap() == fs::read(&image).unwrap());
    assert_eq!(fs::read(&files.kernel).unwrap(), b"Linux");
    let archives = fs::read(&files.initramfs).unwrap();
    assert!(archives.starts_with(b"070701"));
    let line = b"--env=A=1 /hello\n";
    assert!(archives.windows(line.len()).any(|part| part == line));
    let parameters = fs::read_to_string(&files.parameters).unwrap();
    assert!(parameters.contains("rdinit=/init"), "{parameters}");

    let target = tempfile::tempdir().unwrap();
    let files = PairFiles::of(target.path(), "osv");
    let osv = Pair {
        initramfs: None,
        ..pair
    };
    linux::write_pair(&files, &osv, &mut Unwatched).unwrap();
    assert!(!files.initramfs.exists());
    let parameters = fs::read_to_string(&files.parameters).unwrap();
    assert_eq!(parameters, "--env=A=1 /hello\n");

    let target = tempfile::tempdir().unwrap();
    let files = PairFiles::of(target.path(), "my-service");
    let mut cancel = |_| std::ops::ControlFlow::Break(());
    let cancelled = linux::write_pair(&files, &osv, &mut cancel);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_is_edited_and_grows_and_stays_what_it_is() {
    let (_folder, image) = written(&sampler());
    edit::set_command_line(&image, "/other").unwrap();
    let hosts = Source::Bytes(b"127.0.0.1 other\n".to_vec().into());
    edit::replace_file(&image, None, &path("etc/hosts"), hosts, 16).unwrap();
    let before = Image::open(&image).unwrap();
    let size_bytes = before.size_bytes() + (200 << 20);
    let grown = resize::resize(
        &image,
        size_bytes,
        &resize::ResizeOptions::default(),
        &mut Unwatched,
    );
    assert_eq!(grown.unwrap().volume, Some(linux::ROOT_PARTITION));
    check(&image);
    let after = Image::open(&image).unwrap();
    assert_eq!(after.size_bytes(), size_bytes);
    assert!(after.boots().by_bios && after.boots().by_uefi);
    let line = after.linux().unwrap().command_line.as_deref();
    assert_eq!(line, Some("/other"));
    let root = after.root_volume().unwrap();
    assert!(root.size_bytes > before.root_volume().unwrap().size_bytes + (190 << 20));
    let root = after.root().unwrap();
    let hosts = root.find(&path("etc/hosts")).unwrap();
    let mut text = [0; 64];
    let length = root.read(&hosts, 0, &mut text).unwrap();
    assert_eq!(&text[..length], b"127.0.0.1 other\n");
}
