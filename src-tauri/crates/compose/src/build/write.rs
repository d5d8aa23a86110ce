//! The tree goes into the file system, and the file system into the disk.

use std::io::Seek;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use tokio_util::sync::CancellationToken;
use windlass_guest::{GuestOs, RootFs};
use windlass_image::ext4::{self, Ext4Options, WrittenBy};
use windlass_image::{GuestPath, Source, Tree, Watch, linux, osv, rofs};

use super::digests::FileDigests;
use super::output::Output;
use super::{Recipe, Throttled};
use crate::cpiod::everything;
use crate::error::{Error, IoContext};
use crate::plan::Plan;
use crate::progress::Step;
use crate::zfs::{self, Filling};

/// The label of our root file systems.
const LABEL: &str = "root";

/// What an ext4 file system takes for a file or folder beside its content: an inode, its share of a directory, and what
/// its last block leaves empty.
const EXT4_BYTES_PER_NODE: u64 = 256 + 64 + 4096;

/// What any ext4 file system takes: superblock, tables, journal.
const EXT4_BYTES: u64 = 8 << 20;

/// What ZFS takes for a file beside its content, and what an empty pool takes, about.
const ZFS_BYTES_PER_NODE: u64 = 1024 + 4096;
const ZFS_BYTES: u64 = 16 << 20;

/// The loader and what lies before the partition, when there is no loader to measure.
const DISK_START_BYTES: u64 = 2 << 20;

/// After so many bytes the disk begins to write.
pub(super) const SYNC_BYTES: u64 = 32 << 20;

/// How large an image will be, about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    /// The length of its file.
    pub(super) image_bytes: u64,
    /// How much of the disk it takes: an ext4 file system is mostly holes.
    pub(super) written_bytes: u64,
}

/// Asks the file system's writer whether it can hold the tree, before anything is written.
pub(super) fn check_limits(plan: &Plan, tree: &Tree, destination: &Path) -> Result<(), Error> {
    for (path, node) in tree {
        match plan.root_fs() {
            RootFs::Rofs => rofs::check_entry(&path, &node),
            RootFs::Ext4 => ext4::check_entry(&path, &node),
            RootFs::Zfs => zfs::check_entry(&path, &node),
        }
        .map_err(|source| image_error(destination, source))?;
    }
    Ok(())
}

pub(super) fn estimate_bytes(plan: &Plan, tree: &Tree, recipe: &Recipe) -> Result<Estimate, Error> {
    let loader_bytes = match &recipe.loader {
        Some(loader) => std::fs::metadata(loader).context("read", loader)?.len(),
        None => 0,
    };
    let (boot_bytes, boot_written_bytes) = match &recipe.boot {
        Some(boot) => boot.estimate()?,
        None => (0, 0),
    };
    let start_bytes = match plan.guest() {
        GuestOs::Osv => loader_bytes
            .next_multiple_of(DISK_START_BYTES)
            .max(DISK_START_BYTES),
        GuestOs::Linux => boot_bytes,
    };
    let (image_bytes, written_bytes) = match plan.root_fs() {
        RootFs::Rofs => {
            let bytes = rofs::image_size_bytes(tree);
            (bytes, bytes)
        }
        RootFs::Ext4 => {
            let nodes = tree.len() as u64;
            let bytes = tree.total_bytes() + nodes * EXT4_BYTES_PER_NODE + EXT4_BYTES;
            (recipe.size_bytes.unwrap_or(bytes), bytes)
        }
        RootFs::Zfs => {
            let nodes = tree.len() as u64;
            let bytes = tree.total_bytes() + nodes * ZFS_BYTES_PER_NODE + ZFS_BYTES;
            (
                zfs::size_bytes(recipe.size_bytes, tree.total_bytes()),
                bytes,
            )
        }
    };
    // The list of files lies beside it: a line for each.
    let list_bytes: u64 = tree
        .iter()
        .map(|(path, _)| path.as_bytes().len() as u64 + 256)
        .sum();
    Ok(Estimate {
        image_bytes: start_bytes + image_bytes,
        written_bytes: loader_bytes + boot_written_bytes + written_bytes + list_bytes,
    })
}

/// Reports how the writing goes on, ends it, and takes the digests of files that are not known yet.
pub(super) struct Writing<'a, 'report> {
    report: &'a mut Throttled<'report>,
    done_bytes: u64,
    cancel: &'a CancellationToken,
    plan: &'a Plan,
    /// Those that are known, and those that are found; none where none is wanted.
    pub(super) digests: Option<FileDigests>,
    /// Is told each time that so much is written that the disk may begin.
    pub(super) syncs: Option<SyncSender<()>>,
    /// The entries that were asked for last, and digested last: files come in the order of the plan.
    asked: usize,
    digested: usize,
}

impl<'a, 'report> Writing<'a, 'report> {
    pub(super) fn new(
        plan: &'a Plan,
        digests: Option<FileDigests>,
        report: &'a mut Throttled<'report>,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self {
            report,
            done_bytes: 0,
            cancel,
            plan,
            digests,
            syncs: None,
            asked: 0,
            digested: 0,
        }
    }

