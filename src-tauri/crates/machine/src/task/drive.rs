//! Driving a live machine: events in, decisions by [`Lifecycle`], actions out.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use windlass_guest::{Notice, Recogniser};

use crate::console::{ConsoleFollower, pass_on_input};
use crate::control;
use crate::error::{Error, Result};
use crate::failure;
use crate::lifecycle::{Action, Event, Exit, Lifecycle, Request, Timer};
use crate::paths::Sockets;
use crate::probe::Probe;
use crate::process::Process;
use crate::qmp::{Command, Qmp, QmpEvent};
use crate::record::{Durability, ProcessKey};
use crate::status::{MachineState, Status};
use crate::task::{Message, Reply, Shared, answer, elsewhere, launch};

/// QEMU makes its sockets within a tenth of a second; on a computer that swaps, not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_INTERVAL: Duration = Duration::from_millis(4);
/// A QEMU that was found and does not greet is taken as hung.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// A QEMU that is told to quit says at once that it heard.
const HEARD_TIMEOUT: Duration = Duration::from_secs(2);
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// After a panic, the last words get this long to be written.
const HALT_DELAY: Duration = Duration::from_secs(1);
/// A free port that was chosen may be taken before QEMU binds it.
const ATTEMPTS_MAX: u32 = 4;
/// What is kept of the guest's notices.
const NOTICES_MAX: usize = 100;
/// What is read again of a console when a machine is taken over: its beginning and its end.
const REPLAY_MAX_BYTES: u64 = 8 << 20;
/// What is read of QEMU's own output.
const QEMU_LOG_MAX_BYTES: usize = 64 << 10;

type Connection = (Qmp, broadcast::Receiver<QmpEvent>);

/// Why driving ended.
#[derive(Debug)]
pub(super) enum Left {
    /// QEMU is gone, and the record says how.
    Ended,
    /// We are closing; QEMU goes on.
    Cancelled,
    /// QEMU is gone because the machine is to be deleted.
    Delete(Reply<()>),
}

/// A live machine in our hands.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    _lock: File,
    lifecycle: Lifecycle,
    status: Status,
    probe: Option<Probe>,
    attempts: u32,
    sockets: Option<Sockets>,
    process: Option<Process>,
    connecting: Option<JoinHandle<io::Result<Connection>>>,
    qmp: Option<Qmp>,
    events: Option<broadcast::Receiver<QmpEvent>>,
    input: Option<JoinHandle<io::Result<()>>>,
    follower: Option<ConsoleFollower>,
    recogniser: Recogniser,
    timers: BTreeMap<Timer, Instant>,
    start_reply: Option<Reply<()>>,
    start_error: Option<Error>,
    end_replies: Vec<Reply<()>>,
    delete_reply: Option<Reply<()>>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(connecting) = &self.connecting {
            connecting.abort();
        }
        if let Some(input) = &self.input {
            input.abort();
        }
    }
}

impl Driver {
    fn new(shared: &Arc<Shared>, lock: File, state: MachineState, status: Status) -> Self {
        let has_network = shared.record().spec.network.is_some();
        Self {
            shared: Arc::clone(shared),
            _lock: lock,
            lifecycle: Lifecycle::new(state, has_network),
            status,
            probe: None,
            attempts: 0,
            sockets: None,
            process: None,
            connecting: None,
            qmp: None,
            events: None,
            input: None,
            follower: None,
            recogniser: Recogniser::new(),
            timers: BTreeMap::new(),
            start_reply: None,
            start_error: None,
            end_replies: Vec::new(),
            delete_reply: None,
        }
    }

    /// A machine that is about to be started.
    pub(super) fn start(shared: &Arc<Shared>, lock: File, probe: Probe, reply: Reply<()>) -> Self {
        let status = Status {
            accelerator: Some(probe.accelerator.to_string()),
            started_at: Some(Timestamp::now()),
            ..Status::default()
        };
        let state = shared.record().status.state;
        let mut driver = Self::new(shared, lock, state, status);
        driver.probe = Some(probe);
        driver.start_reply = Some(reply);
        driver
    }

