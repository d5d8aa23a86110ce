//! Snapshots of machines.

use serde::Serialize;
use specta::Type;
use tokio_util::sync::CancellationToken;
use windlass_machine::Snapshot;

use crate::Workshop;
use crate::error::Result;

/// A machine as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MachineSnapshot {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The snapshot that the machine had come from then.
    pub parent: Option<String>,
    /// When it was taken (RFC 3339).
    pub taken_at: String,
    /// Whether the guest goes on where it was, rather than boots.
    pub has_memory: bool,
    /// What it takes of this computer's disk.
    pub size_bytes: u64,
    /// Whether the machine's present state came from it.
    pub is_current: bool,
}

fn shown(snapshot: Snapshot, current: Option<&str>) -> MachineSnapshot {
    MachineSnapshot {
        is_current: current == Some(&snapshot.id),
        id: snapshot.id,
        name: snapshot.name,
        parent: snapshot.parent,
        taken_at: snapshot.taken_at.to_string(),
        has_memory: snapshot.has_memory,
        size_bytes: snapshot.size_bytes,
    }
}

impl Workshop {
    /// The snapshots of a machine, oldest first.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine.
    pub fn machine_snapshots(&self, machine: &str) -> Result<Vec<MachineSnapshot>> {
        let tree = self.machine_handle(machine)?.snapshots()?;
        let current = tree.current.as_deref();
        let all = tree.snapshots.into_iter();
        Ok(all.map(|snapshot| shown(snapshot, current)).collect())
    }

    /// Keeps a machine as it is now; with its guest's memory where that is wanted.
    ///
    /// # Errors
    /// `Input` where that cannot be; nothing half is left.
    pub async fn take_snapshot(
        &self,
        machine: &str,
        name: &str,
        with_memory: bool,
    ) -> Result<MachineSnapshot> {
        let handle = self.machine_handle(machine)?;
        let taken = handle.take_snapshot(name, with_memory).await?;
        let id = taken.id.clone();
        Ok(shown(taken, Some(&id)))
    }

    /// Makes a machine what it was: what runs is ended, and what was written since is lost.
    ///
    /// # Errors
    /// `Input` when there is no such snapshot; what kept the guest from going on.
    pub async fn revert_machine(&self, machine: &str, snapshot: &str) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        let probe = self.probe(&CancellationToken::new()).await?;
        Ok(handle.revert(snapshot, &probe).await?)
    }

    /// Deletes a snapshot; the machine stays as it is.
    ///
    /// # Errors
    /// `Input` when there is no such snapshot.
    pub async fn delete_snapshot(&self, machine: &str, snapshot: &str) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        Ok(handle.delete_snapshot(snapshot).await?)
    }
}
