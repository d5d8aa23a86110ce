//! Volumes: disks that outlive the machines that use them.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::volumes::{NewVolume, SharedFolder, Volume, VolumeMount};

/// All volumes, by name.
#[tauri::command]
#[specta::specta]
pub async fn volumes(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Volume>> {
    workshop.volumes().await
}

/// Makes a volume; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn volume_create(
    workshop: State<'_, Arc<Workshop>>,
    volume: NewVolume,
) -> Result<String> {
    Ok(workshop.inner().start_volume_create(volume)?.id)
}

/// Makes a volume larger; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn volume_resize(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    size_bytes: u64,
) -> Result<String> {
    Ok(workshop.inner().start_volume_resize(&id, size_bytes)?.id)
}

/// Gives a machine a volume, whether it runs or not.
#[tauri::command]
#[specta::specta]
pub async fn volume_attach(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    volume: VolumeMount,
) -> Result<()> {
    workshop.attach_volume(&machine, volume).await
}

/// Takes a volume from a machine, whether it runs or not.
#[tauri::command]
#[specta::specta]
pub async fn volume_detach(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    volume: String,
) -> Result<()> {
    workshop.detach_volume(&machine, &volume).await
}

/// Deletes a volume with all that is on it.
#[tauri::command]
#[specta::specta]
pub async fn volume_delete(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.delete_volume(&id).await
}

/// Lets a machine's guest see a folder, from its next start on.
#[tauri::command]
#[specta::specta]
pub async fn folder_share(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    share: SharedFolder,
) -> Result<()> {
    workshop.share_folder(&machine, share).await
}

/// Takes the folder that is mounted at a path from a machine's guest, from its next start on.
#[tauri::command]
#[specta::specta]
pub async fn folder_unshare(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    path: String,
) -> Result<()> {
    workshop.unshare_folder(&machine, &path).await
}
