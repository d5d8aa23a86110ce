//! What a registry has, as of its last refresh.
//!
//! A catalogue is one file of JSON lines: first what it is of and when, then an entry a line.
//!
//! ```text
//! {"format":1,"registry":"OSv","identity":"github https://…","refreshed":"2026-01-02T03:04:05Z","entries":2}
//! {"name":"osv.httpserver","version":"0.57.0","kind":"package",…}
//! {"name":"osv-loader","version":"v0.57.0","kind":"loader",…}
//! ```

mod entry;
mod search;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::fetch::file;

pub use entry::{Entry, EntryKind, Locator};
pub use search::{Found, Hit, Search};

const FORMAT: u32 = 1;
/// A line is an entry; nobody's is longer.
const LINE_MAX_BYTES: u64 = 1 << 20;

/// What a registry has, as of its last refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// The registry's name.
    pub registry: String,
    /// The registry's [identity](crate::RegistryConfig::identity).
    pub identity: String,
    /// When it was asked.
    pub refreshed: Timestamp,
    /// What it has; by name, each name's newest version first.
    pub entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    registry: String,
    identity: String,
    refreshed: Timestamp,
    entries: usize,
}

impl Catalogue {
    /// The entries with this name, newest first.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        let from = self
            .entries
            .partition_point(|entry| entry.name.as_str() < name);
        self.entries[from..]
            .iter()
            .take_while(move |entry| entry.name == name)
    }

    /// Puts entries in the order of a catalogue; of several with one name, version, kind and architecture the first stays.
    pub(crate) fn sort(entries: &mut Vec<Entry>) {
        entries.sort_by(Entry::order);
        entries.dedup_by(|later, first| Entry::order(later, first).is_eq());
    }

    /// Reads a file that [`save`](Self::save) wrote; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or a line of it is none of ours: the registry has to be refreshed then.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let opened = match File::open(path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::io("read", path, source)),
        };
        let mut reader = BufReader::with_capacity(1 << 18, opened);
        let mut line = Vec::new();
        let mut number = 0;
        let mut next = |line: &mut Vec<u8>| {
            line.clear();
            number += 1;
            let damaged = Error::Damaged {
                path: path.to_path_buf(),
                line: number,
            };
            match (&mut reader).take(LINE_MAX_BYTES).read_until(b'\n', line) {
                Ok(_) if line.ends_with(b"\n") => Ok((true, damaged)),
                Ok(0) => Ok((false, damaged)),
                Ok(_) => Err(damaged),
                Err(source) => Err(Error::io("read", path, source)),
            }
        };
        let (_, damaged) = next(&mut line)?;
        let head: Head = match serde_json::from_slice(&line) {
            Ok(head) => head,
            Err(_) => return Err(damaged),
        };
        if head.format != FORMAT {
            return Err(damaged);
        }
        let mut entries = Vec::with_capacity(head.entries.min(1 << 20));
        loop {
            let (more, damaged) = next(&mut line)?;
            if !more {
                if entries.len() != head.entries {
                    return Err(damaged);
                }
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(entry) => entries.push(entry),
                Err(_) => return Err(damaged),
            }
        }
        Ok(Some(Self {
            registry: head.registry,
            identity: head.identity,
            refreshed: head.refreshed,
            entries,
        }))
    }

    /// Writes it to a file, whole or not at all.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let head = Head {
            format: FORMAT,
            registry: self.registry.clone(),
            identity: self.identity.clone(),
            refreshed: self.refreshed,
            entries: self.entries.len(),
        };
        file::write_with(path, |out| {
            serde_json::to_writer(&mut *out, &head)?;
            out.write_all(b"\n")?;
            for entry in &self.entries {
                serde_json::to_writer(&mut *out, entry)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn catalogue(names: Vec<(String, Option<String>)>) -> Catalogue {
        let entry = |(name, version): (String, Option<String>)| Entry {
            version,
            ..Entry::new(EntryKind::Package, name, Locator::at("packages/x.mpm"))
        };
        let mut entries: Vec<Entry> = names.into_iter().map(entry).collect();
        Catalogue::sort(&mut entries);
        Catalogue {
            registry: "r".into(),
            identity: "folder /r".into(),
            refreshed: Timestamp::UNIX_EPOCH,
            entries,
        }
    }

    #[test]
    fn the_newest_version_of_a_name_comes_first() {
        let versions =
            ["1.9", "1.10", "2.0-rc1", "2.0", "odd"].map(|version| Some(version.to_owned()));
        let names = versions
            .into_iter()
            .chain([None])
            .map(|version| ("a".to_owned(), version));
        let catalogue = catalogue(names.chain([("b".to_owned(), None)]).collect());
        let order: Vec<_> = catalogue
            .named("a")
            .map(|entry| entry.version.as_deref().unwrap_or("-"))
            .collect();
        assert_eq!(order, ["2.0", "2.0-rc1", "1.10", "1.9", "odd", "-"]);
    }

    #[test]
    fn a_damaged_file_is_known_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue");
        assert_eq!(Catalogue::load(&path).unwrap(), None);
        catalogue(vec![("a".into(), None), ("b".into(), None)])
            .save(&path)
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let damaged = |text: &str| {
            std::fs::write(&path, text).unwrap();
            match Catalogue::load(&path) {
                Err(Error::Damaged { line, .. }) => line,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(damaged(""), 1);
        assert_eq!(damaged("hello\n"), 1);
        assert_eq!(damaged(&text.replace("\"format\":1", "\"format\":2")), 1);
        assert_eq!(damaged(&text.replace("\"name\":\"b\"", "\"name\":7")), 3);
        // Cut in a line, and after one.
        assert_eq!(damaged(&text[..text.len() - 1]), 3);
        let last = text.trim_end().rfind('\n').unwrap() + 1;
        assert_eq!(damaged(&text[..last]), 3);
    }

    proptest! {
        #[test]
        fn what_is_saved_is_loaded_the_same(names in proptest::collection::vec((".*", any::<Option<String>>()), 0..20)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("catalogue");
            let catalogue = catalogue(names);
            catalogue.save(&path).unwrap();
            prop_assert_eq!(Catalogue::load(&path).unwrap(), Some(catalogue));
        }
    }
}
