//! Driving a live machine: events in, decisions by [`Lifecycle`], actions out.

mod actions;
mod ending;
mod sources;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::Child;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use windlass_guest::{GuestOs, Notice, Recogniser};

use self::sources::{
    Said, already_said, connected, exited, keep_connecting, next_chunk, next_event, understand,
    until,
};
use crate::console::ConsoleFollower;
use crate::console_log::trim;
use crate::error::Error;
use crate::lifecycle::{Event, Exit, Guest, Lifecycle, Request, Timer, Wish};
use crate::network::HostLink;
use crate::paths::{MachineFolder, Sockets};
use crate::probe::Probe;
use crate::process::Process;
use crate::qmp::{Command, Qmp, QmpEvent};
use crate::record::{Durability, ProcessKey};
use crate::status::Status;
use crate::task::{Message, Reply, Shared, answer, elsewhere, launch};

/// A QEMU that was found and does not greet is taken as hung.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// What is kept of the guest's notices.
const NOTICES_MAX: usize = 100;
/// What the guest says of itself is told, and written down, at most this often: it may say it without end.
const NOTICES_INTERVAL: Duration = Duration::from_millis(100);

type Connection = (Qmp, broadcast::Receiver<QmpEvent>);

/// Why driving ended.
#[derive(Debug)]
pub(super) enum Left {
    /// QEMU is gone, and the record says how.
    Ended,
    /// We are closing; QEMU goes on.
    Cancelled,
    /// QEMU is gone because the machine is to be deleted.
    Delete(Vec<Reply<()>>),
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
    /// What shares folders with the guest.
    helpers: Vec<Child>,
    process: Option<Process>,
    connecting: Option<AbortOnDropHandle<io::Result<Connection>>>,
    qmp: Option<Qmp>,
    events: Option<broadcast::Receiver<QmpEvent>>,
    input: Option<AbortOnDropHandle<io::Result<()>>>,
    follower: Option<ConsoleFollower>,
    recogniser: Recogniser,
    /// How far the console goes until its log is looked at for its length.
    trim_at: u64,
    timers: BTreeMap<Timer, Instant>,
    /// When notices that nobody was told of are told.
    tell_at: Option<Instant>,
    /// Until when notices wait, because something was told just now.
    quiet_until: Instant,
    start_reply: Option<Reply<()>>,
    start_error: Option<Error>,
    end_replies: Vec<Reply<()>>,
    delete_replies: Vec<Reply<()>>,
}

impl Driver {
    fn new(shared: &Arc<Shared>, lock: File, status: Status, wish: Option<Wish>) -> Self {
        let record = shared.record();
        let guest = Guest {
            has_network: record.spec.network.is_some(),
            hears: record.spec.guest == GuestOs::Linux,
        };
        sweep(&shared.folder);
        Self {
            shared: Arc::clone(shared),
            _lock: lock,
            lifecycle: Lifecycle::new(record.status.state, guest, wish),
            status,
            probe: None,
            attempts: 0,
            sockets: None,
            helpers: Vec::new(),
            process: None,
            connecting: None,
            qmp: None,
            events: None,
            input: None,
            follower: None,
            recogniser: Recogniser::new(),
            trim_at: 0,
            timers: BTreeMap::new(),
            tell_at: None,
            quiet_until: Instant::now(),
            start_reply: None,
            start_error: None,
            end_replies: Vec::new(),
            delete_replies: Vec::new(),
        }
    }

