//! An entry as bytes, for plans that do not lie in memory.
//!
//! ```text
//!   u8 kind | varint mode, layer | varint count, overridden layers | 'l' varint length, target
//!   'm' varint made bytes     'h' varint folder, then the stamp
//! ```

use std::path::Path;
use std::sync::Arc;

use windlass_image::spill::{Decoder, Value, place_of, put_bytes, put_number};

use super::{Entry, EntryKind, Origin};
use crate::stamp::Stamp;

/// What the entries of a plan share.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    folders: Vec<Arc<Path>>,
    made: Vec<Arc<[u8]>>,
}

impl Value for Entry {
    type Shared = Shared;

    fn encode(&self, shared: &mut Shared, out: &mut Vec<u8>) {
        out.push(match (&self.kind, &self.origin) {
            (EntryKind::Directory, _) => b'd',
            (EntryKind::Symlink { .. }, _) => b'l',
            (EntryKind::File, Origin::Host { .. }) => b'h',
            (EntryKind::File, _) => b'm',
        });
        put_number(out, u64::from(self.mode));
        put_number(out, self.layer as u64);
        put_number(out, self.overridden.len() as u64);
        for layer in &self.overridden {
            put_number(out, *layer as u64);
        }
        match (&self.kind, &self.origin) {
            (EntryKind::Directory, _) => {}
            (EntryKind::Symlink { target }, _) => put_bytes(out, target),
            (EntryKind::File, Origin::Host { folder, stamp }) => {
                put_number(out, place_of(&mut shared.folders, folder));
                stamp.encode(out);
            }
            (EntryKind::File, origin) => {
                let made = match origin {
                    Origin::Made(made) => Arc::clone(made),
                    _ => Arc::from([]),
                };
                shared.made.push(made);
                put_number(out, shared.made.len() as u64 - 1);
            }
        }
    }

    fn decode(shared: &Shared, from: &mut Decoder<'_>) -> Option<Self> {
        let kind = from.take(1)?[0];
        let (mode, layer) = (from.small()?, from.small()?);
        let count: u16 = from.small()?;
        let overridden = (0..count)
            .map(|_| from.small())
            .collect::<Option<Vec<usize>>>()?;
        let (kind, size_bytes, origin) = match kind {
            b'd' => (EntryKind::Directory, 0, Origin::None),
            b'l' => {
                let target = from.bytes()?.to_vec();
                (EntryKind::Symlink { target }, 0, Origin::None)
            }
            b'h' => {
                let folder = Arc::clone(shared.folders.get(from.small::<usize>()?)?);
                let stamp = Stamp::decode(from)?;
                let origin = Origin::Host { folder, stamp };
                (EntryKind::File, stamp.size_bytes, origin)
            }
            _ => {
                let bytes = Arc::clone(shared.made.get(from.small::<usize>()?)?);
                (EntryKind::File, bytes.len() as u64, Origin::Made(bytes))
            }
        };
        Some(Self {
            kind,
            size_bytes,
            mode,
            layer,
            overridden,
            origin,
        })
    }
}
