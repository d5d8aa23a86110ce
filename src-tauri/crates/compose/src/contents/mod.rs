//! What is in an image, held against something else: another image, a folder, its own list of files.
//!
//! ```text
//!   image ── file system ──┐                                   ┌ same kind, mode, size?
//!   list of files ─────────┼─ items, in the order of paths ─── merge ── both digests known? those
//!   folder ────────────────┘                                   └ else the bytes
//! ```
//!
//! Both sides come path by path, so that memory does not grow with them. Digests of a list are trusted where the
//! image has not been written to since ([`valid_list`]).

mod compare;
mod items;
mod verify;

pub use compare::{Comparison, Difference, What, compare};
pub use items::{Side, valid_list};
pub use verify::{Verification, verify};