    /// A machine that is live by its record and that nobody drives; `None` if it turned out to be gone, which its record
    /// says then.
    pub(super) async fn adopt(shared: &Arc<Shared>, lock: File) -> Option<Self> {
        let record = shared.record();
        let status = Status {
            notices: Vec::new(),
            ..record.status.clone()
        };
        let mut driver = Self::new(shared, lock, record.status.state, status);
        let sockets = shared.sockets().ok()?;
        let known = record.run.as_ref().and_then(|run| run.process.clone());
        let connection = timeout(GREETING_TIMEOUT, Qmp::connect(&sockets.qmp())).await;
        driver.sockets = Some(sockets.clone());
        driver.replay(record.run.as_ref().map_or(0, |run| run.console_start));
        let connection = connection.ok().and_then(io::Result::ok);
        // The socket knows its process best; one that does not answer, or not yet, is known from the record or by its
        // command line.
        let key = connection
            .as_ref()
            .and_then(|(qmp, _)| qmp.pid)
            .and_then(ProcessKey::of)
            .or(known.filter(ProcessKey::is_alive))
            .or_else(|| ProcessKey::by_command_line(&sockets.qmp()));
        driver.process = key.as_ref().and_then(Process::find);
        shared.change_record(|record| {
            if let Some(run) = &mut record.run {
                run.process = key;
            }
        });
        if let Some(connection) = connection {
            driver.connected(connection).await;
        } else if driver.process.is_some() {
            driver.connecting = Some(keep_connecting(&sockets));
            driver.feed(Event::Unreachable).await;
        }
        if driver.process.is_none() {
            driver.finish(Exit::Unknown).await;
            return None;
        }
        let actions = driver.lifecycle.taken_over();
        driver.carry_out_or_log(actions).await;
        driver.publish(Durability::Power).await;
        Some(driver)
    }

