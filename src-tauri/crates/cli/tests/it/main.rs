//! windlassctl as its users have it: the program itself, on a home of its own.
//!
//! `guest` boots real guests in QEMU; its tests are named `slow_` and fetch the distribution's
//! kernel once.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod guest;
mod images;
mod registries;
mod session;
mod studies;
mod transcripts;
