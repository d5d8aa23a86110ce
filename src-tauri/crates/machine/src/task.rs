//! The task that owns a machine: it takes requests one at a time, and while QEMU lives, drives it.
//!
//! ```text
//!                        ┌────────────────────── looks at the record when it changes ─┐
//!   idle or elsewhere ───┤                                                            │
//!        ▲               └─ start, or a live QEMU that nobody drives: takes the lock ─┼─▶ driving (task::drive)
//!        │                                                                            │      holds: lock, QMP, serial
//!        └──────────────── QEMU is gone: writes the record, lets go of the lock ──────┴──────────┘
//! ```
//!
//! The lock on the machine's folder is held by the process that drives a live machine (or changes a record), and by nobody
//! else: a machine that is not running belongs to whoever asks first. A live machine whose lock is held is driven
//! *elsewhere*: its record tells the state, and requests go straight to QEMU through its control socket, so that the
//! driving process sees what was done as QEMU's events.

mod drive;
mod elsewhere;
mod launch;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::control::Picture;
use crate::error::{Error, Result};
use crate::handle::Neighbours;
use crate::lifecycle::Request;
use crate::paths::{MachineFolder, Sockets};
use crate::probe::Probe;
use crate::record::{Durability, Record};
use crate::spec::MachineSpec;
use crate::status::{MachineState, Status};
use crate::traffic::Traffic;
use crate::usage::DiskReading;

/// Others hold a resting machine's lock for the moment of a write.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// What the task and the handles of one machine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) folder: MachineFolder,
    pub(crate) runtime: PathBuf,
    /// What is run to be the switch of a private network.
    pub(crate) switch_program: PathBuf,
    pub(crate) record: Mutex<Record>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) neighbours: Neighbours,
    /// What its disks had moved when this process asked last.
    pub(crate) disks: Mutex<Option<DiskReading>>,
    /// What goes over its first card, as far as this process has asked.
    pub(crate) traffic: Traffic,
    /// The machine was deleted, by whomever.
    pub(crate) gone: CancellationToken,
}

