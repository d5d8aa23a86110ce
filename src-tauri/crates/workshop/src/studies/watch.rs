//! The machines of one run, watched to their end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use windlass_machine::{MachineHandle, MachineState, Status};
use windlass_study::log::{Exit, Log, LogReader, Outcome};
use windlass_study::record::{Record, Verdict};

use super::start::Shared;
use super::steer::{Steered, Steering};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::Reporter;

/// How often the console is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often what is known of a run is kept while it runs.
const KEEP: Duration = Duration::from_secs(2);

/// So long has a solver to write what it has when its run takes too long.
const TO_SAVE: Duration = Duration::from_mins(2);

/// How long a run may take, and what ends it before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) longest: Option<Duration>,
    pub(super) stop_when_diverged: bool,
}

/// What ended a run before its program did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Diverged,
    TimedOut,
    Stopped,
    Cancelled,
}

/// What is seen of a run, over all the machines that it takes.
pub(super) struct RunWatch {
    begun: Instant,
    bounds: Bounds,
    reader: LogReader,
    cut: Option<Cut>,
    steering: Steering,
    can_save: bool,
    /// Since when the solver of a run that takes too long is told to save.
    overtime: Option<Instant>,
    /// How the last machine ended.
    status: Option<Status>,
}

impl RunWatch {
    /// A run of which this much is known; its earlier machines said what is in the file of its console.
    pub(super) fn begin(shared: &Shared, record: &Record, console: &Path) -> Result<Self> {
        let mut reader = LogReader::new();
        if record.console_bytes > 0 {
            let file = File::open(console).doing("read", console)?;
            let mut earlier = BufReader::with_capacity(64 << 10, file.take(record.console_bytes));
            loop {
                let bytes = earlier.fill_buf().doing("read", console)?;
                let count = bytes.len();
                if count == 0 {
                    break;
                }
                reader.push(bytes);
                earlier.consume(count);
            }
        }
        Ok(Self {
            begun: Instant::now(),
            bounds: shared.bounds,
            reader,
            cut: None,
            steering: Steering::of(&shared.runs, record.number),
            can_save: shared.is_openfoam,
            overtime: None,
            status: None,
        })
    }

    /// Whether the last machine's program ended by itself, and without an error.
    pub(super) fn ended_well(&self) -> bool {
        let status = self.status.as_ref();
        self.cut.is_none() && status.is_some_and(|status| status.exit_status == Some(0))
    }

    /// The verdict, once there is no machine any more; an error where somebody cancelled the run.
    pub(super) fn conclude(mut self, record: &mut Record) -> Result<()> {
        let log = std::mem::take(&mut self.reader).finish();
        record.take(&log);
        if let Some(status) = &self.status {
            conclude(record, status, &log, self.cut);
        }
        if self.steering.is_saving() && record.verdict.is_some_and(Verdict::is_complete) {
            self.conclude_saved(record);
        }
        if self.cut == Some(Cut::Cancelled) {
            return Err(AppError::new(ErrorKind::Cancelled, "Cancelled"));
        }
        Ok(())
    }

    /// A solver that was told to write and end did so, unless it came to its end before it heard of it.
    fn conclude_saved(&self, record: &mut Record) {
        let came_to_its_end = match (record.last_time, record.end_time) {
            (Some(last), Some(end)) => last >= end - 1e-9 * end.abs(),
            _ => false,
        };
        if record.verdict == Some(Verdict::Converged) || came_to_its_end {
            return;
        }
        let last = record.last_time.unwrap_or_default();
        record.is_saved = true;
        if self.overtime.is_some() {
            let message = format!("it took longer than it may; saved at {last}");
            record.close(Verdict::TimedOut, message);
        } else {
            record.close(Verdict::Stopped, format!("stopped, and saved at {last}"));
        }
    }

    /// Does what is wanted of the run, and ends it where it takes too long: first its solver is told to save.
    async fn steer(&mut self, handle: &MachineHandle, record: &mut Record, reporter: &Reporter) {
        let steered = self.steering.look(handle).await;
        let name = record.name();
        match steered {
            Some(Steered::Stop) => self.cut = Some(Cut::Stopped),
            Some(Steered::Saving) => reporter.log(&format!("Run {name}: its solver saves")),
            Some(Steered::Extended(to)) => {
                reporter.log(&format!("Run {name}: goes on to {to}"));
                record.end_time = to.parse().ok();
                record.extended_to = Some(to);
            }
            Some(Steered::Refused(why)) => {
                reporter.log(&format!("Run {name}: its solver could not be told: {why}"));
            }
            None => {}
        }
        if self.cut.is_none() {
            self.cut = self.reason_to_cut(reporter);
        }
        let can_save = self.can_save && handle.spec().agent;
        if self.cut == Some(Cut::TimedOut) && can_save {
            let since = *self.overtime.get_or_insert_with(Instant::now);
            if since.elapsed() < TO_SAVE && self.steering.save().is_ok() {
                self.cut = None;
            }
        }
    }

