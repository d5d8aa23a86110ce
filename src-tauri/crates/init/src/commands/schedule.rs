//! In which order the commands run: a value that is told what happened and says what is next. No process in here.
//!
//! ```text
//!            ┌──────────── Start(n) <──┐ the one before has ended, or is in the background
//!   Wait <───┤                         │
//!            └─ a command in the foreground runs, or all are started and some in the background run
//!   Leftovers    all have ended; processes that they left behind may go on
//!   Stop         only detached ones are left, or the host asked, or a command could not be started
//! ```

use windlass_guest::command_line::Terminator;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Start this command.
    Start(usize),
    /// Wait for a command to end.
    Wait,
    /// Wait for processes that ended commands have left behind; where there are none, stop.
    Leftovers,
    /// End whatever still runs.
    Stop,
}

/// Where each command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ended(i32),
}

/// The commands and where they stand.
#[derive(Debug)]
pub(super) struct Schedule {
    commands: Vec<(Terminator, State)>,
    is_stopping: bool,
}

impl Schedule {
    pub(super) fn new(terminators: impl IntoIterator<Item = Terminator>) -> Self {
        let commands = terminators
            .into_iter()
            .map(|end| (end, State::Waiting))
            .collect();
        Self {
            commands,
            is_stopping: false,
        }
    }

    pub(super) fn next(&self) -> Step {
        if self.is_stopping {
            return Step::Stop;
        }
        for (index, (end, state)) in self.commands.iter().enumerate() {
            match (end, state) {
                (_, State::Waiting) => return Step::Start(index),
                (Terminator::Sequential | Terminator::Abandon, State::Running) => {
                    return Step::Wait;
                }
                _ => {}
            }
        }
        let is_background = |(end, state): &(Terminator, State)| {
            *end == Terminator::Background && *state == State::Running
        };
        if self.commands.iter().any(is_background) {
            Step::Wait
        } else {
            Step::Leftovers
        }
    }

    pub(super) fn started(&mut self, index: usize) {
        self.set(index, State::Running);
    }

    pub(super) fn ended(&mut self, index: usize, status: i32) {
        self.set(index, State::Ended(status));
    }

    /// From now on nothing is started.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// The first status, in the order of the commands, that is not zero.
    pub(super) fn status(&self) -> i32 {
        let statuses = self.commands.iter().filter_map(|(_, state)| match state {
            State::Ended(status) => Some(*status),
            _ => None,
        });
        statuses
            .into_iter()
            .find(|status| *status != 0)
            .unwrap_or(0)
    }

    fn set(&mut self, index: usize, state: State) {
        if let Some((_, old)) = self.commands.get_mut(index) {
            *old = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(line: &str) -> Schedule {
        let line = windlass_guest::CommandLine::parse(line).unwrap();
        Schedule::new(line.commands.into_iter().map(|command| command.end))
    }

    #[test]
    fn one_after_the_other() {
        let mut schedule = schedule("/a; /b ! /c");
        for index in 0..3 {
            assert_eq!(schedule.next(), Step::Start(index));
            schedule.started(index);
            assert_eq!(schedule.next(), Step::Wait);
            schedule.ended(index, i32::try_from(index).unwrap());
        }
        assert_eq!(schedule.next(), Step::Leftovers);
        assert_eq!(schedule.status(), 1);
    }

    #[test]
    fn the_background_is_waited_for_and_the_detached_is_not() {
        let mut schedule = schedule("/a &! /b & /c");
        schedule.started(0);
        assert_eq!(schedule.next(), Step::Start(1));
        schedule.started(1);
        assert_eq!(schedule.next(), Step::Start(2));
        schedule.started(2);
        schedule.ended(2, 5);
        assert_eq!(schedule.next(), Step::Wait);
        schedule.ended(1, 7);
        assert_eq!(schedule.next(), Step::Leftovers);
        assert_eq!(schedule.status(), 7, "in the order of the commands");
    }

    #[test]
    fn nothing_is_started_once_it_stops() {
        let mut schedule = schedule("/a; /b");
        schedule.started(0);
        schedule.stop();
        schedule.ended(0, 143);
        assert_eq!(schedule.next(), Step::Stop);
        assert_eq!(schedule.status(), 143);
    }
}
