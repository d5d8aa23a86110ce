//! The list of all that is in a tree, and the digest that names it.
//!
//! ```text
//! d 755 usr/bin NUL
//! f 755 f2a1…64 digits… 1048576 usr/bin/node NUL
//! l usr/bin/nodejs NUL node NUL
//! ```
//!
//! Sorted by path, as bytes. The BLAKE3 digest of this text is the *tree digest*: it names the package's folder in the
//! library, and a lock file repeats it. Owners and times are no part of it, so that one tree has one digest on every
//! computer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use blake3::Hash;

/// No mode of an entry is more.
const MODE_MAX: u32 = 0o7777;

/// One thing in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative, of plain names.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        digest: Hash,
        size_bytes: u64,
    },
    Link {
        target: Vec<u8>,
    },
}

/// All that is in a tree, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    entries: Vec<Entry>,
}

impl Entry {
    pub(crate) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }
}

impl Tree {
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Self { entries }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn find(&self, path: &[u8]) -> Option<&Entry> {
        let found = self
            .entries
            .binary_search_by(|entry| entry.path.as_slice().cmp(path));
        self.entries.get(found.ok()?)
    }

    /// The files among the entries: mode, digest, size.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Entry, u32, Hash, u64)> {
        self.entries.iter().filter_map(|entry| match entry.kind {
            Kind::File {
                mode,
                digest,
                size_bytes,
            } => Some((entry, mode, digest, size_bytes)),
            _ => None,
        })
    }

    /// How many files and links there are.
    pub(crate) fn file_count(&self) -> u64 {
        let count = |entry: &&Entry| !matches!(entry.kind, Kind::Folder { .. });
        self.entries.iter().filter(count).count() as u64
    }

    /// The bytes of all files.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.files().map(|(.., size_bytes)| size_bytes).sum()
    }

    /// The text of the list.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.entries.len() * 128);
        for Entry { path, kind } in &self.entries {
            match kind {
                Kind::Folder { mode } => text.extend(format!("d {mode:o} ").bytes()),
                Kind::File {
                    mode,
                    digest,
                    size_bytes,
                } => text.extend(format!("f {mode:o} {} {size_bytes} ", digest.to_hex()).bytes()),
                Kind::Link { .. } => text.extend(b"l "),
            }
            text.extend(path);
            text.push(0);
            if let Kind::Link { target } = kind {
                text.extend(target);
                text.push(0);
            }
            text.push(b'\n');
        }
        text
    }

    /// Reads the text of a list; what is wrong with it otherwise, as the rest of a sentence.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            let entry =
                parse_entry(&mut rest).ok_or_else(|| format!("has no valid entry at byte {at}"))?;
            if entries.last().is_some_and(|last| last.path >= entry.path) {
                return Err(format!("is not sorted at byte {at}"));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }
}

/// The digest of a list's text.
pub(crate) fn digest(text: &[u8]) -> Hash {
    blake3::hash(text)
}

fn parse_entry(rest: &mut &[u8]) -> Option<Entry> {
    let kind = take_until(rest, b' ')?;
    let entry = match kind {
        b"d" => {
            let mode = octal(take_until(rest, b' ')?)?;
            let path = path(take_until(rest, 0)?)?;
            let kind = Kind::Folder { mode };
            Entry { path, kind }
        }
        b"f" => {
            let mode = octal(take_until(rest, b' ')?)?;
            let digest = Hash::from_hex(take_until(rest, b' ')?).ok()?;
            let size_bytes = text(take_until(rest, b' ')?)?.parse().ok()?;
            let path = path(take_until(rest, 0)?)?;
            let kind = Kind::File {
                mode,
                digest,
                size_bytes,
            };
            Entry { path, kind }
        }
        b"l" => {
            let path = path(take_until(rest, 0)?)?;
            let target = take_until(rest, 0)?.to_vec();
            let kind = Kind::Link { target };
            Entry { path, kind }
        }
        _ => return None,
    };
    take_until(rest, b'\n')?.is_empty().then_some(entry)
}

fn take_until<'a>(rest: &mut &'a [u8], end: u8) -> Option<&'a [u8]> {
    let at = rest.iter().position(|byte| *byte == end)?;
    let (taken, behind) = rest.split_at(at);
    *rest = &behind[1..];
    Some(taken)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn octal(bytes: &[u8]) -> Option<u32> {
    let mode = u32::from_str_radix(text(bytes)?, 8).ok()?;
    (mode <= MODE_MAX).then_some(mode)
}

/// A path that stays within its tree.
fn path(bytes: &[u8]) -> Option<Vec<u8>> {
    let path = Path::new(OsStr::from_bytes(bytes));
    let plain = |component| matches!(component, Component::Normal(_));
    (!bytes.is_empty() && !bytes.ends_with(b"/") && path.components().all(plain))
        .then(|| bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let tree = Tree::new(vec![
            Entry {
                path: b"usr/bin/node".to_vec(),
                kind: Kind::File {
                    mode: 0o755,
                    digest: blake3::hash(b"node"),
                    size_bytes: 4,
                },
            },
            Entry {
                path: b"usr/bin/a new\nline".to_vec(),
                kind: Kind::Link {
                    target: b"node \xff".to_vec(),
                },
            },
            Entry {
                path: b"usr".to_vec(),
                kind: Kind::Folder { mode: 0o755 },
            },
        ]);
        let text = tree.render();
        insta::assert_snapshot!(text.escape_ascii(), @r"d 755 usr\x00\nl usr/bin/a new\nline\x00node \xff\x00\nf 755 235f6d24c29d114f2078f96bc86acdc95ef9038fc0d9761aadd8d2f89e0d040b 4 usr/bin/node\x00\n");
        assert_eq!(Tree::parse(&text), Ok(tree));
    }

    #[test]
    fn a_list_that_leads_out_of_its_tree_is_refused() {
        for path in ["../x", "/x", "a/../b", "a/", "", "."] {
            let text = format!("d 755 {path}\0\n");
            assert!(Tree::parse(text.as_bytes()).is_err(), "{path}");
        }
        assert!(Tree::parse(b"d 755 b\0\nd 755 a\0\n").is_err());
        assert!(Tree::parse(b"d 755 a\0").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tree) = Tree::parse(&bytes) {
                prop_assert_eq!(Tree::parse(&tree.render()), Ok(tree));
            }
        }
    }
}
