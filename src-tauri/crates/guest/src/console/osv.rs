//! OSv's own words: `loader.cc`, `runtime.cc`, `core/app.cc`, `core/elf.cc`, `core/dhcp.cc`.

use std::net::Ipv4Addr;

use super::Notice;
use super::notice::clip;
use crate::GuestOs;

/// What OSv's kernel prints before a backtrace, where it tells more than the line above the backtrace does.
const FAULTS: &[&str] = &[
    "Assertion failed:",
    "page fault outside application",
    "general protection fault",
    "trying to execute",
    "failed looking up symbol",
    "Out of memory: could not reclaim",
    "Unreasonable allocation attempt",
    "Stack overflow detected",
    "Neither paravirtual clock nor HPET",
    "collides with kernel",
    "panic:",
];

/// Where an exception enters OSv's kernel, as a backtrace names it, and what a person can make of it.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "<page_fault+",
        "a memory fault, as after a null pointer or with a stack that is full",
    ),
    (
        "<general_protection+",
        "a memory fault, by an address that cannot be one",
    ),
    ("<divide_error+", "a division by zero"),
    ("<invalid_opcode+", "an illegal instruction"),
];

/// The state that is needed over several lines.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The last line that was not empty.
    last_line: String,
    /// What it mounts, and where.
    mounting: Option<(String, String)>,
    /// The first line of [`FAULTS`] since the guest booted.
    fault: Option<String>,
    /// What it said of a crash whose backtrace is being printed.
    crash: Option<String>,
    /// How many programs have ended, and the first status that was not zero.
    ended: usize,
    status: i32,
}

impl Reader {
    pub(super) fn recognise(&mut self, line: &str, tell: &mut impl FnMut(Notice)) {
        if let Some(version) = line.strip_prefix("OSv v")
            && version.starts_with(|first: char| first.is_ascii_digit())
            && !version.contains(' ')
        {
            *self = Self::default();
            let version = clip(&format!("v{version}"));
            tell(Notice::Booted {
                guest: GuestOs::Osv,
                version,
            });
            return;
        }
        if let Some(notice) = address(line) {
            tell(notice);
        }
        self.program(line, tell);
        self.fault(line, tell);
        if let Some(notice) = beginning(line) {
            tell(notice);
        }
        if let Some(what) = line.strip_prefix("VFS: mounting ") {
            let named = what.split_once(" at ");
            self.mounting = named.map(|(what, path)| (clip(what), clip(path)));
        } else if line.starts_with("failed to mount ")
            && let Some((file_system, path)) = self.mounting.take()
        {
            tell(Notice::NotMounted { file_system, path });
        }
        self.last_line.clear();
        self.last_line.push_str(line);
        if self.last_line.len() > 1024 {
            self.last_line = clip(&self.last_line);
        }
    }

    /// What became of a program.
    fn program(&mut self, line: &str, tell: &mut impl FnMut(Notice)) {
        if let Some((before, status)) = line.rsplit_once("program exited with status ") {
            // The message may stand behind what a program printed without a newline.
            if let Ok(status) = status.parse()
                && !before.ends_with('"')
            {
                self.end(String::new(), status, tell);
                // exit() in any program ends the whole guest.
                tell(Notice::Ended {
                    status: Some(self.status),
                });
            }
        } else if let Some((program, status)) = line
            .strip_prefix("program ")
            .and_then(|rest| rest.rsplit_once(" returned "))
        {
            if let Ok(status) = status.parse() {
                self.end(clip(program), status, tell);
            }
        } else if let Some((_, object)) = line.split_once("Failed to load object: ") {
            let object = object.strip_suffix(" Powering off.").unwrap_or(object);
            let object = clip(object.strip_suffix('.').unwrap_or(object));
            tell(Notice::FailedToLoad {
                object,
                reason: None,
            });
        } else if let Some(signal) = uncaught(line) {
            let status = signal.saturating_add(128);
            self.ended += 1;
            if self.status == 0 {
                self.status = status;
            }
            tell(Notice::CommandExited {
                index: self.ended,
                total: 0,
                command: String::new(),
                status,
                signal: Some(signal),
            });
            tell(Notice::Ended {
                status: Some(self.status),
            });
        } else if let Some(reason) = line.strip_suffix(". Powering off.") {
            tell(Notice::FailedToLoad {
                object: String::new(),
                reason: Some(clip(reason)),
            });
        }
        if line.ends_with(". Powering off.") || line == "Powering off." {
            tell(Notice::PoweringOff);
        }
    }

