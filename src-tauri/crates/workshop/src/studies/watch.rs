//! One run's machine, watched to its end.

use std::time::{Duration, Instant};

use windlass_machine::{MachineHandle, MachineState};
use windlass_study::log::{Exit, Log, LogReader, Outcome};
use windlass_study::record::{Record, Verdict};

use crate::Workshop;
use crate::error::{ErrorKind, Result};
use crate::jobs::Reporter;

/// How often the console is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often what is known of a run is kept while it runs.
const KEEP: Duration = Duration::from_secs(2);

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
    Cancelled,
}

impl Workshop {
    /// Follows a machine until it is over; then the record says how.
    pub(super) async fn watch_run(
        &self,
        handle: &MachineHandle,
        record: &mut Record,
        bounds: Bounds,
        reporter: &Reporter,
        keep: impl Fn(&Record) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut kept = Instant::now();
        let mut console = self.console(handle.id(), 0)?;
        let mut reader = LogReader::new();
        let mut buffer = vec![0; 64 << 10];
        let mut cut = None;
        loop {
            let is_live = handle.status().borrow().state.is_live();
            // The log file may not be there yet.
            while let Ok(count @ 1..) = console.read_available(&mut buffer).await {
                reader.push(&buffer[..count]);
            }
            if !is_live {
                break;
            }
            if cut.is_none() {
                cut = self.reason_to_cut(begun, bounds, reader.log(), reporter);
                if let Some(cut) = cut {
                    reporter.log(&format!("Run {}: {}", record.name(), words(cut)));
                    if let Err(error) = handle.kill().await {
                        // It may have ended by itself meanwhile; the next look says.
                        tracing::debug!(%error, "could not cut a run");
                    }
                }
            }
            if kept.elapsed() >= KEEP {
                kept = Instant::now();
                record.take(reader.log());
                keep(record)?;
            }
            tokio::time::sleep(LOOK).await;
        }
        let log = reader.finish();
        record.take(&log);
        conclude(record, handle, &log, cut);
        if cut == Some(Cut::Cancelled) {
            keep(record)?;
            return Err(crate::error::AppError::new(
                ErrorKind::Cancelled,
                "Cancelled",
            ));
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "it reads as a question to the workshop")]
    fn reason_to_cut(
        &self,
        begun: Instant,
        bounds: Bounds,
        log: &Log,
        reporter: &Reporter,
    ) -> Option<Cut> {
        if reporter.cancellation().is_cancelled() {
            return Some(Cut::Cancelled);
        }
        if bounds.stop_when_diverged
            && matches!(log.outcome(Exit::Running), Outcome::Diverged { .. })
        {
            return Some(Cut::Diverged);
        }
        let too_long = bounds
            .longest
            .is_some_and(|longest| begun.elapsed() > longest);
        too_long.then_some(Cut::TimedOut)
    }
}

fn words(cut: Cut) -> &'static str {
    match cut {
        Cut::Diverged => "stopped, for it has diverged",
        Cut::TimedOut => "stopped, for it takes longer than it may",
        Cut::Cancelled => "stopped",
    }
}

/// The verdict: of what ended it, of what the log says, and of what is known of the machine.
fn conclude(record: &mut Record, handle: &MachineHandle, log: &Log, cut: Option<Cut>) {
    let status = handle.status().borrow().clone();
    record.exit_status = status.exit_status;
    match cut {
        Some(Cut::TimedOut) => {
            return record.close(Verdict::TimedOut, "it took longer than it may");
        }
        Some(Cut::Cancelled) => return record.close(Verdict::Stopped, "stopped"),
        _ => {}
    }
    let exit = match (status.state, status.exit_status) {
        (MachineState::Stopped | MachineState::Failed, Some(status)) => Exit::Status(status),
        (MachineState::Stopped, None) if cut.is_none() => {
            return record.close(Verdict::Stopped, "its machine was stopped");
        }
        _ => Exit::Vanished,
    };
    if log.programs.is_empty() && log.failure.is_none() {
        // No program of OpenFOAM spoke: the status alone says how it went.
        return match exit {
            Exit::Status(0) => record.close(Verdict::Completed, "completed"),
            Exit::Status(status) => {
                record.close(Verdict::Failed, format!("ended with status {status}"));
            }
            _ => {
                record.conclude(&Outcome::Lost);
                if let Some(message) = status.message {
                    record.message = Some(message);
                    record.hint = status.remedy;
                }
            }
        };
    }
    record.conclude(&log.outcome(exit));
}
