//! How long work reports its progress and learns that it was cancelled.

use std::ops::ControlFlow;

use crate::Error;

/// Whoever waits for long work: hears how far it is, and may end it.
///
/// `()` waits in silence and never cancels; a closure hears the bytes only.
pub trait Watch {
    /// A new step begins, in words for a person ("Copying libraries").
    fn step(&mut self, text: &str) {
        let _ = text;
    }

    /// So many bytes there will be in all. Said once, as soon as it is known.
    fn expect(&mut self, total_bytes: u64) {
        let _ = total_bytes;
    }

    /// This many more bytes are done. [`ControlFlow::Break`] cancels the work, which then leaves
    /// nothing half-written and returns [`Error::Cancelled`].
    fn advance(&mut self, bytes: u64) -> ControlFlow<()>;
}

impl Watch for () {
    fn advance(&mut self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(u64) -> ControlFlow<()>> Watch for F {
    fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
        self(bytes)
    }
}

/// Reports progress; an error when that cancels.
pub(crate) fn advance(watch: &mut dyn Watch, bytes: u64) -> Result<(), Error> {
    match watch.advance(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
