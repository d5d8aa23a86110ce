//! What was seen of a run, and the verdict on how it ended.

use windlass_guest::Notice;

use crate::status::MachineState;

/// How QEMU's process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was no child of ours, or ended before anybody looked.
    #[default]
    Unknown,
    /// It ended while we were looking, but it is another's child: its status went there.
    Unseen,
    /// By itself, with this status.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Before the guest ran: why, in words, and what to do.
    NotStarted {
        message: String,
        remedy: Option<String>,
    },
}

/// What was seen of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// QEMU answered: the guest ran.
    pub(super) ran: bool,
    /// The guest was asked to stop.
    pub(super) asked: bool,
    /// The user had its power cut.
    pub(super) killed: bool,
    /// Its power was cut because it did not stop in time.
    pub(super) cut: bool,
    /// QEMU never answered.
    pub(super) silent: bool,
    /// The reason that QEMU gave for ending.
    pub(super) shutdown: Option<String>,
    /// `pvpanic` was told.
    pub(super) panicked: bool,
    /// Its processors were found halted for good.
    pub(super) halted: bool,
    pub(super) has_address: bool,
    pub(super) panic: Option<Words>,
    failure: Option<Words>,
    ended: Option<Option<i32>>,
    first_bad_status: Option<i32>,
    powering_off: bool,
}

/// Something said, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    message: String,
    remedy: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: MachineState,
    pub(crate) exit_status: Option<i32>,
    pub(crate) message: Option<String>,
    pub(crate) remedy: Option<String>,
}

impl Verdict {
    fn new(state: MachineState, message: &str) -> Self {
        Self {
            state,
            exit_status: None,
            message: Some(message.to_owned()),
            remedy: None,
        }
    }

    fn words(state: MachineState, words: Words) -> Self {
        Self {
            state,
            exit_status: None,
            message: Some(words.message),
            remedy: words.remedy,
        }
    }
}

impl Evidence {
    pub(super) fn noticed(&mut self, notice: &Notice) {
        let words = || Words {
            message: notice.to_string(),
            remedy: notice.remedy(),
        };
        match notice {
            Notice::Address { .. } => self.has_address = true,
            Notice::Panic { .. } => {
                self.panic.get_or_insert_with(words);
            }
            Notice::CommandExited { status, .. } if *status != 0 => {
                self.first_bad_status.get_or_insert(*status);
            }
            Notice::Ended { status } => self.ended = Some(*status),
            Notice::PoweringOff => self.powering_off = true,
            notice if notice.is_fatal() => {
                self.failure.get_or_insert_with(words);
            }
            _ => {}
        }
    }

    /// Whether the guest itself said that it was done.
    fn guest_said_end(&self) -> bool {
        self.ended.is_some() || self.powering_off
    }

    /// The status that the guest's commands ended with, as far as it told.
    fn exit_status(&self) -> Option<i32> {
        match self.ended {
            Some(Some(status)) => Some(status),
            _ => self.first_bad_status,
        }
    }

