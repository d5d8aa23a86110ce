//! A plan becomes an image.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_guest::{CommandLine, GuestOs, RootFs};

use crate::digest::DigestCache;
use crate::error::Error;
use crate::plan::Plan;
use crate::progress::Progress;

/// How an image is made from a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Where it will be. Its list of files lies beside it.
    pub destination: PathBuf,
    /// The boot command line that the image itself carries, as the user has it; [`image_command_line`] adds what the
    /// file system needs.
    pub command_line: CommandLine,
    /// The OSv loader image that the disk begins with. Without it the disk boots by kernel only. Linux: none.
    pub loader: Option<PathBuf>,
    /// The size of an ext4 file system; without it, content plus room to write.
    pub size_bytes: Option<u64>,
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Where it is.
    pub path: PathBuf,
    /// Its list of files.
    pub files_path: PathBuf,
    /// The length of its file.
    pub size_bytes: u64,
    /// The bytes of all files in it.
    pub content_bytes: u64,
    /// How many files and symlinks are in it.
    pub file_count: usize,
    /// The BLAKE3 digest of its file, in hexadecimal.
    pub digest: String,
}

/// What is in an image: the content of `<image>.files.json`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileList {
    /// The version of this format.
    pub format: u32,
}

/// One file, directory or symlink of an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRecord {
    /// Its path.
    pub path: String,
}

/// Where the list of files of an image is: `<image>.files.json`.
pub fn files_path(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".files.json");
    PathBuf::from(name)
}

/// The boot command line with the options that the root file system needs in this guest (`--rootfs=…` for OSv).
#[must_use]
pub fn image_command_line(
    guest: GuestOs,
    root_fs: RootFs,
    command_line: &CommandLine,
) -> CommandLine {
    let _ = (guest, root_fs);
    command_line.clone()
}

/// Makes the image.
///
/// # Errors
/// [`Error::NoSpace`] before anything is written or when the disk gets full, [`Error::Changed`], [`Error::Image`], I/O errors,
/// [`Error::Cancelled`]. Nothing is left in any of these cases.
pub fn build(
    plan: &Plan,
    recipe: &Recipe,
    digests: &DigestCache,
    progress: &mut dyn FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Build, Error> {
    let _ = (plan, recipe, digests, progress, cancel);
    todo!()
}
