//! From folders to images, through the front door.

mod bad_input;
mod builds;
mod checks;
mod plans;
mod round_trip;
mod support;
