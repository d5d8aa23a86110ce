//! Two sides, path by path.

use std::cmp::Ordering;

use tokio_util::sync::CancellationToken;
use windlass_image::GuestPath;

use super::items::{Is, Item, Side, digest_of};
use crate::error::Error;

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is on the right side only.
    Added,
    /// It is on the left side only.
    Removed,
    /// It has other bytes, or leads elsewhere.
    Changed,
    /// It has other permissions.
    Mode,
    /// It is of another kind.
    Kind,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path.
    pub path: GuestPath,
    /// How it differs.
    pub what: What,
    /// The size of the file on the left side.
    pub left_bytes: Option<u64>,
    /// The size of the file on the right side.
    pub right_bytes: Option<u64>,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What differs, in the order of paths.
    pub differences: Vec<Difference>,
    /// How many paths are the same on both sides.
    pub same: u64,
    /// How many bytes were read to find out.
    pub read_bytes: u64,
}

/// Compares two sides. `progress` is told the bytes of the files that were compared, read or not, and how many paths.
///
/// # Errors
/// [`Error::Image`] with the place where an image is damaged; I/O errors; [`Error::Cancelled`].
pub fn compare(
    left: &Side,
    right: &Side,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Comparison, Error> {
    let mut compared = Comparison::default();
    let (mut lefts, mut rights) = (left.items()?, right.items()?);
    let (mut one, mut other) = (next(&mut lefts)?, next(&mut rights)?);
    let (mut done_bytes, mut done_paths) = (0, 0);
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let order = match (&one, &other) {
            (None, None) => return Ok(compared),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.path.cmp(&other.path),
        };
        let l = if order.is_le() { one.take() } else { None };
        let r = if order.is_ge() { other.take() } else { None };
        if order.is_le() {
            one = next(&mut lefts)?;
        }
        if order.is_ge() {
            other = next(&mut rights)?;
        }
        let what = match (&l, &r) {
            (Some(_), None) => Some(What::Removed),
            (None, Some(_)) => Some(What::Added),
            (Some(l), Some(r)) => differs((left, l), (right, r), &mut compared.read_bytes, cancel)?,
            (None, None) => None,
        };
        let sizes = (l.as_ref().and_then(size), r.as_ref().and_then(size));
        done_bytes += sizes.1.or(sizes.0).unwrap_or(0);
        done_paths += 1;
        progress(done_bytes, done_paths);
        match (what, l.or(r)) {
            (Some(what), Some(item)) => compared.differences.push(Difference {
                path: item.path,
                what,
                left_bytes: sizes.0,
                right_bytes: sizes.1,
            }),
            _ => compared.same += 1,
        }
    }
}

fn next(items: &mut super::items::Items<'_>) -> Result<Option<Item>, Error> {
    items.next().transpose()
}

fn size(item: &Item) -> Option<u64> {
    match item.is {
        Is::File { size_bytes } => Some(size_bytes),
        _ => None,
    }
}

fn differs(
    (left, l): (&Side, &Item),
    (right, r): (&Side, &Item),
    read_bytes: &mut u64,
    cancel: &CancellationToken,
) -> Result<Option<What>, Error> {
    let is_same = match (&l.is, &r.is) {
        (Is::Directory, Is::Directory) | (Is::Special, Is::Special) => true,
        (Is::Symlink { target }, Is::Symlink { target: other }) => target == other,
        (Is::File { size_bytes }, Is::File { size_bytes: other }) => {
            size_bytes == other && is_same_file((left, l), (right, r), read_bytes, cancel)?
        }
        _ => return Ok(Some(What::Kind)),
    };
    if !is_same {
        return Ok(Some(What::Changed));
    }
    let has_mode = !matches!(l.is, Is::Symlink { .. });
    let modes = l.mode.zip(r.mode).filter(|_| has_mode);
    Ok(modes
        .is_some_and(|(mode, other)| mode != other)
        .then_some(What::Mode))
}

/// Compares two files of one size.
fn is_same_file(
    (left, l): (&Side, &Item),
    (right, r): (&Side, &Item),
    read_bytes: &mut u64,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    let mut each = |bytes| {
        *read_bytes += bytes;
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    };
    match (l.digest, r.digest) {
        (Some(digest), Some(other)) => Ok(digest == other),
        (Some(digest), None) if right.has_bytes() => Ok(digest_of(right, r, each)? == digest),
        (None, Some(digest)) if left.has_bytes() => Ok(digest_of(left, l, each)? == digest),
        _ => {
            let mut buffers = [vec![0; 256 << 10], vec![0; 256 << 10]];
            let mut offset = 0;
            loop {
                let [one, other] = &mut buffers;
                let length = left.read(l, offset, one)?;
                if right.read(r, offset, other)? != length || one[..length] != other[..length] {
                    return Ok(false);
                }
                each(2 * length as u64)?;
                offset += length as u64;
                if length < one.len() {
                    return Ok(true);
                }
            }
        }
    }
}
