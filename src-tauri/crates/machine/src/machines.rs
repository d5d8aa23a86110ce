//! All machines of one folder: those that run are found again, those that other processes make appear by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::error::{Error, Result};
use crate::folder_watch::FolderWatch;
use crate::handle::{MachineHandle, Neighbours};
use crate::network::{self, NetworkMember};
use crate::paths::{MachineFolder, Sockets, UNFINISHED, private_folder};
use crate::record::{Durability, Record};
use crate::spec::{MachineSpec, validate_id};
use crate::status::Status;
use crate::task::{self, Message, Shared, broken};
use crate::traffic::Traffic;

pub use crate::paths::runtime_folder;

/// Whether those that drive machines elsewhere are alive is looked at this often; the folder, where its changes are not announced.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// How often the folder is looked at although no change was announced.
const LOOK_ANYWAY_INTERVAL: Duration = Duration::from_secs(2);
/// Changes come in numbers; this long after the first of them, the folder is looked at.
const SETTLE: Duration = Duration::from_millis(50);
/// Requests that wait for a machine's task.
const REQUESTS_MAX: usize = 32;

/// The machines of one folder. Dropping it ends the watching and driving in this process; machines that run go on
/// running, and the next one to open the folder takes them over.
#[derive(Debug)]
pub struct Machines {
    inner: Arc<Inner>,
    tasks: TaskTracker,
    _cancel: DropGuard,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    runtime: PathBuf,
    switch_program: PathBuf,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
    ids: watch::Sender<Vec<String>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// A machine that is on the list.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) handle: MachineHandle,
    cancel: CancellationToken,
    created_at: Timestamp,
    seen: Option<Signature>,
}

/// What tells one version of a record from the next: each is a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    inode: u64,
    modified_at: (i64, i64),
}

impl Machines {
    /// Opens `folder` (made if missing) with sockets in `runtime_folder` (made for the user alone), and takes up
    /// every machine that is there; one whose QEMU runs and that no other process drives is driven from here on.
    /// Runs on the tokio runtime that it is called on.
    ///
    /// # Errors
    /// If the folders cannot be made or read, or sockets would not fit. A broken machine is no error: it is listed
    /// as failed, with its trouble as the message.
    pub async fn open(folder: &Path, runtime_folder: &Path) -> Result<Self> {
        let own = std::env::current_exe().map_err(Error::io("find", "the running program"))?;
        Self::open_with_switch(folder, runtime_folder, &own).await
    }

