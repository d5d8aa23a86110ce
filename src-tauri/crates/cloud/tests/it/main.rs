//! A real OpenStack: logging in and what goes wrong with it, images, servers.
//!
//! `./dev test` starts `tests/openstack-lab` and names its clouds in `WINDLASS_TEST_CLOUDS`. Without it these tests say that they
//! are skipped; where `CI` is set they fail.

#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::print_stderr,
    reason = "a test says what it expects by failing, and what it skips by printing"
)]

mod consoles;
mod deploy;
mod images;
mod lab;
mod large;
mod profiles;
mod servers;
mod stacks;
mod way;