impl Shared {
    pub(crate) fn record(&self) -> Record {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A part of the record.
    pub(crate) fn of_record<T>(&self, part: impl FnOnce(&Record) -> T) -> T {
        part(&self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_record(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The sockets of the present run, or those that the next one will have.
    pub(crate) fn sockets(&self) -> Result<Sockets> {
        let present = self.of_record(|record| Some(record.run.as_ref()?.sockets.clone()));
        match present {
            Some(path) => Ok(Sockets::at(path)),
            None => Sockets::of(&self.runtime, &self.id),
        }
    }

    /// Writes the record without keeping others waiting for the disk.
    async fn save(&self, durability: Durability) -> Result<()> {
        let (record, folder) = (self.record(), self.folder.clone());
        tokio::task::spawn_blocking(move || record.write(&folder, durability))
            .await
            .map_err(|_| Error::Closed)?
    }

    fn publish(&self, status: Status) {
        self.note(&status);
        self.tell(status);
    }

    /// Puts the status into the record, for its next writing.
    fn note(&self, status: &Status) {
        self.change_record(|record| {
            record.status = Status {
                elsewhere: false,
                ..status.clone()
            }
        });
    }

    /// Tells everybody in this process.
    fn tell(&self, status: Status) {
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }
}

/// Something that a handle wants.
#[derive(Debug)]
pub(crate) enum Message {
    Request {
        request: Request,
        probe: Option<Box<Probe>>,
        reply: Reply<()>,
    },
    Delete {
        reply: Reply<()>,
    },
    Edit {
        edit: Edit,
        reply: Reply<()>,
    },
    Screenshot {
        picture: Picture,
        reply: Reply<Vec<u8>>,
    },
    DiskBytes {
        reply: Reply<(u64, u64)>,
    },
    /// The record on disk may have changed, or a machine may have lost its driver.
    Look {
        reply: Option<oneshot::Sender<()>>,
    },
}

type Change = dyn FnOnce(&mut MachineSpec) + Send;

/// A change of what a machine is made of.
pub(crate) struct Edit(Box<Change>);

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edit")
    }
}

impl Edit {
    pub(crate) fn new(change: impl FnOnce(&mut MachineSpec) + Send + 'static) -> Self {
        Self(Box::new(change))
    }

    /// The changed description; its id stays.
    fn apply(self, spec: &MachineSpec) -> Result<MachineSpec> {
        let mut changed = spec.clone();
        (self.0)(&mut changed);
        changed.id.clone_from(&spec.id);
        changed.validate()?;
        Ok(changed)
    }
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// Whoever asked may have gone away; then nobody wants the answer.
fn answer<T>(reply: Reply<T>, result: Result<T>) {
    let _gone = reply.send(result);
}

/// Runs until the machine is deleted or `cancel` says so. A live QEMU goes on living. Whoever asks for something after
/// that is told that there is no such machine.
pub(crate) async fn run(
    shared: std::sync::Arc<Shared>,
    mut messages: mpsc::Receiver<Message>,
    cancel: CancellationToken,
) {
    let mut deleted = false;
    while !deleted {
        let message = tokio::select! {
            () = cancel.cancelled() => return,
            message = messages.recv() => message,
        };
        let Some(message) = message else { return };
        let driver = match message {
            Message::Look { reply } => {
                let driver = look(&shared).await;
                if let Some(reply) = reply {
                    let _gone = reply.send(());
                }
                driver
            }
            Message::Request {
                request: Request::Start,
                probe,
                reply,
            } => match (lock_to_start(&shared).await, probe) {
                (Ok(lock), Some(probe)) => Some(drive::Driver::start(&shared, lock, *probe, reply)),
                (Err(error), _) => {
                    answer(reply, Err(error));
                    None
                }
                (Ok(_), None) => None,
            },
            Message::Request { request, reply, .. } => {
                let result = elsewhere::request(&shared, request).await;
                // Whoever drove it may have died over it.
                let driver = look(&shared).await;
                answer(reply, result);
                driver
            }
            Message::Delete { reply } => {
                deleted |= delete_and_answer(&shared, reply).await;
                None
            }
            Message::Edit { edit, reply } => {
                answer(reply, change(&shared, edit).await);
                None
            }
            Message::Screenshot { picture, reply } => {
                answer(reply, elsewhere::screenshot(&shared, picture).await);
                None
            }
            Message::DiskBytes { reply } => {
                answer(reply, elsewhere::disk_bytes(&shared).await);
                None
            }
        };
        if let Some(driver) = driver {
            match driver.drive(&mut messages, &cancel).await {
                drive::Left::Ended => {}
                drive::Left::Cancelled => return,
                drive::Left::Delete(replies) => {
                    for reply in replies {
                        deleted |= delete_and_answer(&shared, reply).await;
                    }
                }
            }
        }
    }
}

/// Reads the record again; takes a live machine over that nobody drives.
async fn look(shared: &std::sync::Arc<Shared>) -> Option<drive::Driver> {
    match Record::read(&shared.folder) {
        Ok(record) => {
            let live = record.status.state.is_live();
            let status = Status {
                elsewhere: live,
                ..record.status.clone()
            };
            if live && let Some(lock) = try_lock(shared).ok().flatten() {
                // Its driver may have ended it and let go between our reading and our locking.
                match Record::read(&shared.folder) {
                    Ok(record) if record.status.state.is_live() => {
                        shared.change_record(|old| *old = record);
                        return drive::Driver::adopt(shared, lock).await;
                    }
                    Ok(record) => {
                        shared.change_record(|old| *old = record.clone());
                        shared.publish(record.status);
                        return None;
                    }
                    Err(_) => return None,
                }
            }
            shared.change_record(|old| *old = record);
            shared.publish(status);
        }
        Err(error @ Error::Record { .. }) => shared.publish(broken(&error)),
        // Deleted: whoever looks at the folder takes it off the list.
        Err(error) => tracing::debug!(id = shared.id, %error, "no record"),
    }
    None
}

/// The status of a machine whose record says nothing.
pub(crate) fn broken(error: &Error) -> Status {
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    Status {
        state: MachineState::Failed,
        message: Some(message),
        remedy: error.hint(),
        ..Status::default()
    }
}

/// The machine's lock, if nobody holds it.
fn try_lock(shared: &Shared) -> Result<Option<File>> {
    let path = shared.folder.lock();
    if !shared.folder.path().is_dir() {
        return Err(Error::NotFound {
            id: shared.id.clone(),
        });
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
    }
}

/// The lock of a machine that rests; waits a moment for others to be done with it.
pub(crate) async fn lock_resting(shared: &Shared, request: &'static str) -> Result<File> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        if let Some(lock) = try_lock(shared)? {
            return Ok(lock);
        }
        let state = Record::read(&shared.folder)?.status.state;
        if Instant::now() > deadline || state.is_live() {
            return Err(Error::WrongState { request, state });
        }
        sleep(LOCK_INTERVAL).await;
    }
}

async fn lock_to_start(shared: &Shared) -> Result<File> {
    let verb = Request::Start.verb();
    let lock = lock_resting(shared, verb).await?;
    let record = Record::read(&shared.folder)?;
    let state = record.status.state;
    if state.is_live() {
        return Err(Error::WrongState {
            request: verb,
            state,
        });
    }
    shared.change_record(|old| *old = record);
    Ok(lock)
}

async fn change(shared: &Shared, edit: Edit) -> Result<()> {
    let _lock = lock_resting(shared, "change").await?;
    let mut record = Record::read(&shared.folder)?;
    record.spec = edit.apply(&record.spec)?;
    shared.change_record(|old| *old = record);
    shared.save(Durability::Power).await?;
    shared.status.send_modify(|_| {});
    Ok(())
}

/// Deletes a machine; says whether it is gone.
async fn delete_and_answer(shared: &Shared, reply: Reply<()>) -> bool {
    let result = delete(shared).await;
    // Another one of us, or of those who asked, was faster.
    let result = match result {
        Err(Error::NotFound { .. }) if shared.gone.is_cancelled() => Ok(()),
        result => result,
    };
    let deleted = result.is_ok();
    if deleted {
        shared.gone.cancel();
    }
    answer(reply, result);
    deleted
}

/// Removes a machine that rests, or that is driven elsewhere.
async fn delete(shared: &Shared) -> Result<()> {
    match Record::read(&shared.folder) {
        Ok(record) if record.status.state.is_live() => {
            elsewhere::request(shared, Request::Kill).await?;
        }
        // Nothing tells whether there is a QEMU: if it can be asked, it ends.
        Err(Error::Record { .. }) => elsewhere::quit(shared).await,
        _ => {}
    }
    let lock = lock_resting(shared, "delete").await?;
    if let Ok(sockets) = shared.sockets() {
        sockets.remove();
    }
    // Out of everybody's sight first: killed in the middle, what is left is swept at the next opening.
    let folder = shared.folder.path();
    let hidden = folder.with_file_name(format!(".deleted-{}-{}", shared.id, std::process::id()));
    fs::rename(folder, &hidden).map_err(Error::io("remove", folder))?;
    drop(lock);
    let path = hidden.clone();
    tokio::task::spawn_blocking(move || fs::remove_dir_all(hidden))
        .await
        .map_err(|_| Error::Closed)?
        .or_else(|error| match error.kind() {
            // Swept by another process that opened the folder just now.
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(Error::io("remove", path)(error)),
        })
}