    /// As [`open`](Self::open); `switch_program` is run for private networks instead of this program itself. Its `main`
    /// begins with [`switch_process`](crate::switch_process).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with_switch(
        folder: &Path,
        runtime_folder: &Path,
        switch_program: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io("make the folder", folder))?;
        let folder = folder
            .canonicalize()
            .map_err(Error::io("look at", folder))?;
        Sockets::of(runtime_folder, "")?;
        private_folder(runtime_folder)?;
        sweep(&folder);
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        let inner = Arc::new(Inner {
            folder,
            runtime: runtime_folder.to_owned(),
            switch_program: switch_program.to_owned(),
            known: Arc::default(),
            ids: watch::Sender::default(),
            cancel: cancel.clone(),
            tasks: tasks.clone(),
        });
        let taken_up: Vec<_> = inner.look(true)?;
        for done in taken_up {
            let _task_is_gone = done.await;
        }
        tasks.spawn(watch_folder(Arc::clone(&inner)));
        Ok(Self {
            inner,
            tasks,
            _cancel: cancel.drop_guard(),
        })
    }

    /// All machines, by creation order. One whose deletion was answered is not among them any more.
    pub fn list(&self) -> Vec<MachineHandle> {
        let known = self.inner.known();
        Inner::order(&known)
            .into_iter()
            .map(|id| known[&id].handle.clone())
            .filter(|handle| !handle.is_gone())
            .collect()
    }

    /// The ids of all machines, by creation order; changes whenever one comes or goes.
    pub fn watch(&self) -> watch::Receiver<Vec<String>> {
        self.inner.ids.subscribe()
    }

    /// The machine of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, id: &str) -> Result<MachineHandle> {
        let known = self.inner.known();
        known
            .get(id)
            .map(|known| known.handle.clone())
            .filter(|handle| !handle.is_gone())
            .ok_or_else(|| Error::NotFound { id: id.to_owned() })
    }

    /// Makes a machine; it is not started yet.
    ///
    /// # Errors
    /// [`Error::Spec`], [`Error::Exists`], or the folder cannot be written.
    pub async fn create(&self, spec: MachineSpec) -> Result<MachineHandle> {
        spec.validate()?;
        let id = spec.id.clone();
        let folder = self.inner.folder.clone();
        tokio::task::spawn_blocking(move || create_folder(&folder, spec, &[]))
            .await
            .map_err(|_| Error::Closed)??;
        self.inner.look(false)?;
        self.get(&id)
    }

    /// Makes a machine that is as another one, under an id and a name of its own; with what its guest has written, or
    /// as if it had never run. It is not started yet.
    ///
    /// # Errors
    /// [`Error::WrongState`] where the writes of a machine that runs are wanted; [`Error::Exists`], or the folder cannot
    /// be written.
    pub async fn clone_machine(
        &self,
        from: &MachineHandle,
        id: &str,
        name: &str,
        with_writes: bool,
    ) -> Result<MachineHandle> {
        let spec = MachineSpec {
            id: id.to_owned(),
            name: name.to_owned(),
            ..from.spec()
        };
        spec.validate()?;
        // As long as it is held, nobody starts the other one.
        let lock = if with_writes {
            Some(task::lock_resting(&from.shared, "clone the disks of").await?)
        } else {
            None
        };
        let overlays = (0..spec.disks.len()).map(|index| from.shared.folder.overlay(index));
        let copied: Vec<_> = overlays.filter(|_| with_writes).collect();
        let folder = self.inner.folder.clone();
        tokio::task::spawn_blocking(move || create_folder(&folder, spec, &copied))
            .await
            .map_err(|_| Error::Closed)??;
        drop(lock);
        self.inner.look(false)?;
        self.get(id)
    }

    /// Who is on a private network; nobody where none of its machines runs.
    ///
    /// # Errors
    /// [`Error::Network`] if its switch does not answer as one.
    pub async fn network_members(&self, network: &str) -> Result<Vec<NetworkMember>> {
        network::who_is_on(&self.inner.runtime, network, None).await
    }

    /// Looks at the folder at once, rather than at the next round.
    pub async fn refresh(&self) {
        match self.inner.look(true) {
            Ok(looks) => {
                for done in looks {
                    let _task_is_gone = done.await;
                }
            }
            Err(error) => tracing::warn!(%error, "machines not looked at"),
        }
    }

    /// Stops watching and driving, and waits until that is done; machines that run go on running.
    pub async fn close(&self) {
        self.inner.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A new machine's folder, which comes into sight whole, with copies of those files that are there.
fn create_folder(machines: &Path, spec: MachineSpec, copied: &[PathBuf]) -> Result<()> {
    let id = spec.id.clone();
    let folder = MachineFolder::new(machines, &id);
    if folder.path().exists() {
        return Err(Error::Exists { id });
    }
    let draft = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(machines)
        .map_err(Error::io("write in", machines))?;
    let drafted = MachineFolder::at(draft.path().to_owned());
    fs::write(drafted.console_log(), b"").map_err(Error::io("write", drafted.console_log()))?;
    for file in copied {
        let Some(name) = file.file_name().filter(|_| file.is_file()) else {
            continue;
        };
        let copy = draft.path().join(name);
        // Shares its blocks with the original where the file system can.
        fs::copy(file, &copy).map_err(Error::io("copy", file))?;
        let synced = fs::File::open(&copy).and_then(|copy| copy.sync_all());
        synced.map_err(Error::io("write", copy))?;
    }
    Record::new(spec).write(&drafted, Durability::Power)?;
    // Two that make the same id: the second finds a folder that is not empty.
    fs::rename(draft.path(), folder.path()).map_err(|source| match source.kind() {
        std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => {
            Error::Exists { id }
        }
        _ => Error::io("write", folder.path())(source),
    })?;
    let _moved_away = draft.keep();
    Ok(())
}

/// Removes what is left of deletions and creations that were cut short, unless they may be going on.
fn sweep(machines: &Path) {
    const SETTLED: Duration = Duration::from_mins(1);
    for entry in fs::read_dir(machines).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let left_over = name.starts_with(".deleted-") || name.starts_with(UNFINISHED);
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let settled = age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > SETTLED));
        if left_over
            && settled
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "left over");
        }
    }
}

