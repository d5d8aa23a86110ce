//! Disks that boot by themselves, booted: by a BIOS and by UEFI, from the disk alone.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio_util::sync::CancellationToken;
use windlass_image::ext4::Ext4Options;
use windlass_image::linux::{self, BootParts, Pair, PairFiles};
use windlass_image::update::{Changes, Updated};
use windlass_image::{GuestPath, Image, Node, Source, Tree, Unwatched, disk, journal};
use windlass_library::{AptError, BootLoader, Error, HELLO};

use crate::support::Place;

/// Where distributions have a UEFI for QEMU: code, and its variables.
const FIRMWARE: [(&str, &str); 2] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
];

/// Where a guest that says nothing is given up.
const SECONDS_MAX: &str = "300";

enum Firmware {
    Bios,
    /// None: the hypervisor loads the kernel.
    Kernel(PairFiles),
    Uefi {
        code: PathBuf,
        variables: PathBuf,
    },
}

/// What the guest says on its serial port, from the disk alone.
fn boot(image: &Path, firmware: &Firmware) -> String {
    let mut command = Command::new("timeout");
    command
        .args([SECONDS_MAX, "qemu-system-x86_64", "-nodefaults"])
        .args(["-machine", "pc", "-accel", "tcg", "-m", "512"])
        .args(["-display", "none", "-no-reboot", "-serial", "stdio"])
        .args(["-device", "virtio-rng-pci"]);
    match firmware {
        Firmware::Bios => {}
        Firmware::Kernel(files) => {
            let parameters = fs::read_to_string(&files.parameters).unwrap();
            command.arg("-kernel").arg(&files.kernel);
            command.arg("-initrd").arg(&files.initramfs);
            let parameters = format!("{} windlass.network=off", parameters.trim());
            command.args(["-append", &parameters]);
        }
        Firmware::Uefi { code, variables } => {
            let option = |path: &Path, more: &str| {
                format!("if=pflash,format=raw,{more},file={}", path.display())
            };
            command.args(["-drive", &option(code, "readonly=on")]);
            command.args(["-drive", &option(variables, "snapshot=on")]);
        }
    }
    let drive = format!("if=virtio,format=raw,snapshot=on,file={}", image.display());
    let output = command
        .args(["-drive", &drive])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{words}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    words
}

/// The firmware that there is here.
fn firmware() -> Vec<Firmware> {
    let mut firmware = vec![Firmware::Bios];
    let uefi = FIRMWARE
        .iter()
        .find(|(code, variables)| Path::new(code).exists() && Path::new(variables).exists());
    match uefi {
        Some((code, variables)) => firmware.push(Firmware::Uefi {
            code: code.into(),
            variables: variables.into(),
        }),
        None => eprintln!("skipped in part: no UEFI for QEMU here (package ovmf)"),
    }
    firmware
}

fn has_qemu() -> bool {
    let qemu = Command::new("qemu-system-x86_64").arg("--version").output();
    if qemu.is_err() {
        eprintln!("skipped: no QEMU here");
    }
    qemu.is_ok()
}

/// What apt gave; nothing where it can give nothing.
fn fetched<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Err(Error::Apt(
            error @ (AptError::Offline { .. } | AptError::NoLists { .. } | AptError::NoApt { .. }),
        )) => {
            eprintln!("skipped: {error}");
            None
        }
        result => Some(result.unwrap()),
    }
}

fn boot_loader(place: &Place) -> Option<BootLoader> {
    fetched(
        place
            .library
            .fetch_boot_loader(&mut |_| (), &CancellationToken::new()),
    )
}

fn path(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap()
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    tree.insert(path("hello"), Node::bytes(HELLO, 0o755))
        .unwrap();
    for folder in ["dev", "etc", "proc", "run", "sys", "tmp"] {
        tree.insert(path(folder), Node::Directory { mode: 0o755 })
            .unwrap();
    }
    tree
}

