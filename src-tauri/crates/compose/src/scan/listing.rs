//! What is in a folder, in memory or not.

use std::num::NonZeroU32;
use std::sync::Arc;

use windlass_image::GuestPath;
use windlass_image::spill::{Decoder, Store, put_bytes, put_number};

use super::{Scanned, ScannedKind};
use crate::stamp::Stamp;

/// No entry takes more bytes: its name, or the target of a link, and some numbers.
const FOUND_BYTES_MAX: usize = 16 << 10;

/// So much of a list is read at once.
const READ_BYTES: usize = 32 << 10;

/// An entry, and the number of the list of what is in it where it is a folder; the root is in none.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) scanned: Scanned,
    pub(super) folder: Option<NonZeroU32>,
}

impl Found {
    pub(super) fn name(&self) -> &[u8] {
        self.scanned.path.name()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.name());
        put_number(out, u64::from(self.scanned.mode));
        match &self.scanned.kind {
            ScannedKind::Directory => {
                out.push(b'd');
                put_number(out, self.folder.map_or(0, |number| u64::from(number.get())));
            }
            ScannedKind::File { stamp } => {
                out.push(b'f');
                stamp.encode(out);
            }
            ScannedKind::Symlink { target } => {
                out.push(b'l');
                put_bytes(out, target);
            }
        }
    }

    fn decode(folder: &GuestPath, from: &mut Decoder<'_>) -> Option<Self> {
        let path = folder.join(from.bytes()?).ok()?;
        let mode = from.small()?;
        let mut inside = None;
        let kind = match from.take(1)?[0] {
            b'd' => {
                inside = NonZeroU32::new(from.small()?);
                ScannedKind::Directory
            }
            b'f' => ScannedKind::File {
                stamp: Stamp::decode(from)?,
            },
            _ => ScannedKind::Symlink {
                target: from.bytes()?.to_vec(),
            },
        };
        Some(Self {
            scanned: Scanned { path, kind, mode },
            folder: inside,
        })
    }
}

/// What is in a folder: sorted lists, mostly one or none.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Vec<Found>>,
    pub(super) runs: Vec<Run>,
}

/// Where a list is that does not lie in memory.
#[derive(Debug, Clone)]
pub(super) struct Run {
    at: u64,
    end: u64,
}

impl Run {
    pub(super) fn write(store: &Store, entries: &[Found]) -> Option<Self> {
        let mut bytes = Vec::new();
        for found in entries {
            found.encode(&mut bytes);
        }
        let at = store.append(&bytes).ok()?;
        let end = at + bytes.len() as u64;
        Some(Self { at, end })
    }
}

/// Goes through one list.
enum Source {
    Memory(std::vec::IntoIter<Found>),
    Run {
        run: Run,
        bytes: Vec<u8>,
        position: usize,
    },
}

impl Source {
    fn next(&mut self, folder: &GuestPath, store: Option<&Arc<Store>>) -> Option<Found> {
        let (run, bytes, position) = match self {
            Self::Memory(entries) => return entries.next(),
            Self::Run {
                run,
                bytes,
                position,
            } => (run, bytes, position),
        };
        let store = store?;
        if bytes.len() - *position < FOUND_BYTES_MAX && run.at < run.end {
            bytes.drain(..*position);
            *position = 0;
            let more = usize::try_from(run.end - run.at).unwrap_or(usize::MAX);
            let (from, more) = (bytes.len(), more.min(READ_BYTES));
            bytes.resize(from + more, 0);
            store.read(run.at, &mut bytes[from..])?;
            run.at += more as u64;
        }
        let rest = bytes.get(*position..).filter(|rest| !rest.is_empty())?;
        let mut decoder = Decoder::new(rest);
        let found = Found::decode(folder, &mut decoder);
        *position = bytes.len() - decoder.left();
        if found.is_none() {
            store.is_damaged();
        }
        found
    }
}

/// A folder that is gone through: its lists, each with the entry that comes next.
pub(super) struct Open {
    path: GuestPath,
    sources: Vec<(Option<Found>, Source)>,
}

impl Open {
    fn next(&mut self, store: Option<&Arc<Store>>) -> Option<Found> {
        let heads = self.sources.iter().enumerate();
        let heads = heads.filter_map(|(place, (head, _))| Some((place, head.as_ref()?.name())));
        let (place, _) = heads.min_by(|(_, one), (_, other)| one.cmp(other))?;
        let (head, source) = self.sources.get_mut(place)?;
        let next = source.next(&self.path, store);
        std::mem::replace(head, next)
    }
}

/// Goes through a layer, in the order of paths.
pub(crate) struct Entries {
    pub(super) folders: Vec<Listing>,
    pub(super) store: Option<Arc<Store>>,
    pub(super) open: Vec<Open>,
}

impl Entries {
    pub(super) fn enter(&mut self, path: GuestPath, number: usize) {
        let Some(listing) = self.folders.get_mut(number).map(std::mem::take) else {
            return;
        };
        let entries = listing.entries.into_iter();
        let entries = entries.map(|entries| Source::Memory(entries.into_iter()));
        let runs = listing.runs.into_iter().map(|run| Source::Run {
            run,
            bytes: Vec::new(),
            position: 0,
        });
        let store = self.store.as_ref();
        let sources = entries.chain(runs).map(|mut source| {
            let head = source.next(&path, store);
            (head, source)
        });
        let sources = sources.collect();
        self.open.push(Open { path, sources });
    }

    /// Whether all that was scanned could be gone through.
    pub(crate) fn check(&self) -> std::io::Result<()> {
        self.store.as_ref().map_or(Ok(()), |store| store.check())
    }
}

impl Iterator for Entries {
    type Item = Scanned;

    fn next(&mut self) -> Option<Scanned> {
        loop {
            let Some(found) = self.open.last_mut()?.next(self.store.as_ref()) else {
                self.open.pop();
                continue;
            };
            if let Some(number) = found.folder {
                let number = usize::try_from(number.get()).unwrap_or(usize::MAX);
                self.enter(found.scanned.path.clone(), number);
            }
            return Some(found.scanned);
        }
    }
}
