//! Machines, as the window and the command line show them.
//!
//! The truth about a machine is in its folder and in its QEMU (see `windlass-machine`); this module
//! gives it the words of the window, and ties it to the appliance and the build that it runs.

mod bundle;
mod console;
mod exec;
mod groups;
mod inside;
mod load;
mod networks;
mod osv;
mod push;
mod qemu;
mod redact;
mod remote;
mod requests;
mod resources;
mod snapshots;
mod thumbnail;
mod view;
mod watching;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_machine::{MachineHandle, NetworkAddress, Status};

pub(crate) use bundle::end_of_console;
pub use console::{Console, ConsoleInput};
pub use groups::{GroupPlace, MachineGroup};
pub use inside::{
    GuestCopy, GuestEntry, GuestEntryKind, GuestEnvironment, GuestFolder, GuestMemory, GuestNow,
    GuestProcess, GuestProcessState, TracePoint,
};
pub(crate) use load::Measuring;
pub use load::{LoadPoint, Loads, MachineLoad, MachineNow};
pub use networks::{Captures, NetworkMachine, NetworkPlace, PrivateNetwork};
pub(crate) use osv::channels as osv_channels;
pub use push::Pushed;
pub use resources::{MachineResources, MemoryShortage};
pub use snapshots::MachineSnapshot;
pub(crate) use thumbnail::Thumbnails;
pub use view::{Display, MachineDetails};

use crate::Workshop;
use crate::appliances::ApplianceSettings;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::{GuestOs, Protocol};

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum MachineState {
    /// Never started.
    Created,
    /// QEMU is being started.
    Starting,
    /// The guest runs.
    Running,
    /// The guest stands still, at the user's wish.
    Paused,
    /// On the way out.
    Stopping,
    /// The guest ended by itself with status 0, or was stopped.
    Stopped,
    /// The guest ended with another status, or could not be started.
    Failed,
    /// The guest panicked or halted, or QEMU died under it.
    Crashed,
    /// It went away while nobody was looking.
    Lost,
}

crate::guests::mirror!(
    MachineState,
    windlass_machine::MachineState: Created, Starting, Running, Paused, Stopping, Stopped, Failed,
    Crashed, Lost
);

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum StopStage {
    /// The guest was asked.
    Asked,
    /// Its power button was pressed.
    PowerButton,
    /// Its power is being cut.
    PowerCut,
    /// QEMU's process was killed.
    Killed,
}

crate::guests::mirror!(
    StopStage,
    windlass_machine::StopStage: Asked, PowerButton, PowerCut, Killed
);

/// What a stop waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Stopping {
    /// What was done last.
    pub stage: StopStage,
    /// When the next thing is done, if the machine has not ended by then (RFC 3339).
    pub until: String,
}

impl From<windlass_machine::Stopping> for Stopping {
    fn from(stopping: windlass_machine::Stopping) -> Self {
        Self {
            stage: stopping.stage.into(),
            until: stopping.until.to_string(),
        }
    }
}

/// A port of the guest that is reached at 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedPort {
    /// The port on 127.0.0.1.
    pub host: u16,
    /// The port inside the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A machine as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about a machine"
)]
pub struct Machine {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The appliance that it was made from.
    pub appliance_id: Option<String>,
    /// The build that it boots.
    pub build_id: Option<String>,
    /// What boots in it.
    pub guest: GuestOs,
    /// Where it is in its life.
    pub state: MachineState,
    /// The status that the guest's commands ended with.
    pub exit_status: Option<i32>,
    /// What happened or is happening, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What a stop waits for.
    pub stopping: Option<Stopping>,
    /// The group that it belongs to.
    pub group: Option<GroupPlace>,
    /// Ports that are reached at 127.0.0.1.
    pub ports: Vec<ForwardedPort>,
    /// The guest's own address.
    pub address: Option<String>,
    /// Private networks that it is on.
    pub networks: Vec<MachineNetwork>,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Whether it has a screen.
    pub has_display: bool,
    /// What runs the guest's instructions, in QEMU's word; empty before the first start.
    pub accelerator: String,
    /// When the present or last run began (RFC 3339).
    pub started_at: Option<String>,
    /// When the last run ended (RFC 3339).
    pub ended_at: Option<String>,
    /// Whether another Windlass process drives it.
    pub elsewhere: bool,
    /// Whether its guest's files can be changed while it runs.
    pub allows_changes: bool,
    /// Whether its guest was started so that it tells what is inside.
    pub allows_looking: bool,
    /// Whether all that its guest writes is forgotten when it ends.
    pub is_disposable: bool,
    /// The volumes that it has, by name.
    pub volumes: Vec<String>,
}

/// A private network that a machine is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MachineNetwork {
    /// The network.
    pub name: String,
    /// The machine's address there, in its present or last run.
    pub address: Option<String>,
    /// The names by which the others find it.
    pub names: Vec<String>,
}

