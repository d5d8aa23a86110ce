//! Readers that count.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

/// A reader that counts what was read of it.
pub(super) struct Counted<R> {
    pub inner: R,
    pub consumed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.consumed.set(self.consumed.get() + count as u64);
        Ok(count)
    }
}

/// A reader that says how far it is, and ends with an error when more is read than it may: for what the reader of an archive
/// takes into memory by itself, such as long names, and for what follows the last entry.
pub(super) struct Bounded<R> {
    pub inner: R,
    /// How many bytes may still be read.
    pub left_bytes: Rc<Cell<u64>>,
    pub position: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position.set(self.position.get() + count as u64);
        match self.left_bytes.get().checked_sub(count as u64) {
            Some(left_bytes) => self.left_bytes.set(left_bytes),
            None => {
                return Err(std::io::Error::other(
                    "there is absurdly much between or behind its entries",
                ));
            }
        }
        Ok(count)
    }
}
