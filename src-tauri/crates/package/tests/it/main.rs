//! The crate from outside: real folders, real programs of this computer.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod folders;
mod packing;
