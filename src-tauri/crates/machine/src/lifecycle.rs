//! The state machine of one machine: decisions only, no I/O.
//!
//! ```text
//!                    start                  QMP answers
//!   created ─────────────────▶ starting ───────────────▶ running ◀──────────▶ paused
//!      ▲                          │ ▲                     │   pause, resume      │
//!      │ create                   │ │                     │                      │
//!                                 │ │ start               │ stop, kill, ACPI,    │
//!        could not be started ────┤ │                     │ SHUTDOWN             │
//!                                 │ │                     ▼                      │
//!                                 │ │                  stopping ◀────────────────┘
//!                                 │ │                     │
//!                                 │ │                     │ QEMU's process is gone (from any live state)
//!                                 ▼ │                     ▼
//!                  stopped │ failed │ crashed │ lost  ◀── the verdict
//! ```
//!
//! - *Stop* goes through stages, each after a time: [`stop`].
//! - A machine leaves the live states only when its process is gone, never by what it says of itself. What it was told
//!   and what was seen on the way is evidence ([`Evidence`]); the verdict is drawn from it at the end.
//! - A guest that says it panicked may be right, or a program may have printed those words. So its processors are looked
//!   at: only when all of them are halted with interrupts off, which nothing but a reset ends, is it given up.
//!
//! The driver feeds in requests, QEMU's events, notices from the console, the end of the process and its own timers, and
//! carries out the [`Action`]s. Any order of inputs is allowed; those that make no sense any more change nothing.

mod evidence;
mod stop;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use windlass_guest::Notice;

use evidence::Words;
pub(crate) use evidence::{Evidence, Exit, Verdict};

use crate::status::MachineState;

/// A guest that seems dead is looked at this many times before it is left to the user.
const HALT_CHECKS_MAX: u32 = 5;

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Start,
    Pause,
    Resume,
    Stop,
    Kill,
}

impl Request {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Kill => "switch off",
        }
    }
}

/// What the user wanted last of a run: its end is judged by that, whoever sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Wish {
    /// That the guest stops.
    Stop,
    /// That its power is cut.
    Kill,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// QEMU answered for the first time; whether its processors run.
    Connected { running: bool },
    /// QEMU's process is there, but it does not answer.
    Unreachable,
    /// The processors were stopped (`STOP`).
    Paused,
    /// They go on (`RESUME`).
    Resumed,
    /// The guest's power button was pressed (`POWERDOWN`), by us or by another process.
    PowerButton,
    /// The guest is over and QEMU is ending (`SHUTDOWN`).
    ShutDown { reason: String },
    /// The guest told `pvpanic` (`GUEST_PANICKED`).
    Panicked,
    /// A disk could not be read or written, and the processors were stopped for it (`BLOCK_IO_ERROR`).
    DiskError {
        reason: String,
        /// There is no room left for it.
        full: bool,
    },
    /// The console told something.
    Noticed(Notice),
    /// All processors were looked at; whether they are halted for good.
    Halted(bool),
    /// The process is gone.
    Gone(Exit),
    /// A timer that was armed ran out.
    TimeUp(Timer),
}

/// What the driver waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// QEMU's first answer.
    Connect,
    /// The guest's own end, after it was asked.
    Guest,
    /// The guest's own end, after its power button was pressed.
    Power,
    /// QEMU's end, after it was told to quit.
    Quit,
    /// The process' end, after it was killed.
    Kill,
    /// The guest's address.
    Address,
    /// The moment to look whether the guest is dead.
    Halt,
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Launch,
    Pause,
    Resume,
    AskGuest,
    PressPower,
    Quit,
    KillProcess,
    LookIfHalted,
    Arm(Timer),
    Disarm(Timer),
}

/// What matters of a guest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// It will say an address.
    pub(crate) has_network: bool,
    /// It can be asked to stop otherwise than by its power button.
    pub(crate) hears: bool,
}

/// A machine's state and what led to it.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle {
    state: MachineState,
    guest: Guest,
    evidence: Evidence,
    halt_checks: u32,
    verdict: Option<Verdict>,
    advice: Option<Advice>,
}

/// Something the user should know while the machine lives.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Advice {
    about: About,
    message: String,
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Address,
    Guest,
    Qemu,
    Disk,
    Stopping,
}

impl Lifecycle {
    /// A machine that was found in `state`; live states are for a QEMU that is to be taken over, from somebody who
    /// had been told `wish`.
    pub(crate) fn new(state: MachineState, guest: Guest, wish: Option<Wish>) -> Self {
        Self {
            state,
            guest,
            evidence: Evidence::of(wish),
            halt_checks: 0,
            verdict: None,
            advice: None,
        }
    }

