//! Jobs: everything that takes longer than a blink.
//!
//! ```text
//! paused ◄──┐  ┌──► done ──────┐
//!    └────► running ─► failed ─┼──► history (database), log (jobs/<id>.log)
//!              └──► cancelled ─┘
//! ```
//!
//! A job is a future that gets a [`Reporter`]: through it the work says how far it is, writes its
//! log, and learns that it was cancelled. The job's row is written when it starts and when it ends;
//! progress in between lives in memory and reaches listeners at most [`PROGRESS_RATE`] times a
//! second. A row that says "running" although its process is gone becomes "failed" at the next
//! start (see [`crate::processes`]).

mod model;
mod reporter;
mod request;
mod store;
mod watching;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use model::{Job, JobKind, JobState, Unit};
pub use reporter::Reporter;
pub use request::Request;
pub(crate) use store::SENT;

use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;
use crate::machines::labels;

/// How often progress is told, per second.
pub const PROGRESS_RATE: u32 = 10;

/// How long the end of a job may take to get into the database before it is told all the same.
const RECORDING_PATIENCE: Duration = Duration::from_secs(15);

fn elsewhere() -> AppError {
    AppError::new(
        ErrorKind::Conflict,
        "This job belongs to another Windlass that is running now",
    )
}

/// What is known of a job that this process runs.
#[derive(Debug)]
struct Running {
    reporter: Reporter,
    state: watch::Receiver<Job>,
}

/// The jobs that this process runs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    running: Mutex<HashMap<String, Running>>,
}

impl Jobs {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workshop {
    /// Starts a job and returns it at once; `work` goes on by itself.
    ///
    /// `work` ends with the id of what it made. Cancelling is a request: the work sees it in its
    /// [`Reporter`], takes back what is half done, and ends with [`ErrorKind::Cancelled`].
    pub(crate) fn start_job<Work, Fut>(
        self: &Arc<Self>,
        kind: JobKind,
        title: String,
        subject: Option<String>,
        request: Option<&Request>,
        work: Work,
    ) -> Result<Job>
    where
        Work: FnOnce(Reporter) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<String>>> + Send + 'static,
    {
        let job = Job {
            id: crate::new_id(),
            kind,
            title,
            subject,
            state: JobState::Running,
            step: None,
            done: 0,
            total: None,
            unit: Unit::Items,
            started_at: crate::now(),
            ended_at: None,
            error: None,
            produced: None,
            retry: request.is_some(),
            pausable: false,
        };
        let (sender, state) = watch::channel(job.clone());
        let cancel = CancellationToken::new();
        let reporter = Reporter::new(
            sender,
            cancel,
            self.events.clone(),
            &self.home.jobs(),
            &job.id,
        )?;
        // Last of all that can fail: no row says "running" of a job that never began.
        store::insert(&self.database, &job, self.process.id(), request)
            .inspect_err(|_| reporter::remove_log(&self.home.jobs(), &job.id))?;
        self.jobs.lock().insert(
            job.id.clone(),
            Running {
                reporter: reporter.clone(),
                state,
            },
        );
        self.events.send(Event::JobChanged(Box::new(job.clone())));
        tracing::info!(job = job.id, title = job.title, "job started");

        let workshop = Arc::clone(self);
        tokio::spawn(async move {
            // On a task of its own: a fault of ours ends the job with words, too.
            let outcome = match tokio::spawn(work(reporter.clone())).await {
                Ok(outcome) => outcome,
                Err(fault) => Err(AppError::from_error(
                    ErrorKind::Internal,
                    &fault,
                    Some("This is a fault of Windlass: its log says more".to_owned()),
                )),
            };
            let ended = reporter.end(outcome);
            if let Err(error) = store::finish(&workshop.database, &ended) {
                tracing::error!(job = ended.id, %error, "the end of a job could not be recorded");
            }
            workshop.jobs.lock().remove(&ended.id);
            tracing::info!(job = ended.id, state = ?ended.state, "job ended");
            workshop.events.send(Event::JobChanged(Box::new(ended)));
        });
        Ok(job)
    }

    /// The newest jobs, at most `limit`, the last one started first; with `before`, those older than
    /// that job.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn jobs(&self, limit: u32, before: Option<&str>) -> Result<Vec<Job>> {
        let mut jobs = store::list(&self.database, limit, before)?;
        let running = self.jobs.lock();
        for job in &mut jobs {
            if let Some(live) = running.get(&job.id) {
                *job = live.state.borrow().clone();
            }
        }
        Ok(jobs)
    }

