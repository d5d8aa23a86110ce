//! The window itself: raising it, and what closing it does with machines that run.
//!
//! Machines live in QEMU processes of their own and can go on without a window. Closing with
//! machines running therefore asks once (unless the settings say what to do): leave them running,
//! stop them, or stay.

use std::sync::atomic::{AtomicBool, Ordering};

use tauri::{AppHandle, Manager, Runtime, Window, WindowEvent};
use tauri_specta::Event as _;
use windlass_workshop::settings::OnClose;

use crate::events::CloseRequested;

/// The label of the only window.
pub(crate) const MAIN: &str = "main";

/// Whether the window may close without another question.
#[derive(Debug, Default)]
pub struct Closing {
    decided: AtomicBool,
    asked: AtomicBool,
}

impl Closing {
    /// The user stays: the next closing asks again.
    pub(crate) fn stay(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }
}

/// Brings the window to the front.
pub(crate) fn raise<R: Runtime>(app: &AppHandle<R>) {
    if let Some(window) = app.get_webview_window(MAIN) {
        let _ = window.unminimize();
        let _ = window.show();
        let _ = window.set_focus();
    }
}

/// Whether the window is what the user works in just now.
pub(crate) fn in_front<R: Runtime>(app: &AppHandle<R>) -> bool {
    app.get_webview_window(MAIN)
        .is_some_and(|window| window.is_focused().unwrap_or_default())
}

/// Holds the window open while machines run and nobody has said what becomes of them.
pub(crate) fn on_event<R: Runtime>(window: &Window<R>, event: &WindowEvent) {
    let WindowEvent::CloseRequested { api, .. } = event else {
        return;
    };
    let app = window.app_handle();
    if app.state::<Closing>().decided.load(Ordering::SeqCst) {
        return;
    }
    let workshop = crate::workshop(app);
    let running = workshop.machines_running();
    if running == 0 {
        return;
    }
    match workshop
        .settings()
        .map(|settings| settings.on_close)
        .unwrap_or_default()
    {
        OnClose::Leave => {}
        OnClose::Stop => {
            api.prevent_close();
            stop_and_close(app.clone());
        }
        // Whoever closes once more while the question stands (or a page that hangs cannot put it) means it.
        OnClose::Ask if app.state::<Closing>().asked.swap(true, Ordering::SeqCst) => {}
        OnClose::Ask => {
            api.prevent_close();
            let asked = CloseRequested {
                running: u32::try_from(running).unwrap_or(u32::MAX),
            };
            if let Err(error) = asked.emit(app) {
                tracing::error!(%error, "the window could not ask about running machines");
            }
        }
    }
}

/// Closes the window; machines go on running.
pub(crate) fn close<R: Runtime>(app: &AppHandle<R>) {
    app.state::<Closing>().decided.store(true, Ordering::SeqCst);
    if let Some(window) = app.get_webview_window(MAIN)
        && let Err(error) = window.close()
    {
        tracing::error!(%error, "the window could not be closed");
    }
}

/// Stops every machine, then closes the window.
pub(crate) fn stop_and_close<R: Runtime>(app: AppHandle<R>) {
    tauri::async_runtime::spawn(async move {
        crate::workshop(&app).stop_all_machines().await;
        close(&app);
    });
}
