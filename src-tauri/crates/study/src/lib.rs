//! Studies: one appliance, one case and a table of parameter values; many runs, one table of results.
//!
//! ```text
//!   files of a case ── dictionary ──> entries with their places; a value changed, every other byte kept
//!   what a solver says ─ log ──> residuals over time, and how it ended
//! ```
//!
//! Parsers take bytes and know no file system; everything read here was written by a stranger, or by a solver
//! that may have gone mad: counts, sizes and depths are bounded.

pub mod dictionary;
pub mod log;
