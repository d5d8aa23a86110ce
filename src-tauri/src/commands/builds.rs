//! Builds: images made from appliances.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::builds::{Build, RunOptions};
use windlass_workshop::error::Result;

/// The builds of one appliance, or all, newest first.
#[tauri::command]
#[specta::specta]
pub async fn build_list(
    workshop: State<'_, Arc<Workshop>>,
    appliance_id: Option<String>,
) -> Result<Vec<Build>> {
    workshop.builds(appliance_id.as_deref())
}

/// Deletes a build and its image.
#[tauri::command]
#[specta::specta]
pub async fn build_delete(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.delete_build(&id)
}

/// Starts a machine of just this build; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn build_run(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<String> {
    Ok(workshop.inner().start_build_run(&id)?.id)
}

/// Composes an image; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn appliance_build(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<String> {
    Ok(workshop.inner().start_build(&id)?.id)
}

/// Builds where needed and starts a machine; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn appliance_run(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<String> {
    Ok(workshop.inner().start_run(&id)?.id)
}

/// Builds where needed and starts one or several machines in another way, for this once; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn appliance_run_with(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    options: RunOptions,
) -> Result<String> {
    Ok(workshop.inner().start_run_with(&id, options)?.id)
}
