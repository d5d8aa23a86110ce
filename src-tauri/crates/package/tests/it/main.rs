//! The crate from outside: real folders, real programs of this computer.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing, and why it was skipped"
)]

mod capstan;
mod capstan_commands;
mod deb;
mod folders;
mod fuzz_targets;
mod killed;
mod pack_images;
mod pack_plans;
mod packing;
mod real_osv;
mod recipes;