    fn reason_to_cut(&self, reporter: &Reporter) -> Option<Cut> {
        if reporter.cancellation().is_cancelled() {
            return Some(Cut::Cancelled);
        }
        let outcome = self.reader.log().outcome(Exit::Running);
        if self.bounds.stop_when_diverged && matches!(outcome, Outcome::Diverged { .. }) {
            return Some(Cut::Diverged);
        }
        let longest = self.bounds.longest;
        let too_long = longest.is_some_and(|longest| self.begun.elapsed() > longest);
        too_long.then_some(Cut::TimedOut)
    }
}

impl Workshop {
    /// Follows a machine of a run until it is over.
    pub(super) async fn watch_run(
        &self,
        handle: &MachineHandle,
        record: &mut Record,
        watch: &mut RunWatch,
        reporter: &Reporter,
        keep: impl Fn(&Record) -> Result<()>,
    ) -> Result<()> {
        let mut kept = Instant::now();
        let mut console = self.console(handle.id(), 0)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let is_live = handle.status().borrow().state.is_live();
            // The log file may not be there yet.
            while let Ok(count @ 1..) = console.read_available(&mut buffer).await {
                watch.reader.push(&buffer[..count]);
            }
            if !is_live {
                break;
            }
            if watch.cut.is_none() {
                watch.steer(handle, record, reporter).await;
                if let Some(cut) = watch.cut {
                    reporter.log(&format!("Run {}: {}", record.name(), words(cut)));
                    // The guest writes what it has to the disk of the run before it ends.
                    if let Err(error) = handle.stop().await {
                        // It may have ended by itself meanwhile; the next look says.
                        tracing::debug!(%error, "could not cut a run");
                    }
                }
            }
            if kept.elapsed() >= KEEP {
                kept = Instant::now();
                record.take(watch.reader.log());
                keep(record)?;
            }
            tokio::time::sleep(LOOK).await;
        }
        // The next machine begins with a line of its own.
        watch.reader.push(b"\n");
        watch.status = Some(handle.status().borrow().clone());
        Ok(())
    }

    /// Keeps what a machine said behind what the run's earlier ones did.
    pub(super) async fn keep_console(
        &self,
        handle: &MachineHandle,
        record: &Record,
        path: &Path,
    ) -> Result<()> {
        if record.console_bytes == 0 {
            return self.save_console(handle.id(), path).await;
        }
        let next = path.with_extension("next");
        self.save_console(handle.id(), &next).await?;
        let append = || -> io::Result<()> {
            let mut file = OpenOptions::new().append(true).open(path)?;
            // Of a process that was killed while it did this.
            file.set_len(record.console_bytes)?;
            io::copy(&mut File::open(&next)?, &mut file)?;
            fs::remove_file(&next)
        };
        append().doing("write", path)
    }
}

fn words(cut: Cut) -> &'static str {
    match cut {
        Cut::Diverged => "stopped, for it has diverged",
        Cut::TimedOut => "stopped, for it takes longer than it may",
        Cut::Stopped | Cut::Cancelled => "stopped",
    }
}

/// The verdict: of what ended it, of what the log says, and of what is known of the machine.
fn conclude(record: &mut Record, status: &Status, log: &Log, cut: Option<Cut>) {
    record.exit_status = status.exit_status;
    let no_program = log.programs.is_empty() && log.failure.is_none();
    let said = || status.message.clone();
    match (cut, status.state, status.exit_status) {
        (Some(Cut::TimedOut), ..) => {
            record.close(Verdict::TimedOut, "it took longer than it may");
        }
        (Some(Cut::Stopped | Cut::Cancelled), ..) => record.close(Verdict::Stopped, "stopped"),
        (None, MachineState::Stopped, None) => {
            record.close(Verdict::Stopped, "its machine was stopped");
        }
        // The guest itself says that there is nothing that it could run.
        (None, MachineState::Failed, None) => {
            record.close(Verdict::Failed, said().unwrap_or_else(|| "failed".into()));
            record.hint.clone_from(&status.remedy);
        }
        (_, MachineState::Stopped | MachineState::Failed, Some(0)) if no_program => {
            record.close(Verdict::Completed, "completed");
        }
        // No program of OpenFOAM spoke: the status alone says how it went.
        (_, MachineState::Stopped | MachineState::Failed, Some(status)) if no_program => {
            record.close(Verdict::Failed, format!("ended with status {status}"));
        }
        (_, MachineState::Stopped | MachineState::Failed, Some(status)) => {
            record.conclude(&log.outcome(Exit::Status(status)));
        }
        _ if no_program => {
            record.conclude(&Outcome::Lost);
            if let Some(message) = said() {
                record.message = Some(message);
                record.hint.clone_from(&status.remedy);
            }
        }
        _ => record.conclude(&log.outcome(Exit::Vanished)),
    }
}
