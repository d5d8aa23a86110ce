//! What can be noticed on a console, in plain words and with a remedy.

use std::fmt;

use crate::GuestOs;
use crate::report::Report;

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
    /// The host changed files, and the commands begin again.
    Restarting,
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
    /// A volume is not where it should be (OSv goes on without it).
    NotMounted {
        /// Its file system.
        file_system: String,
        /// Where it was to be.
        path: String,
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
        let remedy = match self {
            Notice::NoAddress { .. } => {
                "choose user-mode networking, see that a DHCP server answers on the network, or give an address with \
                 `--ip=eth0,ADDRESS,NETMASK`"
            }
            Notice::NoRoot { .. } => {
                "build the image again for this guest kernel; the kernel may not know the image's file system"
            }
            Notice::CommandExited {
                signal: Some(9), ..
            } => "the guest may have run out of memory: give the machine more",
            Notice::CommandExited {
                signal: Some(15), ..
            } => "a program in the guest told it to end",
            Notice::CommandExited {
                signal: Some(_), ..
            } => "the program crashed: its own output above says more",
            Notice::CommandExited { status: 127, .. } => {
                "a program that it wanted to run is missing in the image"
            }
            Notice::Panic { .. } => {
                "the lines above it say where; give the machine more memory, or run the appliance on the other guest \
                 kernel"
            }
            Notice::FailedToLoad { .. } => {
                "look in Contents whether the program is in the image, at this path, for this architecture, with its \
                 libraries"
            }
            Notice::MissingSymbol { .. } => {
                "add the library that supplies it (flat in /usr/lib), or run the appliance on Linux: OSv may not have \
                 this function"
            }
            Notice::BadCommandLine { .. } => {
                "correct the boot command in the appliance's Run settings"
            }
            Notice::OutOfMemory { .. } => "give the machine more memory",
            Notice::NotMounted { .. } => {
                "choose an OSv kernel that mounts the volume's file system (the list of guest kernels says which do), with \
                 its module in the image (libext.so for ext4), or run the appliance on Linux"
            }
            Notice::ReadOnlyFileSystem => {
                "build the image with a writable file system (ext4), or mount a volume or ramfs where the program writes"
            }
            _ => return None,
        };
        Some(remedy.to_owned())
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
        match self {
            Notice::Booted { guest, version } => write!(f, "{} {version} runs", guest.title()),
            Notice::Address { interface, address } => {
                write!(f, "{interface} has the address {address}")
            }
            Notice::NoAddress { interface, reason } => {
                let interface = interface.as_deref().unwrap_or("the network interface");
                write!(f, "{interface} got no address: {reason}")
            }
            Notice::NoRoot { reason } => {
                write!(f, "no root file system could be mounted: {reason}")
            }
            Notice::CommandStarted {
                index,
                total,
                command,
            } => {
                write!(f, "command {index} of {total} started: {command}")
            }
            Notice::CommandExited {
                index,
                total,
                command,
                status,
                signal,
            } => {
                match (command.as_str(), *total) {
                    ("", _) => f.write_str("the program")?,
                    (command, 0) => f.write_str(command)?,
                    (command, total) => write!(f, "command {index} of {total}, {command},")?,
                }
                match signal {
                    Some(signal) => write!(f, " was ended by {}", signal_words(*signal)),
                    None => write!(f, " exited with status {status}"),
                }
            }
            Notice::Ended { status: Some(0) } => f.write_str("all commands have ended well"),
            Notice::Ended {
                status: Some(status),
            } => {
                write!(f, "all commands have ended, with status {status}")
            }
            Notice::Ended { status: None } => f.write_str("all commands have ended"),
            Notice::Stopping => f.write_str("the guest was asked to stop, and stops its programs"),
            Notice::Restarting => f.write_str("the commands begin again, with what was changed"),
            Notice::PoweringOff => f.write_str("the guest powers off"),
            Notice::Panic { message } => write!(f, "the guest crashed: {message}"),
            Notice::FailedToLoad { object, reason } => {
                match object.as_str() {
                    "" => f.write_str("the program could not be started")?,
                    object => write!(f, "{object} could not be started")?,
                }
                match reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
            Notice::MissingSymbol { symbol, object } => {
                let object = object.as_deref().unwrap_or("the program");
                write!(
                    f,
                    "{object} needs the function {symbol}, and nothing in the image has it"
                )
            }
            Notice::BadCommandLine { reason } => {
                write!(f, "the boot command cannot be followed: {reason}")
            }
            Notice::OutOfMemory {
                killed: Some(program),
            } => {
                write!(f, "memory ran out: {program} was killed for it")
            }
            Notice::OutOfMemory { killed: None } => f.write_str("memory ran out"),
            Notice::NotMounted { file_system, path } => {
                write!(
                    f,
                    "the volume for {path} could not be mounted as {file_system}"
                )
            }
            Notice::ReadOnlyFileSystem => {
                f.write_str("a program tried to write to a file system that is read-only")
            }
            Notice::Warning { message } => f.write_str(message),
        }
    }
}

/// A signal in words, by what a person can make of it.
fn signal_words(signal: i32) -> String {
    let words = match signal {
        4 => "an illegal instruction",
        6 => "its own abort",
        7 | 11 => "a memory fault",
        8 => "an arithmetic fault",
        9 => "a kill",
        15 => "a request to end",
        _ => return format!("signal {signal}"),
    };
    format!("{words} (signal {signal})")
}

/// What our own first program says, as a notice.
pub(super) fn of_report(report: Report) -> Notice {
    match report {
        Report::Booted { kernel, .. } => Notice::Booted {
            guest: GuestOs::Linux,
            version: kernel,
        },
        Report::Address {
            interface, address, ..
        } => {
            let address = address.split('/').next().unwrap_or_default().to_owned();
            Notice::Address { interface, address }
        }
        Report::NoAddress { interface, reason } => Notice::NoAddress {
            interface: Some(interface),
            reason,
        },
        Report::NoRoot { reason } => Notice::NoRoot { reason },
        Report::CommandStarted {
            index,
            total,
            command,
        } => Notice::CommandStarted {
            index,
            total,
            command,
        },
        Report::CommandExited {
            index,
            total,
            command,
            status,
        } => Notice::CommandExited {
            index,
            total,
            command,
            status,
            signal: None,
        },
        Report::CommandKilled {
            index,
            total,
            command,
            signal,
        } => {
            let status = signal.saturating_add(128);
            Notice::CommandExited {
                index,
                total,
                command,
                status,
                signal: Some(signal),
            }
        }
        Report::CommandNotStarted {
            command, reason, ..
        } => Notice::FailedToLoad {
            object: command,
            reason: Some(reason),
        },
        Report::BadCommandLine { reason } => Notice::BadCommandLine { reason },
        Report::Stopping => Notice::Stopping,
        Report::Restarting => Notice::Restarting,
        Report::Warning { message } => Notice::Warning { message },
        Report::Failed { message } => Notice::Panic { message },
        Report::Ended { status } => Notice::Ended {
            status: Some(status),
        },
        Report::PoweringOff => Notice::PoweringOff,
    }
}

/// A guest's text for a person: short, and without control characters.
pub(super) fn clip(text: &str) -> String {
    const LIMIT_CHARACTERS: usize = 300;
    let mut clipped: String = text
        .trim()
        .chars()
        .take(LIMIT_CHARACTERS)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    if clipped.len() < text.trim().len() {
        clipped.push('…');
    }
    clipped
}