/// What ties a machine to where it came from; kept in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Labels {
    pub(crate) appliance_id: Option<String>,
    pub(crate) build_id: Option<String>,
    /// The settings that it was run with, where they are not the folder's.
    pub(crate) settings: Option<ApplianceSettings>,
    /// The file of the group that it was started by.
    pub(crate) group_file: Option<PathBuf>,
}

impl From<windlass_machine::Error> for AppError {
    fn from(error: windlass_machine::Error) -> Self {
        use windlass_machine::Error;
        let kind = match &error {
            Error::NotFound { .. } | Error::NotInGuest { .. } => ErrorKind::NotFound,
            Error::Spec { .. } | Error::Snapshot { .. } => ErrorKind::Input,
            Error::WrongState { .. }
            | Error::PortTaken { .. }
            | Error::NoHotplug
            | Error::Exists { .. }
            | Error::NoAgent { .. }
            | Error::AgentBusy { .. } => ErrorKind::Conflict,
            Error::Record { .. } | Error::Closed => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

/// The labels of a machine; none for one that something else made.
pub(crate) fn labels(handle: &MachineHandle) -> Labels {
    serde_json::from_value(handle.spec().labels).unwrap_or_default()
}

fn shown(handle: &MachineHandle) -> Machine {
    let spec = handle.spec();
    let labels = labels(handle);
    let status: Status = handle.status().borrow().clone();
    let allows_changes = spec.agent && !is_read_only(&spec.disks);
    Machine {
        id: spec.id,
        name: spec.name,
        appliance_id: labels.appliance_id,
        build_id: labels.build_id,
        guest: spec.guest.into(),
        state: status.state.into(),
        exit_status: status.exit_status,
        message: status.message,
        remedy: status.remedy,
        stopping: status.stopping.map(Into::into),
        group: spec.group.map(Into::into),
        ports: status
            .ports
            .iter()
            .map(|port| ForwardedPort {
                host: port.host,
                guest: port.guest,
                protocol: port.protocol.into(),
            })
            .collect(),
        address: status.address,
        networks: spec
            .networks
            .into_iter()
            .map(|join| network_of(&status.networks, join.network))
            .collect(),
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        has_display: spec.display,
        accelerator: status.accelerator.unwrap_or_default(),
        started_at: status.started_at.map(|time| time.to_string()),
        ended_at: status.ended_at.map(|time| time.to_string()),
        elsewhere: status.elsewhere,
        allows_changes,
        allows_looking: spec.agent,
        is_disposable: spec.disposable,
        volumes: spec
            .disks
            .into_iter()
            .skip(1)
            .filter_map(|disk| disk.serial)
            .collect(),
    }
}

fn network_of(places: &[NetworkAddress], name: String) -> MachineNetwork {
    let place = places.iter().find(|place| place.network == name);
    MachineNetwork {
        address: place
            .and_then(|place| place.address)
            .map(|address| address.to_string()),
        names: place.map(|place| place.names.clone()).unwrap_or_default(),
        name,
    }
}

/// Whether the root cannot be written, whatever is asked for.
fn is_read_only(disks: &[windlass_machine::Disk]) -> bool {
    disks
        .first()
        .is_some_and(|disk| disk.access == windlass_machine::DiskAccess::ReadOnly)
}

impl Workshop {
    /// All machines, in the order in which they were made.
    ///
    /// # Errors
    /// None today; a list that comes from a cloud will have some.
    pub fn machines(&self) -> Result<Vec<Machine>> {
        Ok(self.machines.list().iter().map(shown).collect())
    }

    /// The machine of this id, or of this name where only one has it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when several have the name.
    pub fn machine(&self, id_or_name: &str) -> Result<Machine> {
        self.machine_handle(id_or_name).map(|handle| shown(&handle))
    }

    pub(crate) fn machine_handle(&self, id_or_name: &str) -> Result<MachineHandle> {
        if let Ok(handle) = self.machines.get(id_or_name) {
            return Ok(handle);
        }
        let mut named = self.machines.list();
        named.retain(|handle| handle.spec().name == id_or_name);
        match named.len() {
            0 => Err(AppError::not_found("machine", id_or_name)
                .hinted("`windlassctl instances` lists them")),
            1 => Ok(named.remove(0)),
            several => Err(AppError::new(
                ErrorKind::Conflict,
                format!("{several} machines are called `{id_or_name}`"),
            )
            .hinted("Name it by its id: `windlassctl instances` shows it")),
        }
    }

    /// How many machines run or are about to.
    pub fn machines_running(&self) -> usize {
        self.machines
            .list()
            .iter()
            .filter(|handle| is_live(handle))
            .count()
    }

    /// How many machines of an appliance run.
    pub(crate) fn machines_of(&self, appliance: &str) -> Vec<MachineHandle> {
        let mut machines = self.machines.list();
        machines.retain(|handle| labels(handle).appliance_id.as_deref() == Some(appliance));
        machines
    }
}

pub(crate) fn is_live(handle: &MachineHandle) -> bool {
    handle.status().borrow().state.is_live()
}
