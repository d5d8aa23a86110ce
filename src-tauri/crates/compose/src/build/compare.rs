//! What differs between a plan and the record of the last build.

use std::cmp::Ordering;
use std::io;
use std::time::SystemTime;

use windlass_guest::RootFs;
use windlass_image::GuestPath;
use windlass_image::update as image_update;

use super::changes::{Changes, Manner};
use super::digests;
use super::record::{Changed, Cursor, What};
use super::update::Update;
use super::wanted::{Is, Item, Wanted};
use crate::error::Error;
use crate::plan::Origin;

/// What the comparison found.
#[derive(Default)]
pub(super) struct Compared {
    /// What the record has to be told.
    pub(super) record: Vec<Changed>,
    /// What the image has to be told.
    pub(super) differences: image_update::Changes,
    /// Which entries of the plan have to be written.
    pub(super) put: Vec<u32>,
    pub(super) put_bytes: u64,
    pub(super) counts: Counts,
}

pub(super) struct Counts(pub(super) Changes);

impl Default for Counts {
    fn default() -> Self {
        Self(Changes::none(Manner::Updated))
    }
}

/// A file that is not known by its stamp.
struct Unknown {
    item: Item,
    old: Option<(Option<u32>, What)>,
}

impl Update<'_> {
    /// Finds what differs, going through plan and record side by side. Files whose stamp is another are read, if nobody
    /// remembers them. The inner error is of a record that is damaged.
    pub(super) fn compare(
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
    fn compare_known(
        &self,
        wanted: &Wanted<'_>,
        compared: &mut Compared,
    ) -> io::Result<Vec<Unknown>> {
        let mut unknown = Vec::new();
        let mut old = self.record.cursor()?;
        let mut is_there = old.advance()?;
        let reads_all = self.cache.reads_all();
        for item in wanted.iter() {
            let mut order = Ordering::Greater;
            while is_there {
                order = old.compare(&item.path);
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
                (Some(_), Some((layer, what))) if reads_all => {
                    let old = Some((layer, what.clone()));
                    unknown.push(Unknown { item, old });
                }
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
        item: &Item,
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
}

fn index_of(item: &Item) -> Option<u32> {
    match &item.is {
        Is::Planned(index, entry) if matches!(entry.origin, Origin::Host { .. }) => {
            u32::try_from(*index).ok()
        }
        _ => None,
    }
}
