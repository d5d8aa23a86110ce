//! Which accelerator works: found by running a guest with it.

use crate::{error::Result, qemu::Qemu};
use serde::{Deserialize, Serialize};
use std::fmt;
use tokio_util::sync::CancellationToken;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Linux' hardware virtualisation.
    Kvm,
    /// macOS' Hypervisor.framework.
    Hvf,
    /// The Windows Hypervisor Platform.
    Whpx,
    /// QEMU's own translator: works everywhere, several times slower.
    Tcg,
}

impl Accelerator {
    /// Whether the processor itself runs the guest.
    pub fn is_hardware(self) -> bool {
        self != Self::Tcg
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Tcg => "tcg",
        })
    }
}

/// What a QEMU can do on this computer. Worth remembering (it takes a moment to find out) for as long as
/// [`Probe::fits`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The binary that was probed.
    pub qemu: Qemu,
    /// The host's kernel release and processor; another host or kernel may answer differently.
    pub host: String,
    /// The accelerator to use.
    pub accelerator: Accelerator,
    /// Why it is not a better one, in words; `None` if hardware acceleration works.
    pub note: Option<String>,
    /// What would make it a better one.
    pub remedy: Option<String>,
    /// Whether this QEMU can confine itself (`-sandbox`).
    pub sandbox: bool,
}

impl Probe {
    /// Whether a remembered probe still says something about this binary on this computer.
    pub fn fits(&self, qemu: &Qemu) -> bool {
        let _ = qemu;
        todo!()
    }
}

/// Finds out what `qemu` can do here by running a few-byte guest with each accelerator, best first.
///
/// # Errors
/// [`crate::Error::NoAccelerator`] if not even TCG runs the guest; [`crate::Error::Closed`] if cancelled.
pub async fn probe(qemu: &Qemu, cancel: &CancellationToken) -> Result<Probe> {
    let _ = (qemu, cancel);
    todo!()
}
