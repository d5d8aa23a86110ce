//! Waiting for a descriptor that tokio has no type for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a descriptor for being readable.
#[expect(
    deprecated,
    reason = "the constructor that replaces it is unsafe because other types may change their descriptor; \
              an OwnedFd keeps its own, which is all that is asked for"
)]
pub(crate) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
