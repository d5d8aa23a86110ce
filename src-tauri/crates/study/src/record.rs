//! What is known of each run, on disk: the queue of a study, which outlives every process that works on it.
//!
//! ```text
//!   study folder
//!   ├── study.yaml
//!   ├── case/                 never changed
//!   └── runs/
//!       ├── .lock             held by the process that works on the queue
//!       └── 007/
//!           ├── run.json      this record, written whole or not at all
//!           ├── disk.img      the case as this run has it; while it runs, the guest writes to it
//!           ├── console.log   what its programs said
//!           └── case/         what came back
//!
//!   waiting ──> running ──> done { verdict }
//!      ▲           │ the machine is gone, and nobody saw how the program ended: lost
//!      └───────────┘ once more, where the failure was ours
//! ```
//!
//! A run is done only when its solver's last word was read and its files are back. What is neither is lost.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::log::{Log, Outcome};
use crate::{Run, StudyError};

/// The folder of the runs within a study's.
pub const RUNS_FOLDER: &str = "runs";
/// How often a run is tried whose failure was ours.
pub const ATTEMPTS: u32 = 2;

/// How a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The solver reached its targets and stopped.
    Converged,
    /// It came to its last step without.
    NotConverged,
    /// It came to its end, and there was nothing to converge to.
    Completed,
    /// Numbers grew beyond all bounds.
    Diverged,
    /// A program ended with an error.
    Failed,
    /// It was stopped by somebody.
    Stopped,
    /// It took longer than it may.
    TimedOut,
    /// Its machine vanished, and nobody saw how it ended.
    Lost,
}

impl Verdict {
    /// Whether its results are those that were asked for.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Converged | Self::NotConverged | Self::Completed)
    }

    /// In a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::NotConverged => "not converged",
            Self::Completed => "completed",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::TimedOut => "took too long",
            Self::Lost => "lost",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// Its machine runs, or its files are being read back.
    Running,
    /// It is over; the verdict says how.
    Done,
}

/// All that is known of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// From 1.
    pub number: usize,
    /// Of each variable.
    pub values: Vec<(String, String)>,
    /// What it is made of: a digest over image, steps, files and environment. Another one is another run.
    pub fingerprint: String,
    /// Where it stands.
    pub state: RunState,
    /// How it came out.
    pub verdict: Option<Verdict>,
    /// The same, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// Its machine.
    pub machine: Option<String>,
    /// How many machines it had before this one: OSv ends with its first program, and a run may have several.
    pub boot: usize,
    /// How much of its console is of those.
    pub console_bytes: u64,
    /// When it began (RFC 3339).
    pub started_at: Option<String>,
    /// When it was over.
    pub ended_at: Option<String>,
    /// The status of its programs.
    pub exit_status: Option<i32>,
    /// Where the solver ends, by its controlDict.
    pub end_time: Option<f64>,
    /// The end up to which it was made to go on; none where it ends as the case says.
    pub extended_to: Option<String>,
    /// Whether its solver began with what an earlier one of the same run had written.
    pub goes_on: bool,
    /// How much of its console is of what came before.
    pub kept_bytes: u64,
    /// Whether the solver wrote what it had when it was stopped.
    pub is_saved: bool,
    /// Steps or iterations of the solver.
    pub steps: u64,
    /// The solver's last time.
    pub last_time: Option<f64>,
    /// The solver's processor time.
    pub execution_seconds: Option<f64>,
    /// Libraries that were missing, though the solver went on.
    pub missing_libraries: Vec<String>,
    /// The largest of the residuals from first to last, as the exponent of ten; a few points.
    pub trend: Vec<f64>,
    /// What was read of its files.
    pub results: BTreeMap<String, String>,
}

impl Record {
    /// A run that nobody has begun.
    pub fn new(run: &Run, fingerprint: String) -> Self {
        Self {
            number: run.number,
            values: run.values.clone(),
            fingerprint,
            ..Self::default()
        }
    }

    /// What it is called on disk.
    pub fn name(&self) -> String {
        format!("{:03}", self.number)
    }

