//! A record, entry by entry.

use std::cmp::Ordering;
use std::io;

use windlass_image::GuestPath;

use super::encode::{Reader, Slot, damaged};
use super::{Changed, MAGIC, Record, What, read_head};

impl Record {
    /// Goes through the entries, in the order of paths.
    pub(in super::super) fn cursor(&self) -> io::Result<Cursor<'_>> {
        let mut reader = Reader::new(&self.base)?;
        read_head(&mut reader, MAGIC, None)?;
        let mut cursor = Cursor {
            reader: Some(reader),
            record: self,
            base: Slot::default(),
            has_base: false,
            base_count: 0,
            changes: self.changes.iter(),
            change: None,
            at: At::End,
        };
        cursor.change = cursor.changes.next();
        cursor.read_base()?;
        Ok(cursor)
    }
}

/// Goes through the entries of a record, with what has changed since.
#[derive(Debug)]
pub(in super::super) struct Cursor<'a> {
    /// Until its end is reached.
    reader: Option<Reader<'a>>,
    record: &'a Record,
    base: Slot,
    has_base: bool,
    base_count: u64,
    changes: std::slice::Iter<'a, Changed>,
    change: Option<&'a Changed>,
    at: At<'a>,
}

/// Where a cursor stands.
#[derive(Debug, Clone, Copy)]
enum At<'a> {
    Base,
    Change(&'a Changed),
    End,
}

impl Cursor<'_> {
    /// Goes to the next entry; `false` behind the last, by when all that was read is known to be sound.
    pub(in super::super) fn advance(&mut self) -> io::Result<bool> {
        if matches!(self.at, At::Base) {
            self.read_base()?;
        }
        loop {
            let order = match (self.has_base, self.change) {
                (false, None) => {
                    self.at = At::End;
                    return Ok(false);
                }
                (true, None) => Ordering::Less,
                (false, Some(_)) => Ordering::Greater,
                (true, Some(change)) => GuestPath::compare(&self.base.path, change.path.as_bytes()),
            };
            if order == Ordering::Less {
                self.at = At::Base;
                return Ok(true);
            }
            if order == Ordering::Equal {
                self.read_base()?;
            }
            let change = std::mem::replace(&mut self.change, self.changes.next());
            if let Some(change) = change.filter(|change| change.what.is_some()) {
                self.at = At::Change(change);
                return Ok(true);
            }
        }
    }

    fn read_base(&mut self) -> io::Result<()> {
        let Some(reader) = &mut self.reader else {
            self.has_base = false;
            return Ok(());
        };
        self.has_base = reader.line(&mut self.base)?;
        if self.has_base {
            self.base_count += 1;
            return Ok(());
        }
        if let Some(mut reader) = self.reader.take() {
            // The parts and the numbers, which are known.
            for _ in 0..self.record.part_count {
                reader.take::<32>()?;
            }
            reader.take::<16>()?;
            let digest = reader.finish()?;
            if digest != self.record.base_digest || self.base_count != self.record.count {
                return Err(damaged());
            }
        }
        Ok(())
    }

    pub(in super::super) fn path(&self) -> &[u8] {
        match self.at {
            At::Base => &self.base.path,
            At::Change(change) => change.path.as_bytes(),
            At::End => &[],
        }
    }

    pub(in super::super) fn layer(&self) -> Option<u32> {
        match self.at {
            At::Base => self.base.layer,
            At::Change(change) => change.layer,
            At::End => None,
        }
    }

    pub(in super::super) fn what(&self) -> Option<&What> {
        match self.at {
            At::Base => self.base.what.as_ref(),
            At::Change(change) => change.what.as_ref(),
            At::End => None,
        }
    }

    /// How where it stands compares with a path.
    pub(in super::super) fn compare(&self, path: &GuestPath) -> Ordering {
        GuestPath::compare(self.path(), path.as_bytes())
    }
}
