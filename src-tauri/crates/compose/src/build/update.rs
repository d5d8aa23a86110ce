//! Only what differs from the last build is read and written.
//!
//! ```text
//!   record of the last build ──┐
//!                              ├─ compare ─> nothing: done
//!   plan (scanned, not read) ──┘      │ files of another stamp are digested
//!                                     v
//!                     new bytes to free space of the image       the guest would see the old tree
//!                     list and record beside, under other names
//!                     journal ─> patch ─> both get their names   the guest sees the new one
//! ```
//!
//! An update that is cancelled, fails or is killed leaves the image as the guest saw it, and without a record that fits:
//! the next build is a full one. So is every build that the record says nothing of: another guest, another file system,
//! another loader, an image that was written to or replaced since.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use windlass_guest::GuestOs;
use windlass_image::disk::{Raw, SharedDisk};
use windlass_image::ext4::{self, WrittenBy};
use windlass_image::update::{self as image_update, Patch, Updated};
use windlass_image::{Tree, journal, linux, osv, subtree};

use super::changes::{Changes, Manner, merge};
use super::digests::{self, FileDigests};
use super::files::{self, FileList, ListOf, files_path};
use super::record::{self, Head, ImageStamp, Known, Record};
use super::write::{Writing, ext4_options, image_error, osv_root};
use super::{
    Build, Recipe, Throttled, boot, folder_of, image_command_line, image_tree, parts, space,
};
use crate::digest::DigestCache;
use crate::error::{Error, IoContext};
use crate::plan::{Origin, Plan};
use crate::progress::{Progress, Step};
use crate::stamp::Stamp;

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
        loader,
        command_line: command_line.to_owned(),
        layers: layers(plan),
        image: ImageStamp::of(&metadata),
    })
}

/// Tells which layer each path comes from, so that the list of files stays right where nothing else changes.
fn layers(plan: &Plan) -> String {
    let mut hasher = blake3::Hasher::new();
    for layer in plan.layers() {
        hasher.update(layer.name.as_bytes()).update(&[0]);
    }
    let layers: Vec<u8> = plan
        .entries()
        .flat_map(|(_, entry)| entry.layer.to_le_bytes())
        .collect();
    hasher.update(&layers).finalize().to_hex().to_string()
}

/// The digest of each node of a tree, and its stamp where it may be trusted.
pub(super) fn stamps<'a>(
    plan: &'a Plan,
    tree: &'a Tree,
    digests: &'a FileDigests,
    started: SystemTime,
) -> impl Iterator<Item = (Option<blake3::Hash>, Option<Stamp>)> + 'a {
    with_plan(plan, tree).map(move |(node, planned)| match planned {
        Some((index, Origin::Host { stamp, .. })) => {
            let stamp = stamp.is_settled(started).then_some(*stamp);
            (digests.get(index), stamp)
        }
        Some((index, _)) => (digests.get(index), None),
        None => (files::made_digest(node), None),
    })
}

