//! A plan becomes an image.
//!
//! ```text
//!   plan ─> tree ─> is the last build's record there?
//!     │               │ yes: compare ─> only what differs                    [update]
//!     │ no
//!     ├─> is there room? ─> .<image>.building-…           locked while we live
//!     │     │ writer          files are read once: written, and digested where they are not known
//!     │     │ every file is as scanned?
//!     │     │ digest of the image, fsync                  at the same time
//!     │     v
//!     └─> <image>.record renamed first, then <image>
//! ```
//!
//! A build that is killed leaves its temporary file, unlocked; the next build to the same place removes it. Two builds to
//! one place do not meet: each has its own file, and the last rename wins, whole. Killed between its renames, a build
//! leaves the new record beside the old image: the record tells by itself whether it belongs to the image.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use windlass_guest::{CommandLine, GuestOs, RootFs};
use windlass_image::{Tree, subtree};

use crate::digest::DigestCache;
use crate::error::{Error, IoContext};
use crate::plan::{Origin, Plan};
use crate::progress::{Progress, Step};
use crate::zfs::Filler;

mod boot;
mod changes;
mod clone;
mod compare;
mod digests;
mod files;
mod output;
mod parts;
mod push;
mod record;
mod resized;
mod space;
mod update;
mod wanted;
mod write;

pub use changes::{Changes, Manner};
pub use clone::clone_image;
pub use files::{FileKind, FileList, FileRecord, keep_list};
pub use push::{Change, Content, Held, Push, push};
pub use record::{is_as_built, record_path};
pub use resized::{ResizedBuild, resize_image};

use changes::Tally;
use digests::{FileDigests, Files};
use output::Output;
use record::{Record, RecordWriter};
use wanted::{Is, Wanted};

/// How an image is made from a plan.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Where it will be. The record of what is in it lies beside it.
    pub destination: PathBuf,
    /// The boot command line that the image itself carries, as the user has it; [`image_command_line`] adds what the
    /// file system needs.
    pub command_line: CommandLine,
    /// The OSv loader image that the disk begins with. Without it the disk boots by kernel only. Linux: none.
    pub loader: Option<PathBuf>,
    /// What makes a Linux disk boot by itself. Without it the image is the bare root file system, for a machine that is
    /// given the kernel. OSv: none.
    pub boot: Option<LinuxBoot>,
    /// The size of an ext4 or ZFS file system; without it, content plus room to write.
    pub size_bytes: Option<u64>,
    /// What writes a ZFS file system. Others need none.
    pub filler: Option<Filler>,
}

/// What makes a Linux disk boot by itself: GRUB's parts, the kernel and what it starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxBoot {
    /// GRUB's boot.img for a BIOS.
    pub boot_sector: PathBuf,
    /// GRUB's core.img for a BIOS.
    pub core: PathBuf,
    /// GRUB as a program of UEFI.
    pub efi_program: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs with the init.
    pub initramfs: PathBuf,
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Where it is.
    pub path: PathBuf,
    /// The length of its file.
    pub size_bytes: u64,
    /// The bytes of all files in it.
    pub content_bytes: u64,
    /// How many files and symlinks are in it.
    pub file_count: usize,
    /// The BLAKE3 digest of its file, in hexadecimal.
    pub digest: String,
    /// What is different from the image that was in its place before.
    pub changes: Changes,
}

/// The boot command line with the option that the root file system needs in this guest: `--rootfs=…` for OSv.
#[must_use]
pub fn image_command_line(
    guest: GuestOs,
    root_fs: RootFs,
    command_line: &CommandLine,
) -> CommandLine {
    const ROOTFS: &str = "rootfs";
    let mut command_line = command_line.clone();
    if guest == GuestOs::Osv && !command_line.has_option(ROOTFS) {
        let value = match root_fs {
            RootFs::Rofs => "rofs",
            RootFs::Ext4 => "ext",
            RootFs::Zfs => "zfs",
        };
        command_line = command_line.with_option(ROOTFS, Some(value));
    }
    command_line
}