#[test]
fn slow_the_boot_loader_is_made_of_the_distributions_packages() {
    let place = Place::new();
    let Some(loader) = boot_loader(&place) else {
        return;
    };
    let names: Vec<&str> = loader
        .packages
        .iter()
        .filter_map(|package| package.split(' ').next())
        .collect();
    assert_eq!(names, ["grub-common", "grub-efi-amd64-bin", "grub-pc-bin"]);
    assert_eq!(fs::metadata(&loader.boot_sector).unwrap().len(), 512);
    assert!(fs::read(&loader.efi_program).unwrap().starts_with(b"MZ"));
    assert_eq!(place.library.boot_loader().unwrap().as_ref(), Some(&loader));
    // What was changed is not taken, and made again to the same bytes.
    fs::write(&loader.core, b"not GRUB").unwrap();
    assert_eq!(place.library.boot_loader().unwrap(), None);
    assert_eq!(boot_loader(&place).unwrap(), loader);
}

#[test]
fn slow_a_disk_boots_by_bios_and_by_uefi_and_again_after_an_update() {
    let place = Place::new();
    if !has_qemu() {
        return;
    }
    let (Some(loader), Some(kernel)) = (
        boot_loader(&place),
        fetched(
            place
                .library
                .fetch_linux_kernel(&mut |_| (), &CancellationToken::new()),
        ),
    ) else {
        return;
    };
    let initramfs = place.library.initramfs(&kernel.id).unwrap();
    let vmlinuz = kernel.path.clone();
    let parts = BootParts {
        boot_sector: Source::Path(loader.boot_sector),
        core: Source::Path(loader.core),
        efi_program: Source::Path(loader.efi_program),
        initramfs: Source::Path(initramfs.clone()),
        kernel: Source::Path(kernel.path),
        parameters: "console=tty0 console=ttyS0 quiet loglevel=4 panic=-1 rdinit=/init \
                     windlass.root=PARTLABEL=root windlass.network=off"
            .to_owned(),
    };
    let options = Ext4Options {
        label: "root".to_owned(),
        ..Ext4Options::default()
    };
    let image = place.path("disk.img");
    let mut file = File::create(&image).unwrap();
    let line = "--env=GREETING=first /hello";
    linux::write_disk(&parts, line, &options, &tree(), &mut file, &mut Unwatched).unwrap();
    drop(file);

    let firmware = firmware();
    for firmware in &firmware {
        let words = boot(&image, firmware);
        assert!(words.contains("exited with status 0"), "{words}");
        assert!(words.contains("Hello from"), "{words}");
    }

    // A file more, and another line.
    let mut new = tree();
    new.insert(path("opt/again"), Node::bytes(HELLO, 0o755))
        .unwrap();
    let changes = Changes {
        put: vec![path("opt"), path("opt/again")],
        ..Changes::default()
    };
    let (_, disk) = disk::open(&image).unwrap();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    let updated = linux::update_disk(
        &disk,
        "/opt/again",
        &options,
        &new,
        &changes,
        &mut file,
        &mut Unwatched,
    );
    let Updated::Patch(patch) = updated.unwrap() else {
        panic!("it is updated")
    };
    let now = std::time::SystemTime::now();
    journal::commit(&image, &file, &patch, &[], now).unwrap();
    for firmware in &firmware {
        let words = boot(&image, firmware);
        assert!(
            words.contains("exited with status 0: /opt/again"),
            "{words}"
        );
    }
    let line = Image::open(&image)
        .unwrap()
        .linux()
        .unwrap()
        .command_line
        .clone();
    assert_eq!(line.as_deref(), Some("/opt/again"));

    // The same as a pair of kernel and disk, with a line of its own.
    let (_, disk) = disk::open(&image).unwrap();
    let files = PairFiles::of(place.folder.path(), "pair");
    let pair = Pair {
        kernel: &vmlinuz,
        initramfs: Some(&initramfs),
        command_line: "/hello",
        disk: &disk,
    };
    linux::write_pair(&files, &pair, &mut Unwatched).unwrap();
    let copy = files.disk.clone();
    let words = boot(&copy, &Firmware::Kernel(files));
    assert!(words.contains("exited with status 0: /hello"), "{words}");
}
