//! The shell, without a window: its commands over Tauri's own protocol on the mock runtime, and
//! what has to agree with the one list of commands.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod agreement;
mod commands;
