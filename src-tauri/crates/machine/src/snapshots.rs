//! Snapshots: a machine as it was, to go back to.
//!
//! ```text
//!   snapshots/
//!     current            the id of the snapshot that the present state came from
//!     <id>/
//!       snapshot.json    name, time, parent, what the machine was made of
//!       disk<N>.qcow2    its overlays then (none: the guest had written nothing)
//!       memory           the guest's memory and devices, as QEMU migrates them (only where it ran and that was wanted)
//! ```
//!
//! Each snapshot is whole in itself, so that any of them can be deleted; `parent` only says how they came about. Copies share
//! their blocks with the original where the file system can. A guest that runs stands still while its disks are copied. Volumes
//! are not the machine's own: they are in no snapshot, and where the guest writes to one, its memory cannot be kept.
//!
//! Going back ends what runs, puts the overlays in place and, with memory, has a new QEMU read that before it goes on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::time::{Instant, sleep, timeout};

use crate::control::{Turn, take_turn};
use crate::error::{Error, Result};
use crate::handle::MachineHandle;
use crate::paths::{MachineFolder, Sockets, UNFINISHED};
use crate::probe::Probe;
use crate::qmp::Command;
use crate::record::{Durability, write_atomically};
use crate::spec::{DiskAccess, MachineSpec};
use crate::status::MachineState;
use crate::task::lock_resting;

/// A disk may be slow; a guest's memory is at most what the computer has.
const MEMORY_TIMEOUT: Duration = Duration::from_mins(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// QEMU takes 128 MiB a second where nothing is said; nobody else needs this socket.
const BYTES_PER_SECOND: u64 = 1 << 40;
const NAME_MAX_BYTES: usize = 200;

/// A machine as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The snapshot that the machine had come from then.
    pub parent: Option<String>,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Whether the guest goes on where it was, rather than boots.
    pub has_memory: bool,
    /// What its files take.
    pub size_bytes: u64,
    /// What the machine was made of.
    spec: MachineSpec,
}

/// All snapshots of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotTree {
    /// The snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Which of them the machine's present state came from.
    pub current: Option<String>,
}

