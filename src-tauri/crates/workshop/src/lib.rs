//! The application core: appliances, builds, machines and jobs, behind one API for the window and
//! the command line.
//!
//! ```text
//!   window ─ shell ─┐                       ┌─ compose ─┬─ package, image
//!                   ├─► Workshop ─ one API ─┼─ registry ┘
//!   windlassctl ────┘     │   │             └─ machine ── guest
//!                database ┘   └ jobs, events
//! ```
//!
//! Everything that a person can do is a method of [`Workshop`]; what takes longer than a blink is a
//! job ([`jobs`]); what changes is told as an event ([`events`]). The types are those that the window
//! sees, and all errors are [`error::AppError`]. The crates below know nothing of any of this.
//!
//! Several processes may work on the same home at once: an open window and `windlassctl` beside it.

pub use windlass_machine::{NetworkJoin, switch_process};

pub mod appliances;
pub mod builds;
pub mod capstan;
pub mod clouds;
pub mod doctor;
pub mod error;
pub mod events;
pub mod files;
pub mod group_files;
pub mod guests;
pub mod home;
pub mod images;
pub mod jobs;
pub mod kernels;
pub mod library;
pub mod machines;
pub mod packages;
pub mod packing;
pub mod registries;
pub mod samples;
pub mod secrets;
pub mod settings;
pub mod stacks;
pub mod studies;
pub mod verbs;
pub mod volumes;

mod container_images;
mod database;
mod disk;
mod processes;
pub mod recipes;

use std::path::Path;
use std::sync::Arc;

use windlass_library::Library;
use windlass_machine::Machines;

use crate::database::Database;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Events;
use crate::home::Home;
use crate::processes::Process;

/// All of Windlass, at one home.
#[derive(Debug)]
pub struct Workshop {
    home: Home,
    database: Database,
    events: Events,
    healths: group_files::Healths,
    jobs: jobs::Jobs,
    library: Library,
    machines: Machines,
    measuring: Arc<machines::Measuring>,
    thumbnails: Arc<machines::Thumbnails>,
    plans: appliances::Plans,
    probing: tokio::sync::Mutex<()>,
    process: Process,
    refreshing: registries::Refreshing,
    catalogues: registries::Catalogues,
    cloud_sessions: clouds::Sessions,
    offers: packages::Offers,
    open_images: images::OpenImages,
    comparisons: images::Comparisons,
    secrets: tokio::sync::OnceCell<Arc<secrets::SecretStore>>,
}

impl Workshop {
    /// Opens the workshop at a home, which is made where it is missing. Machines that run are found
    /// again; jobs that a killed Windlass left are ended.
    ///
    /// # Errors
    /// When the home cannot be written, or its database cannot be opened.
    pub async fn open(home: Home) -> Result<Arc<Self>> {
        home.create()?;
        let database = Database::open(&home.database())?;
        let process = Process::announce(&home.processes())?;
        let library = Library::open(home.root())?;
        let runtime = windlass_machine::runtime_folder(home.root());
        let machines = Machines::open(&home.machines(), &runtime).await?;
        let workshop = Arc::new(Self {
            home,
            database,
            events: Events::new(),
            healths: group_files::Healths::default(),
            jobs: jobs::Jobs::default(),
            library,
            machines,
            measuring: Arc::default(),
            thumbnails: Arc::default(),
            plans: appliances::Plans::default(),
            probing: tokio::sync::Mutex::new(()),
            process,
            refreshing: registries::Refreshing::default(),
            catalogues: registries::Catalogues::default(),
            cloud_sessions: clouds::Sessions::default(),
            offers: packages::Offers::default(),
            open_images: images::OpenImages::default(),
            comparisons: images::Comparisons::default(),
            secrets: tokio::sync::OnceCell::new(),
        });
        workshop.bury_jobs()?;
        workshop.recover_updates()?;
        workshop.watch_machines();
        workshop.keep_measuring();
        Ok(workshop)
    }

    /// Lets go of the machines, which go on, when what is known of them is on the disk: for a
    /// process that is about to end.
    pub async fn close(&self) {
        self.machines.close().await;
    }

    /// Where the state lives.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// What changes, as it changes.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Opens a folder, or the folder of a file, in the file manager. A file itself is never opened.
    ///
    /// # Errors
    /// `NotFound` when it is not there (any more); `Unavailable` when there is no file manager.
    pub fn reveal(&self, path: &Path) -> Result<()> {
        let path = &std::fs::canonicalize(path).doing("find", path)?;
        let folder = if path.is_dir() {
            path
        } else {
            path.parent().unwrap_or(path)
        };
        open::that_detached(folder).map_err(|error| {
            AppError::from_error(
                ErrorKind::Unavailable,
                &error,
                Some(format!("Open `{}` yourself", folder.display())),
            )
        })
    }
}

/// A new name for programs: unique, and in the order of time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// The time now, as it is kept and shown (RFC 3339).
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Runs work that blocks on a thread made for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        AppError::from_error(
            ErrorKind::Internal,
            &error,
            Some("This is a fault of Windlass: its log says more".to_owned()),
        )
    })
}
