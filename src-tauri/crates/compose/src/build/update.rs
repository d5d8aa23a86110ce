//! Only what differs from the last build is read and written.
//!
//! ```text
//!   record of the last build ──┐
//!                              ├─ compare ─> nothing: done
//!   plan (scanned, not read) ──┘      │ files of another stamp are digested
//!                                     v
//!                     new bytes to free space of the image       the guest would see the old tree
//!                     what changed in the record, under another name
//!                     journal ─> patch ─> it gets its name       the guest sees the new one
//! ```
//!
//! An update that is cancelled, fails or is killed leaves the image as the guest saw it, and without a record that fits:
//! the next build is a full one. So is every build that the record says nothing of: another guest, another file system,
//! another loader, an image that was written to or replaced since.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use windlass_guest::GuestOs;
use windlass_image::disk::{Raw, SharedDisk};
use windlass_image::ext4::{self, WrittenBy};
use windlass_image::update::{self as image_update, Patch, Updated};
use windlass_image::{Tree, journal, linux, osv, subtree};

use super::changes::{Changes, Manner};
use super::compare::Compared;
use super::digests::{self, Files};
use super::record::{self, Head, ImageStamp, Record, changes_path};
use super::wanted::Wanted;
use super::write::{Writing, ext4_options, image_error, osv_root};
use super::{Build, Recipe, Throttled, boot, folder_of, image_command_line, parts, space};
use crate::digest::DigestCache;
use crate::error::{Error, IoContext};
use crate::plan::Plan;
use crate::progress::{Progress, Step};

/// How an update went.
pub(super) enum Outcome {
    Done(Box<Build>),
    /// A full build is due.
    Anew {
        reason: String,
        previous: Option<Box<Record>>,
    },
}

impl Outcome {
    fn anew(reason: impl Into<String>, previous: Option<Record>) -> Self {
        let (reason, previous) = (reason.into(), previous.map(Box::new));
        Self::Anew { reason, previous }
    }
}

/// What an image is made by, and which file it is.
pub(super) fn head(
    plan: &Plan,
    recipe: &Recipe,
    command_line: &str,
    cache: &DigestCache,
    image: &File,
    cancel: &CancellationToken,
) -> Result<Head, Error> {
    let metadata = image.metadata().context("read", &recipe.destination)?;
    let loader = match (&recipe.loader, &recipe.boot) {
        (Some(loader), _) => Some(
            boot::file_digest(loader, cache, cancel)?
                .to_hex()
                .to_string(),
        ),
        (None, Some(boot)) => Some(boot.digest(cache, cancel)?),
        (None, None) => None,
    };
    Ok(Head {
        guest: plan.guest().to_string(),
        root_fs: plan.root_fs().to_string(),
        size_bytes: recipe.size_bytes,
        given_bytes: None,
        loader,
        command_line: command_line.to_owned(),
        layers: plan.layers().iter().map(|it| it.name.clone()).collect(),
        image: ImageStamp::of(&metadata),
    })
}

/// Updates the image in its place, if that can be done.
pub(super) fn update(
    plan: &Plan,
    recipe: &Recipe,
    cache: &DigestCache,
    progress: &mut dyn FnMut(Progress),
    cancel: &CancellationToken,
) -> Result<Outcome, Error> {
    let path = &recipe.destination;
    if let Err(error) = journal::recover(path) {
        tracing::warn!(image = %path.display(), %error, "an interrupted update could not be finished");
    }
    let Some(record) = Record::open(path) else {
        let reason = if record::record_path(path).exists() && path.exists() {
            "the image was written to since it was built, or its record is damaged"
        } else {
            "there is no last build that it could be updated from"
        };
        return Ok(Outcome::anew(reason, None));
    };
    let Ok(image) = OpenOptions::new().read(true).write(true).open(path) else {
        return Ok(Outcome::anew(
            "the image cannot be written to",
            Some(record),
        ));
    };
    if !journal::lock(&image).context("lock", path)? {
        return Ok(Outcome::anew(
            "somebody else is updating the image",
            Some(record),
        ));
    }
    journal::forget(path, &[record::SUFFIX, record::CHANGES_SUFFIX]);
    let command_line =
        image_command_line(plan.guest(), plan.root_fs(), &recipe.command_line).to_string();
    let head = Head {
        given_bytes: record.head.given_bytes,
        ..head(plan, recipe, &command_line, cache, &image, cancel)?
    };
    let expected = Head {
        command_line: record.head.command_line.clone(),
        layers: record.head.layers.clone(),
        ..head.clone()
    };
    if expected != record.head {
        let reason = if expected.size_bytes != record.head.size_bytes {
            "it is to have another size"
        } else if expected.loader != record.head.loader {
            "what boots it is another"
        } else {
            "it is for another guest, or of another file system"
        };
        return Ok(Outcome::anew(reason, Some(record)));
    }
    // A size that the image was given by hand is kept.
    let recipe = Recipe {
        size_bytes: head.given_bytes.or(recipe.size_bytes),
        ..recipe.clone()
    };
    let update = Update {
        plan,
        recipe: &recipe,
        cache,
        cancel,
        image,
        head,
        record,
    };
    update.run(progress)
}

