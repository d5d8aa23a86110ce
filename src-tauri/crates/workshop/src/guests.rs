//! The words for guests and file systems, as the window, the command line and files spell them.

use serde::{Deserialize, Serialize};
use specta::Type;

/// What boots the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
pub enum GuestOs {
    /// The unikernel.
    Osv,
    /// A micro-VM: a distribution's kernel and our own init.
    Linux,
}

/// The file system of the root disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
pub enum RootFs {
    /// OSv's read-only file system.
    Rofs,
    /// The Linux file system, writable.
    Ext4,
    /// Writable; for OSv kernels that were built with it, made by a guest.
    Zfs,
}

/// A guest's port that can be reached on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Turns one of our enums into the crate's below and back, variant by variant.
macro_rules! mirror {
    ($ours:ty, $theirs:ty: $($variant:ident),+) => {
        impl From<$theirs> for $ours {
            fn from(value: $theirs) -> Self {
                match value { $(<$theirs>::$variant => Self::$variant),+ }
            }
        }
        impl From<$ours> for $theirs {
            fn from(value: $ours) -> Self {
                match value { $(<$ours>::$variant => Self::$variant),+ }
            }
        }
    };
}

pub(crate) use mirror;

mirror!(GuestOs, windlass_guest::GuestOs: Osv, Linux);
mirror!(RootFs, windlass_guest::RootFs: Rofs, Ext4, Zfs);
mirror!(Protocol, windlass_machine::Protocol: Tcp, Udp);
mirror!(Protocol, windlass_package::settings::Protocol: Tcp, Udp);

impl GuestOs {
    /// Its proper name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Osv => "OSv",
            Self::Linux => "Linux",
        }
    }
}

impl std::fmt::Display for GuestOs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        windlass_guest::GuestOs::from(*self).fmt(f)
    }
}

impl std::fmt::Display for RootFs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        windlass_guest::RootFs::from(*self).fmt(f)
    }
}
