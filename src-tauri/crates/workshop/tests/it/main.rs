//! The workshop on real parts: folders, images, a database, and where a test is named `slow_`, guests in QEMU.
//!
//! ```text
//!   Place (a home and a working folder) ─► Workshop ─► what a user does ─► what a user sees
//! ```
//!
//! Linux guests boot the distribution's own kernel. It is fetched once, into a home that outlasts the tests (`Place::lasting`),
//! as is Node packed from this computer. Builds that nobody boots make do with the header of a kernel.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test says what it expects by failing, and what it skips by printing"
)]

mod appliances;
mod bad_folders;
mod bad_weather;
mod builds;
mod group_files;
mod groups;
mod images;
mod jobs;
mod killed_builds;
mod looking;
mod machines;
mod osv;
mod place;
mod processes;
mod registries;
mod slow_bootable;
mod slow_cases;
mod slow_packed;
mod slow_readback;
mod slow_recipes;
mod slow_studies;
mod slow_studies_osv;
mod slow_studies_repeated;
mod slow_studies_steered;
mod volumes;
