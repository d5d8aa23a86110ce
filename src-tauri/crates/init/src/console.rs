//! The console: serial port and screen as outputs, serial port and keyboard as inputs.
//!
//! Nothing here waits for the host. What the serial port does not take is kept, up to [`PENDING_LIMIT_BYTES`]; beyond
//! that the programs' terminals are not read ([`Console::is_full`]), so that they wait. The screen never holds anything
//! up: what it does not take is lost.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};
use windlass_guest::report::Report;

/// Where the serial console is; where there is none, whatever the kernel has as its console.
const SERIAL: [&str; 2] = ["/dev/ttyS0", "/dev/console"];
const SCREEN: &str = "/dev/tty1";

/// How much may wait for the serial port.
const PENDING_LIMIT_BYTES: usize = 64 << 10;

/// How long the last lines may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Both consoles as one.
#[derive(Debug)]
pub(crate) struct Console {
    serial: Option<File>,
    screen: Option<File>,
    /// What the serial port has not taken yet.
    pending: VecDeque<u8>,
    is_at_line_start: bool,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            serial: None,
            screen: None,
            pending: VecDeque::new(),
            is_at_line_start: true,
        }
    }
}

impl Console {
    /// Opens the terminals, once `/dev` is there.
    pub(crate) fn open(&mut self) {
        self.serial = SERIAL.iter().find_map(|path| open_terminal(path));
        self.screen = open_terminal(SCREEN);
        self.flush();
    }

    /// Prints a line of ours, on a line of its own.
    pub(crate) fn report(&mut self, report: &Report) {
        let start = if self.is_at_line_start { "" } else { "\r\n" };
        self.write(format!("{start}{report}\r\n").as_bytes());
    }

    /// Prints what a program printed.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.is_at_line_start = *last == b'\n';
        self.pending.extend(bytes);
        if let Some(screen) = &mut self.screen {
            let _ = screen.write_all(bytes);
        }
        self.flush();
    }

    /// Gives the serial port what it takes.
    pub(crate) fn flush(&mut self) {
        let Some(serial) = &mut self.serial else {
            return;
        };
        while !self.pending.is_empty() {
            match serial.write(self.pending.as_slices().0) {
                Ok(0) | Err(_) => return,
                Ok(count) => drop(self.pending.drain(..count)),
            }
        }
    }

    /// Whether so much waits for the serial port that programs have to.
    pub(crate) fn is_full(&self) -> bool {
        self.serial.is_some() && self.pending.len() > PENDING_LIMIT_BYTES
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.serial.is_some() && !self.pending.is_empty()
    }

    /// Serial port and keyboard, to be polled.
    pub(crate) fn inputs(&self) -> [Option<BorrowedFd<'_>>; 2] {
        [
            self.serial.as_ref().map(AsFd::as_fd),
            self.screen.as_ref().map(AsFd::as_fd),
        ]
    }

    /// What was typed.
    pub(crate) fn read_input(&mut self) -> Vec<u8> {
        let mut typed = Vec::new();
        let mut buffer = [0; 256];
        for input in [&mut self.serial, &mut self.screen].into_iter().flatten() {
            while let Ok(count) = input.read(&mut buffer) {
                if count == 0 || typed.len() > 4096 {
                    break;
                }
                typed.extend_from_slice(&buffer[..count]);
            }
        }
        typed
    }

    /// Waits, not for ever, until the last line has left the machine.
    pub(crate) fn finish(&mut self) {
        let start = Instant::now();
        while self.has_pending() && start.elapsed() < FINISH_TIMEOUT {
            if let Some(serial) = &self.serial {
                let mut ready = [PollFd::new(serial, PollFlags::OUT)];
                let _ = poll(
                    &mut ready,
                    Some(&Timespec {
                        tv_sec: 0,
                        tv_nsec: 100_000_000,
                    }),
                );
            }
            self.flush();
        }
        if let Some(serial) = self.serial.as_ref().filter(|_| !self.has_pending()) {
            let _ = tcdrain(serial);
        }
    }
}

/// Opens a terminal that takes bytes as they are: the programs' own terminals have done the rest.
fn open_terminal(path: &str) -> Option<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).ok()?)
        .open(path)
        .ok()?;
    // A serial port that is not there opens, and then knows no settings.
    let mut settings = tcgetattr(&file).ok()?;
    settings.make_raw();
    tcsetattr(&file, OptionalActions::Now, &settings).ok()?;
    Some(file)
}

/// Prints a last line when nothing can be relied on any more.
pub(crate) fn emergency(report: &Report) {
    for path in [SERIAL[0], SERIAL[1], SCREEN] {
        if let Ok(mut file) = OpenOptions::new().write(true).open(path)
            && write!(file, "\r\n{report}\r\n{}\r\n", Report::PoweringOff).is_ok()
            && path != SERIAL[0]
        {
            break;
        }
    }
}