    /// Drives until QEMU is gone or `cancel` says so.
    pub(super) async fn drive(
        mut self,
        messages: &mut mpsc::Receiver<Message>,
        cancel: &CancellationToken,
    ) -> Left {
        if self.probe.is_some() && !self.lifecycle.state().is_live() {
            let actions = self.lifecycle.request(Request::Start).unwrap_or_default();
            // In the record before QEMU is: if we die in between, the next of us looks for it.
            self.show();
            self.carry_out_or_log(actions).await;
            self.publish(Durability::Process).await;
        }
        while self.lifecycle.state().is_live() {
            let next_timer = self
                .timers
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(timer, at)| (*timer, *at));
            tokio::select! {
                () = cancel.cancelled() => return Left::Cancelled,
                exit = exited(&mut self.process) => self.finish(exit).await,
                event = next_event(&mut self.events) => self.qmp_event(event).await,
                connection = connected(&mut self.connecting) => {
                    self.connecting = None;
                    if let Some(connection) = connection {
                        self.connected(connection).await;
                    }
                }
                chunk = next_chunk(&mut self.follower) => self.heard(&chunk).await,
                message = messages.recv() => match message {
                    Some(message) => self.message(message).await,
                    None => return Left::Cancelled,
                },
                () = ring(next_timer) => {
                    if let Some((timer, _)) = next_timer {
                        self.timers.remove(&timer);
                        self.feed(Event::TimeUp(timer)).await;
                    }
                }
            }
        }
        self.delete_reply.take().map_or(Left::Ended, Left::Delete)
    }

    async fn message(&mut self, message: Message) {
        match message {
            Message::Look { reply } => {
                if let Some(reply) = reply {
                    let _gone = reply.send(());
                }
            }
            Message::Request { request, reply, .. } => match self.lifecycle.request(request) {
                Err(state) => {
                    answer(
                        reply,
                        Err(Error::WrongState {
                            request: request.verb(),
                            state,
                        }),
                    );
                }
                Ok(actions) => {
                    let result = self.carry_out(actions).await;
                    self.publish(Durability::Power).await;
                    if request == Request::Kill && result.is_ok() {
                        self.end_replies.push(reply);
                    } else {
                        answer(reply, result);
                    }
                }
            },
            Message::Delete { reply } => {
                let actions = self.lifecycle.request(Request::Kill).unwrap_or_default();
                let _killed_later = self.carry_out(actions).await;
                self.publish(Durability::Process).await;
                self.delete_reply = Some(reply);
            }
            Message::Rename { name, reply } => {
                self.shared.change_record(|record| record.spec.name = name);
                answer(reply, self.shared.save(Durability::Power).await);
                self.shared.status.send_modify(|_| {});
            }
            Message::Screenshot { reply } => {
                let result = match &self.qmp {
                    Some(qmp) => elsewhere::screenshot_through(&self.shared, qmp).await,
                    None => Err(Error::NoAnswer {
                        what: "its monitor".to_owned(),
                    }),
                };
                answer(reply, result);
            }
        }
    }

    /// Lets the state machine decide, and does as it says.
    async fn feed(&mut self, event: Event) {
        let before = self.lifecycle.state();
        let actions = self.lifecycle.event(event);
        self.carry_out_or_log(actions).await;
        let changed = self.lifecycle.state() != before;
        self.publish(if changed {
            Durability::Power
        } else {
            Durability::Process
        })
        .await;
    }

    async fn carry_out_or_log(&mut self, actions: Vec<Action>) {
        if let Err(error) = self.carry_out(actions).await {
            tracing::warn!(id = self.shared.id, %error, "not carried out");
        }
    }

    /// Carries out actions; all of them, and reports the first that failed.
    async fn carry_out(&mut self, actions: Vec<Action>) -> Result<()> {
        let mut result = Ok(());
        for action in actions {
            let done = Box::pin(self.carry_out_one(action)).await;
            if result.is_ok() {
                result = done;
            }
        }
        result
    }

    async fn carry_out_one(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Launch => self.launch().await,
            Action::Pause => self.execute(vec![Command::new("stop")]).await?,
            Action::Resume => self.execute(vec![Command::new("cont")]).await?,
            Action::AskGuest => {
                let guest = self.shared.record().spec.guest;
                self.execute(control::ask_guest_commands(guest)).await?;
            }
            Action::Quit => {
                let quit = self.execute(vec![Command::new("quit")]);
                if !matches!(timeout(HEARD_TIMEOUT, quit).await, Ok(Ok(()))) {
                    // Nobody heard it: no reason to wait.
                    self.timers.insert(Timer::Quit, Instant::now());
                }
            }
            Action::KillProcess => {
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
                let at = Instant::now() + self.delay(timer);
                self.timers.entry(timer).or_insert(at);
            }
            Action::Disarm(timer) => {
                self.timers.remove(&timer);
            }
        }
        Ok(())
    }

    fn delay(&self, timer: Timer) -> Duration {
        let patience = self.shared.record().spec.patience;
        match timer {
            Timer::Connect => CONNECT_TIMEOUT,
            Timer::Guest => Duration::from_millis(patience.stop_ms),
            Timer::Quit => QUIT_TIMEOUT,
            Timer::Kill => KILL_TIMEOUT,
            Timer::Address => Duration::from_millis(patience.address_ms),
            Timer::Halt => HALT_DELAY,
        }
    }

    async fn execute(&self, commands: Vec<Command>) -> Result<()> {
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

    async fn launch(&mut self) {
        let Some(probe) = self.probe.clone() else {
            return;
        };
        self.attempts += 1;
        match launch::launch(&self.shared, &probe).await {
            Ok(launched) => {
                self.status.ports = launched.ports;
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

    async fn connected(&mut self, (qmp, events): Connection) {
        let running = match qmp.execute(Command::new("query-status")).await {
            Ok(status) => status["running"].as_bool().unwrap_or(true),
            // It ended in this moment; its process' end will tell.
            Err(_) => return,
        };
        self.qmp = Some(qmp);
        self.events = Some(events);
        if let Some(sockets) = self.sockets.clone() {
            self.input = Some(tokio::spawn(pass_on_input(sockets)));
        }
        self.feed(Event::Connected { running }).await;
        if let Some(reply) = self.start_reply.take() {
            answer(reply, Ok(()));
        }
    }

    async fn qmp_event(&mut self, event: Option<QmpEvent>) {
        let Some(event) = event else {
            self.events = None;
            return;
        };
        if let Some(event) = understand(&event) {
            self.feed(event).await;
        }
    }

    async fn heard(&mut self, chunk: &[u8]) {
        let notices = self.recogniser.push(chunk);
        if notices.is_empty() {
            return;
        }
        for notice in notices {
            self.take_notice(&notice);
            let actions = self.lifecycle.event(Event::Noticed(notice));
            self.carry_out_or_log(actions).await;
        }
        // Once for all of them: a guest that floods us with notices costs no more than one that does not.
        self.publish(Durability::Process).await;
    }

    fn take_notice(&mut self, notice: &Notice) {
        if let Notice::Address { address, .. } = notice {
            self.status.address = Some(address.clone());
        }
        if self.status.notices.len() == NOTICES_MAX {
            self.status.notices.remove(0);
        }
        self.status.notices.push(notice.to_string());
    }

    /// Reads again what the guest said while nobody listened.
    fn replay(&mut self, start: u64) {
        let log = self.shared.folder.console_log();
        let end = log.metadata().map_or(start, |metadata| metadata.len());
        let mut from = start;
        while from < end {
            let Ok(mut follower) = ConsoleFollower::open(&log, from) else {
                return;
            };
            let half = (from + REPLAY_MAX_BYTES / 2).min(end);
            while follower.offset() < half {
                match follower.read_now() {
                    Ok(chunk) if !chunk.is_empty() => self.replay_chunk(&chunk),
                    _ => break,
                }
            }
            let read = follower.offset();
            self.follower = Some(follower);
            // The middle of a very long log is passed over.
            from = read.max(end.saturating_sub(REPLAY_MAX_BYTES / 2));
            if from != read {
                self.recogniser = Recogniser::new();
            }
        }
        if self.follower.is_none() {
            self.follower = ConsoleFollower::open(&log, start).ok();
        }
    }

    fn replay_chunk(&mut self, chunk: &[u8]) {
        for notice in self.recogniser.push(chunk) {
            self.take_notice(&notice);
            // What was to be done about it was done, or is too late to do.
            let _done_then = self.lifecycle.event(Event::Noticed(notice));
        }
    }

    /// QEMU is gone: hears what was said last, and draws the verdict.
    async fn finish(&mut self, exit: Exit) {
        // Its events and its console are complete now; both end where they end.
        while let Some(mut events) = self.events.take() {
            if let Ok(Some(event)) = timeout(GREETING_TIMEOUT, next(&mut events)).await {
                self.events = Some(events);
                if let Some(event) = understand(&event) {
                    let _too_late = self.lifecycle.event(event);
                }
            }
        }
        while let Some(chunk) = self
            .follower
            .as_mut()
            .and_then(|follower| follower.read_now().ok())
            .filter(|chunk| !chunk.is_empty())
        {
            self.replay_chunk(&chunk);
        }
        for notice in self.recogniser.finish() {
            self.take_notice(&notice);
            let _too_late = self.lifecycle.event(Event::Noticed(notice));
        }
        let exit = self.explain(exit);
        if let Exit::NotStarted { message, remedy } = exit {
            if message.is_empty() {
                // Somebody was faster at the port that was chosen: another one is.
                self.process = None;
                self.launch().await;
                return;
            }
            self.start_error = Some(Error::StartFailed {
                message: message.clone(),
                remedy: remedy.clone(),
            });
            self.end(Exit::NotStarted { message, remedy }).await;
        } else {
            self.end(exit).await;
        }
    }

    /// Finds QEMU's own words where it did not get as far as to run the guest.
    fn explain(&self, exit: Exit) -> Exit {
        let ending = match &exit {
            Exit::Code(code) if *code != 0 => format!("status {code}"),
            Exit::Signal(signal) => format!("signal {signal}"),
            _ => return exit,
        };
        if self.lifecycle.state() != MachineState::Starting {
            return exit;
        }
        let said = std::fs::read(self.shared.folder.qemu_log()).unwrap_or_default();
        let tail = &said[said.len().saturating_sub(QEMU_LOG_MAX_BYTES)..];
        let failure = failure::explain(&String::from_utf8_lossy(tail), &ending);
        let chosen = self.shared.record().spec.network.is_some_and(|network| {
            !network.ports.is_empty() && network.ports.iter().any(|port| port.host.is_none())
        });
        if failure.port_taken && chosen && self.attempts < ATTEMPTS_MAX {
            return Exit::NotStarted {
                message: String::new(),
                remedy: None,
            };
        }
        Exit::NotStarted {
            message: failure.message,
            remedy: failure.remedy,
        }
    }

    /// The run is over.
    async fn end(&mut self, exit: Exit) {
        self.process = None;
        self.qmp = None;
        if let Some(input) = self.input.take() {
            input.abort();
        }
        let _timers_off = self.lifecycle.event(Event::Gone(exit));
        self.timers.clear();
        self.status.ended_at = Some(Timestamp::now());
        if let Some(sockets) = &self.sockets {
            sockets.remove();
        }
        let _not_there = std::fs::remove_file(self.shared.folder.initramfs());
        self.shared.change_record(|record| {
            if let Some(run) = &mut record.run {
                run.process = None;
            }
        });
        self.publish(Durability::Power).await;
        if let Some(reply) = self.start_reply.take() {
            answer(reply, self.start_error.take().map_or(Ok(()), Err));
        }
        for reply in self.end_replies.drain(..) {
            answer(reply, Ok(()));
        }
    }

    /// Tells everybody, and writes it down.
    async fn publish(&mut self, durability: Durability) {
        if self.show()
            && let Err(error) = self.shared.save(durability).await
        {
            tracing::warn!(id = self.shared.id, %error, "the machine's record is not up to date");
        }
    }

    /// Tells everybody in this process; says whether there was something to tell.
    fn show(&mut self) -> bool {
        let (message, remedy) = self.lifecycle.words();
        self.status.state = self.lifecycle.state();
        self.status.message = message;
        self.status.remedy = remedy;
        self.status.exit_status = self
            .lifecycle
            .verdict()
            .and_then(|verdict| verdict.exit_status);
        self.status.pid = self
            .process
            .as_ref()
            .and_then(Process::key)
            .map(|key| key.pid);
        let changed = self.shared.record().status != self.status;
        if changed || self.shared.status.borrow().elsewhere {
            self.shared.publish(self.status.clone());
        }
        changed
    }
}

/// Connects as soon as QEMU answers; how long that may take is a timer's to say.
fn keep_connecting(sockets: &Sockets) -> JoinHandle<io::Result<Connection>> {
    let qmp = sockets.qmp();
    tokio::spawn(async move {
        loop {
            match Qmp::connect(&qmp).await {
                Ok(connection) => return Ok(connection),
                Err(_) => sleep(CONNECT_INTERVAL).await,
            }
        }
    })
}

/// What an event of QEMU's means to a machine; most mean nothing.
fn understand(event: &QmpEvent) -> Option<Event> {
    let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
    match event.name.as_str() {
        "STOP" => Some(Event::Paused),
        "RESUME" => Some(Event::Resumed),
        "POWERDOWN" => Some(Event::PowerButton),
        "SHUTDOWN" => Some(Event::ShutDown {
            reason: text("reason"),
        }),
        "GUEST_PANICKED" => Some(Event::Panicked),
        "BLOCK_IO_ERROR" if event.data["action"] == "stop" => Some(Event::DiskError {
            reason: text("reason"),
        }),
        _ => None,
    }
}

async fn exited(process: &mut Option<Process>) -> Exit {
    match process {
        Some(process) => process.exited().await,
        None => pending().await,
    }
}

async fn next_event(events: &mut Option<broadcast::Receiver<QmpEvent>>) -> Option<QmpEvent> {
    match events {
        Some(events) => next(events).await,
        None => pending().await,
    }
}

/// The next event; what was missed by lagging behind is not worth more than a word in the log.
async fn next(events: &mut broadcast::Receiver<QmpEvent>) -> Option<QmpEvent> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                tracing::warn!(count, "events of QEMU's were missed");
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}

async fn connected(
    connecting: &mut Option<JoinHandle<io::Result<Connection>>>,
) -> Option<Connection> {
    match connecting {
        Some(connecting) => connecting.await.ok()?.ok(),
        None => pending().await,
    }
}

async fn next_chunk(follower: &mut Option<ConsoleFollower>) -> Vec<u8> {
    match follower {
        Some(following) => match following.next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) | Err(_) => pending().await,
        },
        None => pending().await,
    }
}

async fn ring(timer: Option<(Timer, Instant)>) {
    match timer {
        Some((_, at)) => sleep_until(at).await,
        None => pending().await,
    }
}
