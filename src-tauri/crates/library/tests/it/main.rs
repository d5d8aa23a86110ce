//! The library through the front door. Tests whose names begin with `slow_` fetch from the distribution's servers.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing, and why it was skipped"
)]

mod care;
mod crashes;
mod initramfs;
mod kernels;
mod packages;
mod sequences;
mod slow_boot;
mod slow_fetch;
mod store;
mod support;
