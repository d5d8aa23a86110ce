//! Running the commands: starting them when their time comes, carrying their output, reaping, stopping.
//!
//! One loop, one thread. It sleeps until a terminal has output, a process has ended, a key was pressed, or the time that
//! programs have for ending is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, wait};
use windlass_guest::CommandLine;
use windlass_guest::agent::Refusal;
use windlass_guest::command_line::Terminator;
use windlass_guest::report::Report;

use super::events::Events;
use super::plan::Plan;
use super::processes::{self, Process};
use super::program;
use super::schedule::{Schedule, Step};
use super::spawn::{self, Outcome};
use super::terminal::Terminal;
use crate::agent::{Wish, programs};
use crate::console::Console;

/// How long programs may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end them after SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// How a run of the plan ended.
pub(crate) enum End {
    /// Its commands have ended, or were ended, with this as the guest's exit status.
    Status(i32),
    /// The agent wants it to begin again, with this plan.
    Restart(Box<Restart>),
}

/// A plan that takes the place of the one that ran.
pub(crate) struct Restart {
    pub line: CommandLine,
    pub plan: Plan,
    pub wish: Wish,
}

/// Makes a plan from a command line.
pub(crate) type Planner<'a> = &'a dyn Fn(&CommandLine) -> Result<Plan, String>;

/// Runs the plan to its end.
pub(crate) fn run(
    line: &CommandLine,
    plan: Plan,
    planner: Planner<'_>,
    events: &mut Events,
    console: &mut Console,
) -> End {
    let schedule = Schedule::new(plan.commands.iter().map(|command| command.end));
    let mut supervisor = Supervisor {
        line,
        plan,
        planner,
        console,
        schedule,
        events,
        running: BTreeMap::new(),
        helpers: BTreeMap::new(),
        terminals: Vec::new(),
        stop: None,
        is_stop_asked: false,
        has_told_leftovers: false,
        restart: None,
    };
    if let Some(redirect) = supervisor.plan.redirect.as_ref()
        && let Err(error) = redirect.begin()
    {
        let message = format!("no output can go to {}: {error}", redirect.path);
        supervisor.console.report(&Report::Warning { message });
    }
    supervisor.run();
    match supervisor.restart {
        Some(restart) if !supervisor.is_stop_asked => End::Restart(restart),
        _ => End::Status(supervisor.schedule.status()),
    }
}

struct Supervisor<'a> {
    line: &'a CommandLine,
    plan: Plan,
    planner: Planner<'a>,
    console: &'a mut Console,
    schedule: Schedule,
    events: &'a mut Events,
    /// The commands that run, by number.
    running: BTreeMap<usize, Running>,
    /// The helpers that lead the commands' sessions; they stay until their session is empty.
    helpers: BTreeMap<i32, usize>,
    /// Our ends of the commands' terminals.
    terminals: Vec<Terminal>,
    stop: Option<Stop>,
    is_stop_asked: bool,
    has_told_leftovers: bool,
    /// What comes when all programs have ended.
    restart: Option<Box<Restart>>,
}

/// A command that runs.
struct Running {
    helper: Pid,
    /// Where its end is told.
    status: File,
}

/// How far the end has come.
struct Stop {
    deadline: Instant,
    is_killing: bool,
}

impl Supervisor<'_> {
    fn run(&mut self) {
        loop {
            self.reap();
            if self.advance() {
                break;
            }
            self.wait();
            if self.events.take() {
                self.begin_stop(true);
            }
            while let Some(wish) = self.events.wish() {
                self.begin_restart(wish);
            }
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
                self.terminals.push(Terminal::new(index, file));
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
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            programs::reaped(pid, status);
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
        // What ends for a restart is not worth a word.
        if self.restart.is_none() {
            self.console.report(&report);
        }
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

    /// Ends the programs so that the commands can begin again, if there will be any to begin.
    fn begin_restart(&mut self, wish: Wish) {
        if self.schedule.is_stopping() {
            let message = "the guest is about to end".to_owned();
            return wish.refuse(Refusal::Ending, message);
        }
        let line = match wish.command_line.as_deref().map(CommandLine::parse) {
            None => Ok(self.line.clone()),
            Some(line) => line.map_err(|error| error.to_string()),
        };
        let planned = line.and_then(|line| {
            let plan = (self.planner)(&line)?;
            Ok((line, plan))
        });
        match planned {
            Ok((line, plan)) => {
                self.restart = Some(Box::new(Restart { line, plan, wish }));
                self.begin_stop(false);
            }
            Err(reason) => {
                let message = format!("the commands cannot begin again: {reason}");
                wish.refuse(Refusal::Invalid, message);
            }
        }
    }

    /// True when everything has ended, or will not end.
    fn advance_stop(&mut self) -> bool {
        let left = self.programs();
        // The helpers of one plan are not to be met by the next.
        let has_helpers = self.restart.is_some() && !self.helpers.is_empty();
        if left.is_empty() && self.running.is_empty() && !has_helpers {
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
        let mut polled = self.events.to_poll();
        polled.extend(
            self.running
                .values()
                .map(|running| PollFd::new(&running.status, PollFlags::IN)),
        );
        if !self.console.is_full() {
            polled.extend(self.terminals.iter().filter_map(Terminal::to_poll));
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
            terminal.carry(self.console);
        }
        let running = &self.running;
        self.terminals
            .retain(|terminal| terminal.is_open() || running.contains_key(&terminal.index));
    }

    fn carry_output_of(&mut self, index: usize) {
        for terminal in self
            .terminals
            .iter_mut()
            .filter(|terminal| terminal.index == index)
        {
            terminal.carry_all(self.console);
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
            terminal.type_in(&typed);
        }
    }
}

/// The words that a program is given: its name first, as it was written.
fn command_words(plan: &Plan, index: usize) -> Vec<String> {
    plan.commands
        .get(index)
        .map(|command| command.words.clone())
        .unwrap_or_default()
}
