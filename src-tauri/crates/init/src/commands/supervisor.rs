//! Running the commands: starting them when their time comes, carrying their output, reaping, stopping.
//!
//! One loop, one thread. It sleeps until a terminal has output, a process has ended, a key was pressed, or the time that
//! programs have for ending is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, WaitOptions, wait};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use windlass_guest::command_line::Terminator;
use windlass_guest::report::Report;

use super::plan::Plan;
use super::processes::{self, Process};
use super::program;
use super::schedule::{Schedule, Step};
use super::spawn::{self, Outcome};
use crate::console::Console;

/// How long programs may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end them after SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// How much of a terminal's output is carried before the others have their turn.
const TURN_BYTES: usize = 64 << 10;

/// `struct input_event` of a 64-bit kernel: 16 bytes of time, type, code, value.
const KEY_EVENT_BYTES: usize = 24;
const EVENT_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// Runs the plan to its end; gives the guest's exit status.
pub(crate) fn run(plan: Plan, console: &mut Console) -> i32 {
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            let message = format!("cannot listen for signals: {error}");
            console.report(&Report::Failed { message });
            return 1;
        }
    };
    let schedule = Schedule::new(plan.commands.iter().map(|command| command.end));
    let mut supervisor = Supervisor {
        plan,
        console,
        schedule,
        signals,
        power_keys: power_keys(),
        running: BTreeMap::new(),
        helpers: BTreeMap::new(),
        terminals: Vec::new(),
        stop: None,
        is_stop_asked: false,
        has_told_leftovers: false,
    };
    supervisor.run();
    supervisor.schedule.status()
}

struct Supervisor<'a> {
    plan: Plan,
    console: &'a mut Console,
    schedule: Schedule,
    signals: Signals,
    power_keys: Vec<File>,
    /// The commands that run, by number.
    running: BTreeMap<usize, Running>,
    /// The helpers that lead the commands' sessions; they stay until their session is empty.
    helpers: BTreeMap<i32, usize>,
    /// Our ends of the commands' terminals.
    terminals: Vec<Terminal>,
    stop: Option<Stop>,
    is_stop_asked: bool,
    has_told_leftovers: bool,
}

/// A command that runs.
struct Running {
    helper: Pid,
    /// Where its end is told.
    status: File,
}

/// Our end of a command's terminal.
struct Terminal {
    index: usize,
    file: File,
    /// Nobody has the other end open. Closing ours would be a SIGHUP to the command, which may still run.
    is_silent: bool,
}

/// How far the end has come.
struct Stop {
    deadline: Instant,
    is_killing: bool,
}

/// Signals as bytes in sockets, so that they can be polled.
struct Signals {
    children: UnixStream,
    end: UnixStream,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let (children, children_sender) = UnixStream::pair()?;
        let (end, end_sender) = UnixStream::pair()?;
        children.set_nonblocking(true)?;
        end.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGCHLD, children_sender)?;
        // SIGINT is Ctrl+Alt+Del; SIGTERM is what a program in the image may send.
        for signal in [SIGINT, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, end_sender.try_clone()?)?;
        }
        Ok(Self { children, end })
    }
}

/// Whether anything was there to be read.
fn drain(stream: &mut UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut has_read = false;
    while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {
        has_read = true;
    }
    has_read
}

