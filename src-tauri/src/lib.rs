//! The desktop shell: commands, events and byte streams between the window and the workshop.
//!
//! ```text
//!  window (ui/)  ──invoke──►  commands/   one noun per file, no logic  ──►  windlass-workshop
//!                ◄──events──  events.rs   what changed, typed          ◄──
//!                ◄──bytes───  streams.rs  consoles and displays        ◄──  files, unix sockets
//! ```
//!
//! [`desktop`], [`drag`], [`notification`] and [`window`] are the desktop around it: dialogs, dragging out, notifications,
//! closing.
//!
//! The window opens no network connection and reads no file: all that it shows passes through
//! here. [`commands::list`] is the one list of commands; the TypeScript bindings, the permissions
//! and the tests are checked against it.

pub mod commands;
pub mod drag;
pub mod events;
pub mod streams;

mod desktop;
mod logging;
mod notification;
mod window;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tauri::ipc::Invoke;
use tauri::webview::PageLoadEvent;
use tauri::{Builder, Manager, RunEvent, Runtime};
use tauri_specta::Event as _;
use windlass_workshop::Workshop;
use windlass_workshop::home::Home;

/// Starts the application and returns when its window is closed.
///
/// # Errors
/// When the state folder cannot be used or no window can be opened; the message says which.
pub fn run() -> anyhow::Result<()> {
    // A private network of machines is a process of ours.
    if let Some(status) = windlass_workshop::switch_process() {
        std::process::exit(status.into());
    }
    let home = Home::from_environment()?;
    home.create()?;
    let mut log = logging::start(&home);
    let runtime = tokio::runtime::Runtime::new().context("the async runtime could not start")?;
    tauri::async_runtime::set(runtime.handle().clone());
    let _entered = runtime.enter();
    let workshop = runtime.block_on(Workshop::open(home))?;

    let builder = tauri::Builder::default()
        // First, so that a second start only raises the first one's window.
        .plugin(tauri_plugin_single_instance::init(
            |app, arguments, folder| {
                let opened = app.state::<desktop::Opened>();
                let named = arguments.into_iter().map(Into::into);
                if opened.keep(named, Path::new(&folder))
                    && let Err(error) = events::PathsOpened.emit(app)
                {
                    tracing::warn!(%error, "the window could not be told of what was opened");
                }
                window::raise(app);
            },
        ))
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_window_state::Builder::default().build())
        .on_window_event(window::on_event);
    let app = with_commands(builder, workshop)
        .build(tauri::generate_context!())
        .context("the window could not be opened")?;
    app.state::<desktop::Opened>().keep(
        std::env::args_os(),
        &std::env::current_dir().unwrap_or_default(),
    );
    app.run(move |_, event| {
        // The process ends without returning from here: what the log still holds is written now.
        if let RunEvent::Exit = event {
            drop(log.take());
        }
    });
    Ok(())
}

/// Adds the commands and the state that they need, for the real runtime as for the tests' one.
pub fn with_commands<R: Runtime>(builder: Builder<R>, workshop: Arc<Workshop>) -> Builder<R> {
    let described = commands::list::<R>().invoke_handler();
    // Raw bodies cannot be described to tauri-specta.
    let raw: Box<dyn Fn(Invoke<R>) -> bool + Send + Sync> =
        Box::new(tauri::generate_handler![commands::machines::stream_write]);
    builder
        .manage(workshop)
        .manage(streams::Streams::default())
        .manage(window::Closing::default())
        .manage(desktop::Opened::default())
        .setup(|app| {
            app.manage(desktop::Desktop::new(app.handle()));
            events::forward(app.handle());
            crate::workshop(app.handle()).forget_dragged();
            Ok(())
        })
        .on_page_load(|webview, load| {
            // Whatever the page before this one was reading (it was loaded anew) has no reader now.
            if load.event() == PageLoadEvent::Started {
                webview.state::<streams::Streams>().close_all();
            }
        })
        .invoke_handler(move |invoke| match invoke.message.command() {
            "stream_write" => raw(invoke),
            _ => described(invoke),
        })
}

/// The workshop that the commands work in.
fn workshop<R: Runtime>(app: &impl Manager<R>) -> Arc<Workshop> {
    Arc::clone(app.state::<Arc<Workshop>>().inner())
}
