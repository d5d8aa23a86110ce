//! What boots an image: guest kernels, the boot command line, and what a guest says on its console.
//!
//! This crate is the one place that knows how the two guests, OSv and Linux, are told what to do and how they answer.
//! It reads bytes that it is given and does no other I/O, so that the desktop, the tests and the Linux guest's own
//! first program share it.
//!
//! ```text
//!   kernel file ----> kernel::identify ------> KernelFacts      what it is, its version, what it can mount
//!   "--env=A=b c" --> CommandLine::parse ----> CommandLine      what the guest shall run, in OSv's grammar
//!   console bytes --> console::Recogniser ---> Notice           what happened in there, and what to do about it
//!                     report::Report <-------> "[windlass] ..." the Linux guest's own lines, written and read
//!   agent::Request <--------------> agent::Answer    changes to a Linux guest that runs
//!   user_data::UserData                              what a cloud tells a Linux guest when it starts
//! ```

use std::fmt;
use std::str::FromStr;

pub mod agent;
pub mod command_line;
pub mod console;
pub mod kernel;
pub mod report;
pub mod user_data;

pub use command_line::{CommandLine, CommandLineError};
pub use console::{Notice, Recogniser};
pub use kernel::{KernelFacts, KernelForm, NotAKernel};
pub use report::Report;
pub use user_data::UserData;

/// The operating system that boots an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GuestOs {
    /// The unikernel; the default wherever the application can run on it.
    Osv,
    /// A distribution's cloud kernel and a small init; for what a unikernel cannot do.
    Linux,
}

/// The file system that holds an image's root directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RootFs {
    /// OSv's read-only file system.
    Rofs,
    /// The fourth extended file system, writable in both guests.
    Ext4,
    /// Writable, for OSv kernels that were built with it; only a guest can make one.
    Zfs,
}

/// A word that names neither what [`GuestOs`] nor what [`RootFs`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not {expected}")]
pub struct UnknownName {
    /// The word that was found.
    pub word: String,
    /// The words that would have done, for a message.
    pub expected: &'static str,
}

impl UnknownName {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(format!("use {}", self.expected))
    }
}

impl fmt::Display for GuestOs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            GuestOs::Osv => "osv",
            GuestOs::Linux => "linux",
        })
    }
}

impl FromStr for GuestOs {
    type Err = UnknownName;

    fn from_str(word: &str) -> Result<Self, UnknownName> {
        match word.to_ascii_lowercase().as_str() {
            "osv" => Ok(GuestOs::Osv),
            "linux" => Ok(GuestOs::Linux),
            _ => Err(UnknownName {
                word: word.to_owned(),
                expected: "`osv` or `linux`",
            }),
        }
    }
}

impl GuestOs {
    /// Both of them, the default first.
    pub const ALL: [GuestOs; 2] = [GuestOs::Osv, GuestOs::Linux];

    /// The name as a sentence has it: `OSv`, `Linux`.
    pub fn title(self) -> &'static str {
        match self {
            GuestOs::Osv => "OSv",
            GuestOs::Linux => "Linux",
        }
    }
}

impl fmt::Display for RootFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RootFs::Rofs => "rofs",
            RootFs::Ext4 => "ext4",
            RootFs::Zfs => "zfs",
        })
    }
}

impl FromStr for RootFs {
    type Err = UnknownName;

    /// Reads `rofs`, `ext4` or `zfs`; `ext`, OSv's own word for it, is taken too.
    fn from_str(word: &str) -> Result<Self, UnknownName> {
        match word.to_ascii_lowercase().as_str() {
            "rofs" => Ok(RootFs::Rofs),
            "ext4" | "ext" => Ok(RootFs::Ext4),
            "zfs" => Ok(RootFs::Zfs),
            _ => Err(UnknownName {
                word: word.to_owned(),
                expected: "`rofs`, `ext4` or `zfs`",
            }),
        }
    }
}

impl RootFs {
    /// All of them.
    pub const ALL: [RootFs; 3] = [RootFs::Rofs, RootFs::Ext4, RootFs::Zfs];

    /// Whether the guest can write to it.
    pub fn is_writable(self) -> bool {
        self != Self::Rofs
    }

    /// Whether a guest can have it as its root.
    pub fn is_for(self, guest: GuestOs) -> bool {
        guest == GuestOs::Osv || self == Self::Ext4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_are_written() {
        for guest in GuestOs::ALL {
            assert_eq!(guest.to_string().parse::<GuestOs>().unwrap(), guest);
        }
        for root in RootFs::ALL {
            assert_eq!(root.to_string().parse::<RootFs>().unwrap(), root);
        }
        let error = "btrfs".parse::<RootFs>().unwrap_err();
        assert_eq!(error.to_string(), "`btrfs` is not `rofs`, `ext4` or `zfs`");
    }
}
