//! The desktop around the window: file dialogs, the file manager, closing.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use specta::Type;
use tauri::{AppHandle, Runtime, State};
use tauri_plugin_dialog::{DialogExt as _, FilePath};
use tokio::sync::oneshot;
use windlass_workshop::Workshop;
use windlass_workshop::error::{AppError, ErrorKind, Result};
use windlass_workshop::settings::OnClose;

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

fn local(path: FilePath) -> Option<PathBuf> {
    path.into_path().ok()
}

/// Lets the user choose a folder.
#[tauri::command]
#[specta::specta]
pub async fn pick_folder<R: Runtime>(app: AppHandle<R>) -> Option<PathBuf> {
    let (answer, answered) = oneshot::channel();
    app.dialog().file().pick_folder(|path| {
        let _ = answer.send(path);
    });
    answered.await.ok().flatten().and_then(local)
}

/// Lets the user choose files.
#[tauri::command]
#[specta::specta]
pub async fn pick_files<R: Runtime>(app: AppHandle<R>) -> Vec<PathBuf> {
    let (answer, answered) = oneshot::channel();
    app.dialog().file().pick_files(|paths| {
        let _ = answer.send(paths);
    });
    answered.await.ok().flatten().unwrap_or_default().into_iter().filter_map(local).collect()
}

/// Lets the user choose where to save.
#[tauri::command]
#[specta::specta]
pub async fn pick_save_path<R: Runtime>(app: AppHandle<R>, suggested: String) -> Option<PathBuf> {
    let (answer, answered) = oneshot::channel();
    app.dialog().file().set_file_name(suggested).save_file(|path| {
        let _ = answer.send(path);
    });
    answered.await.ok().flatten().and_then(local)
}

/// Opens the folder of an appliance, a build or a machine in the file manager.
#[tauri::command]
#[specta::specta]
pub async fn reveal_path(workshop: State<'_, Arc<Workshop>>, path: PathBuf) -> Result<()> {
    workshop.reveal(&path)
}

/// The user's answer to what becomes of running machines.
#[tauri::command]
#[specta::specta]
pub async fn window_close_answer<R: Runtime>(
    app: AppHandle<R>,
    workshop: State<'_, Arc<Workshop>>,
    answer: CloseAnswer,
    remember: bool,
) -> Result<()> {
    let on_close = match answer {
        CloseAnswer::Leave => OnClose::Leave,
        CloseAnswer::Stop => OnClose::Stop,
        CloseAnswer::Cancel => return Ok(()),
    };
    if remember {
        let mut settings = workshop.settings()?;
        settings.on_close = on_close;
        workshop.set_settings(settings)?;
    }
    match on_close {
        OnClose::Leave => crate::window::close(&app),
        OnClose::Stop => crate::window::stop_and_close(app),
        OnClose::Ask => {
            return Err(AppError::new(ErrorKind::Internal, "No answer was given"));
        }
    }
    Ok(())
}
