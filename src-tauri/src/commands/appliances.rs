//! Appliances: folders that become images.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::appliances::{
    Appliance, ApplianceSettings, BootPreview, Contents, Dropped, Manifests, RunForm, TreeEntry,
};
use windlass_workshop::error::Result;
use windlass_workshop::samples::Sample;

/// Says what a dropped path is, and proposes a manifest where it has none.
#[tauri::command]
#[specta::specta]
pub async fn inspect(workshop: State<'_, Arc<Workshop>>, path: PathBuf) -> Result<Dropped> {
    workshop.inspect(&path).await
}

/// All appliances.
#[tauri::command]
#[specta::specta]
pub async fn appliance_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Appliance>> {
    workshop.appliances()
}

/// One appliance.
#[tauri::command]
#[specta::specta]
pub async fn appliance_get(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<Appliance> {
    workshop.appliance(&id)
}

/// Registers a folder, writing its manifests where they are given.
#[tauri::command]
#[specta::specta]
pub async fn appliance_add(
    workshop: State<'_, Arc<Workshop>>,
    path: PathBuf,
    manifest: Option<Manifests>,
) -> Result<Appliance> {
    workshop.add_appliance(&path, manifest).await
}

/// Forgets an appliance; its folder stays.
#[tauri::command]
#[specta::specta]
pub async fn appliance_remove(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.remove_appliance(&id)
}

/// What an image of the appliance would hold: its layers and what is wrong with them.
#[tauri::command]
#[specta::specta]
pub async fn appliance_contents(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
) -> Result<Contents> {
    workshop.contents(&id).await
}

/// One folder of the merged tree.
#[tauri::command]
#[specta::specta]
pub async fn appliance_tree(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    directory: String,
) -> Result<Vec<TreeEntry>> {
    workshop.tree(&id, &directory).await
}

/// The settings to run it with, and what there is to choose from.
#[tauri::command]
#[specta::specta]
pub async fn appliance_run_form(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<RunForm> {
    workshop.run_form(&id)
}

/// Keeps the settings in the appliance's folder.
#[tauri::command]
#[specta::specta]
pub async fn appliance_save_settings(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    settings: ApplianceSettings,
) -> Result<ApplianceSettings> {
    workshop.save_settings(&id, settings)
}

/// The boot command that settings come to.
#[tauri::command]
#[specta::specta]
pub async fn appliance_preview_boot(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    settings: ApplianceSettings,
) -> Result<BootPreview> {
    workshop.preview_boot(&id, &settings)
}

/// The samples that can be made on this computer.
#[tauri::command]
#[specta::specta]
pub async fn sample_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Sample>> {
    Ok(workshop.samples())
}

/// Makes a sample; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn sample_create(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<String> {
    Ok(workshop.inner().start_sample(&id)?.id)
}
