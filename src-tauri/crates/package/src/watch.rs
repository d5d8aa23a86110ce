//! How long work reports its progress and learns that it was cancelled.

use std::ops::ControlFlow;

/// Whoever waits for long work: hears how far it is, and may end it.
///
/// `()` waits in silence and never cancels.
pub trait Watch {
    /// A new step begins, in words for a person ("Copying libraries").
    fn step(&mut self, text: &str) {
        let _ = text;
    }

    /// This many more bytes are done. [`ControlFlow::Break`] cancels the work, which then leaves
    /// nothing half-written and returns [`Error::Cancelled`](crate::Error::Cancelled).
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
