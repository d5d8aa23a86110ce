//! What can go wrong with a machine, and what to do then.

use std::io;
use std::path::PathBuf;

use windlass_guest::agent::Refusal;

use crate::spec::Protocol;
use crate::status::MachineState;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A request that could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No QEMU on this computer (or not where it was said to be).
    #[error("QEMU was not found: {looked_for}")]
    QemuMissing {
        /// The path or name that was looked for.
        looked_for: String,
    },
    /// The program that was found does not answer as QEMU does.
    #[error("{} does not answer as QEMU does: {found}", path.display())]
    NotQemu {
        /// The program.
        path: PathBuf,
        /// What it said.
        found: String,
    },
    /// No accelerator of this QEMU can run a guest.
    #[error("{} cannot run a guest: {found}", path.display())]
    NoAccelerator {
        /// The QEMU binary.
        path: PathBuf,
        /// What was tried and what happened.
        found: String,
    },
    /// A machine that cannot be.
    #[error("machine's {field}: {problem}")]
    Spec {
        /// The part of the description.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A private network cannot be joined.
    #[error("the network {network}: {problem}")]
    Network {
        /// Its name.
        network: String,
        /// What is wrong.
        problem: String,
    },
    /// A bridge or a tap device of this computer that a machine cannot be on.
    #[error("{link}: {problem}")]
    HostLink {
        /// Its name: `bridge:br0`.
        link: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// A snapshot that cannot be.
    #[error("snapshot: {problem}")]
    Snapshot {
        /// What is wrong.
        problem: String,
    },
    /// Nothing here shares folders.
    #[error("sharing a folder needs the program virtiofsd")]
    NoVirtiofsd,
    /// A folder cannot be shared.
    #[error("{} cannot be shared: {problem}", path.display())]
    Share {
        /// The folder.
        path: PathBuf,
        /// What virtiofsd says.
        problem: String,
    },
    /// The guest takes no disk while it runs.
    #[error("OSv looks for disks only as it boots")]
    NoHotplug,
    /// There is no such machine (any more).
    #[error("no machine {id}")]
    NotFound {
        /// The id asked for.
        id: String,
    },
    /// There is a machine of this id already.
    #[error("there is a machine {id} already")]
    Exists {
        /// The id asked for.
        id: String,
    },
    /// The machine's state does not allow the request.
    #[error("cannot {request} a machine that is {}", state_word(*.state))]
    WrongState {
        /// The request, as a verb.
        request: &'static str,
        /// The state it met.
        state: MachineState,
    },
    /// A host port is in use.
    #[error("port {port}/{protocol} of this computer is in use{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    PortTaken {
        /// The port on 127.0.0.1.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// Who has it, where that is known.
        holder: Option<String>,
    },
    /// A host port that only the system's own programs may have.
    #[error("port {port}/{protocol} of this computer is not for users to take")]
    PortForbidden {
        /// The port on 127.0.0.1.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
    },
    /// A file that the machine boots from is not there.
    #[error("the {what} is not there: {}", path.display())]
    FileMissing {
        /// Kernel, initramfs, disk image.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// QEMU ended before the guest ran.
    #[error("QEMU did not start: {message}")]
    StartFailed {
        /// What it said, in words.
        message: String,
        /// What to do about it.
        remedy: Option<String>,
    },
    /// QEMU could not be kept from what is not its own.
    #[error("QEMU cannot be confined: {problem}")]
    Confine {
        /// What the operating system said.
        problem: String,
    },
    /// QEMU refused a command.
    #[error("QEMU refused {command}: {message}")]
    Qmp {
        /// The QMP command.
        command: String,
        /// QEMU's description.
        message: String,
    },
    /// QEMU could not be talked to.
    #[error("QEMU does not answer: {what}")]
    NoAnswer {
        /// What was waited for.
        what: String,
    },
    /// QEMU did as it was told, and the process that drives the machine takes no note of it.
    #[error("the Windlass process that drives the machine does not answer")]
    DriverSilent,
    /// The runtime folder's path leaves no room for socket names.
    #[error("{} is too long for a socket: {length} bytes of at most {max}", path.display())]
    SocketPathTooLong {
        /// The socket that would be.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// The operating system's limit.
        max: usize,
    },
    /// A machine's record does not read as one.
    #[error("{} is not a machine's record", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        #[source]
        source: serde_json::Error,
    },
    /// A disk image that no overlay can be made over.
    #[error("{} cannot be a base image: {problem}", path.display())]
    BaseImage {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The machine has no screen.
    #[error("machine {id} has no display")]
    NoDisplay {
        /// The machine.
        id: String,
    },
    /// The machine was not started so that its guest may be changed.
    #[error("machine {id} was not started so that it may be changed while it runs")]
    NoAgent {
        /// The machine.
        id: String,
    },
    /// There is no such file or folder in the guest.
    #[error("{path} is not in the guest")]
    NotInGuest {
        /// The path.
        path: String,
    },
    /// A program with more arguments than fit.
    #[error("a program in a guest has between one word and 1024 words, of 60 KiB together")]
    TooManyWords,
    /// Somebody else talks to the guest's agent right now, which listens to one at a time.
    #[error("the guest is busy with somebody else who talks to it")]
    AgentBusy {
        /// The machine.
        id: String,
    },
    /// The guest's agent said something that makes no sense.
    #[error("the guest's agent cannot be understood: {problem}")]
    AgentTalk {
        /// What is wrong with it.
        problem: String,
    },
    /// The guest did not do what was asked.
    #[error("the guest refused: {message}")]
    Refused {
        /// Why.
        reason: Refusal,
        /// Why, in words.
        message: String,
    },
    /// The guest that makes a file system did not do its work.
    #[error("the builder guest failed: {problem}; it said:\n{said}")]
    Builder {
        /// What happened, in words.
        problem: String,
        /// The guest's last lines.
        said: String,
    },
    /// Whoever waited ended it.
    #[error("cancelled")]
    Cancelled,
    /// The machine's task is gone: the application is closing.
    #[error("machines are being closed")]
    Closed,
    /// The operating system refused something.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::HostLink { remedy, .. } => return Some(remedy.clone()),
            Self::QemuMissing { .. } => {
                "Install it (Debian and Ubuntu: `apt install qemu-system-x86`), or name its path in the settings."
            }
            Self::NotQemu { .. } => "Name the path of qemu-system-x86_64 in the settings.",
            Self::NoAccelerator { .. } => "Reinstall QEMU, or name another one in the settings.",
            Self::Spec { .. } => "Change it in the run settings.",
            Self::Network { .. } => {
                "Start the machine again, or take it off this network in its settings."
            }
            Self::NoVirtiofsd => "Install it (Debian and Ubuntu: `apt install virtiofsd`).",
            Self::Share { problem, .. }
                if problem.contains("mount: ") || problem.contains("unshare: ") =>
            {
                "A folder that is only read needs a newer virtiofsd (one with `--readonly`), or user namespaces."
            }
            Self::Share { .. } => {
                "QEMU's own virtiofsd works for root alone; install the package `virtiofsd`."
            }
            Self::NoHotplug => "Stop the machine, change its disks, and start it again.",
            Self::NotFound { .. } => "It may have been deleted from another window or terminal.",
            Self::Exists { .. } => "Choose another id.",
            Self::WrongState { state, .. } if state.is_live() => "Stop the machine first.",
            Self::WrongState { .. } => "Start the machine first.",
            Self::PortTaken { .. } => {
                "Stop whoever uses the port, choose another one, or leave it empty: a free one is chosen then."
            }
            Self::FileMissing { .. } => "Build the appliance again.",
            Self::StartFailed { remedy, .. } => return remedy.clone(),
            Self::NoAnswer { .. } => "Switch the machine off (kill) and start it again.",
            Self::DriverSilent => {
                "End that process (a window, or a windlassctl): the machine goes on, and is driven from here then."
            }
            Self::PortForbidden { .. } => {
                "Choose a port from 1024 on, or leave it empty: a free one is chosen then."
            }
            Self::SocketPathTooLong { .. } => {
                "Set XDG_RUNTIME_DIR, or WINDLASS_HOME, to a folder with a shorter path."
            }
            Self::Record { .. } => "Delete the machine and run its appliance again.",
            Self::BaseImage { .. } => "Build the image again.",
            Self::NoDisplay { .. } => {
                "Switch the display on in the run settings, and run it again."
            }
            Self::Builder { .. } => {
                "Use the zfs_builder ELF kernel that belongs to the OSv loader; give the disk more room."
            }
            Self::NoAgent { .. } => {
                "Switch on \"Allow changes while it runs\" in the run settings, and run it again."
            }
            Self::NotInGuest { .. } => {
                "Look where it is with `windlassctl machine guest ls MACHINE /`."
            }
            Self::TooManyWords => {
                "Put them into a file of the guest, and run a script that reads it."
            }
            Self::AgentBusy { .. } => {
                "Wait until that is done, or end it: files that are being changed, or a program that runs in the guest beside its commands (windlassctl machine exec)."
            }
            Self::AgentTalk { .. } => {
                "Run the appliance again: the machine may have been started by another version."
            }
            Self::Refused { reason, .. } => match reason {
                Refusal::NoSpace => {
                    "Build the image with a larger size, or remove files in the guest."
                }
                Refusal::ReadOnly => "Run the appliance again: this machine's root is read-only.",
                Refusal::Unsupported => {
                    "Run the appliance again: this machine was started by another version."
                }
                Refusal::Ending => "Run the appliance again: the guest has come to its end.",
                _ => return None,
            },
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "Free some space on that disk."
            }
            Self::Confine { .. } => {
                "See what the doctor says of confinement; a newer Linux kernel may help."
            }
            Self::Snapshot { .. }
            | Self::Qmp { .. }
            | Self::Closed
            | Self::Cancelled
            | Self::Io { .. } => return None,
        };
        Some(hint.to_owned())
    }

    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}

/// The state as it reads in a sentence.
fn state_word(state: MachineState) -> &'static str {
    match state {
        MachineState::Created => "not started",
        MachineState::Starting => "starting",
        MachineState::Running => "running",
        MachineState::Paused => "paused",
        MachineState::Stopping => "stopping",
        MachineState::Stopped => "stopped",
        MachineState::Failed => "failed",
        MachineState::Crashed => "crashed",
        MachineState::Lost => "lost",
    }
}
