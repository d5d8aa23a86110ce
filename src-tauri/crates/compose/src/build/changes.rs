//! What is different from the build before.

use std::cmp::Ordering;

use windlass_image::GuestPath;

use super::record::{Cursor, Record, What};

/// How an image was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manner {
    /// From the first byte to the last.
    Anew,
    /// By writing what differs into the image that was there.
    Updated,
    /// Nothing had to be written.
    Unchanged,
}

/// What is different from the image that was there before. Files and symlinks are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// How the image was made.
    pub manner: Manner,
    /// Why it was made anew and not updated, in words.
    pub reason: Option<String>,
    /// How many files are new.
    pub added: usize,
    /// How many have other content, another mode, or are of another kind.
    pub changed: usize,
    /// How many are no more.
    pub removed: usize,
    /// How many bytes of the image were written.
    pub bytes_written: u64,
}

impl Changes {
    pub(super) fn none(manner: Manner) -> Self {
        Self {
            manner,
            reason: None,
            added: 0,
            changed: 0,
            removed: 0,
            bytes_written: 0,
        }
    }

    /// Counts what a path was, and is.
    pub(super) fn count(&mut self, old: Option<&What>, new: Option<&What>) {
        match (old, new) {
            (Some(old), Some(new)) => {
                let are_directories = old.is_directory() && new.is_directory();
                self.changed += usize::from(!are_directories && !old.is_same(new, true));
            }
            (Some(old), None) => self.removed += usize::from(!old.is_directory()),
            (None, Some(new)) => self.added += usize::from(!new.is_directory()),
            (None, None) => {}
        }
    }
}

/// Counts what differs from the build before, path by path, in their order. Of a record that is damaged it takes what comes
/// before the damage.
pub(super) struct Tally<'a> {
    old: Option<Cursor<'a>>,
    pub(super) changes: Changes,
}

impl<'a> Tally<'a> {
    pub(super) fn new(old: Option<&'a Record>) -> Self {
        let mut tally = Self {
            old: old.and_then(|old| old.cursor().ok()),
            changes: Changes::none(Manner::Anew),
        };
        tally.advance();
        tally
    }

    fn advance(&mut self) {
        if !self
            .old
            .as_mut()
            .is_some_and(|old| old.advance().unwrap_or(false))
        {
            self.old = None;
        }
    }

    /// The next path of the new build.
    pub(super) fn take(&mut self, path: &GuestPath, what: &What) {
        while let Some(old) = &self.old {
            match old.compare(path) {
                Ordering::Less => {
                    self.changes.count(old.what(), None);
                    self.advance();
                }
                Ordering::Equal => {
                    self.changes.count(old.what(), Some(what));
                    return self.advance();
                }
                Ordering::Greater => break,
            }
        }
        self.changes.count(None, Some(what));
    }

    /// There are no more.
    pub(super) fn finish(mut self) -> Changes {
        while let Some(old) = &self.old {
            self.changes.count(old.what(), None);
            self.advance();
        }
        self.changes
    }
}
