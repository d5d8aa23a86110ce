//! One machine, as those who use it see it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use crate::agent::Agent;
use crate::console::{ConsoleFollower, type_into};
use crate::control::Picture;
use crate::error::{Error, Result};
use crate::history::History;
use crate::lifecycle::Request;
use crate::machines::Known;
use crate::network::{self, HostLink, NetworkAddress};
use crate::probe::Probe;
use crate::record::ProcessKey;
use crate::spec::{MachineSpec, Protocol};
use crate::status::{MachineState, Status};
use crate::task::{Edit, Message, Reply, Shared};
use crate::traffic::{self, Moved};
use crate::usage::{self, DiskReading, Usage};

/// A machine. Cheap to clone; requests go to the machine's own task.
#[derive(Clone, Debug)]
pub struct MachineHandle {
    pub(crate) shared: Arc<Shared>,
    messages: mpsc::Sender<Message>,
}

/// What a machine was started with, for those who want to know exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// QEMU's command line of the present or last run, program first; empty before the first.
    pub command: Vec<String>,
    /// QEMU's process.
    pub pid: Option<i32>,
    /// The machine's own folder.
    pub folder: PathBuf,
    /// The version of the QEMU that runs or ran it.
    pub qemu_version: Option<String>,
    /// The file that everything the guest writes to its console goes to; it grows from run to run.
    pub console_log: PathBuf,
    /// Where in that file the present or last run begins, in bytes.
    pub console_start: u64,
    /// The file with what QEMU itself said in the present or last run.
    pub qemu_log: PathBuf,
}

impl MachineHandle {
    pub(crate) fn new(shared: Arc<Shared>, messages: mpsc::Sender<Message>) -> Self {
        Self { shared, messages }
    }

    /// The machine's id.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// What it is made of.
    pub fn spec(&self) -> MachineSpec {
        self.shared.record().spec
    }

    /// When it was made.
    pub fn created_at(&self) -> jiff::Timestamp {
        self.shared.record().created_at
    }

    /// Its status now and whenever it changes (or its name does). For a machine that is deleted, the last one stays.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Starts it, and returns when QEMU runs the guest.
    ///
    /// # Errors
    /// [`Error::WrongState`] if it runs, or what kept it from starting, in words.
    pub async fn start(&self, probe: &Probe) -> Result<()> {
        let probe = Some(Box::new(probe.clone()));
        self.ask(|reply| Message::Request {
            request: Request::Start,
            probe,
            reply,
        })
        .await
    }

    /// Lets the guest stand still.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless it runs.
    pub async fn pause(&self) -> Result<()> {
        self.request(Request::Pause).await
    }

    /// Lets a paused guest go on.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless it is paused.
    pub async fn resume(&self) -> Result<()> {
        self.request(Request::Resume).await
    }

    /// Asks the guest to stop; after a while ([`crate::Patience::stop_ms`]) its power button is pressed, and after
    /// another ([`crate::Patience::power_ms`]) its power is cut. Returns when it was asked; the status tells the rest.
    ///
    /// # Errors
    /// [`Error::WrongState`] if it does not run.
    pub async fn stop(&self) -> Result<()> {
        self.request(Request::Stop).await
    }

    /// Cuts the power. Returns when QEMU is gone.
    ///
    /// # Errors
    /// [`Error::WrongState`] if it does not run; [`Error::NoAnswer`] if QEMU would not go.
    pub async fn kill(&self) -> Result<()> {
        self.request(Request::Kill).await
    }

    /// Removes the machine with its overlays, console log and record; cuts its power first if it runs.
    ///
    /// # Errors
    /// If its folder cannot be removed.
    pub async fn delete(&self) -> Result<()> {
        match self.ask(|reply| Message::Delete { reply }).await {
            // Somebody was faster, and its task has gone with it.
            Err(Error::NotFound { .. }) if self.is_gone() => Ok(()),
            outcome => outcome,
        }
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// If its record cannot be written; [`Error::WrongState`] while it is driven elsewhere.
    pub async fn rename(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.edit(move |spec| spec.name = name).await
    }

    /// Changes what it is made of, but for its id. A machine that runs is not changed by that before its next start.
    ///
    /// # Errors
    /// [`Error::Spec`] where that cannot be, and nothing is changed; [`Error::WrongState`] while it is driven elsewhere.
    pub async fn edit(&self, change: impl FnOnce(&mut MachineSpec) + Send + 'static) -> Result<()> {
        let edit = Edit::new(change);
        self.ask(|reply| Message::Edit { edit, reply }).await
    }

    /// Stops it as [`stop`](Self::stop) does where it runs, and starts it when it has ended.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self, probe: &Probe) -> Result<()> {
        if self.shared.status.borrow().state.is_live() {
            match self.stop().await {
                // It ended in this moment.
                Err(Error::WrongState { state, .. }) if !state.is_live() => {}
                stopped => stopped?,
            }
            self.ended().await;
        }
        self.start(probe).await
    }

