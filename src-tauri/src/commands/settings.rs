//! Settings, and what this Windlass is.

use std::sync::Arc;

use serde::Serialize;
use specta::Type;
use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::settings::Settings;

/// What this Windlass is and where its state lives.
#[derive(Debug, Clone, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The version.
    pub version: String,
    /// The folder with all state.
    pub home: String,
}

/// The settings in force.
#[tauri::command]
#[specta::specta]
pub async fn settings_get(workshop: State<'_, Arc<Workshop>>) -> Result<Settings> {
    workshop.settings()
}

/// Keeps new settings.
#[tauri::command]
#[specta::specta]
pub async fn settings_set(
    workshop: State<'_, Arc<Workshop>>,
    settings: Settings,
) -> Result<Settings> {
    workshop.set_settings(settings)
}

/// What this Windlass is.
#[tauri::command]
#[specta::specta]
pub async fn about(workshop: State<'_, Arc<Workshop>>) -> Result<About> {
    Ok(About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        home: workshop.home().root().display().to_string(),
    })
}
