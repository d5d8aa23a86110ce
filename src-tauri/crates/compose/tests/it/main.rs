//! From folders to images, through the front door.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod bad_input;
mod builds;
mod checks;
mod plans;
mod round_trip;
mod support;
mod updates;
