//! What a job's work holds: its voice, and the ear for being cancelled.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Job, JobState, PROGRESS_RATE, Unit};
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::{Event, Events};

/// Where the log of a job lives.
pub(super) fn log_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.log"))
}

/// Removes the log of a job that did not begin.
pub(super) fn remove_log(folder: &Path, id: &str) {
    // An empty file at worst.
    let _ = std::fs::remove_file(log_path(folder, id));
}

/// Through which a job's work reports. Cheap to clone; usable from any thread.
#[derive(Debug, Clone)]
pub struct Reporter {
    shared: Arc<Shared>,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    job: watch::Sender<Job>,
    pause: watch::Sender<bool>,
    events: Events,
    log: Mutex<File>,
    last_told: Mutex<Instant>,
}

impl Reporter {
    pub(super) fn new(
        job: watch::Sender<Job>,
        cancel: CancellationToken,
        events: Events,
        folder: &Path,
        id: &str,
    ) -> Result<Self> {
        let path = log_path(folder, id);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .doing("write the log", &path)?;
        Ok(Self {
            shared: Arc::new(Shared {
                job,
                pause: watch::Sender::new(false),
                events,
                log: Mutex::new(log),
                last_told: Mutex::new(Instant::now()),
            }),
            cancel,
        })
    }

    /// The job's id.
    pub fn job_id(&self) -> String {
        self.shared.job.borrow().id.clone()
    }

    /// Cancelled when the user asks for it.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Whether the work is to wait; it looks at this where waiting does no harm.
    pub fn pause(&self) -> watch::Receiver<bool> {
        self.shared.pause.subscribe()
    }

    /// Says what was made so far: it stays where the rest fails.
    pub fn made(&self, id: &str) {
        self.shared
            .job
            .send_modify(|job| job.produced = Some(id.to_owned()));
    }

    /// Says whether the work can be paused from here on.
    pub fn set_pausable(&self, pausable: bool) {
        self.shared.job.send_modify(|job| job.pausable = pausable);
        self.tell();
    }

    /// Lets the work wait, or go on.
    pub(super) fn set_paused(&self, paused: bool) -> Result<()> {
        let can = {
            let job = self.shared.job.borrow();
            match job.state {
                JobState::Running => paused && job.pausable,
                JobState::Paused => !paused,
                JobState::Done | JobState::Failed | JobState::Cancelled => false,
            }
        };
        if !can {
            let message = if paused {
                "This job cannot be paused just now"
            } else {
                "This job is not paused"
            };
            return Err(AppError::new(ErrorKind::Conflict, message));
        }
        self.log(if paused { "Paused" } else { "Going on" });
        self.shared.job.send_modify(|job| {
            job.state = if paused {
                JobState::Paused
            } else {
                JobState::Running
            };
        });
        self.shared.pause.send_replace(paused);
        self.tell();
        Ok(())
    }

    /// Fails when the job was cancelled: a good thing to ask between two steps.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`].
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            Err(AppError::cancelled())
        } else {
            Ok(())
        }
    }

    /// Begins a step: shown while it lasts, and written to the log.
    pub fn step(&self, words: &str) {
        self.log(words);
        self.shared.job.send_modify(|job| {
            job.step = Some(words.to_owned());
            job.done = 0;
            job.total = None;
        });
        self.tell();
    }

    /// Writes a line to the log.
    pub fn log(&self, line: &str) {
        let time = jiff::Zoned::now().strftime("%H:%M:%S");
        let mut log = self
            .shared
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(log, "{time}  {line}") {
            tracing::warn!(%error, "a job's log could not be written");
        }
    }

    /// Says how far the step is.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: Unit) {
        self.shared.job.send_modify(|job| {
            job.done = done;
            job.total = total;
            job.unit = unit;
        });
        let interval = Duration::from_secs(1) / PROGRESS_RATE;
        let mut last = self
            .shared
            .last_told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= interval {
            *last = Instant::now();
            drop(last);
            self.tell();
        }
    }

    fn tell(&self) {
        let job = self.shared.job.borrow().clone();
        self.shared.events.send(Event::JobChanged(Box::new(job)));
    }

    /// Records the outcome and returns the job as it ended.
    pub(super) fn end(&self, outcome: Result<Option<String>>) -> Job {
        match &outcome {
            Ok(_) => self.log("Done"),
            Err(error) => {
                self.log(&error.message);
                for cause in &error.chain {
                    self.log(&format!("  because: {cause}"));
                }
                for hint in &error.hints {
                    self.log(&format!("  hint: {hint}"));
                }
            }
        }
        self.shared.job.send_modify(|job| {
            job.ended_at = Some(crate::now());
            job.step = None;
            job.pausable = false;
            match outcome {
                Ok(produced) => {
                    job.state = JobState::Done;
                    job.produced = produced;
                }
                Err(error) if error.kind == ErrorKind::Cancelled => {
                    job.state = JobState::Cancelled;
                }
                Err(error) => {
                    job.state = JobState::Failed;
                    job.error = Some(error);
                }
            }
        });
        self.shared.job.borrow().clone()
    }
}
