//! A group as it is shown: its services, and each one's machines.

use serde::Serialize;
use specta::Type;

use crate::error::AppError;

/// A group, out of its file or of its machines alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The file that names its services; none where its machines are all that there is.
    pub file: Option<String>,
    /// The private network of all.
    pub network: Option<String>,
    /// In the order in which they start, and in that of the file.
    pub services: Vec<ServiceView>,
    /// Machines of the group that its file does not name, by id.
    pub others: Vec<String>,
    /// What is odd about the file.
    pub notes: Vec<String>,
    /// Why the file that the machines came from cannot be read now.
    pub problem: Option<AppError>,
    /// Whether the file names figures.
    pub has_figures: bool,
}

/// A service of a group's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// What the others reach it by.
    pub name: String,
    /// The appliance, as the file names it.
    pub appliance: String,
    /// The appliance's id, where it is known here.
    pub appliance_id: Option<String>,
    /// When it starts: the lowest number first.
    pub order: u32,
    /// What has to be healthy before.
    pub depends_on: Vec<String>,
    /// Its run configuration, where the file says one.
    pub configuration: Option<String>,
    /// Its boot command, where the file says one.
    pub command: Option<String>,
    /// Environment that the file gives it, as `NAME=value`.
    pub env: Vec<String>,
    /// Memory in MiB, where the file says so.
    pub memory_mib: Option<u32>,
    /// Ports of the guest that are reached from here.
    pub ports: Vec<u16>,
    /// Volumes, with where the guest has them.
    pub volumes: Vec<ServiceVolume>,
    /// How it is known that it does what it is for.
    pub health: Option<ServiceHealth>,
    /// Its machines.
    pub machines: Vec<ServiceMachine>,
}

/// A volume of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ServiceVolume {
    /// The volume's name; with several machines, that of each has a number behind it.
    pub name: String,
    /// Where the guest mounts it.
    pub path: Option<String>,
}

/// How it is known that a service does what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHealth {
    /// What is looked at.
    pub kind: HealthKind,
    /// The port, the port and path, or the words on the console.
    pub target: String,
    /// How long it may take, in seconds.
    pub within_seconds: u32,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum HealthKind {
    /// A connection to a port.
    Tcp,
    /// An answer to a GET.
    Http,
    /// Words on the console.
    Console,
}

/// A machine of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMachine {
    /// Its name, which it has or will have.
    pub name: String,
    /// Its id, where it is there.
    pub id: Option<String>,
    /// How it does.
    pub state: ServiceState,
    /// What it says of itself, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How a machine of a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ServiceState {
    /// There is none yet.
    Absent,
    /// It begins.
    Starting,
    /// It runs, and is not healthy yet.
    Waiting,
    /// It runs, and does what it is for.
    Healthy,
    /// It runs; nothing is known of its health.
    Running,
    /// It runs, and is not healthy, though it had the time.
    Ill,
    /// It holds still.
    Paused,
    /// It is being stopped.
    Stopping,
    /// It ended as it should, or was stopped.
    Ended,
    /// It ended as it should not.
    Failed,
}