    fn end(&mut self, command: String, status: i32, tell: &mut impl FnMut(Notice)) {
        self.ended += 1;
        if self.status == 0 {
            self.status = status;
        }
        tell(Notice::CommandExited {
            index: self.ended,
            total: 0,
            command,
            status,
            signal: None,
        });
    }

    /// Faults of the kernel, which in OSv are the application's too.
    fn fault(&mut self, line: &str, tell: &mut impl FnMut(Notice)) {
        // The two lines that end every abort; the second where there is no backtrace to print yet.
        if line.ends_with("[backtrace]") || line == "Halting." {
            let message = self.fault.take().unwrap_or_else(|| clip(&self.last_line));
            self.crash = Some(message.clone());
            tell(Notice::Panic { message });
            return;
        }
        if let Some(crash) = &self.crash {
            let exception = EXCEPTIONS.iter().find(|(frame, _)| line.contains(frame));
            if let Some((_, words)) = exception.filter(|_| line.starts_with("0x")) {
                let message = clip(&format!("{}: {words}", crash.trim_end_matches('.')));
                self.crash = None;
                tell(Notice::Panic { message });
            }
            return;
        }
        if self.fault.is_some() || !FAULTS.iter().any(|fault| line.contains(fault)) {
            return;
        }
        self.fault = Some(clip(line));
        if let Some((object, symbol)) = line.split_once(": failed looking up symbol ") {
            let symbol = symbol.strip_suffix(" in other objects").unwrap_or(symbol);
            tell(Notice::MissingSymbol {
                symbol: clip(symbol),
                object: Some(clip(object)),
            });
        } else if line.contains("Out of memory: could not") || line.contains("Unreasonable alloc") {
            tell(Notice::OutOfMemory { killed: None });
        }
    }
}

/// `Uncaught signal 6 ("Aborted"). Powering off.`: the signal.
fn uncaught(line: &str) -> Option<i32> {
    let (_, rest) = line.split_once("Uncaught signal ")?;
    let (signal, rest) = rest.split_once(" (\"")?;
    let signal = signal
        .parse()
        .ok()
        .filter(|signal| (1..=64).contains(signal));
    signal.filter(|_| rest.ends_with("\"). Powering off."))
}

/// `eth0: 10.0.2.15`
fn address(line: &str) -> Option<Notice> {
    let (interface, address) = line.split_once(": ")?;
    if !interface.starts_with("eth") || interface.len() > 15 {
        return None;
    }
    let address: Ipv4Addr = address.parse().ok()?;
    Some(Notice::Address {
        interface: interface.to_owned(),
        address: address.to_string(),
    })
}

/// What keeps OSv from beginning.
fn beginning(line: &str) -> Option<Notice> {
    let is_bad_command_line = line == "Failed to parse command line."
        || line.starts_with("This image has an empty command line")
        || line.starts_with("unrecognized option: ")
        || line.starts_with("duplicate option: ")
        || line.starts_with("not an option: ")
        || line.starts_with("Failed to open runscript file ")
        || line.starts_with("Failed expanding runscript");
    if is_bad_command_line {
        return Some(Notice::BadCommandLine { reason: clip(line) });
    }
    let is_no_root = line.starts_with("Could not mount ") && line.ends_with(" root filesystem.")
        || line.starts_with("Failed to discover the rootfs");
    is_no_root.then(|| Notice::NoRoot { reason: clip(line) })
}
