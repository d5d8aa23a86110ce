//! The library is taken care of: how much it takes, whether it is sound, what could go.
//!
//! ```text
//!   verify ──> damages ── repair ──> from a sound object or another tree; else from the archive that it came in
//!   prune_plan(keep) ──> what would go, why, how much ── prune ──> done
//! ```

pub(crate) mod prune;
pub(crate) mod repair;
pub(crate) mod usage;
pub(crate) mod verify;