/// The nodes of a tree with what the plan says of them; the build itself adds nodes of which it says nothing.
fn with_plan<'a>(
    plan: &'a Plan,
    tree: &'a Tree,
) -> impl Iterator<Item = (&'a windlass_image::Node, Option<(usize, &'a Origin)>)> {
    let mut planned = plan.entries().enumerate().peekable();
    tree.iter().map(move |(path, node)| {
        let entry = planned.next_if(|(_, (planned, _))| *planned == path);
        (
            node,
            entry.map(|(index, (_, entry))| (index, &entry.origin)),
        )
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
    let Some(record) = Record::read(path) else {
        return Ok(Outcome::anew(
            "there is no last build that it could be updated from",
            None,
        ));
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
    journal::forget(path, &[files::SUFFIX, record::SUFFIX]);
    let command_line =
        image_command_line(plan.guest(), plan.root_fs(), &recipe.command_line).to_string();
    let head = head(plan, recipe, &command_line, cache, &image, cancel)?;
    let expected = Head {
        command_line: record.head.command_line.clone(),
        layers: record.head.layers.clone(),
        ..head.clone()
    };
    if expected != record.head {
        return Ok(Outcome::anew(
            "it is made in another way, or was written to since",
            Some(record),
        ));
    }
    let update = Update {
        plan,
        recipe,
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
struct Compared {
    digests: FileDigests,
    entries: Vec<Known>,
    differences: image_update::Changes,
    changes: Changes,
}

impl Update<'_> {
    fn run(self, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, Error> {
        let image = &self.recipe.destination;
        let tree = image_tree(self.plan, &self.head.command_line)?;
        let started = SystemTime::now();
        let compared = self.compare(&tree, started)?;
        let is_same = compared.differences == image_update::Changes::default()
            && self.head == self.record.head
            && FileList::is_there(image);
        if is_same {
            return self.unchanged(&tree, compared);
        }
        let put = compared
            .differences
            .put
            .iter()
            .filter_map(|path| tree.get(path));
        let put_bytes: u64 = put
            .map(|node| match node {
                windlass_image::Node::File { size_bytes, .. } => *size_bytes,
                _ => 0,
            })
            .sum();
        let list_bytes = (tree.len() as u64) * 512;
        space::check(image, put_bytes + list_bytes)?;
        let total_bytes = put_bytes + subtree::BYTES;
        let mut report = Throttled::new(total_bytes, progress);
        report.at(Step::Write, 0);
        let explain = |error| space::explain(error, image, put_bytes + list_bytes);
        let written = self.write(&tree, &compared, &mut report);
        let patch = match written.map_err(explain)? {
            Updated::Patch(patch) => patch,
            Updated::Rebuild { reason } => return Ok(Outcome::anew(reason, Some(self.record))),
        };
        // What was not read now need not be what it was a moment ago.
        let put: HashSet<_> = compared.differences.put.iter().collect();
        let entries = self.plan.entries();
        let was_read: Vec<bool> = entries.map(|(path, _)| put.contains(path)).collect();
        digests::check_unchanged(self.plan, |index| was_read[index], self.cancel)?;
        report.at(Step::Digest, put_bytes);
        let size_before = self.head.image.size_bytes;
        let old_parts = self.record.parts.clone();
        let parts = parts::after(&self.image, &patch, old_parts, size_before, self.cancel)
            .map_err(|error| {
                error
                    .downcast()
                    .unwrap_or_else(|source| self.failed("read", source))
            })?;
        report.at(Step::Finish, total_bytes);
        self.finish(&tree, compared, &patch, parts)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Error {
        let path = self.recipe.destination.clone();
        Error::Io {
            doing,
            path,
            source,
        }
    }

    /// Finds what differs. Files whose stamp is another are read, if nobody remembers them.
    fn compare(&self, tree: &Tree, started: SystemTime) -> Result<Compared, Error> {
        let mut digests = FileDigests::new(self.plan);
        let mut old = self.record.entries.iter().peekable();
        for ((path, _), (_, planned)) in tree.iter().zip(with_plan(self.plan, tree)) {
            while old.next_if(|known| known.path < *path).is_some() {}
            let known = old.next_if(|known| known.path == *path);
            match (planned, known.map(|known| &known.what)) {
                (
                    Some((index, Origin::Host { stamp, .. })),
                    Some(record::What::File {
                        digest,
                        stamp: Some(old),
                        ..
                    }),
                ) if old == stamp => {
                    digests.insert(index, *digest);
                }
                (Some((index, Origin::Made(bytes))), _) => {
                    digests.insert(index, blake3::hash(bytes));
                }
                _ => {}
            }
        }
        let kept: Vec<bool> = (0..self.plan.entries().len())
            .map(|index| digests.knows(index))
            .collect();
        digests::complete(self.plan, self.cache, &mut digests, self.cancel)?;
        let stamps = self.stamps(tree, &digests, &kept, started);
        let entries: Vec<Known> = record::entries(tree, stamps.into_iter()).collect();
        let has_modes = self.plan.root_fs() != windlass_guest::RootFs::Rofs;
        let mut differences = image_update::Changes::default();
        merge(&self.record.entries, entries.iter(), |old, new| {
            match (old, new) {
                (Some(old), Some(new)) if !old.what.is_same(&new.what, has_modes) => {
                    differences.put.push(new.path.clone());
                }
                (Some(old), None) => differences.removed.push(old.path.clone()),
                (None, Some(new)) => differences.put.push(new.path.clone()),
                _ => {}
            }
        });
        let changes = Changes::between(&self.record.entries, entries.iter());
        Ok(Compared {
            digests,
            entries,
            differences,
            changes,
        })
    }

    /// As [`stamps`]; a stamp that was trusted before stays so.
    fn stamps(
        &self,
        tree: &Tree,
        digests: &FileDigests,
        kept: &[bool],
        started: SystemTime,
    ) -> Vec<(Option<blake3::Hash>, Option<Stamp>)> {
        let mut stamps: Vec<_> = stamps(self.plan, tree, digests, started).collect();
        for (found, (_, planned)) in stamps.iter_mut().zip(with_plan(self.plan, tree)) {
            if let Some((index, Origin::Host { stamp, .. })) = planned
                && kept[index]
            {
                found.1 = Some(*stamp);
            }
        }
        stamps
    }

    /// Leaves the image as it is. What was learned of files that were touched is kept.
    fn unchanged(mut self, tree: &Tree, compared: Compared) -> Result<Outcome, Error> {
        let size_bytes = self.head.image.size_bytes;
        let path = self.recipe.destination.clone();
        let files = compared
            .entries
            .iter()
            .filter(|known| !known.what.is_directory());
        let file_count = files.count();
        if compared.entries != self.record.entries {
            self.record.entries = compared.entries;
            self.record
                .replace(&path)
                .context("write", &record::record_path(&path))?;
        }
        Ok(Outcome::Done(Box::new(Build {
            files_path: files_path(&path),
            path,
            size_bytes,
            content_bytes: tree.total_bytes(),
            file_count,
            digest: subtree::whole(&self.record.parts, size_bytes)
                .to_hex()
                .to_string(),
            changes: Changes {
                manner: Manner::Unchanged,
                ..compared.changes
            },
        })))
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
        tree: &Tree,
        compared: Compared,
        patch: &Patch,
        parts: Vec<subtree::Subtree>,
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
        let digest = subtree::whole(&parts, patch.size_bytes);
        let line = &self.head.command_line;
        let list = ListOf {
            plan: self.plan,
            tree,
            digests: &compared.digests,
            digest,
            size_bytes: patch.size_bytes,
            command_line: line,
        };
        let modified = now_in_whole_nanoseconds();
        let mut head = self.head.clone();
        head.image.size_bytes = patch.size_bytes;
        head.image.modified_ns = nanoseconds(modified);
        let record = Record {
            head,
            parts,
            entries: compared.entries,
        };
        let companions = [files::SUFFIX, record::SUFFIX];
        let waiting = companions.map(|suffix| journal::waiting(image, suffix));
        let committed = write_companions(&waiting, &list, &record).and_then(|()| {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            journal::commit(image, &self.image, patch, &companions, modified)
                .context("write", image)
        });
        if let Err(error) = committed {
            // Once the journal has its name, the companions belong to it.
            if !journal::path_of(image).exists() {
                for path in &waiting {
                    let _ = fs::remove_file(path);
                }
            }
            return Err(space::explain(error, image, patch.bytes_written()));
        }
        Ok(Outcome::Done(Box::new(Build {
            path: image.clone(),
            files_path: files_path(image),
            size_bytes: patch.size_bytes,
            content_bytes: tree.total_bytes(),
            file_count: files::count(tree),
            digest: digest.to_hex().to_string(),
            changes: Changes {
                manner: Manner::Updated,
                bytes_written: patch.bytes_written(),
                ..compared.changes
            },
        })))
    }
}

fn write_companions(
    waiting: &[std::path::PathBuf; 2],
    list: &ListOf<'_>,
    record: &Record,
) -> Result<(), Error> {
    let [list_path, record_path] = waiting;
    let create = |path: &Path| File::create(path).context("create", path);
    let mut out = BufWriter::new(create(list_path)?);
    list.write(&mut out)
        .and_then(|()| out.flush())
        .context("write", list_path)?;
    record
        .write(&mut create(record_path)?)
        .context("write", record_path)
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