    /// Waits until it is not live any more, and says how it ended. One that was deleted before anybody here saw it end
    /// was stopped.
    pub async fn ended(&self) -> Status {
        let mut status = self.status();
        let ended = status.wait_for(|status| !status.state.is_live());
        if let Some(Ok(status)) = self.shared.gone.run_until_cancelled(ended).await {
            return status.clone();
        }
        let last = self.shared.status.borrow().clone();
        if !last.state.is_live() {
            return last;
        }
        Status {
            state: MachineState::Stopped,
            message: Some("It was deleted.".to_owned()),
            remedy: None,
            pid: None,
            ..last
        }
    }

    /// Waits until it is deleted, by this or another process.
    pub async fn gone(&self) {
        self.shared.gone.cancelled().await;
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.shared.gone.is_cancelled()
    }

    pub(crate) fn set_gone(&self) {
        self.shared.gone.cancel();
    }

    /// Its command line, files and process.
    pub fn details(&self) -> Details {
        let run = self.shared.record().run;
        Details {
            command: run
                .as_ref()
                .map(|run| run.command.clone())
                .unwrap_or_default(),
            pid: self.shared.status.borrow().pid,
            folder: self.shared.folder.path().to_owned(),
            qemu_version: run.as_ref().map(|run| run.qemu_version.clone()),
            console_log: self.console_log(),
            console_start: run.as_ref().map_or(0, |run| run.console_start),
            qemu_log: self.shared.folder.qemu_log(),
        }
    }