    /// Takes over what the solver's log says.
    pub fn take(&mut self, log: &Log) {
        self.steps = log.steps;
        self.last_time = log.last_time;
        self.execution_seconds = log.execution_seconds;
        self.missing_libraries.clone_from(&log.missing_libraries);
        self.trend = trend(log);
    }

    /// The same run, going on from what it wrote last up to another end; what it said until then is so long.
    #[must_use]
    pub fn going_on(&self, end: &str, console_bytes: u64) -> Self {
        Self {
            number: self.number,
            values: self.values.clone(),
            fingerprint: self.fingerprint.clone(),
            end_time: end.parse().ok(),
            extended_to: Some(end.to_owned()),
            goes_on: true,
            console_bytes,
            kept_bytes: console_bytes,
            steps: self.steps,
            last_time: self.last_time,
            trend: self.trend.clone(),
            results: self.results.clone(),
            ..Self::default()
        }
    }

    /// Whether it is over, and the solver can go on from what it wrote.
    pub fn may_go_on(&self) -> bool {
        let ended = match self.verdict {
            Some(Verdict::Converged | Verdict::NotConverged | Verdict::Completed) => true,
            Some(Verdict::Stopped | Verdict::TimedOut) => self.is_saved,
            _ => false,
        };
        self.state == RunState::Done && ended && self.last_time.is_some()
    }

    /// It is over.
    pub fn close(&mut self, verdict: Verdict, message: impl Into<String>) {
        self.state = RunState::Done;
        self.verdict = Some(verdict);
        self.message = Some(message.into());
    }

    /// It is over as the solver's log says.
    pub fn conclude(&mut self, outcome: &Outcome) {
        let number = |value: f64| crate::formula::written(value);
        self.hint = None;
        match outcome {
            Outcome::Running => {}
            Outcome::Converged { iterations } => {
                self.close(
                    Verdict::Converged,
                    format!("converged in {iterations} iterations"),
                );
            }
            Outcome::NotConverged => {
                let steps = self.steps;
                self.close(
                    Verdict::NotConverged,
                    format!("not converged after {steps} iterations"),
                );
            }
            Outcome::Completed => self.close(Verdict::Completed, "completed"),
            Outcome::Diverged { time, field } => {
                let at = time
                    .map(|time| format!(" at {}", number(time)))
                    .unwrap_or_default();
                let of = field
                    .as_ref()
                    .map(|field| format!(", {field} first"))
                    .unwrap_or_default();
                self.close(Verdict::Diverged, format!("diverged{at}{of}"));
                self.hint =
                    Some("Take smaller steps, more relaxation, or a gentler beginning".into());
            }
            Outcome::Failed(failure) => {
                self.close(Verdict::Failed, failure.summary());
                self.hint = failure.hint();
            }
            Outcome::Lost => self.close(
                Verdict::Lost,
                "its machine vanished before the end: what there is of results is incomplete",
            ),
        }
    }

    /// Whether it is to be begun (again): never where the solver has said how it ended.
    pub fn is_wanted(&self, fingerprint: &str, retry: bool) -> bool {
        if self.fingerprint != fingerprint {
            return true;
        }
        match (self.state, self.verdict) {
            (RunState::Waiting, _) | (RunState::Done, None) => true,
            (RunState::Done, Some(Verdict::Lost)) => retry || self.attempts < ATTEMPTS,
            (RunState::Done, Some(Verdict::Stopped | Verdict::TimedOut | Verdict::Failed)) => retry,
            (RunState::Running, _) | (RunState::Done, Some(_)) => false,
        }
    }
}

