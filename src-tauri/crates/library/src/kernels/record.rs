//! `kernel.json`: what is known of a kernel without reading it.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use windlass_guest::kernel::{KernelFacts, KernelForm};
use windlass_guest::{GuestOs, RootFs};

use super::Kernel;
use crate::error::{Error, IoContext};
use crate::file::write_whole;

/// The name of the record in a kernel's folder.
const FILE: &str = "kernel.json";

/// The name of the kernel's file in its folder.
pub(crate) const KERNEL_FILE: &str = "kernel";

/// The folder of a Linux kernel's modules, and the file in it that says in which order they are loaded.
pub(crate) const MODULES_FOLDER: &str = "modules";
pub(crate) const MODULES_ORDER: &str = "order";

/// The version of the record's format. A later one is read as far as it has the fields of this one.
const FORMAT: u32 = 1;

/// The form of the record on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    format: u32,
    form: Form,
    version: Option<String>,
    pub(crate) digest: String,
    pub(crate) size_bytes: u64,
    root_file_systems: Vec<FileSystem>,
    /// Whether it has the tools that make a ZFS file system.
    #[serde(default)]
    makes_zfs: bool,
    #[serde(default)]
    pub(crate) modules: Vec<String>,
    /// Drivers that a micro-VM needs and this kernel has neither built in nor as a module, as far as that is known.
    #[serde(default)]
    pub(crate) lacking: Vec<String>,
    added_at: u64,
    /// The time of change of the file when its digest was right, in nanoseconds since 1970.
    #[serde(default)]
    pub(crate) seen_modified_ns: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Form {
    OsvLoader,
    OsvElf,
    OsvZfsBuilder,
    LinuxBzImage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FileSystem {
    Rofs,
    Ext4,
    Zfs,
}

impl Record {
    pub(crate) fn new(facts: &KernelFacts, digest: &blake3::Hash, size_bytes: u64) -> Self {
        let now = std::time::SystemTime::now();
        Self {
            format: FORMAT,
            form: match facts.form {
                KernelForm::OsvLoader => Form::OsvLoader,
                KernelForm::OsvElf => Form::OsvElf,
                KernelForm::OsvZfsBuilder => Form::OsvZfsBuilder,
                KernelForm::LinuxBzImage => Form::LinuxBzImage,
            },
            version: facts.version.clone(),
            digest: digest.to_hex().to_string(),
            size_bytes,
            root_file_systems: facts
                .root_file_systems
                .iter()
                .map(|file_system| match file_system {
                    RootFs::Rofs => FileSystem::Rofs,
                    RootFs::Ext4 => FileSystem::Ext4,
                    RootFs::Zfs => FileSystem::Zfs,
                })
                .collect(),
            makes_zfs: facts.makes_zfs,
            modules: Vec::new(),
            lacking: Vec::new(),
            added_at: now
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            seen_modified_ns: None,
        }
    }

    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path).context("read", &path)?;
        serde_json::from_slice(&text).map_err(|source| Error::Record { path, source })
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(FILE);
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })?;
        text.push(b'\n');
        write_whole(&path, &text)
    }

    /// Whether two records say the same of what a kernel's file can do.
    pub(super) fn can_the_same(&self, other: &Self) -> bool {
        (self.form, self.makes_zfs, &self.root_file_systems)
            == (other.form, other.makes_zfs, &other.root_file_systems)
    }

    /// Takes over what is known of a kernel's file by now.
    pub(super) fn learn(&mut self, new: &Self) {
        self.form = new.form;
        self.makes_zfs = new.makes_zfs;
        self.root_file_systems.clone_from(&new.root_file_systems);
        self.version.clone_from(&new.version);
    }

    pub(crate) fn guest(&self) -> GuestOs {
        match self.form {
            Form::OsvLoader | Form::OsvElf | Form::OsvZfsBuilder => GuestOs::Osv,
            Form::LinuxBzImage => GuestOs::Linux,
        }
    }

    pub(crate) fn into_kernel(self, folder: &Path, id: &str) -> Kernel {
        Kernel {
            id: id.to_owned(),
            guest: self.guest(),
            form: match self.form {
                Form::OsvLoader => KernelForm::OsvLoader,
                Form::OsvElf => KernelForm::OsvElf,
                Form::OsvZfsBuilder => KernelForm::OsvZfsBuilder,
                Form::LinuxBzImage => KernelForm::LinuxBzImage,
            },
            runs: self.runs(),
            root_file_systems: self
                .root_file_systems
                .iter()
                .map(|file_system| match file_system {
                    FileSystem::Rofs => RootFs::Rofs,
                    FileSystem::Ext4 => RootFs::Ext4,
                    FileSystem::Zfs => RootFs::Zfs,
                })
                .collect(),
            makes_zfs: self.makes_zfs,
            version: self.version,
            digest: self.digest,
            size_bytes: self.size_bytes,
            modules: self.modules,
            added_at: self.added_at,
            path: folder.join(KERNEL_FILE),
        }
    }

    /// What the kernel can run, as a sentence.
    fn runs(&self) -> String {
        match self.form {
            Form::OsvLoader => {
                "OSv applications, from disks that boot by themselves, as clouds need them"
                    .to_owned()
            }
            Form::OsvElf => "OSv applications, booted directly on this computer".to_owned(),
            Form::OsvZfsBuilder => "nothing: it writes the disks of appliances with ZFS".to_owned(),
            Form::LinuxBzImage if !self.lacking.is_empty() => format!(
                "Linux applications, but it has no driver {}",
                self.lacking.join(", ")
            ),
            Form::LinuxBzImage if self.modules.is_empty() => {
                "Linux applications, if its virtio drivers are built in: it came without modules"
                    .to_owned()
            }
            Form::LinuxBzImage => {
                format!(
                    "Linux applications, with {} drivers as modules",
                    self.modules.len()
                )
            }
        }
    }
}

/// The time of change of a file, in nanoseconds since 1970; `None` where the file system has none.
pub(crate) fn modified_ns(metadata: &std::fs::Metadata) -> Option<u64> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}
