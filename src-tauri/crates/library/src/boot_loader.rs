//! GRUB, which makes a Linux disk boot by itself: fetched as packages of the distribution, without root.
//!
//! ```text
//!   apt-get download grub-common grub-pc-bin grub-efi-amd64-bin
//!     ├ usr/bin/grub-mkimage ──┬── i386-pc/*.mod      ──> core.img      what a BIOS's boot.img loads
//!     │                        └── x86_64-efi/*.mod   ──> grubx64.efi   what UEFI loads
//!     └ usr/lib/grub/i386-pc/boot.img
//!
//! <home>/boot-loader/
//! ├── boot-loader.json     which packages it was made of, and the digests of the files
//! └── boot.img  core.img  grubx64.efi
//! ```
//!
//! The same packages give the same bytes. `grub-mkimage` is run from where it was unpacked; the few libraries that it
//! needs are those that every system with `apt` has.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use tar::EntryType;
use tokio_util::sync::CancellationToken;
use windlass_image::linux::{BIOS_PREFIX, EFI_PREFIX};
use windlass_package::deb;

use crate::error::{Error, IoContext};
use crate::file::{place_folder, take_away, unfinished_folder, write_whole};
use crate::library::Library;
use crate::linux::{Apt, child};
use crate::progress::{Progress, Step};

const FOLDER: &str = "boot-loader";
const RECORD: &str = "boot-loader.json";
const BOOT_SECTOR: &str = "boot.img";
const CORE: &str = "core.img";
const EFI_PROGRAM: &str = "grubx64.efi";

const PACKAGES: [&str; 3] = ["grub-common", "grub-pc-bin", "grub-efi-amd64-bin"];
const MAKER: &str = "grub-mkimage";

/// Changes when what is made of the packages does, so that what is there is made anew.
const LAYOUT: u32 = 1;

/// What both have to know: the partition table, the file system, and how to start Linux.
const MODULES: [&str; 7] = [
    "part_gpt", "fat", "normal", "linux", "serial", "terminal", "echo",
];
const BIOS_MODULES: [&str; 1] = ["biosdisk"];
const EFI_MODULES: [&str; 1] = ["efi_gop"];

/// No file of GRUB that is of use here is as large as this.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What makes a Linux disk boot by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootLoader {
    /// The packages that it was made of, as `name version`, sorted.
    pub packages: Vec<String>,
    /// A digest of its files, in hexadecimal.
    pub digest: String,
    /// GRUB's boot.img.
    pub boot_sector: PathBuf,
    /// GRUB's core.img, for a BIOS.
    pub core: PathBuf,
    /// GRUB as a program of UEFI.
    pub efi_program: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    layout: u32,
    /// By name: file name and BLAKE3 digest.
    packages: BTreeMap<String, String>,
    /// By name: BLAKE3 digest.
    files: BTreeMap<String, String>,
}

impl Library {
    /// The boot loader that is here, if there is one: complete, and as it was made.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn boot_loader(&self) -> Result<Option<BootLoader>, Error> {
        let folder = self.home().join(FOLDER);
        let path = folder.join(RECORD);
        let Ok(text) = fs::read(&path) else {
            return Ok(None);
        };
        let record: Record =
            serde_json::from_slice(&text).map_err(|source| Error::Record { path, source })?;
        // Under a MiB in all: read each time.
        let is_sound = || {
            record.layout == LAYOUT
                && [BOOT_SECTOR, CORE, EFI_PROGRAM].iter().all(|name| {
                    let found = digest_of(&folder.join(name)).ok();
                    found.is_some() && found.as_ref() == record.files.get(*name)
                })
        };
        if !is_sound() {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        for digest in record.files.values() {
            hasher.update(digest.as_bytes());
        }
        let packages = record.packages.keys();
        Ok(Some(BootLoader {
            packages: packages.map(|file| shown(file)).collect(),
            digest: hasher.finalize().to_hex().to_string(),
            boot_sector: folder.join(BOOT_SECTOR),
            core: folder.join(CORE),
            efi_program: folder.join(EFI_PROGRAM),
        }))
    }

