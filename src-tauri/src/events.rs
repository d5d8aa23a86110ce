//! What changed, told to the window as typed events.

use serde::Serialize;
use specta::Type;
use tauri::{AppHandle, Runtime};
use tauri_specta::Event;
use tokio::sync::broadcast::error::RecvError;
use windlass_workshop::appliances::Appliance;
use windlass_workshop::events::Event as Change;
use windlass_workshop::jobs::Job;
use windlass_workshop::machines::Machine;
use windlass_workshop::settings::Settings;

/// An appliance appeared, or something shown of it changed.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct ApplianceChanged(pub Appliance);

/// An appliance was forgotten; its id.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct ApplianceGone(pub String);

/// A machine appeared, or its state changed.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct MachineChanged(pub Machine);

/// A machine was deleted; its id.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct MachineGone(pub String);

/// A job started, moved on, or ended.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct JobChanged(pub Job);

/// The library's guest kernels changed.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct KernelsChanged;

/// The packages of the library changed.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct LibraryChanged;

/// A registry appeared, changed, or was asked anew.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct RegistriesChanged;

/// A cloud appeared, changed, or was tried.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct CloudsChanged;

/// A file or folder was opened with Windlass: `opened_paths` names it.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct PathsOpened;

/// The images that came from elsewhere changed.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct ImagesChanged;

/// The volumes changed, or which machines have them.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct VolumesChanged;

/// The settings changed.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct SettingsChanged(pub Settings);

/// So much changed that the window missed some of it: it reads its lists anew.
#[derive(Debug, Clone, Serialize, Type, Event)]
pub struct ReadAnew;

/// The user wants to close the window while machines run.
#[derive(Debug, Clone, Serialize, Type, Event)]
#[serde(rename_all = "camelCase")]
pub struct CloseRequested {
    /// How many machines run.
    pub running: u32,
}

/// The list of all events, for the bindings.
pub fn list() -> tauri_specta::Events {
    tauri_specta::collect_events![
        ApplianceChanged,
        ApplianceGone,
        MachineChanged,
        MachineGone,
        JobChanged,
        KernelsChanged,
        LibraryChanged,
        RegistriesChanged,
        CloudsChanged,
        ImagesChanged,
        VolumesChanged,
        PathsOpened,
        SettingsChanged,
        ReadAnew,
        CloseRequested,
    ]
}

/// Tells the window of every change in the workshop, until the application ends.
pub fn forward<R: Runtime>(app: &AppHandle<R>) {
    crate::commands::list::<R>().mount_events(app);
    let mut changes = crate::workshop(app).events().subscribe();
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        loop {
            let told = match changes.recv().await {
                Ok(change) => tell(&app, change),
                Err(RecvError::Lagged(_)) => ReadAnew.emit(&app),
                Err(RecvError::Closed) => return,
            };
            if let Err(error) = told {
                tracing::warn!(%error, "the window could not be told of a change");
            }
        }
    });
}

fn tell<R: Runtime>(app: &AppHandle<R>, change: Change) -> tauri::Result<()> {
    match change {
        Change::ApplianceChanged(appliance) => ApplianceChanged(*appliance).emit(app),
        Change::ApplianceGone(id) => ApplianceGone(id).emit(app),
        Change::MachineChanged(machine) => MachineChanged(*machine).emit(app),
        Change::MachineGone(id) => MachineGone(id).emit(app),
        Change::JobChanged(job) => JobChanged(*job).emit(app),
        Change::CloudsChanged => CloudsChanged.emit(app),
        Change::KernelsChanged => KernelsChanged.emit(app),
        Change::LibraryChanged => LibraryChanged.emit(app),
        Change::RegistriesChanged => RegistriesChanged.emit(app),
        Change::ImagesChanged => ImagesChanged.emit(app),
        Change::VolumesChanged => VolumesChanged.emit(app),
        Change::SettingsChanged(settings) => SettingsChanged(settings).emit(app),
    }
}
