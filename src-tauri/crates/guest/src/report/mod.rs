//! The lines by which the Linux guest's first program tells the host what happens.
//!
//! They go to the console among the programs' own output, each on a line of its own and marked at its beginning:
//!
//! ```text
//! [windlass] init 0.1.0 on Linux 6.1.0-56-cloud-amd64
//! [windlass] eth0: address 10.0.2.15/24, gateway 10.0.2.2, name servers 10.0.2.3
//! [windlass] command 1 of 2 started: /usr/bin/prepare --all
//! [windlass] command 1 of 2 exited with status 0: /usr/bin/prepare
//! [windlass] command 2 of 2 ended by signal 11 (SIGSEGV): /usr/bin/serve
//! [windlass] all ended with status 139
//! [windlass] powering off
//! ```
//!
//! Writer and reader are this one module, so that they cannot drift apart. A program in the guest can print such lines
//! too; it can deceive its own user only.

mod text;

#[cfg(test)]
mod tests;

/// What each line of ours begins with.
pub const MARK: &str = "[windlass] ";

/// Text of others in a line (a program's name, an error's words) is cut to this many characters.
pub const TEXT_LIMIT_CHARACTERS: usize = 400;

/// One thing that the Linux guest's first program says.
///
/// `Display` writes the line, mark and all, without a newline; [`Report::parse`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It runs, on this kernel.
    Booted {
        /// Version of the first program.
        init: String,
        /// The kernel's release, `uname -r`.
        kernel: String,
    },
    /// A network interface got its address.
    Address {
        /// The interface: `eth0`.
        interface: String,
        /// Address with prefix length: `10.0.2.15/24`.
        address: String,
        /// The default gateway, if there is one.
        gateway: Option<String>,
        /// The name servers, possibly none.
        name_servers: Vec<String>,
    },
    /// A network interface got no address.
    NoAddress {
        /// The interface: `eth0`.
        interface: String,
        /// Why, in words.
        reason: String,
    },
    /// No disk holds a root file system.
    NoRoot {
        /// What was looked at and found.
        reason: String,
    },
    /// A command was started.
    CommandStarted {
        /// Its number, from 1.
        index: usize,
        /// How many commands there are.
        total: usize,
        /// The command with its arguments, as the command line would have it.
        command: String,
    },
    /// A command ended by itself.
    CommandExited {
        /// Its number, from 1.
        index: usize,
        /// How many commands there are.
        total: usize,
        /// The program's path.
        command: String,
        /// Its exit status.
        status: i32,
    },
    /// A command was ended by a signal.
    CommandKilled {
        /// Its number, from 1.
        index: usize,
        /// How many commands there are.
        total: usize,
        /// The program's path.
        command: String,
        /// The signal's number.
        signal: i32,
    },
    /// A command could not be started.
    CommandNotStarted {
        /// Its number, from 1.
        index: usize,
        /// How many commands there are.
        total: usize,
        /// The program's path.
        command: String,
        /// Why, in words.
        reason: String,
    },
    /// The command line, or a script that it names, cannot be followed.
    BadCommandLine {
        /// What is wrong with it.
        reason: String,
    },
    /// The host asked for an end: programs are told to end.
    Stopping,
    /// The host changed files and asked for it: programs have ended, and the commands begin again.
    Restarting,
    /// Something that does not stop the guest went wrong.
    Warning {
        /// What, in words.
        message: String,
    },
    /// The first program itself failed.
    Failed {
        /// What happened.
        message: String,
    },
    /// Every command has ended.
    Ended {
        /// The first status that was not zero, else zero.
        status: i32,
    },
    /// The last line.
    PoweringOff,
}
