//! What is inside a guest that runs: processes, memory, environment, command line, the kernel's messages, files.
//!
//! One set of words for both guests, where the machine was started so that they tell it. A Linux guest does through its
//! agent; one at a time talks to that, so whoever asks waits a moment for the one before. OSv does by its REST API.

mod files;
mod linux;
mod osv;

use serde::Serialize;
use specta::Type;
use windlass_guest::GuestOs;
use windlass_machine::Agent;

use self::osv::Api;
use super::push::may_be_changed;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};

/// What a guest does at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GuestNow {
    /// Its processes, in the order of their numbers. OSv has one program: there it is the threads of that and of the
    /// kernel, whose memory is their stack.
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

/// A place in OSv's kernel that tells what happens there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct TracePoint {
    /// By what it is named when it is to be counted.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// How often it was passed since it is counted; none where it is not.
    pub count: Option<u64>,
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
        match self.inside(machine).await? {
            Inside::Linux(mut agent) => linux::now(&mut agent).await,
            Inside::Osv(api) => api.now().await,
        }
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
        match self.inside(machine).await? {
            Inside::Linux(mut agent) => linux::environment(&mut agent, process).await,
            Inside::Osv(api) => api.environment().await,
        }
    }

    /// What the guest's kernel has said.
    ///
    /// # Errors
    /// As [`guest_now`](Self::guest_now).
    pub async fn guest_kernel_log(&self, machine: &str) -> Result<String> {
        match self.inside(machine).await? {
            Inside::Linux(mut agent) => Ok(agent.kernel_log().await?),
            Inside::Osv(api) => api.kernel_log().await,
        }
    }

    /// The places of OSv's kernel that tell what happens there, by name.
    ///
    /// # Errors
    /// As [`guest_now`](Self::guest_now); `Conflict` for a Linux guest.
    pub async fn guest_trace(&self, machine: &str) -> Result<Vec<TracePoint>> {
        self.tracing(machine).await?.trace().await
    }

    /// Begins to count how often a place of OSv's kernel is passed, or ends it.
    ///
    /// # Errors
    /// As [`guest_trace`](Self::guest_trace); `NotFound` for a place that it does not have.
    pub async fn guest_trace_count(&self, machine: &str, id: &str, is_counted: bool) -> Result<()> {
        let api = self.tracing(machine).await?;
        let mut points = api.trace().await?.into_iter();
        if !points.any(|point| point.id == id) {
            return Err(AppError::not_found("trace point", id)
                .hinted("`windlassctl machine guest trace NAME` lists them"));
        }
        api.count(id, is_counted).await
    }

    async fn tracing(&self, machine: &str) -> Result<Api> {
        match self.inside(machine).await? {
            Inside::Osv(api) => Ok(api),
            Inside::Linux(_) => Err(AppError::new(
                ErrorKind::Conflict,
                "A Linux guest has no trace points that Windlass could ask for",
            )
            .hinted("Run `strace` or `perf` in it, by `windlassctl machine exec`")),
        }
    }

    /// What tells of a guest. That of Linux is waited for a moment, while somebody else talks to it.
    async fn inside(&self, machine: &str) -> Result<Inside> {
        let handle = self.machine_handle(machine)?;
        may_be_changed(&handle)?;
        if handle.spec().guest == GuestOs::Osv {
            return Api::of(&handle).map(Inside::Osv);
        }
        Ok(Inside::Linux(handle.agent().await?))
    }
}

/// What tells of a guest.
enum Inside {
    Linux(Agent),
    Osv(Api),
}
