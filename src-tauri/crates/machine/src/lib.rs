//! Machines in QEMU: probe, start, watch, talk to, stop, and find again.
//!
//! ```text
//!   Qemu::find ──▶ probe ──▶ Probe (which accelerator works, found by running a guest)
//!                              │
//!   MachineSpec ──▶ Machines::create ──▶ MachineHandle::start ──▶ QEMU, a process that outlives us
//!                      │                      │    ▲                 │ QMP events, console log, its end
//!                      ▼                      ▼    └──── task ◀──────┘
//!              machines/<id>/          watch::Receiver<Status>   one owner per machine: `task`,
//!              (module paths)                                    which does as `lifecycle` decides
//! ```
//!
//! - A machine is a folder; its record there is written whole or not at all, so that any process may be killed at any
//!   point, and the next one finds what is true.
//! - QEMU goes on without us. Whoever opens the folder next finds it by its socket, and the process behind that by id, start
//!   time and boot, never by an id alone.
//! - Several processes may have the same folder open (the window and `windlassctl`): one drives a live machine, the others
//!   watch, and every one of them can have it paused, stopped or killed.
//! - Nothing here listens on a network address but the ports that the user forwards, and those on 127.0.0.1.

mod agent;
mod attach;
mod capture;
mod cgroup;
mod command_line;
mod confine;
mod console;
mod console_log;
mod control;
mod error;
mod failure;
mod features;
mod folder_watch;
mod handle;
mod history;
mod host;
mod initramfs;
mod inspect;
mod lifecycle;
mod machines;
mod network;
mod overlay;
mod paths;
mod ports;
mod probe;
mod process;
mod qemu;
mod qmp;
mod readiness;
mod record;
mod resources;
mod shares;
mod snapshots;
mod spec;
mod status;
mod task;
mod traffic;
mod usage;
mod zfs;

pub use agent::Agent;
pub use console::ConsoleFollower;
pub use console_log::{ConsoleLog, Piece};
pub use error::{Error, Result};
pub use features::Features;
pub use handle::{Details, MachineHandle};
pub use history::{History, MINUTES_MAX, Minute};
pub use host::HostUsage;
pub use inspect::Shown;
pub use machines::{Machines, runtime_folder};
pub use network::{HostLink, NetworkAddress, NetworkMember, switch_process};
pub use ports::check_port;
pub use probe::{Accelerator, Probe, probe};
pub use qemu::Qemu;
pub use shares::{Share, no_folders};
pub use snapshots::{Snapshot, SnapshotTree};
pub use spec::{
    Boot, Disk, DiskAccess, DiskFormat, ForwardedPort, Group, MachineSpec, Network, NetworkJoin,
    Patience, Port, Protocol, Resources, console_max_mib,
};
pub use status::{MachineState, Status, StopStage, Stopping};
pub use usage::{Load, Usage};
pub use zfs::{build_zfs, is_zfs_of_one_kind, zfs_builder_command_line};
