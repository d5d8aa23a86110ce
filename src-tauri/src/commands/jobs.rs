//! Jobs: what takes longer than a blink.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;

/// The newest jobs; with `before`, those older than that one.
#[tauri::command]
#[specta::specta]
pub async fn job_list(
    workshop: State<'_, Arc<Workshop>>,
    limit: u32,
    before: Option<String>,
) -> Result<Vec<Job>> {
    workshop.jobs(limit, before.as_deref())
}

/// What a job said.
#[tauri::command]
#[specta::specta]
pub async fn job_log(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<String> {
    workshop.job_log(&id)
}

/// Asks a job to stop.
#[tauri::command]
#[specta::specta]
pub async fn job_cancel(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.cancel_job(&id)
}

/// Starts a failed job again; the new job's id.
#[tauri::command]
#[specta::specta]
pub async fn job_retry(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<String> {
    Ok(workshop.inner().retry_job(&id)?.id)
}

/// Lets a job wait.
#[tauri::command]
#[specta::specta]
pub async fn job_pause(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.pause_job(&id)
}

/// Lets a paused job go on.
#[tauri::command]
#[specta::specta]
pub async fn job_resume(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.resume_job(&id)
}
