//! The desktop around the window: file dialogs, the file manager, closing.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use specta::Type;
use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::settings::OnClose;

use crate::desktop::{Desktop, Opened, Pick};

/// What becomes of running machines when the window closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum CloseAnswer {
    /// They go on running.
    Leave,
    /// They are stopped first.
    Stop,
    /// The window stays.
    Cancel,
}

/// Lets the user choose a folder.
#[tauri::command]
#[specta::specta]
pub async fn pick_folder(desktop: State<'_, Desktop>) -> Result<Option<PathBuf>> {
    Ok(desktop.pick(Pick::Folder).await.pop())
}

/// Lets the user choose files.
#[tauri::command]
#[specta::specta]
pub async fn pick_files(desktop: State<'_, Desktop>) -> Result<Vec<PathBuf>> {
    Ok(desktop.pick(Pick::Files).await)
}

/// Lets the user choose where to save.
#[tauri::command]
#[specta::specta]
pub async fn pick_save_path(
    desktop: State<'_, Desktop>,
    suggested: String,
) -> Result<Option<PathBuf>> {
    Ok(desktop.pick(Pick::Save { suggested }).await.pop())
}

/// Writes a text that the window shows to a file that the user chose.
#[tauri::command]
#[specta::specta]
pub async fn text_save(
    workshop: State<'_, Arc<Workshop>>,
    path: PathBuf,
    text: String,
) -> Result<()> {
    workshop.save_text(&path, text).await
}

/// Files and folders that Windlass was started with and that nobody took yet.
#[tauri::command]
#[specta::specta]
pub async fn opened_paths(opened: State<'_, Opened>) -> Result<Vec<PathBuf>> {
    Ok(opened.take())
}

/// Opens the folder of an appliance, a build or a machine in the file manager.
#[tauri::command]
#[specta::specta]
pub async fn reveal_path(workshop: State<'_, Arc<Workshop>>, path: PathBuf) -> Result<()> {
    workshop.reveal(&path)
}

/// Has the desktop tell of something, unless the window is in front; whether it does.
#[tauri::command]
#[specta::specta]
pub async fn notify(desktop: State<'_, Desktop>, title: String, body: String) -> Result<bool> {
    desktop.notify(title, body).await
}

/// The user's answer to what becomes of running machines.
#[tauri::command]
#[specta::specta]
pub async fn window_close_answer(
    desktop: State<'_, Desktop>,
    workshop: State<'_, Arc<Workshop>>,
    answer: CloseAnswer,
    remember: bool,
) -> Result<()> {
    let on_close = match answer {
        CloseAnswer::Leave => OnClose::Leave,
        CloseAnswer::Stop => OnClose::Stop,
        CloseAnswer::Cancel => {
            desktop.stay();
            return Ok(());
        }
    };
    if remember {
        let settings = workshop.settings()?;
        workshop.set_settings(windlass_workshop::settings::Settings {
            on_close,
            ..settings
        })?;
    }
    desktop.close(answer == CloseAnswer::Stop);
    Ok(())
}
