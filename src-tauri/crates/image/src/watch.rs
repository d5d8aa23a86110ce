//! Progress and cancellation of a write.

use std::ops::ControlFlow;

use crate::GuestPath;

/// Is told how the work advances, and may stop it.
///
/// Any `FnMut(u64) -> ControlFlow<()>` is a watch.
pub trait Watch {
    /// `bytes` more bytes of file content were written (the total is
    /// [`Tree::total_bytes`](crate::Tree::total_bytes)). [`ControlFlow::Break`] cancels: the writer
    /// returns [`Error::Cancelled`](crate::Error::Cancelled) and leaves an unfinished output behind.
    /// It is called with 0 as well, so that a tree of empty files can be cancelled.
    fn advance(&mut self, bytes: u64) -> ControlFlow<()>;

    /// Whether the digest of a file is of use. It is asked before the file is read.
    fn wants_digest(&mut self, _path: &GuestPath) -> bool {
        false
    }

    /// A file was written, and this is the BLAKE3 digest of the bytes that went into the image. Large files that lie in
    /// fragments are not digested.
    fn digested(&mut self, _path: &GuestPath, _digest: blake3::Hash) {}
}

impl<F: FnMut(u64) -> ControlFlow<()>> Watch for F {
    fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
        self(bytes)
    }
}

/// The watch of one who does not look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn advance(&mut self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