    pub(crate) fn state(&self) -> MachineState {
        self.state
    }

    /// What the user wanted last of this run.
    pub(crate) fn wish(&self) -> Option<Wish> {
        match &self.evidence {
            Evidence { killed: true, .. } => Some(Wish::Kill),
            Evidence { asked: true, .. } => Some(Wish::Stop),
            _ => None,
        }
    }

    /// How the run ended, once it has.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// What to tell the user: message and remedy.
    pub(crate) fn words(&self) -> (Option<String>, Option<String>) {
        match (&self.verdict, &self.advice) {
            (Some(verdict), _) => (verdict.message.clone(), verdict.remedy.clone()),
            (None, Some(advice)) => (Some(advice.message.clone()), advice.remedy.clone()),
            (None, None) => (None, None),
        }
    }

    /// The machine was found live and taken over: what its last driver was waiting for has to be waited for again.
    pub(crate) fn taken_over(&mut self) -> Vec<Action> {
        match self.state {
            MachineState::Stopping => match self.wish() {
                Some(Wish::Stop) => self.was_asked(),
                Some(Wish::Kill) => self.quit("Its power is being cut."),
                // It was ending by itself.
                None => vec![Action::Arm(Timer::Quit)],
            },
            MachineState::Starting => vec![Action::Arm(Timer::Connect)],
            // It said so while nobody looked whether that is true.
            _ if self.evidence.panic.is_some() => vec![Action::Arm(Timer::Halt)],
            _ => Vec::new(),
        }
    }

    /// Takes a request; `Err` is the state that does not allow it, and nothing has changed then.
    pub(crate) fn request(&mut self, request: Request) -> Result<Vec<Action>, MachineState> {
        use MachineState::{Paused, Running, Starting, Stopping};
        let actions = match (request, self.state) {
            (Request::Start, state) if !state.is_live() => {
                *self = Self::new(Starting, self.guest, None);
                vec![Action::Launch, Action::Arm(Timer::Connect)]
            }
            (Request::Pause, Running) => vec![Action::Pause],
            (Request::Resume, Paused) => vec![Action::Resume],
            (Request::Stop, Running) => self.ask_guest(Vec::new()),
            (Request::Stop, Paused) => self.ask_guest(vec![Action::Resume]),
            (Request::Stop, Stopping) => Vec::new(),
            (Request::Stop | Request::Kill, Starting) => {
                self.evidence.killed = true;
                self.kill_process()
            }
            (Request::Kill, Running | Paused | Stopping) => {
                self.evidence.killed = true;
                self.quit("Its power is being cut.")
            }
            (_, state) => return Err(state),
        };
        Ok(actions)
    }

    /// Takes what happened, and says what is to be done about it.
    pub(crate) fn event(&mut self, event: Event) -> Vec<Action> {
        if !self.state.is_live() {
            return Vec::new();
        }
        match event {
            Event::Connected { running } => self.connected(running),
            Event::Unreachable => {
                self.advise(
                    About::Qemu,
                    "QEMU runs, but does not answer.".to_owned(),
                    Some("Switch the machine off and start it again.".to_owned()),
                );
                Vec::new()
            }
            Event::Paused => self.paused(),
            Event::Resumed => {
                if self.state == MachineState::Paused {
                    self.state = MachineState::Running;
                    self.withdraw(About::Disk);
                }
                Vec::new()
            }
            Event::PowerButton => match self.state {
                MachineState::Running | MachineState::Paused => self.was_asked(),
                _ => Vec::new(),
            },
            Event::ShutDown { reason } => {
                self.evidence.shutdown.get_or_insert(reason);
                self.state = MachineState::Stopping;
                vec![
                    Action::Disarm(Timer::Guest),
                    Action::Disarm(Timer::Power),
                    Action::Arm(Timer::Quit),
                ]
            }
            Event::Panicked => {
                self.evidence.panicked = true;
                Vec::new()
            }
            Event::DiskError { reason, full } => {
                let (what, remedy) = if full {
                    (
                        "its disk cannot be written",
                        "Free some space on this computer's disk, then resume it.",
                    )
                } else {
                    (
                        "one of its disks does not work any more",
                        "See to it that what the disk is on is there and sound, then resume it. \
                         Where it was taken away and has come back, stop the machine and start it again.",
                    )
                };
                self.advise(
                    About::Disk,
                    format!("The guest was paused because {what}: {reason}."),
                    Some(remedy.to_owned()),
                );
                Vec::new()
            }
            Event::Noticed(notice) => self.noticed(&notice),
            Event::Halted(halted) => self.looked(halted),
            Event::Gone(exit) => self.gone(exit),
            Event::TimeUp(timer) => self.time_up(timer),
        }
    }

