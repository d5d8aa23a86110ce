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

mod reporter;
mod store;
mod watching;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use specta::Type;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use reporter::Reporter;
pub(crate) use store::SENT;

use crate::Workshop;
use crate::clouds::{DeployOptions, PushOptions};
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;
use crate::images::{ConvertOptions, ImageFormat, ListKind};
use crate::machines::labels;
use crate::stacks::{StackOptions, StackSource};
use crate::studies::StudyOptions;
use crate::volumes::NewVolume;

/// How often progress is told, per second.
pub const PROGRESS_RATE: u32 = 10;

/// How long the end of a job may take to get into the database before it is told all the same.
const RECORDING_PATIENCE: Duration = Duration::from_secs(15);

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum JobKind {
    /// Composes an image from an appliance.
    Build,
    /// Builds where needed, then starts a machine.
    Run,
    /// Fetches the distribution's Linux kernel.
    FetchKernel,
    /// Makes a sample appliance.
    Sample,
    /// Adds kernel files to the library.
    AddKernel,
    /// Unpacks an archive into an appliance.
    Unpack,
    /// Asks registries what they have.
    Refresh,
    /// Fetches packages into the library.
    Pull,
    /// Fetches newer versions of packages.
    Update,
    /// Gives a package to a registry.
    Publish,
    /// Writes a package as one file.
    Export,
    /// Makes a package.
    Pack,
    /// Reads all of the library and compares it with its digests.
    Verify,
    /// Mends what is damaged in the library.
    Repair,
    /// Removes from the library what nothing needs.
    Prune,
    /// Takes over what Capstan left.
    Import,
    /// Holds fast the packages that an appliance is built from.
    Lock,
    /// Copies files out of an image.
    Extract,
    /// Compares an image with another, or with a folder.
    Compare,
    /// Reads an image and compares it with its list of files.
    VerifyImage,
    /// Writes an image in another format.
    Convert,
    /// Takes an image from elsewhere into the library.
    ImportImage,
    /// Makes an image or volume larger or smaller.
    ResizeImage,
    /// Makes a volume.
    MakeVolume,
    /// Writes lists of what is in a build.
    ExportLists,
    /// Changes the files of a guest that runs.
    Push,
    /// Starts the machines of a group's file.
    GroupUp,
    /// Does the runs of a study.
    Study,
    /// Sends an image to a cloud.
    PushImage,
    /// Fetches an image from a cloud.
    FetchImage,
    /// Makes servers of an image in a cloud.
    Deploy,
    /// Launches or updates a stack of a cloud.
    Stack,
    /// Takes away what was made in a cloud.
    CleanUp,
    /// Does something with a server of a cloud.
    ChangeServer,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// It works.
    Running,
    /// It was asked to wait, and goes on when it is told to.
    Paused,
    /// It did what it was to do.
    Done,
    /// It could not; `error` says why.
    Failed,
    /// The user cancelled it; nothing was left behind.
    Cancelled,
}

/// What progress is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Items,
}

/// A job as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name for programs.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// What it does, in words.
    pub title: String,
    /// The appliance that it works for.
    pub subject: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing just now, in words.
    pub step: Option<String>,
    /// How far it is.
    pub done: u64,
    /// How far it has to go, where that is known.
    pub total: Option<u64>,
    /// What `done` and `total` count.
    pub unit: Unit,
    /// When it started (RFC 3339).
    pub started_at: String,
    /// When it ended (RFC 3339).
    pub ended_at: Option<String>,
    /// Why it failed.
    pub error: Option<AppError>,
    /// What it made: the id of a build, machine, appliance or kernel.
    pub produced: Option<String>,
    /// Whether it can be tried again as it was.
    pub retry: bool,
    /// Whether it can be paused, and go on later.
    pub pausable: bool,
}

impl Job {
    /// Whether it has ended, in whichever way.
    pub fn is_over(&self) -> bool {
        !matches!(self.state, JobState::Running | JobState::Paused)
    }

    fn outcome(self) -> Result<Self> {
        match (self.state, self.error) {
            (JobState::Failed, Some(error)) => Err(error),
            (JobState::Cancelled, _) => Err(AppError::cancelled()),
            (_, error) => Ok(Self { error, ..self }),
        }
    }
}

