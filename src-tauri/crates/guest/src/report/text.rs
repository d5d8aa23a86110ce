//! The reports' text: written by `Display`, read by [`Report::parse`].

use std::fmt;

use super::{MARK, Report, TEXT_LIMIT_CHARACTERS};

/// Text of others within a line: one line of it, no control characters, not long.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for (count, character) in self.0.chars().enumerate() {
            if count == TEXT_LIMIT_CHARACTERS {
                return f.write_char('…');
            }
            f.write_char(if character.is_control() {
                ' '
            } else {
                character
            })?;
        }
        Ok(())
    }
}

/// The names of the signals that a program usually dies of.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        match self {
            Report::Booted { init, kernel } => {
                write!(f, "init {} on Linux {}", Text(init), Text(kernel))
            }
            Report::Address {
                interface,
                address,
                gateway,
                name_servers,
            } => {
                write!(f, "{}: address {}", Text(interface), Text(address))?;
                if let Some(gateway) = gateway {
                    write!(f, ", gateway {}", Text(gateway))?;
                }
                if !name_servers.is_empty() {
                    write!(f, ", name servers {}", Text(&name_servers.join(" ")))?;
                }
                Ok(())
            }
            Report::NoAddress { interface, reason } => {
                write!(f, "{}: no address: {}", Text(interface), Text(reason))
            }
            Report::NoRoot { reason } => write!(f, "no root file system: {}", Text(reason)),
            Report::CommandStarted {
                index,
                total,
                command,
            } => {
                write!(f, "command {index} of {total} started: {}", Text(command))
            }
            Report::CommandExited {
                index,
                total,
                command,
                status,
            } => {
                let command = Text(command);
                write!(
                    f,
                    "command {index} of {total} exited with status {status}: {command}"
                )
            }
            Report::CommandKilled {
                index,
                total,
                command,
                signal,
            } => {
                write!(f, "command {index} of {total} ended by signal {signal}")?;
                if let Some(name) = signal_name(*signal) {
                    write!(f, " ({name})")?;
                }
                write!(f, ": {}", Text(command))
            }
            Report::CommandNotStarted {
                index,
                total,
                command,
                reason,
            } => {
                let (command, reason) = (Text(command), Text(reason));
                write!(
                    f,
                    "command {index} of {total} not started: {command}: {reason}"
                )
            }
            Report::BadCommandLine { reason } => write!(f, "bad command line: {}", Text(reason)),
            Report::Stopping => f.write_str("stopping"),
            Report::Restarting => f.write_str("restarting the commands"),
            Report::Warning { message } => write!(f, "warning: {}", Text(message)),
            Report::Failed { message } => write!(f, "failed: {}", Text(message)),
            Report::Ended { status } => write!(f, "all ended with status {status}"),
            Report::PoweringOff => f.write_str("powering off"),
        }
    }
}

impl Report {
    /// Reads a line; `None` where it is not one of ours.
    pub fn parse(line: &str) -> Option<Self> {
        let text = line.trim_end_matches(['\r', '\n']).strip_prefix(MARK)?;
        match text {
            "stopping" => return Some(Report::Stopping),
            "restarting the commands" => return Some(Report::Restarting),
            "powering off" => return Some(Report::PoweringOff),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("command ") {
            return parse_command(rest);
        }
        if let Some(rest) = text.strip_prefix("init ") {
            let (init, kernel) = rest.split_once(" on Linux ")?;
            return Some(Report::Booted {
                init: init.to_owned(),
                kernel: kernel.to_owned(),
            });
        }
        if let Some(status) = text.strip_prefix("all ended with status ") {
            return Some(Report::Ended {
                status: status.parse().ok()?,
            });
        }
        let (subject, rest) = text.split_once(": ")?;
        let words = rest.to_owned();
        Some(match subject {
            "no root file system" => Report::NoRoot { reason: words },
            "bad command line" => Report::BadCommandLine { reason: words },
            "warning" => Report::Warning { message: words },
            "failed" => Report::Failed { message: words },
            _ => return parse_address(subject, rest),
        })
    }
}

/// Reads `1 of 2 exited with status 0: /bin/true`.
fn parse_command(text: &str) -> Option<Report> {
    let (index, text) = text.split_once(" of ")?;
    let (total, text) = text.split_once(' ')?;
    let (index, total) = (index.parse().ok()?, total.parse().ok()?);
    if let Some(text) = text.strip_prefix("started: ") {
        return Some(Report::CommandStarted {
            index,
            total,
            command: text.to_owned(),
        });
    }
    if let Some(text) = text.strip_prefix("exited with status ") {
        let (status, command) = text.split_once(": ")?;
        let (status, command) = (status.parse().ok()?, command.to_owned());
        return Some(Report::CommandExited {
            index,
            total,
            command,
            status,
        });
    }
    if let Some(text) = text.strip_prefix("ended by signal ") {
        let (signal, command) = text.split_once(": ")?;
        let signal = signal.split(' ').next()?.parse().ok()?;
        return Some(Report::CommandKilled {
            index,
            total,
            command: command.to_owned(),
            signal,
        });
    }
    let text = text.strip_prefix("not started: ")?;
    let (command, reason) = text.split_once(": ")?;
    let (command, reason) = (command.to_owned(), reason.to_owned());
    Some(Report::CommandNotStarted {
        index,
        total,
        command,
        reason,
    })
}

/// Reads what follows `eth0: `.
fn parse_address(interface: &str, text: &str) -> Option<Report> {
    let interface = interface.to_owned();
    if let Some(reason) = text.strip_prefix("no address: ") {
        return Some(Report::NoAddress {
            interface,
            reason: reason.to_owned(),
        });
    }
    let mut parts = text.strip_prefix("address ")?.split(", ");
    let address = parts.next()?.to_owned();
    let (mut gateway, mut name_servers) = (None, Vec::new());
    for part in parts {
        if let Some(text) = part.strip_prefix("gateway ") {
            gateway = Some(text.to_owned());
        } else if let Some(text) = part.strip_prefix("name servers ") {
            name_servers = text.split(' ').map(str::to_owned).collect();
        }
    }
    Some(Report::Address {
        interface,
        address,
        gateway,
        name_servers,
    })
}
