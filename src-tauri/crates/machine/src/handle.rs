//! One machine, as those who use it see it.

use crate::{error::Result, probe::Probe, spec::MachineSpec, status::Status};
use std::path::PathBuf;
use tokio::sync::watch;

/// A machine. Cheap to clone; requests go to the machine's own task.
#[derive(Clone, Debug)]
pub struct MachineHandle {}

/// What a machine was started with, for those who want to know exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// QEMU's command line of the present or last run.
    pub command: Vec<String>,
    /// QEMU's process.
    pub pid: Option<i32>,
    /// The machine's own folder.
    pub folder: PathBuf,
    /// The version of the QEMU that runs or ran it.
    pub qemu_version: Option<String>,
    /// The file that everything the guest writes to its console goes to; it grows from run to run.
    pub console_log: PathBuf,
    /// Where in that file the present or last run begins, in bytes.
    pub console_start: u64,
}

impl MachineHandle {
    /// The machine's id.
    pub fn id(&self) -> &str {
        todo!()
    }
    /// What it is made of.
    pub fn spec(&self) -> MachineSpec {
        todo!()
    }
    /// Its status now and whenever it changes. The sender goes away with the machine.
    pub fn status(&self) -> watch::Receiver<Status> {
        todo!()
    }
    /// Starts it, and returns when QEMU runs the guest.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] if it runs, or what kept it from starting, in words.
    pub async fn start(&self, probe: &Probe) -> Result<()> {
        let _ = probe;
        todo!()
    }
    /// Lets the guest stand still.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] unless it runs.
    pub async fn pause(&self) -> Result<()> {
        todo!()
    }
    /// Lets a paused guest go on.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] unless it is paused.
    pub async fn resume(&self) -> Result<()> {
        todo!()
    }
    /// Asks the guest to stop; after a while its power is cut. Returns when it was asked; watch the status.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] if it does not run.
    pub async fn stop(&self) -> Result<()> {
        todo!()
    }
    /// Cuts the power. Returns when QEMU is gone.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] if it does not run; [`crate::Error::NoAnswer`] if QEMU would not go.
    pub async fn kill(&self) -> Result<()> {
        todo!()
    }
    /// Removes the machine with its overlay, console log and record; cuts its power first if it runs.
    ///
    /// # Errors
    /// If its folder cannot be removed.
    pub async fn delete(&self) -> Result<()> {
        todo!()
    }
    /// Gives it another name.
    ///
    /// # Errors
    /// If its record cannot be written.
    pub async fn rename(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }
    /// Waits until it is not live any more, and says how it ended.
    pub async fn ended(&self) -> Status {
        todo!()
    }
    /// Its command line, files and process.
    pub fn details(&self) -> Details {
        todo!()
    }
    /// What its screen shows, as PNG.
    ///
    /// # Errors
    /// [`crate::Error::NoDisplay`], [`crate::Error::WrongState`], or QEMU's refusal (PNG needs QEMU 7.1).
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        todo!()
    }
    /// The file that the guest's console goes to; exists from creation on.
    pub fn console_log(&self) -> PathBuf {
        todo!()
    }
    /// Types into the guest's console. Works for a machine that is driven elsewhere, too.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] if it does not run.
    pub async fn console_input(&self, bytes: &[u8]) -> Result<()> {
        let _ = bytes;
        todo!()
    }
    /// The VNC (RFB) socket of its screen, while it runs.
    ///
    /// # Errors
    /// [`crate::Error::NoDisplay`], [`crate::Error::WrongState`].
    pub fn vnc_socket(&self) -> Result<PathBuf> {
        todo!()
    }
}
