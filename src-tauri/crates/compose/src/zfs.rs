//! Disks with a ZFS root, which OSv's builder guest fills.
//!
//! We make the disk (loader, command line, an empty second partition) in a temporary file; whoever calls has a builder
//! guest fill it with what [`cpiod`](crate::cpiod) sends; only then does it get its name. A build that fails, is cancelled or
//! killed leaves at most a temporary file.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_guest::{CommandLine, GuestOs};
use windlass_image::{Source, Tree, osv};

use crate::cpiod::{Member, everything};
use crate::error::{Error, IoContext};
use crate::plan::Plan;

/// The least that a pool is made in, and what it has beside the content where nothing is said.
const ROOM_BYTES: u64 = 256 << 20;
const SIZE_ALIGNMENT_BYTES: u64 = 1 << 20;

/// How a disk with a ZFS root is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZfsRecipe {
    /// Where it will be.
    pub destination: PathBuf,
    /// The loader image of an OSv that has ZFS. Without it the disk boots by kernel only.
    pub loader: Option<PathBuf>,
    /// The boot command line, as the user has it.
    pub command_line: CommandLine,
    /// The size of the pool; without it, twice the content and some room.
    pub size_bytes: Option<u64>,
}

/// A disk that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZfsDisk {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// How many files, folders and links were sent.
    pub members: usize,
}

/// Has a guest write what belongs into the second partition of a disk.
pub type Fill<'a> = &'a mut dyn FnMut(&Path, &[Member]) -> Result<(), Error>;

/// The boot command line with `--rootfs=zfs`.
#[must_use]
pub fn zfs_command_line(command_line: &CommandLine) -> CommandLine {
    if command_line.has_option("rootfs") {
        return command_line.clone();
    }
    command_line.clone().with_option("rootfs", Some("zfs"))
}

/// Makes the disk. `fill` is given its file and what belongs into its second partition, and returns when a guest has
/// written it there.
///
/// # Errors
/// [`Error::RootFs`] for a plan that is not for OSv; [`Error::Image`]; what `fill` returns; I/O errors; [`Error::Cancelled`].
pub fn build_zfs(
    plan: &Plan,
    recipe: &ZfsRecipe,
    fill: Fill<'_>,
    cancel: &CancellationToken,
) -> Result<ZfsDisk, Error> {
    if plan.guest() != GuestOs::Osv {
        return Err(Error::RootFs {
            guest: plan.guest(),
            root_fs: plan.root_fs(),
        });
    }
    let path = &recipe.destination;
    let members = everything(plan);
    let size_bytes = recipe
        .size_bytes
        .unwrap_or(plan.size_bytes() * 2 + ROOM_BYTES)
        .max(ROOM_BYTES)
        .next_multiple_of(SIZE_ALIGNMENT_BYTES);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut disk = tempfile::Builder::new()
        .prefix(".windlass-zfs-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .context("create a file in", folder)?;
    let loader = recipe.loader.clone().map(Source::Path);
    let line = zfs_command_line(&recipe.command_line).to_string();
    let root = osv::Root::Empty { size_bytes };
    let mut watch = |_| ControlFlow::Continue(());
    let layout = osv::write_disk(
        loader.as_ref(),
        &line,
        &root,
        &Tree::new(),
        disk.as_file_mut(),
        &mut watch,
    )
    .map_err(|source| Error::Image {
        path: path.clone(),
        source: Box::new(source),
    })?;
    disk.as_file()
        .set_len(layout.size_bytes)
        .context("write", path)?;
    fill(disk.path(), &members)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    disk.as_file().sync_all().context("write", path)?;
    disk.persist(path)
        .map_err(|error| error.error)
        .context("write", path)?;
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .context("write", folder)?;
    Ok(ZfsDisk {
        path: path.clone(),
        size_bytes: layout.size_bytes,
        members: members.len(),
    })
}
