//! Registries over real connections.

#![expect(
    clippy::format_push_string,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test is a transcript, and says what it expects by failing"
)]

mod fetch;
mod fuzz_targets;
mod github;
mod network;
mod oci;
mod oci_images;
mod oci_server;
mod oci_weather;
mod places;
mod publish;
mod support;
mod verify;