impl Supervisor<'_> {
    fn run(&mut self) {
        loop {
            self.reap();
            if self.advance() {
                break;
            }
            self.wait();
            if drain(&mut self.signals.end) | self.is_power_key_pressed() {
                self.begin_stop(true);
            }
            drain(&mut self.signals.children);
            self.carry_output();
            self.carry_input();
            self.console.flush();
        }
        self.carry_output();
    }

    /// Does all that can be done now; true when there is nothing left to do or to wait for.
    fn advance(&mut self) -> bool {
        loop {
            match self.schedule.next() {
                Step::Start(index) => self.start(index),
                Step::Wait => return false,
                Step::Leftovers => {
                    let left = self.attached_programs();
                    if !left.is_empty() {
                        self.tell_leftovers(&left);
                        return false;
                    }
                    self.begin_stop(false);
                }
                Step::Stop => return self.advance_stop(),
            }
        }
    }

    fn start(&mut self, index: usize) {
        let total = self.plan.commands.len();
        let command = self.plan.commands[index].clone();
        let name = command.words.first().cloned().unwrap_or_default();
        let search_path = self.plan.environment.get("PATH").map_or("", String::as_str);
        let number = index + 1;
        let started = program::find(&name, search_path).and_then(|path| {
            // Told before it starts, so that its output comes after.
            let command = command.to_string();
            self.console.report(&Report::CommandStarted {
                index: number,
                total,
                command,
            });
            spawn::start(&path, &command_words(&self.plan, index), &self.plan).map_err(|reason| {
                program::Fault {
                    status: program::STATUS_NOT_EXECUTABLE,
                    reason,
                }
            })
        });
        match started {
            Ok(started) => {
                self.schedule.started(index);
                self.helpers
                    .insert(started.helper.as_raw_nonzero().get(), index);
                let running = Running {
                    helper: started.helper,
                    status: started.status,
                };
                self.running.insert(index, running);
                let file = started.terminal;
                self.terminals.push(Terminal {
                    index,
                    file,
                    is_silent: false,
                });
            }
            Err(fault) => {
                let report = Report::CommandNotStarted {
                    index: number,
                    total,
                    command: name,
                    reason: fault.reason,
                };
                self.console.report(&report);
                self.schedule.ended(index, fault.status);
                // As OSv: what cannot be loaded ends the guest.
                self.begin_stop(false);
            }
        }
    }

    /// Takes note of every command that has ended, and of every process that is ours by inheritance.
    fn reap(&mut self) {
        let mut ended = Vec::new();
        for (index, running) in &mut self.running {
            let mut text = String::new();
            match running.status.read_to_string(&mut text) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && text.is_empty() => {}
                _ => ended.push((*index, Outcome::read(&text))),
            }
        }
        for (index, outcome) in ended {
            self.end(index, outcome);
        }
        while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
            self.helpers.remove(&pid.as_raw_nonzero().get());
        }
    }

    fn end(&mut self, index: usize, outcome: Outcome) {
        self.carry_output_of(index);
        let Some(running) = self.running.remove(&index) else {
            return;
        };
        let (number, total) = (index + 1, self.plan.commands.len());
        let command = self.plan.commands[index]
            .words
            .first()
            .cloned()
            .unwrap_or_default();
        let (report, status) = match outcome {
            Outcome::Killed(signal) => (
                Report::CommandKilled {
                    index: number,
                    total,
                    command,
                    signal,
                },
                128 + signal,
            ),
            Outcome::Exited(status) => (
                Report::CommandExited {
                    index: number,
                    total,
                    command,
                    status,
                },
                status,
            ),
        };
        self.console.report(&report);
        // A command that was ended because another could not start, or because it was detached, has not failed;
        // one that the host's wish ended has not done its work either, and says so by its status.
        let end = self.plan.commands[index].end;
        let is_ended_by_us =
            self.schedule.is_stopping() && (end == Terminator::Detached || !self.is_stop_asked);
        self.schedule
            .ended(index, if is_ended_by_us { 0 } else { status });
        if end == Terminator::Abandon {
            self.end_session(running.helper);
        }
    }

    /// The programs that run, without the helpers.
    fn programs(&self) -> Vec<Process> {
        processes::running(&self.helpers.keys().copied().collect())
    }

    /// Ends what a command has left behind in its session.
    fn end_session(&self, leader: Pid) {
        let session = leader.as_raw_nonzero().get();
        let mut left = self.programs();
        left.retain(|process| process.session == session);
        processes::signal(&left, Signal::KILL);
    }

    /// The programs that do not belong to detached commands.
    fn attached_programs(&self) -> Vec<Process> {
        let is_detached = |index: &usize| self.plan.commands[*index].end == Terminator::Detached;
        let sessions: BTreeSet<i32> = self
            .helpers
            .iter()
            .filter(|(_, index)| is_detached(index))
            .map(|(helper, _)| *helper)
            .collect();
        let mut programs = self.programs();
        programs.retain(|process| !sessions.contains(&process.session));
        programs
    }

    fn tell_leftovers(&mut self, left: &[Process]) {
        if std::mem::replace(&mut self.has_told_leftovers, true) {
            return;
        }
        let mut names: Vec<&str> = left.iter().map(|process| process.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let message = format!(
            "all commands have ended, but they left programs running, and the guest waits for them: {}",
            names.join(", ")
        );
        self.console.report(&Report::Warning { message });
    }

    fn begin_stop(&mut self, is_asked: bool) {
        if is_asked && !self.schedule.is_stopping() {
            self.is_stop_asked = true;
            self.console.report(&Report::Stopping);
        }
        self.schedule.stop();
        if self.stop.is_none() {
            processes::signal(&self.programs(), Signal::TERM);
            self.stop = Some(Stop {
                deadline: Instant::now() + GRACE,
                is_killing: false,
            });
        }
    }

    /// True when everything has ended, or will not end.
    fn advance_stop(&mut self) -> bool {
        let left = self.programs();
        if left.is_empty() && self.running.is_empty() {
            return true;
        }
        let Some(stop) = &mut self.stop else {
            return true;
        };
        if Instant::now() < stop.deadline {
            return false;
        }
        if stop.is_killing {
            return true;
        }
        processes::signal(&left, Signal::KILL);
        *stop = Stop {
            deadline: Instant::now() + KILL_GRACE,
            is_killing: true,
        };
        false
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        let mut polled = vec![
            PollFd::new(&self.signals.children, PollFlags::IN),
            PollFd::new(&self.signals.end, PollFlags::IN),
        ];
        polled.extend(
            self.running
                .values()
                .map(|running| PollFd::new(&running.status, PollFlags::IN)),
        );
        polled.extend(
            self.power_keys
                .iter()
                .map(|file| PollFd::new(file, PollFlags::IN)),
        );
        if !self.console.is_full() {
            let heard = self.terminals.iter().filter(|terminal| !terminal.is_silent);
            polled.extend(heard.map(|terminal| PollFd::new(&terminal.file, PollFlags::IN)));
        }
        for (position, input) in self.console.inputs().into_iter().enumerate() {
            let Some(input) = input else { continue };
            let mut events = PollFlags::IN;
            if position == 0 && self.console.has_pending() {
                events |= PollFlags::OUT;
            }
            polled.push(PollFd::from_borrowed_fd(input, events));
        }
        // Processes that are not our children end without a word to us.
        let left = self.stop.as_ref().map(|stop| {
            let left = stop.deadline.saturating_duration_since(Instant::now());
            left.min(Duration::from_millis(50))
        });
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        // An interruption is a signal, and those are in the list.
        let _ = poll(&mut polled, timeout.as_ref());
    }

    /// Carries what the terminals have; drops those that no process holds any more.
    fn carry_output(&mut self) {
        for terminal in &mut self.terminals {
            if !self.console.is_full() && !terminal.is_silent {
                terminal.is_silent = !carry(&mut terminal.file, self.console);
            }
        }
        let running = &self.running;
        self.terminals
            .retain(|terminal| !terminal.is_silent || running.contains_key(&terminal.index));
    }

    fn carry_output_of(&mut self, index: usize) {
        for terminal in self
            .terminals
            .iter_mut()
            .filter(|terminal| terminal.index == index)
        {
            // What a program has printed before its end is all there, and not much: a terminal holds some pages.
            while carry(&mut terminal.file, self.console) && has_output(&terminal.file) {}
        }
    }

    /// Gives what was typed to the command that was started last.
    fn carry_input(&mut self) {
        let typed = self.console.read_input();
        let newest = self.running.keys().next_back().copied();
        let terminal = self
            .terminals
            .iter_mut()
            .rfind(|terminal| Some(terminal.index) == newest);
        if let (false, Some(terminal)) = (typed.is_empty(), terminal) {
            let _ = terminal.file.write_all(&typed);
        }
    }

    fn is_power_key_pressed(&mut self) -> bool {
        let mut is_pressed = false;
        for file in &mut self.power_keys {
            let mut events = [0; KEY_EVENT_BYTES * 16];
            while let Ok(count) = file.read(&mut events) {
                if count == 0 {
                    break;
                }
                is_pressed |= events[..count]
                    .chunks_exact(KEY_EVENT_BYTES)
                    .any(is_power_key);
            }
        }
        is_pressed
    }
}

