//! What was seen of a run, and the verdict on how it ended.

use windlass_guest::Notice;

use super::Wish;
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

/// The end of the guest's commands, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    status: Option<i32>,
}

/// What was seen of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each was seen or was not, in any combination"
)]
pub(crate) struct Evidence {
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
    /// It could not do its work.
    failure: Option<Words>,
    /// Why it ended as it did, where it went on for a while.
    cause: Option<Words>,
    /// The guest said that its commands had ended, and how where it told.
    ended: Option<End>,
    first_bad_status: Option<i32>,
    powering_off: bool,
}

/// Something said, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(super) message: String,
    pub(super) remedy: Option<String>,
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

impl Words {
    pub(super) fn of(notice: &Notice) -> Self {
        Self {
            message: sentence(&notice.to_string()),
            remedy: notice.remedy().as_deref().map(sentence),
        }
    }
}

/// Text as a sentence: notices are parts of one.
pub(super) fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    // A name stays as it is: "eth0 got no address".
    let first_word = text.split(' ').next().unwrap_or_default();
    if first_word.contains(|letter: char| !letter.is_alphabetic()) {
        return format!("{text}{end}");
    }
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}{end}", letters.as_str())
}

impl Evidence {
    /// What is known of a run before anything of it is seen.
    pub(super) fn of(wish: Option<Wish>) -> Self {
        Self {
            asked: wish == Some(Wish::Stop),
            killed: wish == Some(Wish::Kill),
            ..Self::default()
        }
    }

    pub(super) fn noticed(&mut self, notice: &Notice) {
        let keep = |words: &mut Option<Words>| {
            words.get_or_insert_with(|| Words::of(notice));
        };
        match notice {
            Notice::Address { .. } => self.has_address = true,
            // The last says most.
            Notice::Panic { .. } => self.panic = Some(Words::of(notice)),
            Notice::CommandExited { status, .. } if *status != 0 => {
                self.first_bad_status.get_or_insert(*status);
                if notice.remedy().is_some() {
                    keep(&mut self.cause);
                }
            }
            // What went wrong before was mended, or will go wrong again.
            Notice::Restarting => (self.first_bad_status, self.cause) = (None, None),
            Notice::Ended { status } => self.ended = Some(End { status: *status }),
            Notice::PoweringOff => self.powering_off = true,
            notice if notice.is_fatal() => keep(&mut self.failure),
            Notice::NoAddress { .. }
            | Notice::NotMounted { .. }
            | Notice::OutOfMemory { .. }
            | Notice::ReadOnlyFileSystem => {
                // What happened earlier explains the status of a command better than the status does.
                keep(&mut self.cause);
            }
            _ => {}
        }
    }

    /// The status that the guest's commands ended with, as far as it told.
    fn exit_status(&self) -> Option<i32> {
        match self.ended {
            Some(End {
                status: Some(status),
            }) => Some(status),
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
            let message = Some(sentence(&message));
            return Verdict {
                state: Failed,
                exit_status: None,
                message,
                remedy,
            };
        }
        if self.silent {
            return Verdict {
                remedy: Some("The computer may be very busy; try again.".to_owned()),
                ..Verdict::new(Failed, "QEMU was started, but never answered.")
            };
        }
        if let Some(crash) = self.crash() {
            return crash;
        }
        if self.killed {
            return Verdict::new(Stopped, "It was switched off.");
        }
        let own_end = self.guests_own_end(state, &exit);
        // A guest that had ended by itself did so, however long QEMU took after that.
        if self.cut && (self.asked || own_end.is_none()) {
            return Verdict::new(
                Stopped,
                "It did not stop by itself in time, and was switched off.",
            );
        }
        own_end.unwrap_or_else(|| match exit {
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
                remedy: Some("Start it again; its console has what it said until then.".to_owned()),
                ..Verdict::new(Lost, "It ended while nobody was looking.")
            },
        })
    }

    /// The verdict on a guest that died. Words of a panic alone do not make one: they may be a program's output, so
    /// they count only when the machine bears them out, or the guest did not live to tell how its commands ended.
    fn crash(&self) -> Option<Verdict> {
        let dead = self.panicked || self.halted;
        let reset = self.shutdown.as_deref() == Some("guest-reset");
        let cut_off = self.ended.is_none() && !self.killed && !self.asked;
        if !(dead || self.panic.is_some() && (reset || cut_off)) {
            return None;
        }
        let words = self.failure.clone().or_else(|| self.panic.clone());
        let words = words.unwrap_or_else(|| Words {
            message: if self.panicked {
                "The guest panicked."
            } else {
                "The guest halted."
            }
            .to_owned(),
            remedy: Some("Its console has its last words.".to_owned()),
        });
        Some(Verdict::words(MachineState::Crashed, words))
    }

    /// The verdict where the guest or QEMU said why it ended.
    fn guests_own_end(&self, state: MachineState, exit: &Exit) -> Option<Verdict> {
        use MachineState::{Crashed, Failed, Starting, Stopped};
        let quiet = Verdict {
            message: None,
            ..Verdict::new(Stopped, "")
        };
        let when_asked = Verdict::new(Stopped, "It stopped when asked.");
        // A guest may end before QEMU was asked anything; then its good end is all that is known.
        let too_fast = state == Starting && *exit == Exit::Code(0);
        let reason = self
            .shutdown
            .as_deref()
            .or(too_fast.then_some("guest-shutdown"));
        let exit_status = self.exit_status();
        let said_end =
            self.ended.is_some() || self.powering_off || reason == Some("guest-shutdown");

        let failed = self.failure.is_some() || exit_status.is_some_and(|status| status != 0);
        if failed && said_end {
            // A guest that was asked to stop ends its programs by a signal: no failure of theirs.
            if self.asked {
                return Some(Verdict {
                    exit_status,
                    ..when_asked
                });
            }
            let words = [&self.failure, &self.panic, &self.cause]
                .into_iter()
                .flatten()
                .next();
            let verdict = match (words.cloned(), exit_status) {
                (Some(words), _) => Verdict::words(Failed, words),
                (None, Some(status)) => {
                    Verdict::new(Failed, &format!("It ended with status {status}."))
                }
                (None, None) => Verdict::new(Failed, "It failed."),
            };
            return Some(Verdict {
                exit_status,
                ..verdict
            });
        }
        if said_end {
            let verdict = if self.asked && exit_status.is_none() {
                when_asked
            } else {
                quiet
            };
            return Some(Verdict {
                exit_status,
                ..verdict
            });
        }
        match reason {
            Some("guest-reset") => Some(Verdict {
                remedy: Some("Its console has its last words.".to_owned()),
                ..Verdict::new(Crashed, "The guest reset itself, as it does after a fault.")
            }),
            Some("host-qmp-quit") => Some(Verdict::new(Stopped, "It was switched off.")),
            Some("host-signal") => Some(Verdict::new(
                Stopped,
                "It was ended from outside (say, because this computer was shut down).",
            )),
            _ if self.asked && matches!(exit, Exit::Code(0) | Exit::Unseen | Exit::Unknown) => {
                Some(when_asked)
            }
            _ => None,
        }
    }
}