impl MachineHandle {
    /// Its snapshots.
    ///
    /// # Errors
    /// If their folder cannot be read.
    pub fn snapshots(&self) -> Result<SnapshotTree> {
        let folder = self.shared.folder.snapshots();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(SnapshotTree::default());
            }
            Err(error) => return Err(Error::io("list", folder)(error)),
        };
        let mut snapshots: Vec<Snapshot> = entries
            .flatten()
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .filter_map(|entry| fs::read(entry.path().join("snapshot.json")).ok())
            .filter_map(|text| serde_json::from_slice(&text).ok())
            .collect();
        snapshots.sort_by(|a, b| (a.taken_at, &a.id).cmp(&(b.taken_at, &b.id)));
        let current = fs::read_to_string(folder.join("current")).ok();
        let current = current.filter(|id| snapshots.iter().any(|snapshot| snapshot.id == *id));
        Ok(SnapshotTree { snapshots, current })
    }

    /// Keeps the machine as it is now; with the guest's memory where it runs and that is wanted. A guest that runs stands
    /// still for that long.
    ///
    /// # Errors
    /// [`Error::Snapshot`] where that cannot be; QEMU's refusal; a disk that is full. Nothing half is left.
    pub async fn take_snapshot(&self, name: &str, with_memory: bool) -> Result<Snapshot> {
        if name.trim().is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(refuse("a snapshot has a name of at most 200 bytes"));
        }
        let tree = self.snapshots()?;
        let folder = self.shared.folder.snapshots();
        fs::create_dir_all(&folder).map_err(Error::io("make the folder", &folder))?;
        let draft = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&folder)
            .map_err(Error::io("write in", &folder))?;
        let state = self.status().borrow().state;
        let spec = self.spec();
        match state {
            MachineState::Running | MachineState::Paused => {
                if with_memory {
                    check_memory(&spec)?;
                }
                let sockets = self.shared.sockets()?;
                let turn = take_turn(&sockets).await?;
                if state == MachineState::Running {
                    turn.execute(Command::new("stop")).await?;
                }
                let kept = async {
                    if with_memory {
                        save_memory(&turn, &sockets, &draft.path().join("memory")).await?;
                    }
                    copy_overlays(&self.shared.folder, draft.path(), &spec).await
                };
                let kept = kept.await;
                if state == MachineState::Running {
                    turn.execute(Command::new("cont")).await?;
                }
                kept?;
            }
            state if state.is_live() => {
                return Err(Error::WrongState {
                    request: "take a snapshot of",
                    state,
                });
            }
            _ if with_memory => return Err(refuse("a guest that does not run has no memory")),
            _ => {
                let _lock = lock_resting(&self.shared, "take a snapshot of").await?;
                copy_overlays(&self.shared.folder, draft.path(), &spec).await?;
            }
        }
        let files = fs::read_dir(draft.path()).map_err(Error::io("list", draft.path()))?;
        let sizes = files.flatten().filter_map(|file| file.metadata().ok());
        let taken_at = Timestamp::now();
        let snapshot = Snapshot {
            id: unused_id(&tree, taken_at),
            name: name.trim().to_owned(),
            parent: tree.current,
            taken_at,
            has_memory: with_memory,
            size_bytes: sizes.map(|file| file.len()).sum(),
            spec,
        };
        write_snapshot(draft.path(), &snapshot)?;
        let place = folder.join(&snapshot.id);
        fs::rename(draft.path(), &place).map_err(Error::io("write", &place))?;
        let _moved_away = draft.keep();
        set_current(&folder, Some(&snapshot.id))?;
        Ok(snapshot)
    }

    /// Makes the machine what it was: what runs is ended, what was written since is lost. With memory, the guest goes on where
    /// it was; else the machine rests.
    ///
    /// # Errors
    /// [`Error::Snapshot`] where there is none of this id; what kept a guest with memory from going on.
    pub async fn revert(&self, id: &str, probe: &Probe) -> Result<()> {
        let snapshot = self.snapshot(id)?;
        let from = self.shared.folder.snapshots().join(&snapshot.id);
        if self.status().borrow().state.is_live() {
            self.kill().await?;
        }
        {
            let _lock = lock_resting(&self.shared, "revert").await?;
            copy_overlays_back(&from, &self.shared.folder, &snapshot.spec).await?;
            set_current(&self.shared.folder.snapshots(), Some(&snapshot.id))?;
        }
        let was = snapshot.spec;
        self.edit(move |spec| {
            *spec = MachineSpec {
                name: spec.name.clone(),
                group: spec.group.clone(),
                labels: spec.labels.clone(),
                ..was
            };
        })
        .await?;
        if !snapshot.has_memory {
            return Ok(());
        }
        let marker = marker(&self.shared.folder);
        fs::write(&marker, b"").map_err(Error::io("write", &marker))?;
        self.start(probe).await?;
        let sent = self.send_memory(&from.join("memory")).await;
        if sent.is_err() {
            // A guest without its memory is nothing.
            let _ended_by_itself = self.kill().await;
        }
        sent
    }

    async fn send_memory(&self, memory: &Path) -> Result<()> {
        let sockets = self.shared.sockets()?;
        let turn = take_turn(&sockets).await?;
        load_memory(&turn, &sockets, memory).await
    }

    /// Deletes a snapshot; those that came from it come from its parent then.
    ///
    /// # Errors
    /// [`Error::Snapshot`] where there is none of this id; if its files cannot be removed.
    pub async fn delete_snapshot(&self, id: &str) -> Result<()> {
        let gone = self.snapshot(id)?;
        let tree = self.snapshots()?;
        let folder = self.shared.folder.snapshots();
        for mut child in tree.snapshots {
            if child.parent.as_ref() == Some(&gone.id) {
                child.parent.clone_from(&gone.parent);
                write_snapshot(&folder.join(&child.id), &child)?;
            }
        }
        if tree.current.as_ref() == Some(&gone.id) {
            set_current(&folder, gone.parent.as_deref())?;
        }
        let path = folder.join(&gone.id);
        let hidden = folder.join(format!("{UNFINISHED}{}", gone.id));
        fs::rename(&path, &hidden).map_err(Error::io("remove", &path))?;
        blocking(move || fs::remove_dir_all(&hidden).map_err(Error::io("remove", &hidden))).await
    }

    /// A snapshot by its id, or by its name where only one has it.
    fn snapshot(&self, id_or_name: &str) -> Result<Snapshot> {
        let mut all = self.snapshots()?.snapshots;
        let named = all.iter().filter(|it| it.name == id_or_name).count();
        let fits = |it: &Snapshot| it.id == id_or_name || (named == 1 && it.name == id_or_name);
        let index = all.iter().position(fits).ok_or_else(|| {
            refuse(&match named {
                0 => format!("there is no snapshot `{id_or_name}`"),
                _ => format!("{named} snapshots are called `{id_or_name}`: name it by its id"),
            })
        })?;
        Ok(all.swap_remove(index))
    }
}

