//! A plan becomes an image.
//!
//! ```text
//!   plan ─> tree ─> is there room? ─> .<image>.building-…            locked while we live
//!                                       │ writer                     the files, one after the other
//!                     digests of files ─┤                            several at once, beside the writer
//!                                       │ every file is as scanned?
//!                                       │ digest of the image, fsync
//!                                       v
//!        <image>.files.json renamed first, then <image>
//! ```
//!
//! A build that is killed leaves its temporary file, unlocked; the next build to the same place removes it. Two builds to
//! one place do not meet: each has its own file, and the last rename wins, whole. Killed between its two renames, a build
//! leaves the new list beside the old image; the digest in the list tells.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_guest::{CommandLine, GuestOs, RootFs};
use windlass_image::{Node, Tree};

use crate::base::LINUX_COMMAND_LINE;
use crate::digest::DigestCache;
use crate::error::Error;
use crate::plan::Plan;
use crate::progress::{Progress, Step};

mod digests;
mod files;
mod output;
mod space;
mod write;

pub use files::{FileKind, FileList, FileRecord, files_path};

use output::Output;

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
    let (guest, root_fs) = (plan.guest(), plan.root_fs());
    if guest == GuestOs::Linux && root_fs == RootFs::Rofs {
        return Err(Error::RootFs { guest, root_fs });
    }
    let command_line = image_command_line(guest, root_fs, &recipe.command_line).to_string();
    let tree = image_tree(plan, &command_line)?;
    write::check_limits(plan, &tree, &recipe.destination)?;
    let estimate = write::estimate_bytes(plan, &tree, recipe)?;
    space::check(&recipe.destination, estimate.written_bytes)?;
    let output = Output::create(&recipe.destination)?;

    let total_bytes = tree.total_bytes() + estimate.image_bytes;
    let mut report = Throttled::new(total_bytes, progress);
    report.at(Step::Write, 0);

    // Either of the two ends the other when it fails.
    let ended = cancel.child_token();
    let (written, file_digests) = std::thread::scope(|scope| {
        let file_digests = scope.spawn(|| {
            let file_digests = digests::of_files(plan, digests, &ended);
            if file_digests.is_err() {
                ended.cancel();
            }
            file_digests
        });
        let written = write::write(
            plan,
            recipe,
            &command_line,
            &tree,
            &output,
            &mut report,
            &ended,
        );
        if written.is_err() {
            ended.cancel();
        }
        let file_digests = file_digests
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (written, file_digests)
    });
    // The one that failed by itself says why; the other only that it was ended.
    let file_digests = match (written, file_digests) {
        (Ok(()), Ok(file_digests)) => file_digests,
        (Err(Error::Cancelled) | Ok(()), Err(error)) | (Err(error), _) => {
            return Err(space::explain(
                error,
                &recipe.destination,
                estimate.written_bytes,
            ));
        }
    };
    digests::check_unchanged(plan, cancel)?;

    let (digest, size_bytes) = output.digest(&mut report, tree.total_bytes(), cancel)?;
    report.at(Step::Finish, total_bytes);
    let list = files::FileList::new(
        plan,
        &tree,
        &file_digests,
        &digest,
        size_bytes,
        &command_line,
    );
    let finished = output
        .finish(&list, cancel)
        .map_err(|error| space::explain(error, &recipe.destination, estimate.written_bytes))?;
    if let Err(error) = digests.save() {
        // The next build reads more than it had to.
        tracing::warn!(%error, "the digests were not saved");
    }
    Ok(Build {
        path: recipe.destination.clone(),
        files_path: finished,
        size_bytes,
        content_bytes: tree.total_bytes(),
        file_count: list.file_count(),
        digest: digest.to_hex().to_string(),
    })
}

/// The plan's tree; in a Linux image with the command line in a file, where the init looks for it.
fn image_tree(plan: &Plan, command_line: &str) -> Result<Tree, Error> {
    let mut tree = plan.tree()?;
    if plan.guest() == GuestOs::Linux {
        let path =
            windlass_image::GuestPath::new(LINUX_COMMAND_LINE).map_err(|source| Error::Path {
                layer: crate::base::NAME.to_owned(),
                source,
            })?;
        // An appliance that has the file itself knows what it does.
        if tree.get(&path).is_none() {
            let line = format!("{command_line}\n");
            tree.insert(path, Node::bytes(line.as_bytes(), 0o644))
                .map_err(Error::Tree)?;
        }
    }
    Ok(tree)
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
