//! What the user chose for Windlass as a whole.

use std::path::PathBuf;

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use specta::Type;

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;

/// Light, dark, or as the desktop says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Theme {
    /// As the desktop says.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// The language of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Language {
    /// As the desktop says, where we have it.
    #[default]
    System,
    /// English.
    En,
    /// German.
    De,
}

/// What closing the window does with machines that run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum OnClose {
    /// Asks each time.
    #[default]
    Ask,
    /// They go on running.
    Leave,
    /// They are stopped.
    Stop,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Light, dark, or as the desktop says.
    pub theme: Theme,
    /// The language of the window.
    pub language: Language,
    /// What closing the window does with machines that run.
    pub on_close: OnClose,
    /// Memory of a machine whose appliance does not say, in MiB.
    pub default_memory_mib: u32,
    /// Whether the desktop tells of long work that ends while the window is not in front.
    pub notifications: bool,
    /// How long a guest that was asked to stop gets before its power button is pressed, in seconds.
    pub stop_guest_seconds: u32,
    /// How long it gets after that before its power is cut, in seconds.
    pub stop_power_seconds: u32,
    /// QEMU's program, where it is not the one on `PATH`.
    pub qemu_path: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Theme::default(),
            language: Language::default(),
            on_close: OnClose::default(),
            default_memory_mib: 512,
            notifications: true,
            stop_guest_seconds: 10,
            stop_power_seconds: 5,
            qemu_path: None,
        }
    }
}

/// The least memory that any guest of ours boots in, in MiB.
const LEAST_MEMORY_MIB: u32 = 64;
/// Nobody waits longer for a guest.
const LONGEST_STOP_SECONDS: u32 = 3600;
/// More than this is a slip of the keyboard.
const MOST_MEMORY_MIB: u32 = 1 << 20;

/// What was kept, over the defaults of what an older Windlass did not know yet.
fn over_defaults(kept: serde_json::Map<String, serde_json::Value>) -> Settings {
    let defaults = Settings::default();
    let Ok(serde_json::Value::Object(mut all)) = serde_json::to_value(&defaults) else {
        return defaults;
    };
    all.extend(kept);
    serde_json::from_value(serde_json::Value::Object(all)).unwrap_or(defaults)
}

impl Workshop {
    /// The settings in force.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn settings(&self) -> Result<Settings> {
        let kept: serde_json::Map<_, _> = self.remembered("settings")?.unwrap_or_default();
        Ok(over_defaults(kept))
    }

    /// Checks and keeps new settings.
    ///
    /// # Errors
    /// `Input` when a value makes no sense; nothing is changed then.
    pub fn set_settings(&self, settings: Settings) -> Result<Settings> {
        let memory = settings.default_memory_mib;
        if !(LEAST_MEMORY_MIB..=MOST_MEMORY_MIB).contains(&memory) {
            return Err(AppError::new(
                ErrorKind::Input,
                format!("A machine cannot have {memory} MiB of memory"),
            )
            .hinted(format!(
                "Give between {LEAST_MEMORY_MIB} and {MOST_MEMORY_MIB} MiB"
            )));
        }
        let longest = settings.stop_guest_seconds.max(settings.stop_power_seconds);
        if longest > LONGEST_STOP_SECONDS {
            return Err(AppError::new(
                ErrorKind::Input,
                format!("A stop cannot wait {longest} seconds"),
            )
            .hinted(format!("Give at most {LONGEST_STOP_SECONDS} seconds")));
        }
        self.remember("settings", &settings)?;
        self.events.send(Event::SettingsChanged(settings.clone()));
        Ok(settings)
    }

    /// What is kept under a name. A value that an older or newer Windlass wrote and that cannot be
    /// understood counts as absent.
    pub(crate) fn remembered<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>> {
        let text: Option<String> = self
            .database
            .lock()
            .query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(text.and_then(|text| {
            serde_json::from_str(&text)
                .inspect_err(|error| tracing::warn!(name, %error, "a kept value is not understood"))
                .ok()
        }))
    }

    /// Keeps a value under a name.
    pub(crate) fn remember<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
        self.database.lock().execute(
            "INSERT INTO setting (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, text),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_older_windlass_keep_what_they_say() {
        let kept = serde_json::json!({ "theme": "dark", "gone": 1 });
        let settings = over_defaults(kept.as_object().unwrap().clone());
        assert_eq!(
            settings,
            Settings {
                theme: Theme::Dark,
                ..Settings::default()
            }
        );
    }
}
