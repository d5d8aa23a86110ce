//! The library as a whole, and what Capstan left on this computer.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::capstan::CapstanHome;
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;
use windlass_workshop::library::{LibraryUsage, PrunePlan};

/// How much the library takes on the disk.
#[tauri::command]
#[specta::specta]
pub async fn library_usage(workshop: State<'_, Arc<Workshop>>) -> Result<LibraryUsage> {
    workshop.library_usage().await
}

/// Reads all of the library and compares it with its digests.
#[tauri::command]
#[specta::specta]
pub async fn library_verify(workshop: State<'_, Arc<Workshop>>) -> Result<Job> {
    workshop.inner().start_verify()
}

/// Mends what is damaged in the library.
#[tauri::command]
#[specta::specta]
pub async fn library_repair(workshop: State<'_, Arc<Workshop>>) -> Result<Job> {
    workshop.inner().start_repair()
}

/// What pruning would remove.
#[tauri::command]
#[specta::specta]
pub async fn library_prune_plan(workshop: State<'_, Arc<Workshop>>) -> Result<PrunePlan> {
    workshop.inner().prune_plan().await
}

/// Removes from the library what nothing needs.
#[tauri::command]
#[specta::specta]
pub async fn library_prune(workshop: State<'_, Arc<Workshop>>) -> Result<Job> {
    workshop.inner().start_prune()
}

/// What Capstan left on this computer, where it did.
#[tauri::command]
#[specta::specta]
pub async fn capstan_look(workshop: State<'_, Arc<Workshop>>) -> Result<Option<CapstanHome>> {
    workshop.capstan_home(None).await
}

/// Takes over what Capstan left: from its own folder, or from another one.
#[tauri::command]
#[specta::specta]
pub async fn capstan_import(
    workshop: State<'_, Arc<Workshop>>,
    path: Option<PathBuf>,
) -> Result<Job> {
    workshop.inner().start_capstan_import(path.as_deref())
}