pub(super) struct Update<'a> {
    pub(super) plan: &'a Plan,
    recipe: &'a Recipe,
    pub(super) cache: &'a DigestCache,
    pub(super) cancel: &'a CancellationToken,
    image: File,
    head: Head,
    pub(super) record: Record,
}

impl Update<'_> {
    fn run(self, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, Error> {
        let image = &self.recipe.destination;
        let wanted = Wanted::new(self.plan, &self.head.command_line)?;
        let started = SystemTime::now();
        let compared = match self.compare(&wanted, started)? {
            Ok(compared) => compared,
            Err(error) => {
                let reason = format!("the record of the last build cannot be read: {error}");
                return Ok(Outcome::anew(reason, None));
            }
        };
        let is_same = compared.differences == image_update::Changes::default()
            && self.head.command_line == self.record.head.command_line;
        if is_same {
            return self.unchanged(&wanted, &compared);
        }
        let tree = wanted.tree()?;
        let needed_bytes = compared.put_bytes + (compared.record.len() as u64) * 512;
        space::check(image, needed_bytes)?;
        let total_bytes = compared.put_bytes + subtree::BYTES;
        let mut report = Throttled::new(total_bytes, progress);
        report.at(Step::Write, 0);
        let explain = |error| space::explain(error, image, needed_bytes);
        let written = self.write(&tree, &compared, &mut report);
        let patch = match written.map_err(explain)? {
            Updated::Patch(patch) => patch,
            Updated::Rebuild { reason } => return Ok(Outcome::anew(reason, Some(self.record))),
        };
        // What was not read now need not be what it was a moment ago.
        digests::check_unchanged(self.plan, Files::These(&compared.put), self.cancel)?;
        report.at(Step::Digest, compared.put_bytes);
        let size_before = self.head.image.size_bytes;
        let old_parts = self.record.parts.clone();
        let parts = parts::after(&self.image, &patch, old_parts, size_before, self.cancel)
            .map_err(|error| {
                error
                    .downcast()
                    .unwrap_or_else(|source| self.failed("read", source))
            })?;
        report.at(Step::Finish, total_bytes);
        self.finish(&wanted, compared, &patch, &parts)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Error {
        let path = self.recipe.destination.clone();
        Error::Io {
            doing,
            path,
            source,
        }
    }

    /// Leaves the image as it is. What was learned of files that were touched is kept.
    fn unchanged(self, wanted: &Wanted<'_>, compared: &Compared) -> Result<Outcome, Error> {
        let path = &self.recipe.destination;
        if !compared.record.is_empty() || self.head != self.record.head {
            let folder = folder_of(path);
            let file = tempfile::Builder::new()
                .prefix(".record-")
                .tempfile_in(folder)
                .context("create a file in", folder)?;
            let (suffix, written) =
                self.write_record(file.as_file(), &self.head, &self.record.parts, compared);
            let place = journal::companion(path, suffix);
            written.context("write", &place)?;
            file.persist(&place)
                .map_err(|error| error.error)
                .context("write", &place)?;
            if suffix == record::SUFFIX {
                let _ = fs::remove_file(changes_path(path));
            }
        }
        let digest = self.record.digest();
        let changes = Changes {
            manner: Manner::Unchanged,
            ..compared.counts.0.clone()
        };
        let size_bytes = self.head.image.size_bytes;
        Ok(self.done(wanted, digest, size_bytes, changes))
    }

    /// Writes what the record has to be told, or where that is much, a whole one; and says what it is.
    fn write_record(
        &self,
        out: &File,
        head: &Head,
        parts: &[subtree::Subtree],
        compared: &Compared,
    ) -> (&'static str, io::Result<()>) {
        match self.record.changes_with(&compared.record) {
            Some(changes) => (
                record::CHANGES_SUFFIX,
                self.record.write_changes(out, head, parts, &changes),
            ),
            None => (
                record::SUFFIX,
                self.record.write_whole(out, head, parts, &compared.record),
            ),
        }
    }

    fn done(
        &self,
        wanted: &Wanted<'_>,
        digest: blake3::Hash,
        size_bytes: u64,
        changes: Changes,
    ) -> Outcome {
        Outcome::Done(Box::new(Build {
            path: self.recipe.destination.clone(),
            size_bytes,
            content_bytes: wanted.content_bytes(),
            file_count: wanted.file_count(),
            digest: digest.to_hex().to_string(),
            changes,
        }))
    }

    /// Writes to the image's free space.
    fn write(
        &self,
        tree: &Tree,
        compared: &Compared,
        report: &mut Throttled<'_>,
    ) -> Result<Updated, Error> {
        let path = &self.recipe.destination;
        let clone = self.image.try_clone().context("read", path)?;
        let disk: SharedDisk = Arc::new(Raw::new(clone).map_err(|error| image_error(path, error))?);
        let mut out = &self.image;
        let mut watch = Writing::new(self.plan, None, report, self.cancel);
        let differences = &compared.differences;
        let updated = match self.plan.guest() {
            GuestOs::Linux if self.recipe.boot.is_some() => {
                let options = ext4_options(self.recipe, WrittenBy::Linux);
                let line = &self.head.command_line;
                linux::update_disk(
                    &disk,
                    line,
                    &options,
                    tree,
                    differences,
                    &mut out,
                    &mut watch,
                )
            }
            GuestOs::Linux => {
                let options = ext4_options(self.recipe, WrittenBy::Linux);
                ext4::update(disk, 0, tree, differences, &options, &mut out, &mut watch)
            }
            GuestOs::Osv => {
                let root = osv_root(self.plan, self.recipe);
                let line = &self.head.command_line;
                osv::update_disk(&disk, line, &root, tree, differences, &mut out, &mut watch)
            }
        };
        match updated {
            Ok(updated) => Ok(updated),
            // What cannot be read as it should be is not worth keeping.
            Err(
                error @ (windlass_image::Error::Corrupt { .. }
                | windlass_image::Error::WrongKind { .. }),
            ) => Ok(Updated::Rebuild {
                reason: error.to_string(),
            }),
            Err(error) => Err(image_error(path, error)),
        }
    }

    fn finish(
        self,
        wanted: &Wanted<'_>,
        compared: Compared,
        patch: &Patch,
        parts: &[subtree::Subtree],
    ) -> Result<Outcome, Error> {
        let image = &self.recipe.destination;
        let folder = folder_of(image);
        let folder_lock = File::open(folder).context("lock", folder)?;
        folder_lock.lock().context("lock", folder)?;
        let is_ours = fs::metadata(image).is_ok_and(|there| {
            let there = ImageStamp::of(&there);
            (there.device, there.inode) == (self.head.image.device, self.head.image.inode)
        });
        if !is_ours {
            return Ok(Outcome::anew(
                "another build has taken its place meanwhile",
                None,
            ));
        }
        let modified = now_in_whole_nanoseconds();
        let mut head = self.head.clone();
        head.image.size_bytes = patch.size_bytes;
        head.image.modified_ns = nanoseconds(modified);
        let suffixes = [record::SUFFIX, record::CHANGES_SUFFIX];
        let committed = self
            .write_waiting(&head, parts, &compared)
            .and_then(|suffix| {
                if self.cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                journal::commit(image, &self.image, patch, &[suffix], modified)
                    .context("write", image)?;
                Ok(suffix)
            });
        match committed {
            // Changes to the record before.
            Ok(record::SUFFIX) => {
                let _ = fs::remove_file(changes_path(image));
            }
            Ok(_) => {}
            Err(error) => {
                // Once the journal has its name, the companions belong to it.
                if !journal::path_of(image).exists() {
                    for suffix in suffixes {
                        let _ = fs::remove_file(journal::waiting(image, suffix));
                    }
                }
                return Err(space::explain(error, image, patch.bytes_written()));
            }
        }
        let digest = subtree::whole(parts, patch.size_bytes);
        let changes = Changes {
            bytes_written: patch.bytes_written(),
            ..compared.counts.0
        };
        Ok(self.done(wanted, digest, patch.size_bytes, changes))
    }

    /// Writes what the record is told to where it waits for the patch.
    fn write_waiting(
        &self,
        head: &Head,
        parts: &[subtree::Subtree],
        compared: &Compared,
    ) -> Result<&'static str, Error> {
        let image = &self.recipe.destination;
        // What it is shows when it is written.
        let draft = journal::waiting(image, record::CHANGES_SUFFIX);
        let file = File::create(&draft).context("create", &draft)?;
        let (suffix, written) = self.write_record(&file, head, parts, compared);
        written.context("write", &draft)?;
        if suffix != record::CHANGES_SUFFIX {
            let waiting = journal::waiting(image, suffix);
            fs::rename(&draft, &waiting).context("write", &waiting)?;
        }
        Ok(suffix)
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

fn now_in_whole_nanoseconds() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(nanoseconds(SystemTime::now()))
}
