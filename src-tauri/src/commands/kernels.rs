//! Guest kernels, and whether this computer has what Windlass needs.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::doctor::Check;
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;
use windlass_workshop::kernels::Kernel;

/// Looks at QEMU, the accelerator, the kernels and the disk.
#[tauri::command]
#[specta::specta]
pub async fn doctor(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Check>> {
    Ok(workshop.doctor().await)
}

/// The guest kernels of the library.
#[tauri::command]
#[specta::specta]
pub async fn kernel_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Kernel>> {
    workshop.kernels()
}

/// Adds kernel files to the library; each is recognised by what it holds.
#[tauri::command]
#[specta::specta]
pub async fn kernel_add(
    workshop: State<'_, Arc<Workshop>>,
    paths: Vec<PathBuf>,
) -> Result<Vec<Kernel>> {
    workshop.add_kernels(&paths).await
}

/// Fetches the distribution's own Linux kernel; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn kernel_fetch_linux(workshop: State<'_, Arc<Workshop>>) -> Result<String> {
    Ok(workshop.inner().start_kernel_fetch()?.id)
}

/// Removes a kernel from the library.
#[tauri::command]
#[specta::specta]
pub async fn kernel_remove(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.remove_kernel(&id)
}

/// Fetches OSv's loader and ELF kernel from a registry; the newest where no version is named.
#[tauri::command]
#[specta::specta]
pub async fn kernel_fetch_osv(
    workshop: State<'_, Arc<Workshop>>,
    version: Option<String>,
) -> Result<Job> {
    workshop.inner().start_osv_fetch(version.as_deref())
}
