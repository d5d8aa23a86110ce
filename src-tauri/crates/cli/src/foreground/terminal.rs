//! Our own terminal, while it is a guest's console.

use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::sync::mpsc;

/// How keys are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each key at once, shown by the guest; Ctrl+C stays ours.
    Keys,
    /// Every key is the guest's, Ctrl+C too.
    Everything,
    /// Whole lines, which are not shown.
    Hidden,
}

/// The terminal in another mode; dropping it brings back the old one.
#[derive(Debug)]
pub(super) struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Changes the mode; `None` when stdin is no terminal, or we are in its background.
    pub(super) fn engage(mode: Mode) -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        // In the background a change of mode would stop us.
        if tcgetpgrp(stdin.as_fd()).ok()? != rustix::process::getpgrp() {
            return None;
        }
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let mut changed = before.clone();
        changed.local_modes.remove(LocalModes::ECHO);
        if mode != Mode::Hidden {
            changed.local_modes.remove(LocalModes::ICANON);
        }
        if mode == Mode::Everything {
            changed
                .local_modes
                .remove(LocalModes::ISIG | LocalModes::IEXTEN);
            changed
                .input_modes
                .remove(InputModes::IXON | InputModes::ICRNL);
        }
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &changed).ok()?;
        Some(Self { before })
    }

    /// What is typed, from now on. The thread that reads ends with the process.
    pub(super) fn keys() -> mpsc::Receiver<Vec<u8>> {
        let (sender, receiver) = mpsc::channel(16);
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut buffer) {
                if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}
