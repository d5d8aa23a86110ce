//! Registries: where packages and guest kernels come from.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;
use windlass_workshop::registries::{Registry, RegistryCheck, RegistryForm};
use windlass_workshop::secrets::Backend;

/// All registries, in their order.
#[tauri::command]
#[specta::specta]
pub async fn registry_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Registry>> {
    workshop.registries()
}

/// Adds a registry, as the last one.
#[tauri::command]
#[specta::specta]
pub async fn registry_add(
    workshop: State<'_, Arc<Workshop>>,
    form: RegistryForm,
) -> Result<Registry> {
    workshop.add_registry(form).await
}

/// Changes a registry.
#[tauri::command]
#[specta::specta]
pub async fn registry_update(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    form: RegistryForm,
) -> Result<Registry> {
    workshop.update_registry(id, form).await
}

/// Forgets a registry and its credentials; what was fetched from it stays.
#[tauri::command]
#[specta::specta]
pub async fn registry_remove(workshop: State<'_, Arc<Workshop>>, id: u32) -> Result<()> {
    workshop.remove_registry(id).await
}

/// Puts the registries into a new order; all of them are named.
#[tauri::command]
#[specta::specta]
pub async fn registry_reorder(workshop: State<'_, Arc<Workshop>>, ids: Vec<u32>) -> Result<()> {
    workshop.reorder_registries(&ids)
}

/// Asks a registry from now on, or does not.
#[tauri::command]
#[specta::specta]
pub async fn registry_enable(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    enabled: bool,
) -> Result<()> {
    workshop.enable_registry(id, enabled)
}

/// Tries a registry step by step.
#[tauri::command]
#[specta::specta]
pub async fn registry_check(workshop: State<'_, Arc<Workshop>>, id: u32) -> Result<RegistryCheck> {
    workshop.check_registry(id).await
}

/// Asks one registry, or all, what they have.
#[tauri::command]
#[specta::specta]
pub async fn registry_refresh(workshop: State<'_, Arc<Workshop>>, id: Option<u32>) -> Result<Job> {
    workshop.inner().start_refresh(id)
}

/// What keeps passwords and keys here, and whether it wants a passphrase.
#[tauri::command]
#[specta::specta]
pub async fn secrets_backend(workshop: State<'_, Arc<Workshop>>) -> Result<Backend> {
    workshop.secrets_backend().await
}

/// Opens the file of secrets with its passphrase; the first one makes it.
#[tauri::command]
#[specta::specta]
pub async fn secrets_unlock(
    workshop: State<'_, Arc<Workshop>>,
    passphrase: String,
) -> Result<Backend> {
    workshop.unlock_secrets(passphrase).await
}