    /// Downloads the distribution's boot loader and makes the parts of it that go on a disk. One that is there already
    /// is given without.
    ///
    /// # Errors
    /// [`Error::Apt`] as for kernels; [`Error::NoBootLoader`] where the packages are not as expected;
    /// [`Error::Cancelled`].
    pub fn fetch_boot_loader(
        &self,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<BootLoader, Error> {
        self.fetch_boot_loader_by(&Apt::default(), progress, cancel)
    }

    /// The same by a given apt.
    ///
    /// # Errors
    /// As [`fetch_boot_loader`](Self::fetch_boot_loader).
    pub fn fetch_boot_loader_by(
        &self,
        apt: &Apt,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<BootLoader, Error> {
        if let Ok(Some(there)) = self.boot_loader() {
            return Ok(there);
        }
        let workplace = self.workplace()?;
        let packages = apt.download(&PACKAGES, workplace.path(), progress, cancel)?;
        progress(Progress {
            step: Step::Unpack,
            done_bytes: 0,
            total_bytes: None,
        });
        let unpacked = workplace.path().join("grub");
        fs::create_dir(&unpacked).context("create", &unpacked)?;
        let mut record = Record {
            layout: LAYOUT,
            packages: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        for package in &packages {
            unpack(package, &unpacked, cancel)?;
            let name = package.file_name().unwrap_or_default().to_string_lossy();
            record
                .packages
                .insert(name.into_owned(), digest_of(package)?);
        }
        let made = unfinished_folder(self.home())?;
        let boot_sector = made.path().join(BOOT_SECTOR);
        fs::copy(unpacked.join("i386-pc").join(BOOT_SECTOR), &boot_sector)
            .map_err(|_| no_boot_loader("the packages hold no boot.img for a BIOS"))?;
        let for_bios = Making {
            format: "i386-pc",
            prefix: BIOS_PREFIX,
            modules: &BIOS_MODULES,
            output: &made.path().join(CORE),
        };
        let for_efi = Making {
            format: "x86_64-efi",
            prefix: EFI_PREFIX,
            modules: &EFI_MODULES,
            output: &made.path().join(EFI_PROGRAM),
        };
        for_bios.run(&unpacked, cancel)?;
        for_efi.run(&unpacked, cancel)?;
        for name in [BOOT_SECTOR, CORE, EFI_PROGRAM] {
            let path = made.path().join(name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .context("write", &path)?;
            record.files.insert(name.to_owned(), digest_of(&path)?);
        }
        let path = made.path().join(RECORD);
        let text = serde_json::to_vec_pretty(&record).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })?;
        write_whole(&path, &text)?;

        let _lock = self.lock(cancel)?;
        let folder = self.home().join(FOLDER);
        if folder.exists() {
            take_away(&folder)?;
        }
        place_folder(made, &folder)?;
        self.boot_loader()?
            .ok_or_else(|| no_boot_loader("it was changed while it was put in its place"))
    }
}

/// One call of `grub-mkimage`.
struct Making<'a> {
    format: &'a str,
    prefix: &'a str,
    modules: &'a [&'a str],
    output: &'a Path,
}

impl Making<'_> {
    fn run(&self, unpacked: &Path, cancel: &CancellationToken) -> Result<(), Error> {
        let mut command = Command::new(unpacked.join(MAKER));
        command
            .arg("--directory")
            .arg(unpacked.join(self.format))
            .args(["--format", self.format, "--prefix", self.prefix])
            .arg("--output")
            .arg(self.output)
            .args(self.modules)
            .args(MODULES);
        let output = child::run(&mut command, &mut || (), cancel)?;
        if output.status.success() {
            return Ok(());
        }
        let said = output.stderr.lines().last().unwrap_or_default().trim();
        Err(no_boot_loader(format!("{MAKER} failed: {said}")))
    }
}

/// Takes what is needed out of a package: the maker, and the folders of both kinds with their modules.
fn unpack(package: &Path, folder: &Path, cancel: &CancellationToken) -> Result<(), Error> {
    deb::read(package, &mut child::until(cancel), |entry| {
        if entry.header().entry_type() != EntryType::Regular {
            return Ok(());
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let wanted = match path.strip_prefix("usr/lib/grub/") {
            Some(inside) => inside
                .split_once('/')
                .filter(|(kind, name)| is_kind(kind) && is_plain(name)),
            None => (path == "usr/bin/grub-mkimage").then_some(("", MAKER)),
        };
        let Some((kind, name)) = wanted else {
            return Ok(());
        };
        if entry.size() > FILE_BYTES_MAX {
            return Err(no_boot_loader(format!(
                "{path} is larger than a part of GRUB may be"
            )));
        }
        let parent = folder.join(kind);
        fs::create_dir_all(&parent).context("create", &parent)?;
        let path = parent.join(name);
        let mut file = File::create(&path).context("write", &path)?;
        std::io::copy(entry, &mut file).context("unpack", package)?;
        if name == MAKER {
            let mode = fs::Permissions::from_mode(0o700);
            file.set_permissions(mode).context("write", &path)?;
        }
        Ok(())
    })
}

fn is_kind(folder: &str) -> bool {
    matches!(folder, "i386-pc" | "x86_64-efi")
}

fn is_plain(name: &str) -> bool {
    let is_wanted = [".mod", ".img", ".lst"]
        .iter()
        .any(|end| name.ends_with(end));
    is_wanted && !name.contains('/') && !name.starts_with('.')
}

/// `grub-common 2.06-13` from `grub-common_2.06-13_amd64.deb`.
fn shown(file: &str) -> String {
    let mut parts = file.split('_');
    let name = parts.next().unwrap_or_default();
    let version = parts.next().unwrap_or_default().replace("%3a", ":");
    format!("{name} {version}")
}

fn digest_of(path: &Path) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).context("read", path)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer).context("read", path)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            count => hasher.update(&buffer[..count]),
        };
    }
}

fn no_boot_loader(found: impl Into<String>) -> Error {
    Error::NoBootLoader {
        found: found.into(),
    }
}
