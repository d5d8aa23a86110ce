//! What can be noticed on a console, in plain words and with a remedy.

use std::fmt;

use crate::GuestOs;

/// Something that a guest's console told.
///
/// `Display` is the notice in plain words, for a person; [`Notice::remedy`] is what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The guest's kernel runs.
    Booted {
        /// Which guest it is.
        guest: GuestOs,
        /// The kernel's version.
        version: String,
    },
    /// The guest has an address.
    Address {
        /// The network interface: `eth0`.
        interface: String,
        /// The address, without prefix length: `10.0.2.15`.
        address: String,
    },
    /// A network interface got no address.
    NoAddress {
        /// The network interface, where it is known.
        interface: Option<String>,
        /// Why, in words.
        reason: String,
    },
    /// No root file system could be mounted.
    NoRoot {
        /// Why, in words.
        reason: String,
    },
    /// A command was started (Linux guests say this).
    CommandStarted {
        /// Its number, from 1.
        index: usize,
        /// How many commands there are.
        total: usize,
        /// The command with its arguments.
        command: String,
    },
    /// A command ended.
    CommandExited {
        /// Its number, from 1; OSv does not count, there it is how many have ended so far.
        index: usize,
        /// How many commands there are; 0 where it is not known (OSv).
        total: usize,
        /// The program's path; empty where it is not known (OSv).
        command: String,
        /// Its exit status; 128 plus the signal's number where a signal ended it.
        status: i32,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// All commands have ended.
    Ended {
        /// The first status that was not zero, else zero; unknown where the guest did not say it.
        status: Option<i32>,
    },
    /// The host's wish to stop was heard; programs are told to end.
    Stopping,
    /// The guest powers itself off.
    PoweringOff,
    /// The kernel, or in OSv the application with it, has crashed.
    Panic {
        /// The guest's own words.
        message: String,
    },
    /// A program could not be loaded or started.
    FailedToLoad {
        /// The program's path.
        object: String,
        /// Why, where the guest said it.
        reason: Option<String>,
    },
    /// A program called a function that nobody supplies (OSv).
    MissingSymbol {
        /// The function.
        symbol: String,
        /// The program or library that wanted it, where it is known.
        object: Option<String>,
    },
    /// The command line could not be followed.
    BadCommandLine {
        /// The guest's own words.
        reason: String,
    },
    /// Memory ran out.
    OutOfMemory {
        /// The program that was killed for it, where it is known.
        killed: Option<String>,
    },
    /// Something tried to write to a file system that cannot be written.
    ReadOnlyFileSystem,
    /// The guest's first program says that something is not as it should be.
    Warning {
        /// Its words.
        message: String,
    },
}

impl Notice {
    /// What to do about it, where there is something to do.
    pub fn remedy(&self) -> Option<String> {
        None
    }

    /// Whether the guest cannot be said to do its work any more: it crashed, or could not begin.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Notice::Panic { .. }
                | Notice::FailedToLoad { .. }
                | Notice::MissingSymbol { .. }
                | Notice::NoRoot { .. }
                | Notice::BadCommandLine { .. }
        )
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
