//! Studies and their runs as the window shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use specta::Type;
use windlass_study::record::{Record, RunState, Verdict};

use super::PlannedRun;

/// A study of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudySummary {
    /// Its folder.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// The appliance that its runs share.
    pub appliance: Option<String>,
    /// When it was added (RFC 3339).
    pub added_at: String,
    /// How each of its runs stands.
    pub runs: Vec<RunOutcome>,
    /// Whether a process works on its runs.
    pub is_running: bool,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// How a run stands, or how it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum RunOutcome {
    /// Its turn has not come.
    Waiting,
    /// Its machine runs.
    Running,
    /// The solver reached its targets.
    Converged,
    /// It came to its last step without.
    NotConverged,
    /// It came to its end; there was nothing to converge to.
    Completed,
    /// Numbers grew beyond all bounds.
    Diverged,
    /// A program ended with an error.
    Failed,
    /// It was stopped.
    Stopped,
    /// It took longer than it may.
    TimedOut,
    /// Its machine vanished, and nobody saw how it ended.
    Lost,
}

impl RunOutcome {
    /// That of a record.
    pub fn of(record: &Record) -> Self {
        match (record.state, record.verdict) {
            (RunState::Waiting, _) => Self::Waiting,
            (RunState::Running, _) => Self::Running,
            (RunState::Done, Some(verdict)) => match verdict {
                Verdict::Converged => Self::Converged,
                Verdict::NotConverged => Self::NotConverged,
                Verdict::Completed => Self::Completed,
                Verdict::Diverged => Self::Diverged,
                Verdict::Failed => Self::Failed,
                Verdict::Stopped => Self::Stopped,
                Verdict::TimedOut => Self::TimedOut,
                Verdict::Lost => Self::Lost,
            },
            // A record that says that it is over and not how is never taken for done.
            (RunState::Done, None) => Self::Lost,
        }
    }
}

/// A run and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudyRun {
    /// From 1.
    pub number: u32,
    /// Of each variable.
    pub values: Vec<(String, String)>,
    /// How it stands.
    pub outcome: RunOutcome,
    /// The same, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// Its machine.
    pub machine: Option<String>,
    /// Steps or iterations of the solver.
    pub steps: u64,
    /// The solver's last time.
    pub last_time: Option<f64>,
    /// Where the solver ends.
    pub end_time: Option<f64>,
    /// Whether it is over, and its solver can go on.
    pub may_go_on: bool,
    /// The solver's processor time.
    pub seconds: Option<f64>,
    /// Libraries that were missing, though the solver went on.
    pub missing_libraries: Vec<String>,
    /// The largest residual from first to last, as the exponent of ten.
    pub trend: Vec<f64>,
    /// What was read of its files.
    pub results: BTreeMap<String, String>,
}

impl From<Record> for StudyRun {
    fn from(record: Record) -> Self {
        Self {
            outcome: RunOutcome::of(&record),
            may_go_on: record.may_go_on(),
            number: u32::try_from(record.number).unwrap_or(u32::MAX),
            values: record.values,
            message: record.message,
            hint: record.hint,
            attempts: record.attempts,
            machine: record.machine,
            steps: record.steps,
            last_time: record.last_time,
            end_time: record.end_time,
            seconds: record.execution_seconds,
            missing_libraries: record.missing_libraries,
            trend: record.trend,
            // Those of a run that did not come to its end are not what was asked for.
            results: if record.verdict.is_some_and(Verdict::is_complete) {
                record.results
            } else {
                BTreeMap::new()
            },
        }
    }
}

/// A run before it is begun, with the lines of the case that it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudyPlan {
    /// From 1.
    pub number: u32,
    /// Of each variable.
    pub values: Vec<(String, String)>,
    /// The lines of the case that it changes.
    pub differences: Vec<ChangedLine>,
}

/// A line of a case that is another one in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ChangedLine {
    /// The file within the case.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// How it was.
    pub before: String,
    /// How it is in this run.
    pub after: String,
}

impl From<PlannedRun> for StudyPlan {
    fn from(planned: PlannedRun) -> Self {
        let lines = planned.differences.into_iter().map(|line| ChangedLine {
            file: line.file,
            line: u32::try_from(line.line).unwrap_or(u32::MAX),
            before: line.before,
            after: line.after,
        });
        Self {
            number: u32::try_from(planned.run.number).unwrap_or(u32::MAX),
            values: planned.run.values,
            differences: lines.collect(),
        }
    }
}

/// A case to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Tutorial {
    /// Its folder among the tutorials, such as `incompressible/icoFoam/cavity/cavity`.
    pub name: String,
    /// Its folder.
    pub folder: String,
    /// The solver that it is for.
    pub solver: String,
    /// What that solver calculates.
    pub about: Option<String>,
}

impl From<windlass_study::case::tutorials::Tutorial> for Tutorial {
    fn from(tutorial: windlass_study::case::tutorials::Tutorial) -> Self {
        Self {
            name: tutorial.name,
            folder: tutorial.folder.display().to_string(),
            solver: tutorial.solver,
            about: tutorial.about,
        }
    }
}
