//! What an appliance is made of: its layers, its manifests, its run configurations, its lock file.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::appliances::{
    ConfigurationFields, Conflict, FindingFix, LayersSet, LockInfo, ManifestFile, ManifestSaved,
    ManifestText, SizeNode, TextMistake,
};
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;
use windlass_workshop::packages::{Graph, Requirement};

/// Sets the packages that an appliance lies over, lowest first.
#[tauri::command]
#[specta::specta]
pub async fn appliance_layers_set(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    require: Vec<Requirement>,
) -> Result<LayersSet> {
    workshop.inner().set_layers(&id, &require).await
}

/// The text of one of an appliance's manifests.
#[tauri::command]
#[specta::specta]
pub async fn appliance_manifest_text(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    file: ManifestFile,
) -> Result<ManifestText> {
    workshop.manifest_text(&id, file)
}

/// Writes a manifest that has no mistake, unless the file changed meanwhile.
#[tauri::command]
#[specta::specta]
pub async fn appliance_manifest_save(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    file: ManifestFile,
    text: String,
    digest: String,
) -> Result<ManifestSaved> {
    workshop.save_manifest(&id, file, &text, &digest)
}

/// The mistakes of a text that is being written.
#[tauri::command]
#[specta::specta]
pub async fn appliance_manifest_check(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    file: ManifestFile,
    text: String,
) -> Result<Vec<TextMistake>> {
    workshop.check_manifest(&id, file, &text)
}

/// The JSON Schema of a manifest, as text.
#[tauri::command]
#[specta::specta]
pub async fn manifest_schema(file: ManifestFile) -> Result<String> {
    Ok(Workshop::manifest_schema(file))
}

/// What an appliance needs, and what that needs.
#[tauri::command]
#[specta::specta]
pub async fn appliance_graph(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<Graph> {
    workshop.inner().appliance_graph(&id).await
}

/// The paths that several layers have a file at.
#[tauri::command]
#[specta::specta]
pub async fn appliance_conflicts(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
) -> Result<Vec<Conflict>> {
    workshop.inner().conflicts(&id).await
}

/// Where the bytes of an image would be.
#[tauri::command]
#[specta::specta]
pub async fn appliance_size_map(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
) -> Result<SizeNode> {
    workshop.inner().size_map(&id).await
}

/// The packages that each build of an appliance uses.
#[tauri::command]
#[specta::specta]
pub async fn appliance_lock(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<LockInfo> {
    workshop.inner().lock_info(&id).await
}

/// Holds fast the newest packages that an appliance's manifest allows.
#[tauri::command]
#[specta::specta]
pub async fn appliance_lock_update(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<Job> {
    workshop.inner().start_lock_update(&id)
}

/// Does what mends a finding.
#[tauri::command]
#[specta::specta]
pub async fn appliance_fix(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    fix: FindingFix,
) -> Result<()> {
    workshop.fix_finding(&id, fix)
}

/// Changes a run configuration.
#[tauri::command]
#[specta::specta]
pub async fn appliance_configuration_save(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    name: String,
    fields: ConfigurationFields,
) -> Result<()> {
    workshop.save_configuration(&id, &name, &fields)
}

/// Adds a run configuration.
#[tauri::command]
#[specta::specta]
pub async fn appliance_configuration_add(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    name: String,
    fields: ConfigurationFields,
) -> Result<()> {
    workshop.add_configuration(&id, &name, &fields)
}

/// Removes a run configuration.
#[tauri::command]
#[specta::specta]
pub async fn appliance_configuration_remove(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    name: String,
) -> Result<()> {
    workshop.remove_configuration(&id, &name)
}

/// Gives a run configuration another name.
#[tauri::command]
#[specta::specta]
pub async fn appliance_configuration_rename(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    name: String,
    new_name: String,
) -> Result<()> {
    workshop.rename_configuration(&id, &name, &new_name)
}

/// Says which run configurations run when nothing else is said, in order.
#[tauri::command]
#[specta::specta]
pub async fn appliance_configuration_set_default(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    names: Vec<String>,
) -> Result<()> {
    workshop.set_default_configurations(&id, &names)
}
