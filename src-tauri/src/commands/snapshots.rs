//! Snapshots of machines.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::machines::MachineSnapshot;

/// The snapshots of a machine, oldest first.
#[tauri::command]
#[specta::specta]
pub async fn snapshot_list(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
) -> Result<Vec<MachineSnapshot>> {
    workshop.machine_snapshots(&machine)
}

/// Keeps a machine as it is now.
#[tauri::command]
#[specta::specta]
pub async fn snapshot_take(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    name: String,
    with_memory: bool,
) -> Result<MachineSnapshot> {
    workshop.take_snapshot(&machine, &name, with_memory).await
}

/// Makes a machine what it was.
#[tauri::command]
#[specta::specta]
pub async fn snapshot_revert(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    snapshot: String,
) -> Result<()> {
    workshop.revert_machine(&machine, &snapshot).await
}

/// Deletes a snapshot.
#[tauri::command]
#[specta::specta]
pub async fn snapshot_delete(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    snapshot: String,
) -> Result<()> {
    workshop.delete_snapshot(&machine, &snapshot).await
}