/// How the largest residual goes, as the exponent of ten.
fn trend(log: &Log) -> Vec<f64> {
    /// The most points.
    const POINTS: usize = 40;
    let columns: Vec<&[f64]> = log
        .residuals
        .keys()
        .filter_map(|field| log.history.column(field))
        .collect();
    let steps = log.history.times.len();
    let stride = steps.div_ceil(POINTS).max(1);
    let largest = |step: usize| {
        let values = columns.iter().filter_map(|column| column.get(step));
        values
            .copied()
            .filter(|value| *value > 0.0)
            .fold(0.0, f64::max)
    };
    let kept = (0..steps).rev().step_by(stride).map(largest);
    let mut points: Vec<f64> = kept
        .filter(|value| *value > 0.0 && value.is_finite())
        .map(|value| (value.log10() * 100.0).round() / 100.0)
        .collect();
    points.reverse();
    points
}

/// The runs of a study on disk.
#[derive(Debug, Clone)]
pub struct Runs {
    folder: PathBuf,
}

/// Held as long as a process works on a queue.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Runs {
    /// Those of this study's folder.
    pub fn of(study: &Path) -> Self {
        Self {
            folder: study.join(RUNS_FOLDER),
        }
    }

    /// The folder of them all.
    pub(crate) fn whole_folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a run.
    pub fn folder(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number:03}"))
    }

    /// Makes this process the one that works on the queue; none where another one does.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or locked.
    pub fn lock(&self) -> Result<Option<Lock>, StudyError> {
        let path = self.folder.join(".lock");
        fs::create_dir_all(&self.folder)
            .map_err(|source| io_error("make", &self.folder, source))?;
        let file = File::create(&path).map_err(|source| io_error("write", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &path, source)),
        }
    }

    /// Whether some process works on the queue.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.folder.join(".lock")) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
    }

    /// What is known of a run; nothing where it was never begun, or where its record is damaged.
    pub fn load(&self, number: usize) -> Option<Record> {
        let text = fs::read(self.folder(number).join("run.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps what is known of a run, whole or not at all.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn save(&self, record: &Record) -> Result<(), StudyError> {
        let folder = self.folder(record.number);
        let path = folder.join("run.json");
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&folder)?.sync_all()
        };
        write().map_err(|source| io_error("write", &path, source))
    }
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> StudyError {
    StudyError::Io {
        doing,
        path: path.into(),
        source,
    }
}