    fn connected(&mut self, running: bool) -> Vec<Action> {
        if self.state != MachineState::Stopping {
            self.state = if running {
                MachineState::Running
            } else {
                MachineState::Paused
            };
        }
        self.withdraw(About::Qemu);
        let mut actions = vec![Action::Disarm(Timer::Connect)];
        if self.guest.has_network && !self.evidence.has_address {
            actions.push(Action::Arm(Timer::Address));
        }
        actions
    }

    fn paused(&mut self) -> Vec<Action> {
        if self.state == MachineState::Running {
            self.state = MachineState::Paused;
        }
        Vec::new()
    }

    fn noticed(&mut self, notice: &Notice) -> Vec<Action> {
        self.evidence.noticed(notice);
        match notice {
            Notice::Address { .. } => {
                self.withdraw(About::Address);
                return vec![Action::Disarm(Timer::Address)];
            }
            Notice::NoAddress { .. } => {
                self.advise_of(About::Address, notice);
                return vec![Action::Disarm(Timer::Address)];
            }
            Notice::Panic { .. } => {
                self.advise_of(About::Guest, notice);
                self.halt_checks = 0;
                return vec![Action::Arm(Timer::Halt)];
            }
            notice if notice.remedy().is_some() => {
                self.advise_of(About::Guest, notice);
            }
            _ => {}
        }
        Vec::new()
    }

    fn looked(&mut self, halted: bool) -> Vec<Action> {
        if halted && self.state != MachineState::Stopping {
            self.evidence.halted = true;
            return self.quit("The guest has halted; its power is being cut.");
        }
        self.halt_checks += 1;
        if self.evidence.panic.is_some() && self.halt_checks < HALT_CHECKS_MAX {
            return vec![Action::Arm(Timer::Halt)];
        }
        Vec::new()
    }

    fn gone(&mut self, exit: Exit) -> Vec<Action> {
        let verdict = self.evidence.verdict(self.state, exit);
        self.state = verdict.state;
        self.verdict = Some(verdict);
        self.advice = None;
        [
            Timer::Connect,
            Timer::Guest,
            Timer::Power,
            Timer::Quit,
            Timer::Kill,
            Timer::Address,
            Timer::Halt,
        ]
        .map(Action::Disarm)
        .to_vec()
    }

    fn time_up(&mut self, timer: Timer) -> Vec<Action> {
        match timer {
            Timer::Connect if self.state == MachineState::Starting => {
                self.evidence.silent = true;
                self.kill_process()
            }
            Timer::Guest if self.state == MachineState::Stopping => self.press_power(),
            Timer::Power if self.state == MachineState::Stopping => {
                self.evidence.cut = true;
                self.quit("The guest did not stop by itself in time; its power is being cut.")
            }
            Timer::Quit => {
                self.evidence.cut = true;
                self.kill_process()
            }
            Timer::Kill => {
                self.advise(
                    About::Stopping,
                    "QEMU's process does not go away, not even killed.".to_owned(),
                    Some("It may be waiting for a disk or network that is gone; it ends when that comes back.".to_owned()),
                );
                Vec::new()
            }
            Timer::Address => {
                self.advise(
                    About::Address,
                    "The guest has not got an address, as far as its console tells.".to_owned(),
                    Some("Look at its console. A guest that waits for DHCP for ever is run without a network card, or with an address of its own.".to_owned()),
                );
                vec![Action::LookIfHalted]
            }
            Timer::Halt => vec![Action::LookIfHalted],
            Timer::Connect | Timer::Guest | Timer::Power => Vec::new(),
        }
    }

    fn advise(&mut self, about: About, message: String, remedy: Option<String>) {
        self.advice = Some(Advice {
            about,
            message,
            remedy,
        });
    }

    fn advise_of(&mut self, about: About, notice: &Notice) {
        let Words { message, remedy } = Words::of(notice);
        self.advise(about, message, remedy);
    }

    fn withdraw(&mut self, about: About) {
        if self
            .advice
            .as_ref()
            .is_some_and(|advice| advice.about == about)
        {
            self.advice = None;
        }
    }
}
