//! Programs of our own that run in a Linux guest. `build.rs` builds them.

/// `windlass-init`, the first program of a Linux guest: a static ELF program for `x86_64`.
pub const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/windlass-init"));

/// `windlass-hello`, the program of the sample *hello*: a static ELF program for `x86_64`.
pub const HELLO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/windlass-hello"));
