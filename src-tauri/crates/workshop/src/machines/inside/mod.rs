//! What is inside a guest that runs: processes, memory, environment, command line, the kernel's messages, files.
//!
//! One set of words for both guests. A Linux guest tells it through its agent, where the machine was started so that it
//! may be changed; one at a time talks to that, so whoever asks waits a moment for the one before.

mod files;
mod linux;

use std::time::Duration;

use serde::Serialize;
use specta::Type;
use windlass_guest::GuestOs;
use windlass_machine::{Agent, Error};

use super::push::may_be_changed;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};

/// How often, and how long between, it is tried to talk to an agent that somebody else talks to.
const BUSY_TRIES: u32 = 10;
const BUSY_INTERVAL: Duration = Duration::from_millis(150);

/// What a guest does at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestNow {
    /// Its processes, in the order of their numbers.
    pub processes: Vec<GuestProcess>,
    /// Whether there are more than are shown.
    pub is_cut: bool,
    /// Its memory.
    pub memory: GuestMemory,
}

/// A process of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestProcess {
    /// Its number.
    pub id: u32,
    /// The number of the process that it came from; 0 for the first ones.
    pub parent: u32,
    /// The program's name, as the kernel knows it.
    pub name: String,
    /// What it does.
    pub state: GuestProcessState,
    /// How many threads it has.
    pub threads: u32,
    /// How long it has had a processor, in milliseconds.
    pub cpu_ms: u64,
    /// How much memory is its.
    pub memory_bytes: u64,
    /// Its command line; empty for what is part of the kernel.
    pub command: String,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum GuestProcessState {
    /// It has a processor, or waits for one.
    Running,
    /// It waits for something to happen.
    Sleeping,
    /// It waits for a disk, and cannot be ended meanwhile.
    Waiting,
    /// It was halted.
    Halted,
    /// It has ended, and nobody has asked how.
    Ended,
    /// A part of the kernel that has nothing to do.
    Idle,
}

/// The memory of a guest, as it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestMemory {
    /// All that there is for programs, files kept in memory and the like.
    pub total_bytes: u64,
    /// What nothing uses.
    pub free_bytes: u64,
    /// What programs could have: what is free, and what is kept of files and can go.
    pub available_bytes: u64,
    /// What is kept of files.
    pub cache_bytes: u64,
}

/// What the programs of a guest were started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestEnvironment {
    /// The kernel's command line.
    pub command_line: String,
    /// The process whose variables these are.
    pub process: Option<GuestProcess>,
    /// Names and values.
    pub variables: Vec<(String, String)>,
}

/// What is in a folder of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestFolder {
    /// Its absolute path.
    pub path: String,
    /// Folders first, then by name.
    pub entries: Vec<GuestEntry>,
    /// Whether there is more than is shown.
    pub is_cut: bool,
}

/// An entry of a folder of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestEntry {
    /// Its name. What is not UTF-8 is replaced.
    pub name: String,
    /// What it is.
    pub kind: GuestEntryKind,
    /// Its length.
    pub size_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// When its content changed last (RFC 3339).
    pub modified: Option<String>,
}

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum GuestEntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A device, a socket, a pipe.
    Special,
}

/// A file that was copied out of a guest or into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestCopy {
    /// Where it is now.
    pub path: String,
    /// Its length.
    pub size_bytes: u64,
}

impl Workshop {
    /// The processes and the memory of a guest that runs.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the machine does not run, or nothing in its guest tells; `Unavailable` when the
    /// guest does not answer.
    pub async fn guest_now(&self, machine: &str) -> Result<GuestNow> {
        linux::now(&mut self.inside(machine).await?).await
    }

    /// The kernel's command line, and the environment of a process: the one of this number, else the first program.
    ///
    /// # Errors
    /// As [`guest_now`](Self::guest_now).
    pub async fn guest_environment(
        &self,
        machine: &str,
        process: Option<u32>,
    ) -> Result<GuestEnvironment> {
        linux::environment(&mut self.inside(machine).await?, process).await
    }

    /// What the guest's kernel has said.
    ///
    /// # Errors
    /// As [`guest_now`](Self::guest_now).
    pub async fn guest_kernel_log(&self, machine: &str) -> Result<String> {
        Ok(self.inside(machine).await?.kernel_log().await?)
    }

    /// The agent of a Linux guest; waits a moment for whoever talks to it.
    async fn inside(&self, machine: &str) -> Result<Agent> {
        let handle = self.machine_handle(machine)?;
        if handle.spec().guest == GuestOs::Osv {
            let message = "Windlass cannot look into OSv guests yet";
            return Err(AppError::new(ErrorKind::Conflict, message)
                .hinted("The console shows what it says")
                .hinted("Or run the appliance on Linux"));
        }
        may_be_changed(&handle)?;
        for _ in 0..BUSY_TRIES {
            match handle.agent().await {
                Err(Error::AgentBusy { .. }) => tokio::time::sleep(BUSY_INTERVAL).await,
                agent => return Ok(agent?),
            }
        }
        Ok(handle.agent().await?)
    }
}
