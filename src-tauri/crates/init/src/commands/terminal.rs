//! Our end of a command's terminal.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::console::Console;

/// How much of a terminal's output is carried before the others have their turn.
const TURN_BYTES: usize = 64 << 10;

/// More than the kernel keeps of a terminal's output.
const TERMINAL_BYTES: usize = 256 << 10;

/// Our end of a command's terminal.
pub(super) struct Terminal {
    pub index: usize,
    file: File,
    /// Nobody has the other end open. Closing ours would be a SIGHUP to the command, which may still run.
    is_silent: bool,
}

impl Terminal {
    pub(super) fn new(index: usize, file: File) -> Self {
        Self {
            index,
            file,
            is_silent: false,
        }
    }

    /// Whether a program has the other end open.
    pub(super) fn is_open(&self) -> bool {
        !self.is_silent
    }

    pub(super) fn to_poll(&self) -> Option<PollFd<'_>> {
        self.is_open()
            .then(|| PollFd::new(&self.file, PollFlags::IN))
    }

    /// Carries some of the output, if the console takes it.
    pub(super) fn carry(&mut self, console: &mut Console) {
        if !console.is_full() && !self.is_silent {
            self.is_silent = !carry(&mut self.file, console);
        }
    }

    /// Carries all that a command has printed before its end. It is not much, a terminal holds some pages; but what it
    /// left running may print without end, and has its turn later.
    pub(super) fn carry_all(&mut self, console: &mut Console) {
        for _ in 0..TERMINAL_BYTES / TURN_BYTES {
            if !carry(&mut self.file, console) || !has_output(&self.file) {
                return;
            }
        }
    }

    pub(super) fn type_in(&mut self, typed: &[u8]) {
        let _ = self.file.write_all(typed);
    }
}

/// Carries some of a terminal's output; false at its end.
fn carry(terminal: &mut File, console: &mut Console) -> bool {
    let mut buffer = [0; 4096];
    let mut carried = 0;
    while carried < TURN_BYTES {
        match terminal.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => {
                console.write(&buffer[..count]);
                carried += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EIO: no process has the terminal open.
            Err(_) => return false,
        }
    }
    true
}

fn has_output(terminal: &File) -> bool {
    let mut polled = [PollFd::new(terminal, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_never_falls_silent_is_left_in_the_end() {
        let endless = File::open("/dev/zero").unwrap();
        let mut console = Console::default();
        Terminal::new(0, endless).carry_all(&mut console);
        let mut ended = Terminal::new(0, File::open("/dev/null").unwrap());
        ended.carry_all(&mut console);
    }
}
