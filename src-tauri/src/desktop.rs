//! What the commands ask of the desktop: dialogs, notifications, and closing the window.
//!
//! Commands are the same for every runtime of Tauri (the tests have one of their own), so the
//! runtime's handle hides behind a trait.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tauri::{AppHandle, Manager as _, Runtime};
use tauri_plugin_dialog::{DialogExt as _, FilePath};
use tokio::sync::oneshot;
use windlass_workshop::error::Result;

use crate::drag::DragEnd;

/// What the user is to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// A folder.
    Folder,
    /// Files that exist.
    Files,
    /// A file to write.
    Save {
        /// Its proposed name.
        suggested: String,
    },
}

/// The desktop around the window.
pub struct Desktop {
    handle: Box<dyn Surroundings>,
}

impl std::fmt::Debug for Desktop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desktop").finish_non_exhaustive()
    }
}

impl Desktop {
    pub(crate) fn new<R: Runtime>(app: &AppHandle<R>) -> Self {
        Self {
            handle: Box::new(app.clone()),
        }
    }

    /// Asks the user; nothing when the dialog was cancelled.
    pub async fn pick(&self, what: Pick) -> Vec<PathBuf> {
        let (answer, answered) = oneshot::channel();
        self.handle.pick(what, answer);
        answered.await.unwrap_or_default()
    }

    /// Lets the user drag files that lie ready out of the window, and says how that ended.
    pub async fn drag_out(&self, paths: Vec<PathBuf>) -> DragEnd {
        let (ended, answer) = oneshot::channel();
        self.handle.drag_out(paths, ended);
        answer.await.unwrap_or(DragEnd::Cancelled)
    }

    /// Tells of something that ended while nobody looked; says whether it did. Pressing it brings the window to the front.
    ///
    /// # Errors
    /// When the desktop shows no notifications.
    pub async fn notify(&self, title: String, body: String) -> Result<bool> {
        if self.handle.in_front() {
            return Ok(false);
        }
        let (answer, answered) = oneshot::channel();
        self.handle.notify(title, body, answer);
        answered.await.unwrap_or(Ok(())).map(|()| true)
    }

    /// Leaves the window open after all.
    pub fn stay(&self) {
        self.handle.stay();
    }

    /// Closes the window, stopping all machines first where that is wanted.
    pub fn close(&self, stop_machines: bool) {
        self.handle.close(stop_machines);
    }
}

/// Files and folders that Windlass was started with: a double click on a package, say. They wait here until the
/// window asks for them, because it may not be listening yet.
#[derive(Debug, Default)]
pub struct Opened {
    paths: Mutex<Vec<PathBuf>>,
}

impl Opened {
    /// Keeps what a command line names; relative paths begin at `folder`. Says whether there was anything.
    pub(crate) fn keep(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
        folder: &Path,
    ) -> bool {
        let named = arguments
            .into_iter()
            .skip(1)
            .filter(|word| !word.as_encoded_bytes().starts_with(b"-"))
            .map(|word| folder.join(word))
            .filter(|path| path.exists());
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let before = paths.len();
        paths.extend(named);
        paths.len() > before
    }

    /// Hands over what is kept.
    pub fn take(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.paths.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

trait Surroundings: Send + Sync {
    fn pick(&self, what: Pick, answer: oneshot::Sender<Vec<PathBuf>>);
    fn drag_out(&self, paths: Vec<PathBuf>, ended: oneshot::Sender<DragEnd>);
    fn in_front(&self) -> bool;
    fn notify(&self, title: String, body: String, answer: oneshot::Sender<Result<()>>);
    fn stay(&self);
    fn close(&self, stop_machines: bool);
}

impl<R: Runtime> Surroundings for AppHandle<R> {
    fn pick(&self, what: Pick, answer: oneshot::Sender<Vec<PathBuf>>) {
        let dialog = self.dialog().file();
        let tell = move |paths: Vec<FilePath>| {
            let paths = paths
                .into_iter()
                .filter_map(|path| path.into_path().ok())
                .collect();
            // Whoever asked may be gone with the window.
            let _ = answer.send(paths);
        };
        match what {
            Pick::Folder => dialog.pick_folder(|path| tell(path.into_iter().collect())),
            Pick::Files => dialog.pick_files(|paths| tell(paths.unwrap_or_default())),
            Pick::Save { suggested } => dialog
                .set_file_name(suggested)
                .save_file(|path| tell(path.into_iter().collect())),
        }
    }

    fn drag_out(&self, paths: Vec<PathBuf>, ended: oneshot::Sender<DragEnd>) {
        crate::drag::begin(self, paths, ended);
    }

    fn in_front(&self) -> bool {
        crate::window::in_front(self)
    }

    fn notify(&self, title: String, body: String, answer: oneshot::Sender<Result<()>>) {
        let app = self.clone();
        crate::notification::show(&title, &body, answer, move || crate::window::raise(&app));
    }

    fn stay(&self) {
        self.state::<crate::window::Closing>().stay();
    }

    fn close(&self, stop_machines: bool) {
        if stop_machines {
            crate::window::stop_and_close(self.clone());
        } else {
            crate::window::close(self);
        }
    }
}