    /// A machine that is about to be started.
    pub(super) fn start(shared: &Arc<Shared>, lock: File, probe: Probe, reply: Reply<()>) -> Self {
        let status = Status {
            accelerator: Some(probe.accelerator.to_string()),
            started_at: Some(Timestamp::now()),
            ..Status::default()
        };
        let mut driver = Self::new(shared, lock, status, None);
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
        let run = record.run.as_ref();
        let mut driver = Self::new(shared, lock, status, run.and_then(|run| run.wish));
        let sockets = shared.sockets().ok()?;
        let known = run.and_then(|run| run.process.clone());
        let connection = timeout(GREETING_TIMEOUT, Qmp::connect(&sockets.qmp())).await;
        driver.sockets = Some(sockets.clone());
        driver.replay(run.map_or(0, |run| run.console_start));
        let connection = connection.ok().and_then(io::Result::ok);
        // The socket knows its process best; one that does not answer, or not yet, is known from the record or by its
        // command line.
        let key = connection
            .as_ref()
            .and_then(|(qmp, _)| qmp.pid)
            .and_then(ProcessKey::of)
            .or(known.filter(ProcessKey::is_alive))
            .or_else(|| ProcessKey::by_command_line(&run?.command));
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
            // Whoever hears that it starts, and opens its console then, sees this run.
            let console_start = launch::console_start(&self.shared);
            self.shared.change_record(|record| {
                if let Some(run) = &mut record.run {
                    run.console_start = console_start;
                }
            });
            // In the record before QEMU is: if we die in between, the next of us looks for it.
            self.note();
            self.shared.tell(self.status.clone());
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
                said = next_event(&mut self.events) => self.qmp_said(said).await,
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
                () = until(self.tell_at) => self.publish(Durability::Process).await,
                () = until(next_timer.map(|(_, at)| at)) => {
                    if let Some((timer, _)) = next_timer {
                        self.timers.remove(&timer);
                        self.feed(Event::TimeUp(timer)).await;
                        if timer == Timer::Kill {
                            self.give_up();
                        }
                    }
                }
            }
        }
        if self.delete_replies.is_empty() {
            Left::Ended
        } else {
            Left::Delete(std::mem::take(&mut self.delete_replies))
        }
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
                    // Before it is done: if we die in between, the next of us knows that the end was wanted.
                    self.publish(Durability::Power).await;
                    let result = self.carry_out(actions).await;
                    self.catch_up().await;
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
                self.publish(Durability::Process).await;
                let _killed_later = self.carry_out(actions).await;
                self.delete_replies.push(reply);
            }
            Message::Edit { edit, reply } => {
                let edited = edit.apply(&self.shared.record().spec);
                let saved = match edited {
                    Ok(spec) => {
                        self.shared.change_record(|record| record.spec = spec);
                        self.shared.save(Durability::Power).await
                    }
                    Err(error) => Err(error),
                };
                answer(reply, saved);
                self.shared.status.send_modify(|_| {});
            }
            Message::Screenshot { picture, reply } => {
                let result = match &self.qmp {
                    Some(qmp) => elsewhere::screenshot_through(&self.shared, qmp, picture).await,
                    None => Err(no_monitor()),
                };
                answer(reply, result);
            }
            Message::DiskBytes { reply } => {
                let result = match &self.qmp {
                    Some(qmp) => elsewhere::disk_bytes_through(qmp).await,
                    None => Err(no_monitor()),
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

    async fn qmp_said(&mut self, said: Option<Said>) {
        match said {
            Some(Said::Event(event)) => {
                if let Some(event) = understand(&event) {
                    self.feed(event).await;
                }
            }
            Some(Said::TooMuch) => {
                if let Some(running) = self.is_running().await {
                    let event = if running {
                        Event::Resumed
                    } else {
                        Event::Paused
                    };
                    self.feed(event).await;
                }
            }
            None => self.events = None,
        }
    }

    /// Hears what QEMU has said until now: it tells of a change before it answers whoever asked for it, so whoever is
    /// answered after this finds the change in the status.
    async fn catch_up(&mut self) {
        for _ in 0..self.events.as_ref().map_or(0, broadcast::Receiver::len) {
            let Some(said) = self.events.as_mut().and_then(already_said) else {
                return;
            };
            self.qmp_said(Some(said)).await;
        }
    }

    /// Whether QEMU's processors run; `None` if it does not say.
    async fn is_running(&self) -> Option<bool> {
        let status = self.qmp.as_ref()?.execute(Command::new("query-status"));
        Some(status.await.ok()?["running"].as_bool().unwrap_or(true))
    }

    /// Its process was killed and does not go: whoever waits for that is told.
    fn give_up(&mut self) {
        let waiting = self
            .end_replies
            .drain(..)
            .chain(self.delete_replies.drain(..));
        for reply in waiting {
            answer(
                reply,
                Err(Error::NoAnswer {
                    what: "its process' end".to_owned(),
                }),
            );
        }
    }

    async fn heard(&mut self, chunk: &[u8]) {
        self.keep_console_short().await;
        let notices = self.recogniser.push(chunk);
        if notices.is_empty() {
            return;
        }
        for notice in notices {
            self.take_notice(&notice);
            let actions = self.lifecycle.event(Event::Noticed(notice));
            self.carry_out_or_log(actions).await;
        }
        // Once for all of them, and not too often: a guest that floods us with notices costs little more than one that
        // does not.
        if Instant::now() < self.quiet_until {
            self.tell_at = Some(self.quiet_until);
        } else {
            self.publish(Durability::Process).await;
        }
    }

    /// Gives back the middle of a console log that has become too long.
    async fn keep_console_short(&mut self) {
        let read = self.follower.as_ref().map_or(0, ConsoleFollower::offset);
        if read < self.trim_at {
            return;
        }
        let record = self.shared.record();
        let limit_bytes = u64::from(record.spec.console_max_mib) << 20;
        self.trim_at = read + limit_bytes / 8;
        let run_start = record.run.map_or(0, |run| run.console_start);
        let log = self.shared.folder.console_log();
        let trimmed = tokio::task::spawn_blocking(move || trim(&log, run_start, limit_bytes)).await;
        if let Ok(Err(error)) = trimmed {
            tracing::warn!(id = self.shared.id, %error, "the console log cannot be kept short");
            self.trim_at = u64::MAX;
        }
    }

    fn take_notice(&mut self, notice: &Notice) {
        if let Notice::Address { interface, address } = notice {
            // Further cards are those of its networks.
            if interface == "eth0" || self.status.address.is_none() {
                self.status.address = Some(address.clone());
            }
            self.take_address(interface, address);
        }
        if self.status.notices.len() == NOTICES_MAX {
            self.status.notices.remove(0);
        }
        self.status.notices.push(notice.to_string());
    }

    /// On a network of this computer only the guest knows which address it was given.
    fn take_address(&mut self, interface: &str, address: &str) {
        let first = usize::from(self.shared.record().spec.network.is_some());
        let number = interface.strip_prefix("eth").and_then(|it| it.parse().ok());
        let place = number.and_then(|number: usize| {
            let index = number.checked_sub(first)?;
            self.status.networks.get_mut(index)
        });
        if let Some(place) = place.filter(|place| HostLink::parse(&place.network).is_some()) {
            place.address = address.parse().ok();
        }
    }

    /// Tells everybody, and writes it down. An end is written down first: whoever waits for it may end this process as
    /// soon as it is told, and the next one would find a machine that lives.
    async fn publish(&mut self, durability: Durability) {
        let ended = !self.lifecycle.state().is_live();
        let changed = self.note();
        if !ended {
            self.shared.tell(self.status.clone());
        }
        if changed && let Err(error) = self.shared.save(durability).await {
            tracing::warn!(id = self.shared.id, %error, "the machine's record is not up to date");
        }
        if ended {
            self.shared.tell(self.status.clone());
        }
    }

    /// Brings the status up to date, and the record that is to be written; says whether that changed.
    fn note(&mut self) -> bool {
        self.tell_at = None;
        self.quiet_until = Instant::now() + NOTICES_INTERVAL;
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
        let wish = self.lifecycle.wish();
        let record = self.shared.record();
        let old_wish = record.run.as_ref().and_then(|run| run.wish);
        self.shared.note(&self.status);
        self.shared.change_record(|record| {
            if let Some(run) = &mut record.run {
                run.wish = wish;
            }
        });
        record.status != self.status || old_wish != wish
    }
}

fn no_monitor() -> Error {
    Error::NoAnswer {
        what: "its monitor".to_owned(),
    }
}

/// Removes files that a process of ours left half written when it was killed. Called with the machine's lock held, under
/// which all of them but screenshots are written.
fn sweep(folder: &MachineFolder) {
    for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if MachineFolder::is_unfinished(&name.to_string_lossy()) {
            let _gone_already = fs::remove_file(entry.path());
        }
    }
}
