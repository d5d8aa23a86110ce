//! What the state machine decided is done here.

use std::collections::btree_map::Entry;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::sources::keep_connecting;
use super::{Connection, Driver};
use crate::cgroup;
use crate::console::{ConsoleFollower, pass_on_input};
use crate::control;
use crate::error::{Error, Result};
use crate::lifecycle::{Action, Event, Exit, Timer};
use crate::process::Process;
use crate::qmp::Command;
use crate::resources;
use crate::status::{StopStage, Stopping};
use crate::task::{answer, launch};

/// QEMU makes its sockets within a tenth of a second; on a computer that swaps, not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A QEMU that is told to quit says at once that it heard.
const HEARD_TIMEOUT: Duration = Duration::from_secs(2);
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// After a panic, the last words get this long to be written.
const HALT_DELAY: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) async fn carry_out_or_log(&mut self, actions: Vec<Action>) {
        if let Err(error) = self.carry_out(actions).await {
            tracing::warn!(id = self.shared.id, %error, "not carried out");
        }
    }

    /// Carries out actions; all of them, and reports the first that failed.
    pub(super) async fn carry_out(&mut self, actions: Vec<Action>) -> Result<()> {
        let mut result = Ok(());
        for action in actions {
            let done = Box::pin(self.carry_out_one(action)).await;
            if result.is_ok() {
                result = done;
            }
        }
        result
    }

    pub(super) async fn carry_out_one(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Launch => self.launch().await,
            Action::Pause => self.execute(vec![Command::new("stop")]).await?,
            Action::Resume => self.execute(vec![Command::new("cont")]).await?,
            Action::AskGuest => {
                self.execute(vec![control::ctrl_alt_del()]).await?;
            }
            Action::PressPower => {
                self.execute(vec![Command::new("system_powerdown")]).await?;
            }
            Action::Quit => {
                self.has_come_to(StopStage::PowerCut, QUIT_TIMEOUT);
                let quit = self.execute(vec![Command::new("quit")]);
                if !matches!(timeout(HEARD_TIMEOUT, quit).await, Ok(Ok(()))) {
                    // Nobody heard it: no reason to wait.
                    self.timers.insert(Timer::Quit, Instant::now());
                }
            }
            Action::KillProcess => {
                self.has_come_to(StopStage::Killed, KILL_TIMEOUT);
                if let Some(process) = &mut self.process {
                    process.kill();
                }
            }
            Action::LookIfHalted => {
                if let Some(qmp) = &self.qmp {
                    let registers = qmp.execute(control::registers_command()).await?;
                    let halted = registers.as_str().is_some_and(control::all_halted);
                    self.feed(Event::Halted(halted)).await;
                }
            }
            Action::Arm(timer) => {
                let delay = self.delay(timer);
                if let Entry::Vacant(entry) = self.timers.entry(timer) {
                    entry.insert(Instant::now() + delay);
                    match timer {
                        Timer::Guest => self.has_come_to(StopStage::Asked, delay),
                        Timer::Power => self.has_come_to(StopStage::PowerButton, delay),
                        _ => {}
                    }
                }
            }
            Action::Disarm(timer) => {
                self.timers.remove(&timer);
            }
        }
        Ok(())
    }

    /// Says how far a stop has come, and when it goes on.
    fn has_come_to(&mut self, stage: StopStage, delay: Duration) {
        let until = Timestamp::now() + delay;
        self.status.stopping = Some(Stopping { stage, until });
    }

    pub(super) fn delay(&self, timer: Timer) -> Duration {
        let patience = self.shared.record().spec.patience;
        match timer {
            Timer::Connect => CONNECT_TIMEOUT,
            Timer::Guest => Duration::from_millis(patience.stop_ms),
            Timer::Power => Duration::from_millis(patience.power_ms),
            Timer::Quit => QUIT_TIMEOUT,
            Timer::Kill => KILL_TIMEOUT,
            Timer::Address => Duration::from_millis(patience.address_ms),
            Timer::Halt => HALT_DELAY,
        }
    }

    pub(super) async fn execute(&self, commands: Vec<Command>) -> Result<()> {
        let Some(qmp) = &self.qmp else {
            return Err(Error::NoAnswer {
                what: "its monitor".to_owned(),
            });
        };
        for command in commands {
            qmp.execute(command).await?;
        }
        Ok(())
    }

    pub(super) async fn launch(&mut self) {
        let Some(probe) = self.probe.clone() else {
            return;
        };
        self.attempts += 1;
        match launch::launch(&self.shared, &probe).await {
            Ok(launched) => {
                self.status.ports = launched.ports;
                self.status.networks = launched.networks;
                self.helpers = launched.helpers;
                self.process = Some(launched.process);
                self.connecting = Some(keep_connecting(&launched.sockets));
                let start = self.shared.record().run.map_or(0, |run| run.console_start);
                let log = self.shared.folder.console_log();
                self.follower = ConsoleFollower::open(&log, start).ok();
                self.sockets = Some(launched.sockets);
            }
            Err(error) => {
                let exit = Exit::NotStarted {
                    message: error.to_string(),
                    remedy: error.hint(),
                };
                self.start_error = Some(error);
                self.end(exit).await;
            }
        }
    }

    pub(super) async fn connected(&mut self, (qmp, events): Connection) {
        self.qmp = Some(qmp);
        self.events = Some(events);
        let Some(running) = self.is_running().await else {
            // It ended in this moment; its process' end will tell.
            self.qmp = None;
            return;
        };
        if let Some(sockets) = self.sockets.clone() {
            self.input = Some(AbortOnDropHandle::new(tokio::spawn(pass_on_input(sockets))));
        }
        // What it was given it keeps when somebody else takes it over.
        if self.start_reply.is_some()
            && let Some(qmp) = &self.qmp
        {
            let spec = self.shared.record().spec;
            let mut problems = resources::apply(qmp, &spec).await;
            if let Some(key) = self.process.as_ref().and_then(Process::key) {
                let group = cgroup::name(&self.shared.folder);
                let limited = cgroup::limit(key.pid, &group, &spec.resources).await;
                problems.extend(limited.err());
            }
            for problem in problems {
                tracing::warn!(id = self.shared.id, problem);
                self.status.notices.push(problem);
            }
        }
        self.feed(Event::Connected { running }).await;
        if let Some(reply) = self.start_reply.take() {
            answer(reply, Ok(()));
        }
    }
}
