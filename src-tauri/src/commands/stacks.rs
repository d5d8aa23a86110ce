//! Stacks of clouds, and the same as text for other engines.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;
use windlass_workshop::stacks::{CloudStack, StackFormat, StackOptions, StackPreview, StackSource};

/// The stacks of a cloud, newest first.
#[tauri::command]
#[specta::specta]
pub async fn stack_list(workshop: State<'_, Arc<Workshop>>, cloud: u32) -> Result<Vec<CloudStack>> {
    workshop.cloud_stacks(cloud).await
}

/// One stack, with its resources, addresses and what happened to it.
#[tauri::command]
#[specta::specta]
pub async fn stack_get(
    workshop: State<'_, Arc<Workshop>>,
    cloud: u32,
    name: String,
) -> Result<CloudStack> {
    workshop.cloud_stack(cloud, &name).await
}

/// Builds, sends and launches a stack, as a job; one of this name is updated.
#[tauri::command]
#[specta::specta]
pub async fn stack_launch(
    workshop: State<'_, Arc<Workshop>>,
    cloud: u32,
    source: StackSource,
    options: StackOptions,
) -> Result<Job> {
    workshop.inner().start_stack_launch(cloud, &source, options)
}

/// What launching would change in a stack that is there.
#[tauri::command]
#[specta::specta]
pub async fn stack_preview(
    workshop: State<'_, Arc<Workshop>>,
    cloud: u32,
    source: StackSource,
    options: StackOptions,
) -> Result<StackPreview> {
    workshop
        .inner()
        .preview_stack(cloud, &source, &options)
        .await
}

/// Takes a stack away, as a job.
#[tauri::command]
#[specta::specta]
pub async fn stack_delete(
    workshop: State<'_, Arc<Workshop>>,
    cloud: u32,
    name: String,
) -> Result<Job> {
    workshop.inner().start_stack_delete(cloud, &name)
}

/// An appliance or a group as text for another engine.
#[tauri::command]
#[specta::specta]
pub async fn stack_text(
    workshop: State<'_, Arc<Workshop>>,
    source: StackSource,
    format: StackFormat,
    options: StackOptions,
) -> Result<String> {
    workshop.inner().stack_text(&source, format, &options).await
}

/// The same, to a file.
#[tauri::command]
#[specta::specta]
pub async fn stack_save_text(
    workshop: State<'_, Arc<Workshop>>,
    source: StackSource,
    format: StackFormat,
    options: StackOptions,
    path: PathBuf,
) -> Result<()> {
    workshop
        .inner()
        .save_stack_text(&source, format, &options, &path)
        .await
}
