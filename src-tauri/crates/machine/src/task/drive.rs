//! Driving a live machine: events in, decisions by [`Lifecycle`], actions out.

mod actions;
mod ending;
mod sources;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use windlass_guest::{Notice, Recogniser};

use self::sources::{connected, exited, keep_connecting, next_chunk, next_event, ring, understand};
use crate::console::ConsoleFollower;
use crate::error::Error;
use crate::lifecycle::{Event, Exit, Lifecycle, Request, Timer};
use crate::paths::Sockets;
use crate::probe::Probe;
use crate::process::Process;
use crate::qmp::{Qmp, QmpEvent};
use crate::record::{Durability, ProcessKey};
use crate::status::{MachineState, Status};
use crate::task::{Message, Reply, Shared, answer, elsewhere};

/// A QEMU that was found and does not greet is taken as hung.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// What is kept of the guest's notices.
const NOTICES_MAX: usize = 100;

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
