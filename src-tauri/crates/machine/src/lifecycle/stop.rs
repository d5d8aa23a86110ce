//! The stages of a stop, each after a time:
//!
//! ```text
//!   stop ──▶ the guest is asked ──▶ power button ──▶ power cut (QEMU quits) ──▶ QEMU's process is killed
//!            Ctrl+Alt+Del; Linux    ACPI; for OSv       ▲
//!            only                   the first stage     └── kill; a guest that has halted
//! ```
//!
//! A paused guest is let go on, to hear it.

use super::{About, Action, Lifecycle, Timer};
use crate::status::MachineState;

impl Lifecycle {
    /// Asks the guest to stop, as gently as it understands.
    pub(super) fn ask_guest(&mut self, mut actions: Vec<Action>) -> Vec<Action> {
        if self.guest.hears {
            actions.push(Action::AskGuest);
            actions.extend(self.was_asked());
        } else {
            self.state = MachineState::Stopping;
            self.evidence.asked = true;
            actions.extend(self.press_power());
        }
        actions
    }

    /// The guest was asked, by us or by another process, and gets its time.
    pub(super) fn was_asked(&mut self) -> Vec<Action> {
        self.state = MachineState::Stopping;
        self.evidence.asked = true;
        self.advise(
            About::Stopping,
            "The guest was asked to stop.".to_owned(),
            None,
        );
        let timer = if self.guest.hears {
            Timer::Guest
        } else {
            Timer::Power
        };
        vec![Action::Arm(timer)]
    }

    pub(super) fn press_power(&mut self) -> Vec<Action> {
        self.advise(
            About::Stopping,
            "The guest's power button was pressed.".to_owned(),
            None,
        );
        vec![Action::PressPower, Action::Arm(Timer::Power)]
    }

    pub(super) fn quit(&mut self, message: &str) -> Vec<Action> {
        self.state = MachineState::Stopping;
        self.advise(About::Stopping, message.to_owned(), None);
        vec![
            Action::Disarm(Timer::Guest),
            Action::Disarm(Timer::Power),
            Action::Quit,
            Action::Arm(Timer::Quit),
        ]
    }

    pub(super) fn kill_process(&mut self) -> Vec<Action> {
        self.state = MachineState::Stopping;
        self.advise(
            About::Stopping,
            "QEMU's process is being killed.".to_owned(),
            None,
        );
        vec![
            Action::Disarm(Timer::Connect),
            Action::Disarm(Timer::Guest),
            Action::Disarm(Timer::Power),
            Action::Disarm(Timer::Quit),
            Action::KillProcess,
            Action::Arm(Timer::Kill),
        ]
    }
}
