//! The image crate from outside: what is written is read back, by our readers, by the tools of the
//! distribution and by guests.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test fail as the test itself does"
)]
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that is skipped says so, and how often a fuzz target ran"
)]

mod convert;
mod convert_ends;
mod corrupt;
mod export;
mod ext4;
mod extract;
mod fat;
mod fuzz_targets;
mod import;
mod iso;
mod linux;
mod readers;
mod real_edits;
mod real_osv;
mod resize;
mod rofs;
mod trees;
mod updates;
