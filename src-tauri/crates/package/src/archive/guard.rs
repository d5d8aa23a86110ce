//! Which entries may be written: decided by names alone, before anything touches the disk.
//!
//! Everything is unpacked into a new, empty folder, so that what is in it is known: every path, and
//! what it is. An entry is refused that would leave the folder by its name, be written through a
//! link, or replace another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use super::error::Problem;

const NAME_MAX_BYTES: usize = 255;
const PATH_MAX_BYTES: usize = 4000;
const DEPTH_MAX: usize = 250;
/// So much all names may come to: they are kept in memory.
const NAMES_MAX_BYTES: usize = 256 << 20;

/// What an entry is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Link,
}

/// The paths that were taken so far.
#[derive(Debug, Default)]
pub(super) struct Guard {
    taken: HashMap<Vec<u8>, Kind>,
    /// Hashes of the paths in small letters, and whether one of them is a link.
    folded: HashMap<u64, bool>,
    hasher: RandomState,
    /// Whether the destination is on a file system that takes `A` for `a`.
    folds_case: bool,
    names_bytes: usize,
}

impl Guard {
    /// Guards a folder; `folds_case` where its file system takes `A` for `a`.
    pub fn new(folds_case: bool) -> Self {
        Self {
            folds_case,
            ..Self::default()
        }
    }

    /// Takes a path for an entry. `None` for a folder that is there already, the root among them.
    pub fn take(&mut self, path: &[u8], kind: Kind) -> Result<Option<()>, Problem> {
        for (at, byte) in path.iter().enumerate() {
            if *byte == b'/' {
                self.parent(&path[..at])?;
            }
        }
        if path.is_empty() {
            return if kind == Kind::Directory {
                Ok(None)
            } else {
                Err(Problem::NoName)
            };
        }
        match (self.taken.get(path), kind) {
            (None, _) => self.insert(path, kind).map(Some),
            (Some(Kind::Directory), Kind::Directory) => Ok(None),
            (Some(_), _) => Err(Problem::Duplicate),
        }
    }

    fn parent(&mut self, path: &[u8]) -> Result<(), Problem> {
        match self.taken.get(path) {
            Some(Kind::Directory) => Ok(()),
            Some(Kind::Link) => Err(Problem::ThroughLink { link: lossy(path) }),
            Some(Kind::File) => Err(Problem::Duplicate),
            None => self.insert(path, Kind::Directory),
        }
    }

    fn insert(&mut self, path: &[u8], kind: Kind) -> Result<(), Problem> {
        self.names_bytes += path.len();
        if self.names_bytes > NAMES_MAX_BYTES {
            return Err(Problem::TooManyNames);
        }
        self.fold(path, kind)?;
        self.taken.insert(path.to_vec(), kind);
        Ok(())
    }

    /// Refuses what would be another entry where `A` is `a`. `Makefile` beside `makefile` is common,
    /// and harmless where both can be; two ways of writing a link, or the description, are not.
    fn fold(&mut self, path: &[u8], kind: Kind) -> Result<(), Problem> {
        let folded = fold(path);
        let is_link = self.folded.entry(self.hasher.hash_one(&folded));
        let before = match &is_link {
            Entry::Occupied(before) => Some(*before.get()),
            Entry::Vacant(_) => None,
        };
        *is_link.or_default() |= kind == Kind::Link;
        let matters = kind == Kind::Link
            || before == Some(true)
            || self.folds_case
            || folded == b"meta"
            || folded.starts_with(b"meta/");
        if before.is_none() || !matters {
            return Ok(());
        }
        match self.taken.keys().find(|other| fold(other) == folded) {
            Some(other) => Err(Problem::SameButForCase {
                other: lossy(other),
            }),
            None => Ok(()),
        }
    }

    /// Whether there is a regular file at this path.
    pub fn is_file(&self, path: &[u8]) -> bool {
        self.taken.get(path) == Some(&Kind::File)
    }
}

/// The path of an entry within the folder, parts joined by `/`; empty for the folder itself.
///
/// Capstan's packages have names that begin with a slash (`may_be_absolute`).
pub(super) fn path(name: &[u8], may_be_absolute: bool) -> Result<Vec<u8>, Problem> {
    if name.is_empty() || name.contains(&0) {
        return Err(Problem::NoName);
    }
    let is_drive = name.get(1) == Some(&b':') && name.first().is_some_and(u8::is_ascii_alphabetic);
    if (name.starts_with(b"/") && !may_be_absolute) || is_drive {
        return Err(Problem::Absolute);
    }
    let mut path = Vec::with_capacity(name.len());
    let mut depth = 0;
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Problem::LeavesFolder),
            part if part.len() > NAME_MAX_BYTES => return Err(Problem::TooLong),
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
                depth += 1;
            }
        }
    }
    if path.len() > PATH_MAX_BYTES || depth > DEPTH_MAX {
        Err(Problem::TooLong)
    } else {
        Ok(path)
    }
}

/// Whether a link may be made: one that climbs above the folder may not. An absolute one may, for
/// it is meant for the guest, and nothing here follows it; but not where the description is.
pub(super) fn check_link(path: &[u8], target: &[u8]) -> Result<(), Problem> {
    if target.is_empty() || target.contains(&0) {
        return Err(Problem::NoName);
    }
    if target.len() > PATH_MAX_BYTES {
        return Err(Problem::TooLong);
    }
    if path == b"meta" || path.starts_with(b"meta/") || path == b".capstanignore" {
        return Err(Problem::LinkInMeta);
    }
    if target.starts_with(b"/") {
        return Ok(());
    }
    let mut depth = path.split(|byte| *byte == b'/').count() - 1;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => {
                return Err(Problem::LinkOut {
                    target: lossy(target),
                });
            }
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    Ok(())
}

/// In small letters, of ASCII and beyond; as it is where it is not UTF-8.
fn fold(path: &[u8]) -> Vec<u8> {
    std::str::from_utf8(path).map_or_else(
        |_| path.to_ascii_lowercase(),
        |path| path.to_lowercase().into_bytes(),
    )
}

pub(super) fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut guard = Guard {
            names_bytes: NAMES_MAX_BYTES - 3,
            ..Guard::new(false)
        };
        assert_eq!(guard.take(b"abc", Kind::File), Ok(Some(())));
        assert_eq!(guard.take(b"d", Kind::File), Err(Problem::TooManyNames));
    }

    #[test]
    fn where_a_is_a_both_cannot_be() {
        let mut guard = Guard::new(true);
        guard.take(b"Makefile", Kind::File).unwrap();
        let problem = guard.take(b"makefile", Kind::File).unwrap_err();
        assert_eq!(
            problem,
            Problem::SameButForCase {
                other: "Makefile".into()
            }
        );
        let mut guard = Guard::new(false);
        guard.take(b"Makefile", Kind::File).unwrap();
        guard.take(b"makefile", Kind::File).unwrap();
    }
}