async fn watch_folder(inner: Arc<Inner>) {
    let mut watch = FolderWatch::new(&inner.folder).ok();
    loop {
        if let Err(error) = inner.look(false) {
            tracing::warn!(%error, "machines not looked at");
        }
        let (ids, elsewhere) = inner.ids_and_whether_elsewhere();
        // What happened to a machine before it was heard of is seen by another look.
        if watch.as_mut().is_some_and(|watch| watch.hear_of(&ids)) {
            continue;
        }
        let interval = if elsewhere || watch.is_none() {
            LOOK_INTERVAL
        } else {
            LOOK_ANYWAY_INTERVAL
        };
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = inner.cancel.cancelled() => return,
            () = sleep(interval) => {}
            _ = changed => sleep(SETTLE).await,
        }
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All machines, and whether any of them is driven by another process.
    fn ids_and_whether_elsewhere(&self) -> (BTreeSet<String>, bool) {
        let known = self.known();
        let elsewhere = known
            .values()
            .any(|known| known.handle.shared.status.borrow().elsewhere);
        (known.keys().cloned().collect(), elsewhere)
    }

    /// Compares the list with the folder; has those machines looked at that changed (or all). What is returned
    /// resolves as they were.
    fn look(&self, all: bool) -> Result<Vec<oneshot::Receiver<()>>> {
        let on_disk = self.scan()?;
        let mut known = self.known();
        let count = known.len();
        known.retain(|id, known| {
            let there = on_disk.contains_key(id) && !known.handle.is_gone();
            if !there {
                known.handle.set_gone();
                known.cancel.cancel();
            }
            there
        });
        let mut changed = known.len() != count;
        let mut looks = Vec::new();
        for (id, signature) in on_disk {
            let entry = known.entry(id).or_insert_with_key(|id| {
                changed = true;
                self.take_up(id)
            });
            let news = entry.seen != Some(signature);
            let undriven = entry.handle.status().borrow().elsewhere;
            if all || news || undriven {
                let (done, looked) = oneshot::channel();
                if entry.handle.try_send(Message::Look { reply: Some(done) }) {
                    entry.seen = Some(signature);
                    looks.push(looked);
                }
            }
        }
        if changed {
            let ids = Self::order(&known);
            drop(known);
            self.ids.send_replace(ids);
        }
        Ok(looks)
    }

    fn order(known: &BTreeMap<String, Known>) -> Vec<String> {
        let mut ids: Vec<_> = known
            .iter()
            .map(|(id, known)| (known.created_at, id))
            .collect();
        ids.sort();
        ids.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// The folders that hold machines.
    fn scan(&self) -> Result<BTreeMap<String, Signature>> {
        let mut found = BTreeMap::new();
        let entries = fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))?;
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &self.folder))?;
            let Ok(id) = entry.file_name().into_string() else {
                continue;
            };
            if validate_id(&id).is_err() {
                continue;
            }
            let Ok(metadata) = fs::metadata(MachineFolder::new(&self.folder, &id).record()) else {
                continue;
            };
            let modified_at = (metadata.mtime(), metadata.mtime_nsec());
            found.insert(
                id,
                Signature {
                    inode: metadata.ino(),
                    modified_at,
                },
            );
        }
        Ok(found)
    }

    /// Puts a machine on the list, with a task of its own.
    fn take_up(&self, id: &str) -> Known {
        let folder = MachineFolder::new(&self.folder, id);
        let (record, status) = match Record::read(&folder) {
            Ok(record) => {
                let live = record.status.state.is_live();
                let status = Status {
                    elsewhere: live,
                    ..record.status.clone()
                };
                (record, status)
            }
            Err(error) => (Record::unreadable(id), broken(&error)),
        };
        let cancel = self.cancel.child_token();
        let (sender, messages) = mpsc::channel(REQUESTS_MAX);
        let created_at = record.created_at;
        let shared = Arc::new(Shared {
            id: id.to_owned(),
            folder,
            runtime: self.runtime.clone(),
            switch_program: self.switch_program.clone(),
            record: Mutex::new(record),
            status: watch::Sender::new(status),
            neighbours: Neighbours::new(&self.known),
            disks: Mutex::default(),
            traffic: Traffic::default(),
            gone: CancellationToken::new(),
        });
        self.tasks
            .spawn(task::run(Arc::clone(&shared), messages, cancel.clone()));
        Known {
            handle: MachineHandle::new(shared, sender),
            cancel,
            created_at,
            seen: None,
        }
    }
}