    /// What its screen shows, as PNG.
    ///
    /// # Errors
    /// [`Error::NoDisplay`], [`Error::WrongState`], or QEMU's refusal (PNG needs QEMU 7.1).
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        self.must_have_display()?;
        let picture = Picture::Png;
        self.ask(|reply| Message::Screenshot { picture, reply })
            .await
    }

    /// What the display shows now, as a binary PPM: large, and quickly made.
    ///
    /// # Errors
    /// As [`screenshot`](Self::screenshot).
    pub async fn screen(&self) -> Result<Vec<u8>> {
        self.must_have_display()?;
        let picture = Picture::Ppm;
        self.ask(|reply| Message::Screenshot { picture, reply })
            .await
    }

    /// What it has taken of this computer since it was started; `None` where it does not run.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] if QEMU does not say what its disks move.
    pub async fn usage(&self) -> Result<Option<Usage>> {
        let run = self.shared.of_record(|record| {
            let run = record.run.as_ref()?;
            Some((run.process.clone()?, traffic::has_card(&run.command)))
        });
        let is_live = self.shared.status.borrow().state.is_live();
        let Some((process, has_card)) = run.filter(|_| is_live) else {
            self.shared.traffic.forget().await;
            return Ok(None);
        };
        let (read_bytes, written_bytes) = self.disk_bytes(&process).await?;
        let moved = self.network_bytes(&process, has_card).await;
        // Read at the last moment, so that the time is theirs.
        let of_process = usage::of_process(&process);
        Ok(of_process.map(|(cpu, memory_bytes)| Usage {
            at: Instant::now(),
            cpu,
            memory_bytes,
            read_bytes,
            written_bytes,
            received_bytes: moved.map(|moved| moved.received),
            sent_bytes: moved.map(|moved| moved.sent),
        }))
    }

    /// What its disks have read and written.
    async fn disk_bytes(&self, qemu: &ProcessKey) -> Result<(u64, u64)> {
        let disks = || {
            let disks = self.shared.disks.lock();
            disks.unwrap_or_else(PoisonError::into_inner)
        };
        let known = disks().clone().filter(|known| known.holds_for(qemu));
        if let Some(known) = known {
            return Ok(known.bytes);
        }
        let bytes = self.ask(|reply| Message::DiskBytes { reply }).await?;
        *disks() = DiskReading::new(qemu.clone(), bytes);
        Ok(bytes)
    }

    /// What its cards brought it and took from it, where that is known.
    async fn network_bytes(&self, qemu: &ProcessKey, has_card: bool) -> Option<Moved> {
        let networks = self.shared.status.borrow().networks.clone();
        let mut all = Moved::default();
        if has_card {
            let sockets = self.shared.sockets().ok()?;
            let moved = self.shared.traffic.moved(&sockets, qemu).await;
            all = moved
                .inspect_err(
                    |error| tracing::debug!(id = self.id(), %error, "traffic is not counted"),
                )
                .ok()??;
        }
        for NetworkAddress { network, .. } in networks {
            if HostLink::parse(&network).is_some() {
                continue;
            }
            let id = Some(self.id());
            let found = network::who_is_on(&self.shared.runtime, &network, id).await;
            for member in found.unwrap_or_default() {
                all.received = all.received.saturating_add(member.received_bytes);
                all.sent = all.sent.saturating_add(member.sent_bytes);
            }
        }
        Some(all)
    }

    /// What it did in the last days.
    pub fn history(&self) -> History {
        History::at(self.shared.folder.history())
    }

    /// The file that the guest's console goes to; exists from creation on.
    pub fn console_log(&self) -> PathBuf {
        self.shared.folder.console_log()
    }

    /// Follows the console log from an offset in bytes on; [`Details::console_start`] is where the present run begins.
    ///
    /// # Errors
    /// If the log cannot be opened.
    pub fn follow_console(&self, from_byte: u64) -> io::Result<ConsoleFollower> {
        ConsoleFollower::open(&self.console_log(), from_byte)
    }

    /// Types into the guest's console. Works for a machine that is driven elsewhere, too.
    ///
    /// # Errors
    /// [`Error::WrongState`] if it does not run; [`Error::Io`] if nobody takes the input.
    pub async fn console_input(&self, bytes: &[u8]) -> Result<()> {
        self.must_be_live("type into")?;
        let sockets = self.shared.sockets()?;
        type_into(&sockets, bytes)
            .await
            .map_err(Error::io("type into", sockets.input()))
    }

    /// The VNC (RFB) socket of its screen, while it runs.
    ///
    /// # Errors
    /// [`Error::NoDisplay`], [`Error::WrongState`].
    pub fn vnc_socket(&self) -> Result<PathBuf> {
        self.must_have_display()?;
        self.must_be_live("look at")?;
        Ok(self.shared.sockets()?.vnc())
    }

    /// Connects to the guest's agent, through which its files can be changed while it runs. Works for a machine that is
    /// driven elsewhere, too; one at a time.
    ///
    /// # Errors
    /// [`Error::NoAgent`], [`Error::WrongState`] unless it runs, [`Error::AgentBusy`], [`Error::NoAnswer`].
    pub async fn agent(&self) -> Result<Agent> {
        if !self.spec().agent {
            return Err(Error::NoAgent {
                id: self.shared.id.clone(),
            });
        }
        let state = self.shared.status.borrow().state;
        if state != MachineState::Running {
            return Err(Error::WrongState {
                request: "change",
                state,
            });
        }
        Agent::connect(&self.shared.sockets()?, &self.shared.id).await
    }

    fn must_have_display(&self) -> Result<()> {
        if self.spec().display {
            return Ok(());
        }
        Err(Error::NoDisplay {
            id: self.shared.id.clone(),
        })
    }

    fn must_be_live(&self, request: &'static str) -> Result<()> {
        let state = self.shared.status.borrow().state;
        if state.is_live() && state != MachineState::Starting {
            return Ok(());
        }
        Err(Error::WrongState { request, state })
    }

    async fn request(&self, request: Request) -> Result<()> {
        self.ask(|reply| Message::Request {
            request,
            probe: None,
            reply,
        })
        .await
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::NotFound {
            id: self.shared.id.clone(),
        };
        self.messages
            .send(message(reply))
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| {
            if self.shared.gone.is_cancelled() {
                gone()
            } else {
                Error::Closed
            }
        })?
    }

    pub(crate) fn try_send(&self, message: Message) -> bool {
        self.messages.try_send(message).is_ok()
    }
}

/// The other machines, as far as a machine that starts wants to know of them.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours(Weak<Mutex<BTreeMap<String, Known>>>);

impl Neighbours {
    pub(crate) fn new(known: &Arc<Mutex<BTreeMap<String, Known>>>) -> Self {
        Self(Arc::downgrade(known))
    }

    /// Who of them has a port of this computer.
    pub(crate) fn holder_of(&self, own_id: &str, port: u16, protocol: Protocol) -> Option<String> {
        let known = self.0.upgrade()?;
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .values()
            .map(|known| &known.handle)
            .find_map(|handle| {
                let status = handle.shared.status.borrow();
                let has = status
                    .ports
                    .iter()
                    .any(|held| held.host == port && held.protocol == protocol);
                (handle.id() != own_id && status.state.is_live() && has)
                    .then(|| format!("machine {}", handle.spec().name))
            })
    }
}