/// Variables against outcomes, as CSV.
///
/// # Errors
///
/// Never but for want of memory; the writer's own failures are passed on.
pub fn results_csv(records: &[Record]) -> Result<String, StudyError> {
    let mut columns: Vec<&str> = Vec::new();
    let mut results: Vec<&str> = Vec::new();
    for record in records {
        for (name, _) in &record.values {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
        for name in record.results.keys() {
            if !results.contains(&name.as_str()) {
                results.push(name);
            }
        }
    }
    let failed =
        |error: csv::Error| io_error("write", Path::new("results.csv"), io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head =
        ["run"]
            .into_iter()
            .chain(columns.iter().copied())
            .chain(["outcome", "iterations", "time"]);
    writer
        .write_record(head.chain(results.iter().copied()))
        .map_err(failed)?;
    for record in records {
        let mut row = vec![record.name()];
        let value = |name: &str| record.values.iter().find(|(other, _)| other == name);
        row.extend(
            columns
                .iter()
                .map(|name| value(name).map_or(String::new(), |(_, value)| value.clone())),
        );
        row.push(match (record.state, record.verdict) {
            (RunState::Done, Some(verdict)) => verdict.title().into(),
            (RunState::Running, _) => "running".into(),
            _ => "waiting".into(),
        });
        row.push(record.steps.to_string());
        row.push(
            record
                .last_time
                .map(crate::formula::written)
                .unwrap_or_default(),
        );
        // The results of a run that did not come to its end are not those that were asked for.
        let complete = record.verdict.is_some_and(Verdict::is_complete);
        row.extend(results.iter().map(|name| {
            let value = record.results.get(*name).filter(|_| complete);
            value.cloned().unwrap_or_default()
        }));
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How many runs go at the same time on this computer.
pub fn at_once(wanted: Option<u32>, vcpus: u32, memory_mib: u32, cores: u32, free_mib: u64) -> u32 {
    /// What QEMU takes beside its guest.
    const OVERHEAD_MIB: u64 = 128;
    if let Some(wanted) = wanted {
        return wanted.max(1);
    }
    let by_memory = free_mib / (u64::from(memory_mib) + OVERHEAD_MIB);
    let by_cores = cores / vcpus.max(1);
    by_cores
        .min(u32::try_from(by_memory).unwrap_or(u32::MAX))
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Exit, LogReader};

    fn record(number: usize, verdict: Option<Verdict>) -> Record {
        Record {
            number,
            fingerprint: "f".into(),
            state: if verdict.is_some() {
                RunState::Done
            } else {
                RunState::Waiting
            },
            verdict,
            attempts: 1,
            values: vec![("nu".into(), format!("0.0{number}"))],
            results: [("Cl".to_owned(), "0.5".to_owned())].into(),
            ..Record::default()
        }
    }

    #[test]
    fn only_what_failed_for_our_reasons_is_tried_again() {
        let wanted = |verdict, retry| record(1, Some(verdict)).is_wanted("f", retry);
        for verdict in [
            Verdict::Converged,
            Verdict::NotConverged,
            Verdict::Completed,
            Verdict::Diverged,
        ] {
            assert!(
                !wanted(verdict, false) && !wanted(verdict, true),
                "{verdict:?}"
            );
        }
        assert!(wanted(Verdict::Lost, false), "once more by itself");
        let twice = Record {
            attempts: 2,
            ..record(1, Some(Verdict::Lost))
        };
        assert!(!twice.is_wanted("f", false) && twice.is_wanted("f", true));
        for verdict in [Verdict::Failed, Verdict::Stopped, Verdict::TimedOut] {
            assert!(
                !wanted(verdict, false) && wanted(verdict, true),
                "{verdict:?}"
            );
        }
        assert!(
            record(1, Some(Verdict::Completed)).is_wanted("g", false),
            "another run altogether"
        );
    }

    #[test]
    fn a_machine_that_vanished_is_lost_and_never_done() {
        let mut reader = LogReader::new();
        reader.push(b"Exec   : icoFoam\nTime = 0.1\n\nEnd of the");
        let log = reader.finish();
        let mut record = record(1, None);
        record.take(&log);
        record.conclude(&log.outcome(Exit::Vanished));
        assert_eq!(
            (record.state, record.verdict),
            (RunState::Done, Some(Verdict::Lost))
        );
        assert!(!Verdict::Lost.is_complete());
    }

    #[test]
    fn records_are_kept_and_one_process_works_on_them() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::of(folder.path());
        let lock = runs.lock().unwrap().unwrap();
        assert!(runs.lock().unwrap().is_none());
        drop(lock);
        assert!(runs.lock().unwrap().is_some());
        assert!(runs.load(1).is_none());
        let saved = record(1, Some(Verdict::Lost));
        runs.save(&saved).unwrap();
        assert_eq!(runs.load(1).unwrap(), saved);
        fs::write(runs.folder(1).join("run.json"), "{").unwrap();
        assert!(runs.load(1).is_none(), "a damaged record is none");
    }

    #[test]
    fn results_are_a_table_in_which_the_lost_have_none() {
        let records = [
            record(1, Some(Verdict::Completed)),
            record(2, Some(Verdict::Lost)),
            record(3, None),
        ];
        assert_eq!(
            results_csv(&records).unwrap(),
            "run,nu,outcome,iterations,time,Cl\n001,0.01,completed,0,,0.5\n002,0.02,lost,0,,\n003,0.03,waiting,0,,\n"
        );
    }

    #[test]
    fn cores_and_memory_say_how_many_run_at_once() {
        assert_eq!(at_once(None, 1, 512, 8, 100_000), 8);
        assert_eq!(at_once(None, 2, 512, 8, 100_000), 4);
        assert_eq!(at_once(None, 1, 512, 8, 2000), 3);
        assert_eq!(at_once(None, 4, 8192, 2, 100), 1);
        assert_eq!(at_once(Some(3), 1, 512, 1, 100), 3);
    }
}
