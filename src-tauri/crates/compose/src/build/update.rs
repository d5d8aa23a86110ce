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

use std::cmp::Ordering;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use windlass_guest::{GuestOs, RootFs};
use windlass_image::disk::{Raw, SharedDisk};
use windlass_image::ext4::{self, WrittenBy};
use windlass_image::update::{self as image_update, Patch, Updated};
use windlass_image::{GuestPath, Tree, journal, linux, osv, subtree};

use super::changes::{Changes, Manner};
use super::digests::{self, Files};
use super::record::{self, Changed, Cursor, Head, ImageStamp, Record, What, changes_path};
use super::wanted::{Is, Item, Wanted};
use super::write::{Writing, ext4_options, image_error, osv_root};
use super::{Build, Recipe, Throttled, boot, folder_of, image_command_line, parts, space};
use crate::digest::DigestCache;
use crate::error::{Error, IoContext};
use crate::plan::{Origin, Plan};
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

struct Update<'a> {
    plan: &'a Plan,
    recipe: &'a Recipe,
    cache: &'a DigestCache,
    cancel: &'a CancellationToken,
    image: File,
    head: Head,
    record: Record,
}

/// What the comparison found.
#[derive(Default)]
struct Compared {
    /// What the record has to be told.
    record: Vec<Changed>,
    /// What the image has to be told.
    differences: image_update::Changes,
    /// Which entries of the plan have to be written.
    put: Vec<u32>,
    put_bytes: u64,
    counts: Counts,
}

struct Counts(Changes);

impl Default for Counts {
    fn default() -> Self {
        Self(Changes::none(Manner::Updated))
    }
}

/// A file that is not known by its stamp.
struct Unknown<'a> {
    item: Item<'a>,
    old: Option<(Option<u32>, What)>,
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

    /// Finds what differs, going through plan and record side by side. Files whose stamp is another are read, if nobody
    /// remembers them. The inner error is of a record that is damaged.
    fn compare(
        &self,
        wanted: &Wanted<'_>,
        started: SystemTime,
    ) -> Result<io::Result<Compared>, Error> {
        let mut compared = Compared::default();
        let unknown = match self.compare_known(wanted, &mut compared) {
            Ok(unknown) => unknown,
            Err(error) => return Ok(Err(error)),
        };
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let indices = unknown.iter().filter_map(|file| index_of(&file.item));
        let indices: Vec<u32> = indices.collect();
        let digests = digests::of_files(self.plan, &indices, self.cache, self.cancel)?;
        for (file, digest) in unknown.iter().zip(digests) {
            let stamp = file.item.stamp().filter(|stamp| stamp.is_settled(started));
            let what = file.item.what(Some(digest), stamp.copied());
            let old = file.old.as_ref().map(|(layer, what)| (*layer, what));
            self.note(&mut compared, &file.item, old, what);
        }
        if !unknown.is_empty() {
            let by_path = |one: &Changed, other: &Changed| one.path.cmp(&other.path);
            compared.record.sort_unstable_by(by_path);
            compared.differences.put.sort_unstable();
            compared.put.sort_unstable();
        }
        Ok(Ok(compared))
    }

    /// Notes what differs of what is known without reading it, and returns what is not.
    fn compare_known<'a>(
        &self,
        wanted: &'a Wanted<'_>,
        compared: &mut Compared,
    ) -> io::Result<Vec<Unknown<'a>>> {
        let mut unknown = Vec::new();
        let mut old = self.record.cursor()?;
        let mut is_there = old.advance()?;
        for item in wanted.iter() {
            let mut order = Ordering::Greater;
            while is_there {
                order = old.compare(item.path);
                if order != Ordering::Less {
                    break;
                }
                Self::note_removed(compared, &old)?;
                is_there = old.advance()?;
            }
            let known = match old.what() {
                Some(what) if is_there && order == Ordering::Equal => Some((old.layer(), what)),
                _ => None,
            };
            match (item.stamp(), known) {
                (Some(stamp), Some((layer, what))) => match what {
                    What::File {
                        mode,
                        stamp: Some(there),
                        ..
                    } if there == stamp && layer == item.layer() && *mode == item.mode() => {}
                    What::File {
                        digest,
                        stamp: Some(there),
                        ..
                    } if there == stamp => {
                        let new = item.what(Some(*digest), Some(*stamp));
                        self.note(compared, &item, known, new);
                    }
                    _ => {
                        let old = Some((layer, what.clone()));
                        unknown.push(Unknown { item, old });
                    }
                },
                (Some(_), None) => unknown.push(Unknown { item, old: None }),
                (None, _) => self.note(compared, &item, known, item.what(None, None)),
            }
            if known.is_some() {
                is_there = old.advance()?;
            }
        }
        while is_there {
            Self::note_removed(compared, &old)?;
            is_there = old.advance()?;
        }
        Ok(unknown)
    }

    /// Notes what is at a path now, if it was something else.
    fn note(
        &self,
        compared: &mut Compared,
        item: &Item<'_>,
        old: Option<(Option<u32>, &What)>,
        new: What,
    ) {
        let layer = item.layer();
        if old == Some((layer, &new)) {
            return;
        }
        let has_modes = self.plan.root_fs() != RootFs::Rofs;
        if !old.is_some_and(|(_, old)| old.is_same(&new, has_modes)) {
            compared.differences.put.push(item.path.clone());
            if let What::File { size_bytes, .. } = &new {
                compared.put_bytes += size_bytes;
                compared.put.extend(index_of(item));
            }
        }
        compared.counts.0.count(old.map(|(_, old)| old), Some(&new));
        compared.record.push(Changed {
            path: item.path.clone(),
            layer,
            what: Some(new),
        });
    }

    fn note_removed(compared: &mut Compared, old: &Cursor<'_>) -> io::Result<()> {
        let path = GuestPath::new(old.path()).map_err(io::Error::other)?;
        compared.counts.0.count(old.what(), None);
        compared.differences.removed.push(path.clone());
        compared.record.push(Changed {
            path,
            layer: None,
            what: None,
        });
        Ok(())
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

fn index_of(item: &Item<'_>) -> Option<u32> {
    match item.is {
        Is::Planned(index, entry) if matches!(entry.origin, Origin::Host { .. }) => {
            u32::try_from(index).ok()
        }
        _ => None,
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
