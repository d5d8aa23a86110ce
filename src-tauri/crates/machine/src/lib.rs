//! Machines in QEMU: probe, start, watch, talk to, stop, and find again.

pub mod error;
pub mod handle;
pub mod lifecycle;
pub mod machines;
pub mod probe;
pub mod qemu;
pub mod spec;
pub mod status;

pub use error::{Error, Result};
pub use handle::{Details, MachineHandle};
pub use machines::{Machines, runtime_folder};
pub use probe::{Accelerator, Probe, probe};
pub use qemu::Qemu;
pub use spec::{
    Boot, Disk, DiskAccess, DiskFormat, ForwardedPort, MachineSpec, Network, Port, Protocol,
};
pub use status::{MachineState, Status};