/// The words that a program is given: its name first, as it was written.
fn command_words(plan: &Plan, index: usize) -> Vec<String> {
    plan.commands
        .get(index)
        .map(|command| command.words.clone())
        .unwrap_or_default()
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

/// The input devices, one of which is the power button; the keyboard is among them and does not disturb.
fn power_keys() -> Vec<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let open = |path| {
        fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .ok()
    };
    let entries = fs::read_dir("/dev/input").into_iter().flatten().flatten();
    let events = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"event"));
    events.filter_map(|entry| open(entry.path())).collect()
}

fn is_power_key(event: &[u8]) -> bool {
    let number = |offset: usize| {
        event[offset..]
            .first_chunk()
            .map(|bytes| u16::from_le_bytes(*bytes))
    };
    // Zero as value is the key's release.
    number(16) == Some(EVENT_KEY) && number(18) == Some(KEY_POWER) && event[20] != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_press_of_the_power_key_counts() {
        let event = |kind: u8, code: u8, value: u8| {
            let mut bytes = [0; KEY_EVENT_BYTES];
            (bytes[16], bytes[18], bytes[20]) = (kind, code, value);
            is_power_key(&bytes)
        };
        assert!(event(1, 116, 1));
        assert!(!event(1, 116, 0));
        assert!(!event(1, 30, 1));
        assert!(!event(0, 116, 1));
    }
}