fn refuse(problem: &str) -> Error {
    Error::Snapshot {
        problem: problem.to_owned(),
    }
}

/// What the guest has in memory of a volume would contradict what is on it later.
fn check_memory(spec: &MachineSpec) -> Result<()> {
    if !spec.shares.is_empty() {
        return Err(refuse(
            "a guest that sees a folder of this computer cannot have its memory kept",
        ));
    }
    let writes = |disk: &&crate::spec::Disk| spec.access(disk) == DiskAccess::Writable;
    match spec.disks.iter().find(writes) {
        None => Ok(()),
        Some(disk) => Err(refuse(&format!(
            "the guest writes to {}, which is in no snapshot; its memory cannot be kept",
            disk.path.display()
        ))),
    }
}

fn unused_id(tree: &SnapshotTree, now: Timestamp) -> String {
    let mut number = now.as_millisecond();
    loop {
        let id = format!("s{number:x}");
        if tree.snapshots.iter().all(|snapshot| snapshot.id != id) {
            return id;
        }
        number += 1;
    }
}

fn write_snapshot(folder: &Path, snapshot: &Snapshot) -> Result<()> {
    let path = folder.join("snapshot.json");
    let text = serde_json::to_vec_pretty(snapshot)
        .map_err(|error| Error::io("write", &path)(error.into()))?;
    write_atomically(&path, &text, Durability::Power).map_err(Error::io("write", path))
}

fn set_current(folder: &Path, id: Option<&str>) -> Result<()> {
    let path = folder.join("current");
    match id {
        Some(id) => write_atomically(&path, id.as_bytes(), Durability::Power)
            .map_err(Error::io("write", path)),
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", path)(error))
            }
            _ => Ok(()),
        },
    }
}

/// What says that the next start goes on from memory. Whoever starts takes it, so that it holds for one start alone.
fn marker(folder: &MachineFolder) -> PathBuf {
    folder.snapshots().join(".from-memory")
}

pub(crate) fn take_marker(folder: &MachineFolder) -> bool {
    fs::remove_file(marker(folder)).is_ok()
}

async fn copy_overlays(folder: &MachineFolder, to: &Path, spec: &MachineSpec) -> Result<()> {
    let pairs: Vec<_> = overlays(spec)
        .map(|index| (folder.overlay(index), to.join(format!("disk{index}.qcow2"))))
        .filter(|(from, _)| from.exists())
        .collect();
    blocking(move || pairs.iter().try_for_each(|(from, to)| copy(from, to))).await
}

/// Puts overlays in place; the guest had none where the snapshot has none.
async fn copy_overlays_back(from: &Path, folder: &MachineFolder, spec: &MachineSpec) -> Result<()> {
    let pairs: Vec<_> = overlays(spec)
        .map(|index| {
            (
                from.join(format!("disk{index}.qcow2")),
                folder.overlay(index),
            )
        })
        .collect();
    blocking(move || {
        for (from, to) in &pairs {
            if from.exists() {
                let mut beside = to.clone().into_os_string();
                beside.push(".new");
                let beside = PathBuf::from(beside);
                copy(from, &beside)?;
                fs::rename(&beside, to).map_err(Error::io("write", to))?;
            } else if let Err(error) = fs::remove_file(to)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(Error::io("remove", to)(error));
            }
        }
        Ok(())
    })
    .await
}

