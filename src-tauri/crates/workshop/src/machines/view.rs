//! Looking at a machine: its details, console, display and ports.

use std::path::Path;

use serde::Serialize;
use specta::Type;
use tokio::net::UnixStream;

use super::{Console, NetworkPlace};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::Protocol;
use crate::volumes::{SharedFolder, VolumeMount};

/// What a machine was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MachineDetails {
    /// QEMU's command line, word by word.
    pub command: Vec<String>,
    /// QEMU's process, while there is one.
    pub pid: Option<i32>,
    /// The machine's own folder.
    pub folder: String,
    /// The version of the QEMU that runs or ran it.
    pub qemu_version: String,
    /// The file that the console goes to.
    pub console_log: String,
    /// What the guest said that is worth knowing, oldest first.
    pub notices: Vec<String>,
    /// Its volumes, and where they are mounted.
    pub volumes: Vec<VolumeMount>,
    /// Folders of this computer that its guest sees.
    pub shares: Vec<SharedFolder>,
    /// Private networks that it is on from its next start on, with what it is called there.
    pub networks: Vec<NetworkPlace>,
}

/// A machine's display: the RFB protocol over a unix socket.
#[derive(Debug)]
pub struct Display {
    socket: UnixStream,
}

impl Display {
    /// The two directions, seen from here: what the screen says, what it is told.
    pub fn split(
        self,
    ) -> (
        tokio::net::unix::OwnedReadHalf,
        tokio::net::unix::OwnedWriteHalf,
    ) {
        self.socket.into_split()
    }
}

impl Workshop {
    /// The exact QEMU command, and where things are.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub fn machine_details(&self, id: &str) -> Result<MachineDetails> {
        let handle = self.machine_handle(id)?;
        let details = handle.details();
        let notices = handle.status().borrow().notices.clone();
        let spec = handle.spec();
        Ok(MachineDetails {
            command: details.command,
            pid: details.pid,
            folder: details.folder.display().to_string(),
            qemu_version: details.qemu_version.unwrap_or_default(),
            console_log: details.console_log.display().to_string(),
            notices,
            volumes: crate::volumes::volumes_of(&spec),
            shares: crate::volumes::shares_of(&spec),
            networks: spec.networks.into_iter().map(Into::into).collect(),
        })
    }

    /// What the display shows now, as PNG.
    ///
    /// # Errors
    /// `Conflict` unless it runs; `Unavailable` without a display.
    pub async fn machine_screenshot(&self, id: &str) -> Result<Vec<u8>> {
        Ok(self.machine_handle(id)?.screenshot().await?)
    }

    /// Saves what the display shows now as a PNG file.
    ///
    /// # Errors
    /// As [`machine_screenshot`](Self::machine_screenshot); when the file cannot be written, nothing of it
    /// is left.
    pub async fn save_screenshot(&self, id: &str, path: &Path) -> Result<()> {
        let picture = self.machine_screenshot(id).await?;
        let path = path.to_path_buf();
        crate::blocking(move || crate::disk::write_whole(&path, &picture)).await?
    }

    /// Opens a forwarded port in the browser.
    ///
    /// # Errors
    /// `NotFound` when the port is not forwarded now.
    pub fn open_port(&self, id: &str, guest_port: u16) -> Result<()> {
        let machine = self.machine(id)?;
        let port = machine
            .ports
            .iter()
            .find(|port| port.guest == guest_port && port.protocol == Protocol::Tcp)
            .ok_or_else(|| AppError::not_found("forwarded port", &guest_port.to_string()))?;
        let address = format!("http://127.0.0.1:{}/", port.host);
        open::that_detached(&address).map_err(|error| {
            AppError::from_error(
                ErrorKind::Unavailable,
                &error,
                Some(format!("Open {address}")),
            )
        })
    }

    /// The console of a machine, from a byte of its present run on.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub fn console(&self, id: &str, from_byte: u64) -> Result<Console> {
        Ok(Console::new(self.machine_handle(id)?, from_byte))
    }

    /// Saves the console of the present or last run as a file.
    ///
    /// # Errors
    /// When it cannot be read or written; nothing half-written is left.
    pub async fn save_console(&self, id: &str, path: &Path) -> Result<()> {
        let console = self.console(id, 0)?;
        let path = path.to_path_buf();
        crate::blocking(move || console.save(&path)).await?
    }

    /// Connects to a machine's display.
    ///
    /// # Errors
    /// `Conflict` unless it runs; `Unavailable` without a display.
    pub async fn display(&self, id: &str) -> Result<Display> {
        let path = self.machine_handle(id)?.vnc_socket()?;
        let socket = UnixStream::connect(&path)
            .await
            .doing("connect to the display", &path)?;
        Ok(Display { socket })
    }
}
