//! What a machine is doing, as everybody who watches it sees it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::network::NetworkAddress;
use crate::spec::ForwardedPort;

/// Where a machine is in its life. The module `lifecycle` draws how they follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MachineState {
    /// Never started.
    #[default]
    Created,
    /// QEMU is being started.
    Starting,
    /// QEMU runs the guest.
    Running,
    /// The guest stands still, at the user's wish.
    Paused,
    /// On the way out: the guest was asked to stop, or its power is being cut.
    Stopping,
    /// The guest ended by itself with status 0, or was stopped.
    Stopped,
    /// The guest ended with another status, or could not be started.
    Failed,
    /// The guest panicked or halted, or QEMU died under it.
    Crashed,
    /// The machine went away while nobody was looking (say, the computer was restarted).
    Lost,
}

impl MachineState {
    /// Whether there is, or may be, a QEMU process.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Running | Self::Paused | Self::Stopping
        )
    }
}

/// How far a stop has come: the guest is asked, then its power button is pressed, then its power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopStage {
    /// The guest was asked.
    Asked,
    /// Its power button was pressed.
    PowerButton,
    /// QEMU was told to end.
    PowerCut,
    /// QEMU's process was killed.
    Killed,
}

/// What a stop is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// What was done last.
    pub stage: StopStage,
    /// When the next thing is done, if the machine has not ended by then.
    pub until: Timestamp,
}

/// A machine's state with everything worth showing beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Where it is in its life.
    pub state: MachineState,
    /// The status that the guest's commands ended with, when it said one.
    pub exit_status: Option<i32>,
    /// What happened or is happening, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What a stop is waiting for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Stopping>,
    /// Forwarded ports of the present or last run.
    pub ports: Vec<ForwardedPort>,
    /// The guest's own address.
    pub address: Option<String>,
    /// Its places on private networks in the present or last run.
    pub networks: Vec<NetworkAddress>,
    /// The accelerator of the present or last run, in QEMU's word (`kvm`, `tcg`).
    pub accelerator: Option<String>,
    /// When the present or last run began.
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    pub ended_at: Option<Timestamp>,
    /// QEMU's process, while there is one.
    pub pid: Option<i32>,
    /// What the guest said on its console that is worth knowing, oldest first (bounded).
    pub notices: Vec<String>,
    /// Another Windlass process drives the machine; requests are passed on to QEMU.
    #[serde(skip)]
    pub elsewhere: bool,
}