fn overlays(spec: &MachineSpec) -> impl Iterator<Item = usize> {
    let disks = spec.disks.iter().enumerate();
    disks
        .filter(|(_, disk)| spec.access(disk) == DiskAccess::Overlay)
        .map(|(index, _)| index)
}

/// Shares the blocks, or copies inside the kernel, where the file system can.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(Error::io("open", from))?;
    let mut target = File::create(to).map_err(Error::io("write", to))?;
    io::copy(&mut source, &mut target).map_err(Error::io("copy", from))?;
    target.sync_all().map_err(Error::io("write", to))
}

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Closed)?
}

/// Has QEMU write the guest's memory; the guest stands still, and can go on after that.
async fn save_memory(turn: &Turn, sockets: &Sockets, to: &Path) -> Result<()> {
    let listener = listen(sockets)?;
    let file = tokio::fs::File::create(to)
        .await
        .map_err(Error::io("write", to))?;
    let speed = json!({ "max-bandwidth": BYTES_PER_SECOND });
    turn.execute(Command::with("migrate-set-parameters", speed))
        .await?;
    turn.execute(Command::with("migrate", uri(sockets))).await?;
    let received = async {
        let (mut stream, _) = listener.accept().await?;
        let mut file = file;
        tokio::io::copy(&mut stream, &mut file).await?;
        file.sync_all().await
    };
    let moved = async {
        tokio::try_join!(
            async { received.await.map_err(Error::io("write", to)) },
            migrated(turn)
        )
    };
    let outcome = timeout(MEMORY_TIMEOUT, moved).await;
    let _done = fs::remove_file(sockets.memory());
    match outcome {
        Ok(Ok(_)) => Ok(()),
        other => {
            let _ended = turn.execute(Command::new("migrate_cancel")).await;
            match other {
                Ok(Err(error)) => Err(error),
                _ => Err(refuse("the guest's memory was not written in time")),
            }
        }
    }
}

/// Has a QEMU that waits for it read a guest's memory, and the guest go on.
async fn load_memory(turn: &Turn, sockets: &Sockets, from: &Path) -> Result<()> {
    let file = tokio::fs::File::open(from)
        .await
        .map_err(Error::io("open", from))?;
    // QEMU listens here, and we connect: that is how it takes memory in.
    let path = sockets.memory();
    let _none_left = fs::remove_file(&path);
    turn.execute(Command::with("migrate-incoming", uri(sockets)))
        .await?;
    let sent = async {
        let mut stream = tokio::net::UnixStream::connect(&path).await?;
        let mut file = file;
        tokio::io::copy(&mut file, &mut stream).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await
    };
    let moved = async {
        tokio::try_join!(
            async { sent.await.map_err(Error::io("send", from)) },
            migrated(turn)
        )
    };
    timeout(MEMORY_TIMEOUT, moved)
        .await
        .map_err(|_| refuse("the guest's memory was not read in time"))??;
    let _done = fs::remove_file(&path);
    // Where it stood still when the snapshot was taken, it goes on now.
    turn.execute(Command::new("cont")).await?;
    Ok(())
}

fn listen(sockets: &Sockets) -> Result<UnixListener> {
    let path = sockets.memory();
    let _none_left = fs::remove_file(&path);
    UnixListener::bind(&path).map_err(Error::io("listen at", path))
}

fn uri(sockets: &Sockets) -> Value {
    json!({ "uri": format!("unix:{}", sockets.memory().display()) })
}

/// Waits until all memory has moved.
async fn migrated(turn: &Turn) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < MEMORY_TIMEOUT {
        let answer = turn.execute(Command::new("query-migrate")).await?;
        match answer["status"].as_str() {
            Some("completed") => return Ok(()),
            Some(status @ ("failed" | "cancelled")) => {
                let reason = answer["error-desc"].as_str().unwrap_or(status);
                return Err(refuse(&format!(
                    "QEMU could not move the guest's memory: {reason}"
                )));
            }
            _ => sleep(LOOK_INTERVAL).await,
        }
    }
    Err(refuse("the guest's memory was not moved in time"))
}
