//! From folders to images, through the front door.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod bad_input;
mod bootable;
mod builds;
mod changing;
mod checks;
mod cpiod;
mod full_disk;
mod kills;
mod large;
mod layouts;
mod osv_rest;
mod plans;
mod pushes;
mod reflinks;
mod round_trip;
mod sbom;
mod sequences;
mod support;
mod symbols;
mod updates;
mod zfs;
