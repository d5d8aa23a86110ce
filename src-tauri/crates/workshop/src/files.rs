//! What a file is: a guest kernel, an image, an archive.

use std::fs::File;
use std::path::Path;

use serde::Serialize;
use specta::Type;
use windlass_guest::kernel::{KernelFacts, KernelForm as GuestKernelForm, NotAKernel, identify};
use windlass_image::{ImageKind, detect};

use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::{GuestOs, RootFs};
use crate::kernels::KernelForm;

/// What sort of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// A guest kernel.
    Kernel,
    /// A disk, or a file system.
    Image,
    /// An archive that an appliance can be made from.
    Archive,
}

/// A guest kernel in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct KernelInFile {
    /// What boots from it.
    pub guest: GuestOs,
    /// Which sort of file it is.
    pub form: KernelForm,
    /// Its own version, where it can be seen.
    pub version: Option<String>,
    /// The processor that it runs on.
    pub architecture: String,
    /// The root file systems that it can mount.
    pub root_fs: Vec<RootFs>,
}

/// What was found of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct FileDescription {
    /// The file.
    pub path: String,
    /// What sort of file it is.
    pub kind: FileKind,
    /// What it is, in words.
    pub description: String,
    /// Its size.
    pub size_bytes: u64,
    /// The kernel that it is or begins with.
    pub kernel: Option<KernelInFile>,
    /// The boot command line that an OSv disk carries.
    pub command_line: Option<String>,
}

/// Says what a file is, by what is in it.
///
/// # Errors
/// `NotFound`; `Input` when it is nothing that Windlass can use, saying what it seems to be.
pub fn describe_file(path: &Path) -> Result<FileDescription> {
    let mut file = File::open(path).doing("read", path)?;
    let metadata = file.metadata().doing("read", path)?;
    if metadata.is_dir() {
        return Err(AppError::new(
            ErrorKind::Input,
            format!("`{}` is a folder", path.display()),
        )
        .hinted("`windlassctl package describe FOLDER` describes the package in it"));
    }
    let described = |kind, description: &str| FileDescription {
        path: path.display().to_string(),
        kind,
        description: description.to_owned(),
        size_bytes: metadata.len(),
        kernel: None,
        command_line: None,
    };
    let image = detect(&mut file)
        .map_err(|error| AppError::from_error(ErrorKind::Unavailable, &error, None))?;
    let words = match image {
        ImageKind::OsvDisk => Some("OSv disk: loader, boot command line and a partition"),
        ImageKind::OsvKernelLessDisk => Some("OSv disk without a loader: it boots by kernel only"),
        ImageKind::Rofs => Some("ROFS file system"),
        ImageKind::Ext4 => Some("ext2, ext3 or ext4 file system"),
        ImageKind::Qcow2 => Some("qcow2 disk"),
        _ => None,
    };
    let kernel = identify(&mut file);
    if let Some(words) = words {
        return Ok(FileDescription {
            kernel: kernel.ok().map(KernelInFile::from),
            command_line: windlass_image::osv::read_command_line(&mut file).ok(),
            ..described(FileKind::Image, words)
        });
    }
    match kernel {
        Ok(facts) => Ok(FileDescription {
            command_line: matches!(image, ImageKind::OsvLoader)
                .then(|| windlass_image::osv::read_command_line(&mut file).ok())
                .flatten(),
            description: facts.form.to_string(),
            kernel: Some(facts.into()),
            ..described(FileKind::Kernel, "")
        }),
        Err(_) if image == ImageKind::MbrDisk => {
            Ok(described(FileKind::Image, "disk with a partition table"))
        }
        Err(_) if windlass_package::archive::is_archive_name(path) => {
            Ok(described(FileKind::Archive, "archive"))
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &NotAKernel) -> AppError {
    AppError {
        kind: ErrorKind::Input,
        message: format!("Windlass cannot use `{}`", path.display()),
        hints: error.hint().into_iter().collect(),
        chain: vec![error.to_string()],
        replaced: None,
    }
}

impl From<KernelFacts> for KernelInFile {
    fn from(facts: KernelFacts) -> Self {
        Self {
            guest: facts.guest.into(),
            form: match facts.form {
                GuestKernelForm::OsvLoader => KernelForm::OsvLoader,
                GuestKernelForm::OsvElf => KernelForm::OsvElf,
                GuestKernelForm::OsvZfsBuilder => KernelForm::OsvZfsBuilder,
                GuestKernelForm::LinuxBzImage => KernelForm::Linux,
            },
            version: facts.version,
            architecture: facts.architecture.to_string(),
            root_fs: facts
                .root_file_systems
                .into_iter()
                .map(RootFs::from)
                .collect(),
        }
    }
}
