//! The crate from outside: the cases and the logs of a real OpenFOAM.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing, and why it was skipped"
)]

mod cases;
mod fuzz_targets;
mod logs;
mod studies;
mod tutorials;
