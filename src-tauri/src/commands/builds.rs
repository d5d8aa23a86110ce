//! Builds: images made from appliances.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::builds::{Build, RunOptions};
use windlass_workshop::error::Result;
use windlass_workshop::machines::GroupPlace;

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

/// Starts a machine in another way, for this once: from the appliance's folders with no image made, or so that all that its
/// guest writes is forgotten; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn appliance_run_otherwise(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    is_live: bool,
    is_disposable: bool,
) -> Result<String> {
    let options = RunOptions {
        is_live,
        is_disposable,
        ..RunOptions::default()
    };
    Ok(workshop.inner().start_run_with(&id, options)?.id)
}

/// Builds where needed and starts several machines of one image, as a group where it has a name; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn appliance_run_several(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    count: u32,
    group: Option<String>,
) -> Result<String> {
    let options = RunOptions {
        count,
        group: group.map(|name| GroupPlace { name, order: 0 }),
        ..RunOptions::default()
    };
    Ok(workshop.inner().start_run_with(&id, options)?.id)
}