    /// The index of a path, which is mostly near the last.
    fn index_of(&self, path: &GuestPath, last: usize) -> Option<usize> {
        const AHEAD: usize = 4;
        let near = (last..last + AHEAD).find(|&index| self.plan.is_at(index, path));
        near.or_else(|| self.plan.index_of(path))
    }
}

impl Watch for Writing<'_, '_> {
    fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
        let before = self.done_bytes / SYNC_BYTES;
        self.done_bytes += bytes;
        if self.done_bytes / SYNC_BYTES > before
            && let Some(syncs) = &self.syncs
        {
            // Where the last is still going on, the next takes this with it.
            let _ = syncs.try_send(());
        }
        self.report.at(Step::Write, self.done_bytes);
        if self.cancel.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn wants_digest(&mut self, path: &GuestPath) -> bool {
        if self.digests.is_none() {
            return false;
        }
        let Some(index) = self.index_of(path, self.asked) else {
            return false;
        };
        self.asked = index;
        let digests = self.digests.as_ref();
        digests.is_some_and(|digests| !digests.knows(index))
    }

    fn digested(&mut self, path: &GuestPath, digest: blake3::Hash) {
        let Some(index) = self.index_of(path, self.digested) else {
            return;
        };
        self.digested = index;
        if let Some(digests) = &mut self.digests {
            digests.found(index, digest);
        }
    }
}

/// What an ext4 root file system is to be like.
pub(super) fn ext4_options(recipe: &Recipe, written_by: WrittenBy) -> Ext4Options {
    Ext4Options {
        size_bytes: recipe.size_bytes,
        label: LABEL.to_owned(),
        written_by,
        ..Ext4Options::default()
    }
}

/// The root file system of an OSv disk.
pub(super) fn osv_root(plan: &Plan, recipe: &Recipe) -> osv::Root {
    match plan.root_fs() {
        RootFs::Rofs => osv::Root::Rofs,
        RootFs::Ext4 => osv::Root::Ext4(ext4_options(recipe, WrittenBy::Osv)),
        RootFs::Zfs => osv::Root::Empty {
            size_bytes: zfs::size_bytes(recipe.size_bytes, plan.size_bytes()),
        },
    }
}

pub(super) fn write(
    plan: &Plan,
    recipe: &Recipe,
    command_line: &str,
    tree: &Tree,
    output: &Output,
    watch: &mut Writing<'_, '_>,
) -> Result<(), Error> {
    let mut file = output.file();
    let size_bytes = match plan.guest() {
        GuestOs::Linux => {
            let options = ext4_options(recipe, WrittenBy::Linux);
            match &recipe.boot {
                Some(boot) => {
                    let parts = boot.parts();
                    linux::write_disk(&parts, command_line, &options, tree, &mut file, watch)
                        .map(|layout| layout.size_bytes)
                }
                None => ext4::write(tree, &mut file, &options, watch),
            }
        }
        GuestOs::Osv => {
            let root = osv_root(plan, recipe);
            // What only a guest writes comes afterwards.
            let none = Tree::new();
            let tree = if matches!(root, osv::Root::Empty { .. }) {
                &none
            } else {
                tree
            };
            let loader: Option<Source> = recipe
                .loader
                .clone()
                .map(|loader: PathBuf| Source::Path(loader));
            osv::write_disk(loader.as_ref(), command_line, &root, tree, &mut file, watch)
                .map(|layout| layout.size_bytes)
        }
    }
    .map_err(|source| image_error(&recipe.destination, source))?;
    // What lies behind the last write, and is zero, is part of the image as well.
    let end = file
        .stream_position()
        .context("write", &recipe.destination)?;
    tracing::debug!(size_bytes, end, "the image is written");
    let length = file.metadata().context("read", &recipe.destination)?.len();
    if length < size_bytes {
        file.set_len(size_bytes)
            .context("write", &recipe.destination)?;
    }
    if plan.root_fs() == RootFs::Zfs {
        fill(plan, recipe, output, watch)?;
    }
    Ok(())
}

/// Has a guest write the file system.
fn fill(
    plan: &Plan,
    recipe: &Recipe,
    output: &Output,
    watch: &mut Writing<'_, '_>,
) -> Result<(), Error> {
    let Some(filler) = &recipe.filler else {
        return Err(Error::Builder {
            problem: "there is no builder".to_owned(),
            hint: None,
        });
    };
    let cancel = watch.cancel;
    let mut told = |filling| match filling {
        Filling::Starting => watch.report.at(Step::StartBuilder, 0),
        Filling::Sent(bytes) => {
            watch.done_bytes = bytes;
            watch.report.at(Step::Write, bytes);
        }
        Filling::Ending => watch.report.at(Step::EndBuilder, watch.done_bytes),
    };
    filler.fill(output.temporary(), &everything(plan), &mut told, cancel)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(())
}

/// The errors that the writers share with us become ours.
pub(super) fn image_error(destination: &Path, error: windlass_image::Error) -> Error {
    match error {
        windlass_image::Error::Cancelled => Error::Cancelled,
        windlass_image::Error::Changed {
            path,
            expected_bytes,
            found,
        } => Error::Changed {
            path,
            what: format!("it had {expected_bytes} bytes, and now {found}"),
        },
        source => Error::Image {
            path: destination.to_path_buf(),
            source: Box::new(source),
        },
    }
}
