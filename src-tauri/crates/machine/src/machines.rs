//! All machines of one folder.

use crate::{error::Result, handle::MachineHandle, spec::MachineSpec};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// The machines of one folder: those that run are found again, those that other processes make appear.
#[derive(Debug)]
pub struct Machines {}

/// Where the sockets of the machines below `home` go: a folder that only the user can enter, with a short path.
pub fn runtime_folder(home: &Path) -> PathBuf {
    let _ = home;
    todo!()
}

impl Machines {
    /// Opens `folder` (made if missing) with sockets in `runtime_folder` (made for the user alone), and takes up
    /// every machine that is there; one whose QEMU runs and that no other process drives is driven from here on.
    /// Runs on the tokio runtime that it is called on.
    ///
    /// # Errors
    /// If the folders cannot be made or read, or sockets would not fit. A broken machine is no error: it is listed
    /// as failed, with its trouble as the message.
    pub async fn open(folder: &Path, runtime_folder: &Path) -> Result<Self> {
        let _ = (folder, runtime_folder);
        todo!()
    }
    /// All machines, by creation order.
    pub fn list(&self) -> Vec<MachineHandle> {
        todo!()
    }
    /// The ids of all machines; changes whenever one comes or goes.
    pub fn watch(&self) -> watch::Receiver<Vec<String>> {
        todo!()
    }
    /// The machine of this id.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub fn get(&self, id: &str) -> Result<MachineHandle> {
        let _ = id;
        todo!()
    }
    /// Makes a machine; it is not started yet.
    ///
    /// # Errors
    /// [`crate::Error::Spec`], [`crate::Error::Exists`], or the folder cannot be written.
    pub async fn create(&self, spec: MachineSpec) -> Result<MachineHandle> {
        let _ = spec;
        todo!()
    }
    /// Looks at the folder at once, rather than at the next round.
    pub async fn refresh(&self) {
        todo!()
    }
    /// Stops watching; machines that run go on running.
    pub async fn close(self) {
        todo!()
    }
}