    /// One job.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub fn job(&self, id: &str) -> Result<Job> {
        if let Some(live) = self.jobs.lock().get(id) {
            return Ok(live.state.borrow().clone());
        }
        store::get(&self.database, id)?.ok_or_else(|| AppError::not_found("job", id))
    }

    /// Waits until a job of this process has ended, calling `watch` at each of its changes. One that has
    /// ended already is told as it ended.
    ///
    /// # Errors
    /// The job's own error when it failed or was cancelled.
    pub async fn finish_job(&self, id: &str, mut watch: impl FnMut(&Job)) -> Result<Job> {
        let receiver = self
            .jobs
            .lock()
            .get(id)
            .map(|running| running.state.clone());
        if let Some(mut receiver) = receiver {
            loop {
                let job = receiver.borrow_and_update().clone();
                watch(&job);
                if job.is_over() || receiver.changed().await.is_err() {
                    break;
                }
            }
            // The job lets go of its voice when its end is in the database. Whoever ends its process
            // now, as the command line does, leaves no job behind that seems to have been killed.
            let recorded = async { while receiver.changed().await.is_ok() {} };
            if tokio::time::timeout(RECORDING_PATIENCE, recorded)
                .await
                .is_err()
            {
                tracing::warn!(job = id, "the end of a job is not recorded yet");
            }
            let job = receiver.borrow().clone();
            return job.outcome();
        }
        self.job(id)?.outcome()
    }

    /// Asks a job to stop and take back what is half done. A job that has ended is left alone.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id, `Conflict` when another process runs it.
    pub fn cancel_job(&self, id: &str) -> Result<()> {
        if let Some(running) = self.jobs.lock().get(id) {
            running.reporter.cancellation().cancel();
            return Ok(());
        }
        if self.job(id)?.is_over() {
            return Ok(());
        }
        Err(elsewhere().hinted("Cancel it there: in its window, or with Ctrl+C in its terminal"))
    }

    /// Lets a job wait that can.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it cannot wait.
    pub fn pause_job(&self, id: &str) -> Result<()> {
        self.set_job_paused(id, true)
    }

    /// Lets a paused job go on.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it does not wait.
    pub fn resume_job(&self, id: &str) -> Result<()> {
        self.set_job_paused(id, false)
    }

    fn set_job_paused(&self, id: &str, paused: bool) -> Result<()> {
        if let Some(running) = self.jobs.lock().get(id) {
            return running.reporter.set_paused(paused);
        }
        if self.job(id)?.is_over() {
            return Err(AppError::new(
                ErrorKind::Conflict,
                "This job has ended already",
            ));
        }
        Err(elsewhere())
    }

    /// What a job said, line by line.
    ///
    /// # Errors
    /// `NotFound` when there is no such job.
    pub fn job_log(&self, id: &str) -> Result<String> {
        let job = self.job(id)?;
        let path = reporter::log_path(&self.home.jobs(), &job.id);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            text => text.doing("read the log", &path),
        }
    }

    /// Ends the jobs of processes that are gone: they did not finish, and say so. What they were writing is
    /// removed.
    pub(crate) fn bury_jobs(&self) -> Result<()> {
        crate::processes::Process::gone(&self.home.processes())?;
        let alive: Vec<String> = std::fs::read_dir(self.home.processes())
            .doing("list the folder", &self.home.processes())?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        // Listed before the jobs are asked for: a folder that is there by then has its job's row, too.
        let images = self.home.images();
        let folders: Vec<_> = std::fs::read_dir(&images)
            .doing("list the folder", &images)?
            .flatten()
            .collect();
        store::bury(&self.database, &alive)?;
        let mut owned = store::builds_and_running(&self.database)?;
        // A machine boots from its image even where the database was lost.
        let machines = self.machines.list();
        for machine in &machines {
            owned.extend(labels(machine).build_id);
            let disks = machine.spec().disks;
            owned.extend(disks.iter().filter_map(|disk| {
                let folder = disk.path.parent()?.file_name()?;
                Some(folder.to_string_lossy().into_owned())
            }));
        }
        for folder in folders {
            if !owned.contains(folder.file_name().to_string_lossy().as_ref()) {
                let path = folder.path();
                if let Err(error) = std::fs::remove_dir_all(&path) {
                    tracing::warn!(path = %path.display(), %error, "could not sweep");
                }
            }
        }
        Ok(())
    }
}
