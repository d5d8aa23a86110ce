//! Studies: one appliance, one case and a table of parameter values; many runs, one table of results.
//!
//! ```text
//!   a folder, an archive ─ case ───────> Case: solver, steps, mesh, packages, and what is the matter with it
//!   study.yaml ────────── study ───────> Study: case, steps, variables, limits, results
//!     and its CSV ─────── runs ────────> Run 1 … n: a value for each variable            [formula]
//!   Run + case ────────── changes ─────> files as the run has them, and the lines that differ
//!   several processes ─── parallel ────> the case cut into parts, the steps that do it
//!   files of a case ───── dictionary ──> entries with their places; a value changed, every other byte kept
//!   what a solver says ── log ─────────> residuals over time, and how it ended
//!   a run's folder ────── results ─────> the last value of a column, what a pattern finds
//!   a run, from first to last ─ record ─> Record in runs/NNN/run.json: the queue, and how each came out
//! ```
//!
//! A study is not only OpenFOAM: a value goes into a dictionary, into any text by a pattern, or into the environment.
//!
//! Parsers take bytes and know no file system; everything read here was written by a stranger, or by a solver
//! that may have gone mad: counts, sizes and depths are bounded. A case is never changed: its copies are.

pub mod case;
pub mod changes;
pub mod control;
pub mod dictionary;
mod error;
pub mod formula;
pub mod log;
pub mod parallel;
pub mod record;
mod results;
pub mod runs;
pub mod study;
pub mod wish;

pub use case::Case;
pub use changes::{ChangedFile, Difference};
pub use error::StudyError;
pub use parallel::Parallel;
pub use runs::Run;
pub use study::Study;
pub use wish::Wish;
