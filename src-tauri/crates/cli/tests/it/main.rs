//! windlassctl as its users have it: the program itself, on a home of its own.
//!
//! `guest` boots real guests in QEMU; its tests are named `slow_` and fetch the distribution's
//! kernel once.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test says what it expects by failing, and what it skips by printing"
)]

mod clouds;
mod groups;
mod guest;
mod images;
mod inside;
mod links;
mod registries;
mod session;
mod studies;
mod transcripts;
mod zfs;