/// Makes the image.
///
/// # Errors
/// [`Error::RootFs`]; [`Error::NoSpace`] before anything is written or when the disk gets full; [`Error::Changed`];
/// [`Error::Image`]; I/O errors; [`Error::Cancelled`]. Nothing is left in any of these cases.
pub fn build(
    plan: &Plan,
    recipe: &Recipe,
    digests: &DigestCache,
    progress: &mut dyn FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Build, Error> {
    build_anew(plan, recipe, None, digests, progress, cancel)
}

/// Makes the image out of the one that is in its place, by what differs; if there is none that this can be done with, it
/// is made anew. [`Build::changes`] says which.
///
/// # Errors
/// As [`build`]. The image in its place stays as the guest sees it.
pub fn build_or_update(
    plan: &Plan,
    recipe: &Recipe,
    digests: &DigestCache,
    progress: &mut dyn FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Build, Error> {
    let (reason, previous) = match update::update(plan, recipe, digests, progress, cancel)? {
        update::Outcome::Done(build) => return Ok(*build),
        update::Outcome::Anew { reason, previous } => (reason, previous),
    };
    tracing::debug!(image = %recipe.destination.display(), reason, "the image is built anew");
    let mut build = build_anew(plan, recipe, previous.as_deref(), digests, progress, cancel)?;
    build.changes.reason = Some(reason);
    Ok(build)
}

/// Makes the image out of another one, in the place where that is, by what differs; if it cannot be made out of it, it is
/// made anew where the recipe wants it, and the other one stays. [`Build::path`] and [`Build::changes`] say which.
///
/// # Errors
/// As [`build`]. The other image stays as the guest sees it.
pub fn update_or_build(
    plan: &Plan,
    recipe: &Recipe,
    base: &Path,
    digests: &DigestCache,
    progress: &mut dyn FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Build, Error> {
    let in_place = Recipe {
        destination: base.to_owned(),
        ..recipe.clone()
    };
    let (reason, previous) = match update::update(plan, &in_place, digests, progress, cancel)? {
        update::Outcome::Done(build) => return Ok(*build),
        update::Outcome::Anew { reason, previous } => (reason, previous),
    };
    let mut build = build_anew(plan, recipe, previous.as_deref(), digests, progress, cancel)?;
    build.changes.reason = Some(reason);
    Ok(build)
}

fn build_anew(
    plan: &Plan,
    recipe: &Recipe,
    previous: Option<&Record>,
    digests: &DigestCache,
    progress: &mut dyn FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Build, Error> {
    let (guest, root_fs) = (plan.guest(), plan.root_fs());
    if !root_fs.is_for(guest) {
        return Err(Error::RootFs { guest, root_fs });
    }
    let command_line = image_command_line(guest, root_fs, &recipe.command_line).to_string();
    let wanted = Wanted::new(plan, &command_line)?;
    let tree = wanted.tree()?;
    write::check_limits(plan, &tree, &recipe.destination)?;
    let estimate = write::estimate_bytes(plan, &tree, recipe)?;
    space::check(&recipe.destination, estimate.written_bytes)?;
    let output = Output::create(&recipe.destination)?;

    let total_bytes = tree.total_bytes() + estimate.image_bytes;
    let mut report = Throttled::new(total_bytes, progress);
    report.at(Step::Write, 0);
    let anew = Anew {
        plan,
        recipe,
        previous,
        digests,
        cancel,
        wanted,
        command_line,
        output: &output,
        started: SystemTime::now(),
    };
    let explain = |error| space::explain(error, &recipe.destination, estimate.written_bytes);
    let record = output.record_file()?;
    let (digest, changes, size_bytes) = anew
        .write(tree, record.as_file(), &mut report)
        .map_err(explain)?;
    let (content_bytes, file_count) = (anew.wanted.content_bytes(), anew.wanted.file_count());
    output.finish(record, cancel).map_err(explain)?;
    Ok(Build {
        path: recipe.destination.clone(),
        size_bytes,
        content_bytes,
        file_count,
        digest: digest.to_hex().to_string(),
        changes,
    })
}

/// So many entries are worth a thread.
const LARGE: usize = 256;

/// An image that is made anew.
struct Anew<'a> {
    plan: &'a Plan,
    recipe: &'a Recipe,
    previous: Option<&'a Record>,
    digests: &'a DigestCache,
    cancel: &'a CancellationToken,
    wanted: Wanted<'a>,
    command_line: String,
    output: &'a Output,
    started: SystemTime,
}

impl Anew<'_> {
    /// Writes image and record, and returns the digest of the image, what changed, and how large it is.
    fn write(
        &self,
        tree: Tree,
        record: &File,
        report: &mut Throttled<'_>,
    ) -> Result<(blake3::Hash, Changes, u64), Error> {
        let (output, image) = (self.output, self.output.file());
        let known = if self.plan.is_large() {
            digests::made(self.plan)
        } else {
            digests::remembered(self.plan, self.digests)
        };
        std::thread::scope(|scope| {
            let mut writing = write::Writing::new(self.plan, Some(known), report, self.cancel);
            // The disk begins while there is still something to be read.
            let early = (tree.total_bytes() >= write::SYNC_BYTES).then(|| {
                let (due, syncs) = sync_channel::<()>(1);
                writing.syncs = Some(due);
                scope.spawn(move || syncs.iter().try_for_each(|()| image.sync_data()))
            });
            let line = &self.command_line;
            write::write(self.plan, self.recipe, line, &tree, output, &mut writing)?;
            let mut known = writing.digests.take().unwrap_or_default();
            drop(writing);
            let content_bytes = tree.total_bytes();
            drop(tree);
            // Some are not digested on the way; few, and large.
            digests::complete(self.plan, self.digests, &mut known, self.cancel)?;
            report.at(Step::Digest, content_bytes);
            let sync = move || {
                early.map_or(Ok(()), joined)?;
                image.sync_data()
            };
            self.complete(record, &known, sync, |step, bytes| {
                report.at(step, content_bytes + bytes);
            })
        })
    }

    /// The image is synced while it is digested, its record is written, and its files are looked at once more: all of it waits
    /// for the disk together.
    fn complete(
        &self,
        record: &File,
        known: &FileDigests,
        sync: impl FnOnce() -> io::Result<()> + Send,
        mut report: impl FnMut(Step, u64),
    ) -> Result<(blake3::Hash, Changes, u64), Error> {
        let (output, image, cancel) = (self.output, self.output.file(), self.cancel);
        let failed = |error| output.failed("write", error);
        let size_bytes = image.metadata().context("read", output.path())?.len();
        let (plan, recipe, line) = (self.plan, self.recipe, &self.command_line);
        let head = update::head(plan, recipe, line, self.digests, image, cancel)?;
        let (digest, mut changes) = std::thread::scope(|scope| {
            let sync = scope.spawn(sync);
            // Few are not worth a thread.
            let is_large = plan.len() >= LARGE;
            let entries = Beside::start(scope, is_large, || {
                let (previous, started) = (self.previous, self.started);
                write_entries(record, &head, &self.wanted, known, previous, started)
            });
            let check = Beside::start(scope, is_large, || {
                digests::check_unchanged(plan, Files::All, cancel)?;
                remember(plan, known, self.digests, self.started);
                if let Err(error) = self.digests.save() {
                    // The next build reads more than it had to.
                    tracing::warn!(%error, "the digests were not saved");
                }
                Ok(())
            });
            let digested = |bytes| report(Step::Digest, bytes);
            let parts = parts::of_file(image, size_bytes, digested, cancel).map_err(failed)?;
            let (writer, changes) = entries.end().map_err(failed)?;
            writer
                .finish(&parts)
                .and_then(|()| record.sync_data())
                .map_err(failed)?;
            check.end()?;
            report(Step::Finish, size_bytes);
            joined(sync).map_err(failed)?;
            Ok::<_, Error>((subtree::whole(&parts, size_bytes), changes))
        })?;
        let written = image.metadata().context("read", output.path())?;
        changes.bytes_written = written.blocks() * 512;
        Ok((digest, changes, size_bytes))
    }
}

/// Writes the entries of a record, and counts what is different from the one before.
fn write_entries<'a>(
    out: &'a File,
    head: &record::Head,
    wanted: &Wanted<'_>,
    digests: &FileDigests,
    previous: Option<&Record>,
    started: SystemTime,
) -> io::Result<(RecordWriter<&'a File>, Changes)> {
    let mut writer = RecordWriter::new(out, head)?;
    let mut tally = Tally::new(previous);
    for item in wanted.iter() {
        let digest = match &item.is {
            Is::Planned(index, _) => digests.get(*index),
            Is::Added(_) => None,
        };
        let stamp = item.stamp().filter(|stamp| stamp.is_settled(started));
        let what = item.what(digest, stamp.copied());
        tally.take(&item.path, &what);
        writer.put(item.path.as_bytes(), item.layer(), Some(&what))?;
    }
    wanted.plan.check_read().map_err(io::Error::other)?;
    digests.check()?;
    Ok((writer, tally.finish()))
}

/// Work that is done by another thread, or was done at once.
enum Beside<'scope, T> {
    Thread(ScopedJoinHandle<'scope, T>),
    Done(T),
}

impl<'scope, T: Send + 'scope> Beside<'scope, T> {
    fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        has_thread: bool,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> Self {
        if has_thread {
            Self::Thread(scope.spawn(work))
        } else {
            Self::Done(work())
        }
    }

    fn end(self) -> T {
        match self {
            Self::Thread(thread) => joined(thread),
            Self::Done(done) => done,
        }
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Keeps the digests that the writing found for the next time.
fn remember(plan: &Plan, digests: &FileDigests, cache: &DigestCache, started: SystemTime) {
    if plan.is_large() {
        return;
    }
    let mut index = 0;
    plan.sorted().each(|path, entry| {
        if let (Some(digest), Origin::Host { folder, stamp }) = (digests.get(index), &entry.origin)
            && digests.is_found(index)
        {
            cache.remember(&path.below(folder), stamp, digest, started);
        }
        index += 1;
    });
}

/// Reports progress, not more often than anybody can see.
struct Throttled<'a> {
    total_bytes: u64,
    last: Option<(Step, u64)>,
    progress: &'a mut dyn FnMut(Progress),
}

/// Reports come after so many bytes, or when a step begins.
const REPORT_BYTES: u64 = 1 << 20;

impl<'a> Throttled<'a> {
    fn new(total_bytes: u64, progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self {
            total_bytes,
            last: None,
            progress,
        }
    }

    fn at(&mut self, step: Step, done_bytes: u64) {
        let is_due = self
            .last
            .is_none_or(|(last_step, last)| last_step != step || done_bytes >= last + REPORT_BYTES);
        if is_due {
            let total_bytes = self.total_bytes;
            let done_bytes = done_bytes.min(total_bytes);
            (self.progress)(Progress {
                step,
                done_bytes,
                total_bytes,
            });
            self.last = Some((step, done_bytes));
        }
    }
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
