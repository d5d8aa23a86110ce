//! What a solver says while it runs: residuals, Courant numbers, continuity, time, and how it ended.
//!
//! ```text
//!   bytes, as they come ── LogReader ──> lines ──> Log { programs, history, warnings, … }
//!                                                   └─ outcome(exit) ──> converged, diverged, lost …
//!   postProcessing/*.dat ── Table
//! ```
//!
//! The bytes may be cut anywhere, end their lines with CR LF, have the lines of a kernel between them, and never
//! end: a line, the number of fields, of programs and of points kept are bounded. A history that is full keeps
//! every second of its points, and from then on every second one that comes.
//!
//! The lines are those of OpenFOAM's `SolverPerformance.C`, `CourantNo.H`, `continuityErrs.H`, `Time.C`,
//! `simpleControl.C`, `error.C` and `argList.C`, version 1912; newer ones put a version behind `FATAL ERROR:`.

mod history;
mod line;
mod outcome;
mod reader;
mod table;
#[cfg(test)]
mod tests;

pub use history::{HISTORY_POINTS, History};
pub use outcome::{Exit, Failure, FailureKind, Outcome};
pub use reader::{Continuity, Courant, Log, LogReader, Program, Residual, Target};
pub use table::{Table, TableError};
