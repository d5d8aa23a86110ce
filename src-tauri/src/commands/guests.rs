//! What is inside the guests of machines.

use std::path::Path;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::machines::{GuestCopy, GuestEnvironment, GuestFolder, GuestNow, TracePoint};

/// The processes and the memory of a guest.
#[tauri::command]
#[specta::specta]
pub async fn guest_now(workshop: State<'_, Arc<Workshop>>, machine: String) -> Result<GuestNow> {
    workshop.guest_now(&machine).await
}

/// The kernel's command line, and the environment of a process; the first program's when none is named.
#[tauri::command]
#[specta::specta]
pub async fn guest_environment(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    process: Option<u32>,
) -> Result<GuestEnvironment> {
    workshop.guest_environment(&machine, process).await
}

/// What the guest's kernel has said.
#[tauri::command]
#[specta::specta]
pub async fn guest_kernel_log(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
) -> Result<String> {
    workshop.guest_kernel_log(&machine).await
}

/// The places of OSv's kernel that tell what happens there.
#[tauri::command]
#[specta::specta]
pub async fn guest_trace(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
) -> Result<Vec<TracePoint>> {
    workshop.guest_trace(&machine).await
}

/// Begins to count how often a place of OSv's kernel is passed, or ends it.
#[tauri::command]
#[specta::specta]
pub async fn guest_trace_count(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    id: String,
    is_counted: bool,
) -> Result<()> {
    workshop.guest_trace_count(&machine, &id, is_counted).await
}

/// What is in a folder of a guest.
#[tauri::command]
#[specta::specta]
pub async fn guest_folder(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    path: String,
) -> Result<GuestFolder> {
    workshop.guest_folder(&machine, &path).await
}

/// Copies a file out of a guest.
#[tauri::command]
#[specta::specta]
pub async fn guest_get(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    path: String,
    to: String,
) -> Result<GuestCopy> {
    workshop.guest_get(&machine, &path, Path::new(&to)).await
}

/// Copies a file into a guest.
#[tauri::command]
#[specta::specta]
pub async fn guest_put(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    from: String,
    to: String,
) -> Result<GuestCopy> {
    workshop.guest_put(&machine, Path::new(&from), &to).await
}