    /// What to call the end of a run that was in `state` when its process went.
    pub(super) fn verdict(&self, state: MachineState, exit: Exit) -> Verdict {
        use MachineState::{Crashed, Failed, Lost, Stopped};
        if let Exit::NotStarted { message, remedy } = exit {
            if self.killed {
                return Verdict::new(Stopped, "It was switched off while it started.");
            }
            return Verdict {
                state: Failed,
                exit_status: None,
                message: Some(message),
                remedy,
            };
        }
        if self.silent {
            return Verdict {
                remedy: Some("The computer may be very busy; try again.".to_owned()),
                ..Verdict::new(Failed, "QEMU was started, but never answered.")
            };
        }
        // A panic counts only with something that bears it out: words alone may be a program's output.
        let dead = self.panicked || self.halted || self.shutdown.as_deref() == Some("guest-reset");
        if let Some(panic) = self
            .panic
            .clone()
            .filter(|_| dead || !self.guest_said_end())
        {
            let by_us = (self.killed || self.asked) && !dead;
            return Verdict::words(if by_us { Stopped } else { Crashed }, panic);
        }
        if self.panicked || self.halted {
            let how = if self.panicked {
                "The guest panicked."
            } else {
                "The guest halted."
            };
            return match self.failure.clone() {
                Some(failure) => Verdict::words(Failed, failure),
                None => Verdict {
                    remedy: Some("Its console has its last words.".to_owned()),
                    ..Verdict::new(Crashed, how)
                },
            };
        }
        if self.killed {
            return Verdict::new(Stopped, "It was switched off.");
        }
        if self.cut {
            return Verdict::new(
                Stopped,
                "It did not stop by itself in time, and was switched off.",
            );
        }
        self.guests_own_end(state, &exit)
            .unwrap_or_else(|| match exit {
                Exit::Signal(signal) => Verdict {
                    remedy: Some("Start it again; if memory is short, give it less.".to_owned()),
                    ..Verdict::new(
                        Crashed,
                        &format!("QEMU was ended from outside, by signal {signal}."),
                    )
                },
                Exit::Code(code) => Verdict::new(
                    Crashed,
                    &format!("QEMU ended unexpectedly, with status {code}."),
                ),
                Exit::Unseen => Verdict::new(Crashed, "QEMU ended unexpectedly."),
                Exit::Unknown | Exit::NotStarted { .. } => Verdict {
                    remedy: Some(
                        "Start it again; its console has what it said until then.".to_owned(),
                    ),
                    ..Verdict::new(Lost, "It ended while nobody was looking.")
                },
            })
    }

    /// The verdict where the guest or QEMU said why it ended.
    fn guests_own_end(&self, state: MachineState, exit: &Exit) -> Option<Verdict> {
        use MachineState::{Crashed, Failed, Stopped};
        let reason = self.shutdown.as_deref();
        let asked =
            self.asked || state == MachineState::Stopping && reason == Some("host-qmp-quit");
        if let Some(failure) = self.failure.clone()
            && !self.asked
        {
            let exit_status = self.exit_status();
            return Some(Verdict {
                exit_status,
                ..Verdict::words(Failed, failure)
            });
        }
        let status = self.exit_status();
        if self.guest_said_end() || (reason == Some("guest-shutdown") && status.is_some()) {
            // A guest that was asked to stop ends its programs by a signal: no failure of theirs.
            return Some(match status {
                Some(0) => Verdict {
                    exit_status: Some(0),
                    message: None,
                    ..Verdict::new(Stopped, "")
                },
                Some(status) if self.asked => Verdict {
                    exit_status: Some(status),
                    ..Verdict::new(Stopped, "It stopped when asked.")
                },
                Some(status) => Verdict {
                    exit_status: Some(status),
                    ..Verdict::new(Failed, &format!("It ended with status {status}."))
                },
                None => Verdict {
                    message: None,
                    ..Verdict::new(Stopped, "")
                },
            });
        }
        match reason {
            Some("guest-shutdown") if self.asked => {
                Some(Verdict::new(Stopped, "It stopped when asked."))
            }
            Some("guest-shutdown") => Some(Verdict {
                message: None,
                ..Verdict::new(Stopped, "")
            }),
            Some("guest-reset") => Some(Verdict {
                remedy: Some("Its console has its last words.".to_owned()),
                ..Verdict::new(Crashed, "The guest reset itself, as it does after a fault.")
            }),
            Some("host-qmp-quit") => Some(Verdict::new(Stopped, "It was switched off.")),
            Some("host-signal") => Some(Verdict::new(
                Stopped,
                "It was ended from outside (say, because this computer was shut down).",
            )),
            _ if asked && matches!(exit, Exit::Code(0) | Exit::Unseen | Exit::Unknown) => {
                Some(Verdict::new(Stopped, "It stopped when asked."))
            }
            _ => None,
        }
    }
}