/// What a job is asked to do, kept so that it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Request {
    /// Compose an image.
    Build {
        /// The appliance's id.
        appliance: String,
    },
    /// Build where needed and start a machine.
    Run {
        /// The appliance's id.
        appliance: String,
    },
    /// Fetch the distribution's kernel.
    FetchKernel,
    /// Ask registries what they have.
    Refresh {
        /// One of them; all where none is named.
        registry: Option<u32>,
    },
    /// Fetch packages.
    Pull {
        /// The package's name.
        name: String,
        /// Its version; the newest where none is named.
        version: Option<String>,
        /// The registry; the first that has it where none is named.
        registry: Option<u32>,
    },
    /// Fetch newer versions of packages.
    Update {
        /// The packages' names.
        names: Vec<String>,
    },
    /// Fetch OSv's kernels.
    FetchOsv {
        /// Their version; the newest where none is named.
        version: Option<String>,
    },
    /// Hold fast an appliance's packages.
    Lock {
        /// The appliance's id.
        appliance: String,
    },
    /// Make a sample.
    Sample {
        /// The sample's id.
        sample: String,
    },
    /// Copy files out of an image.
    Extract {
        /// The image.
        image: String,
        /// Its volume; the root where none is named.
        volume: Option<u32>,
        /// What is copied.
        paths: Vec<String>,
        /// Where it goes.
        folder: PathBuf,
        /// Whether files that are there are replaced.
        replace: bool,
    },
    /// Compare an image with another, or with a folder.
    Compare {
        /// The image.
        left: String,
        /// The other image, or the folder.
        right: String,
    },
    /// Compare an image with its list of files.
    VerifyImage {
        /// The image.
        image: String,
    },
    /// Write an image in another format.
    Convert {
        /// The image.
        image: String,
        /// The new file.
        destination: PathBuf,
        /// Its format.
        format: ImageFormat,
        /// How it is written.
        options: ConvertOptions,
    },
    /// Take an image into the library.
    ImportImage {
        /// Its file.
        path: PathBuf,
    },
    /// Make an image larger or smaller.
    ResizeImage {
        /// The image.
        image: String,
        /// What it is to have.
        size_bytes: u64,
    },
    /// Make a volume.
    MakeVolume(NewVolume),
    /// Make a volume larger.
    ResizeVolume {
        /// Its id.
        volume: String,
        /// What it is to have.
        size_bytes: u64,
    },
    /// Start the machines of a group's file.
    GroupUp {
        /// The file, or the folder that it is in.
        path: PathBuf,
    },
    /// Do the runs of a study.
    Study {
        /// Its folder.
        folder: PathBuf,
        /// How.
        options: StudyOptions,
    },
    /// Send an image to a cloud.
    PushImage {
        /// The cloud's id.
        cloud: u32,
        /// The image.
        image: String,
        /// How it is sent.
        options: PushOptions,
    },
    /// Make servers of an image in a cloud.
    Deploy {
        /// The cloud's id.
        cloud: u32,
        /// The image.
        image: String,
        /// How it is deployed.
        options: Box<DeployOptions>,
    },
    /// Launch or update a stack of a cloud.
    StackLaunch {
        /// The cloud's id.
        cloud: u32,
        /// What it is made of.
        source: StackSource,
        /// What was chosen.
        options: Box<StackOptions>,
    },
    /// Write lists of what is in a build.
    ExportLists {
        /// The build.
        build: String,
        /// Where they go.
        folder: PathBuf,
        /// Which.
        kinds: Vec<ListKind>,
    },
}

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

    /// Starts a failed or cancelled job again, as it was asked for.
    ///
    /// # Errors
    /// `Conflict` when it still runs or cannot be repeated.
    pub fn retry_job(self: &Arc<Self>, id: &str) -> Result<Job> {
        if !self.job(id)?.is_over() {
            return Err(AppError::new(ErrorKind::Conflict, "This job still runs"));
        }
        match store::request(&self.database, id)? {
            Some(Request::Build { appliance }) => self.start_build(&appliance),
            Some(Request::Run { appliance }) => self.start_run(&appliance),
            Some(Request::FetchKernel) => self.start_kernel_fetch(),
            Some(Request::Refresh { registry }) => self.start_refresh(registry),
            Some(Request::Pull {
                name,
                version,
                registry,
            }) => self.start_pull(&name, version.as_deref(), registry),
            Some(Request::Update { names }) => self.start_update(&names),
            Some(Request::FetchOsv { version }) => self.start_osv_fetch(version.as_deref()),
            Some(Request::Lock { appliance }) => self.start_lock_update(&appliance),
            Some(Request::Sample { sample }) => self.start_sample(&sample),
            Some(Request::Extract {
                image,
                volume,
                paths,
                folder,
                replace,
            }) => self.start_extract(&image, volume, &paths, folder, replace),
            Some(Request::Compare { left, right }) => self.start_compare(&left, &right),
            Some(Request::VerifyImage { image }) => self.start_image_verify(&image),
            Some(Request::Convert {
                image,
                destination,
                format,
                options,
            }) => self.start_convert(&image, &destination, format, options),
            Some(Request::ImportImage { path }) => self.start_image_import(&path),
            Some(Request::ResizeImage { image, size_bytes }) => {
                self.start_image_resize(&image, size_bytes)
            }
            Some(Request::MakeVolume(new)) => self.start_volume_create(new),
            Some(Request::ResizeVolume { volume, size_bytes }) => {
                self.start_volume_resize(&volume, size_bytes)
            }
            Some(Request::GroupUp { path }) => self.start_group_up(&path),
            Some(Request::Study { folder, options }) => self.start_study(&folder, options),
            Some(Request::PushImage {
                cloud,
                image,
                options,
            }) => self.start_push_image(cloud, &image, options),
            Some(Request::Deploy {
                cloud,
                image,
                options,
            }) => self.start_deploy(cloud, &image, *options),
            Some(Request::StackLaunch {
                cloud,
                source,
                options,
            }) => self.start_stack_launch(cloud, &source, *options),
            Some(Request::ExportLists {
                build,
                folder,
                kinds,
            }) => self.start_export_lists(&build, folder, &kinds),
            None => Err(
                AppError::new(ErrorKind::Conflict, "This job cannot be repeated")
                    .hinted("Start it anew where it was started"),
            ),
        }
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
