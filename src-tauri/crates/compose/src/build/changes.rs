//! What is different from the build before.

use std::borrow::Borrow;
use std::cmp::Ordering;

use super::record::Known;

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
    /// Compares what is known of two builds, both in the order of paths.
    pub(super) fn between(old: &[Known], new: impl Iterator<Item = impl Borrow<Known>>) -> Self {
        let mut changes = Self {
            manner: Manner::Anew,
            reason: None,
            added: 0,
            changed: 0,
            removed: 0,
            bytes_written: 0,
        };
        merge(old, new, |old, new| match (old, new) {
            (Some(old), Some(new)) => {
                let are_directories = old.what.is_directory() && new.what.is_directory();
                changes.changed +=
                    usize::from(!are_directories && !old.what.is_same(&new.what, true));
            }
            (Some(old), None) => changes.removed += usize::from(!old.what.is_directory()),
            (None, Some(new)) => changes.added += usize::from(!new.what.is_directory()),
            (None, None) => {}
        });
        changes
    }
}

/// Goes through two sorted lists side by side.
pub(super) fn merge<N: Borrow<Known>>(
    old: &[Known],
    new: impl Iterator<Item = N>,
    mut each: impl FnMut(Option<&Known>, Option<&Known>),
) {
    let (mut old, mut new) = (old.iter().peekable(), new.peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.borrow().path),
        };
        match order {
            Ordering::Less => each(old.next(), None),
            Ordering::Greater => each(None, new.next().as_ref().map(Borrow::borrow)),
            Ordering::Equal => each(old.next(), new.next().as_ref().map(Borrow::borrow)),
        }
    }
}
