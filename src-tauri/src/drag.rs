//! Dragging files out of the window into other programs.
//!
//! ```text
//!  a row of a tree is pressed and moved
//!      └─► its files lie in a private folder ─► drag begins ─► another program asks for their addresses and copies them
//! ```
//!
//! Begun with GTK itself: what there is for Tauri gives paths as addresses without escaping them, and stops answering at
//! the drop, when most programs ask first.

use std::path::PathBuf;

use serde::Serialize;
use specta::Type;
use tauri::{AppHandle, Manager as _, Runtime};
use tokio::sync::oneshot;

/// How dragging files out of the window ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum DragEnd {
    /// Another program took them.
    Dropped,
    /// They were let go where nothing takes files.
    Cancelled,
    /// The button was no longer pressed when the files were ready.
    Released,
    /// Files cannot be dragged out of the window on this system.
    Unsupported,
}

/// Lets the user go on dragging files that lie ready at `paths`; `ended` is told how it ended.
pub(crate) fn begin<R: Runtime>(
    app: &AppHandle<R>,
    paths: Vec<PathBuf>,
    ended: oneshot::Sender<DragEnd>,
) {
    let window = app.clone();
    let begun = app.run_on_main_thread(move || {
        #[cfg(target_os = "linux")]
        if let Some(window) = window
            .get_webview_window(crate::window::MAIN)
            .and_then(|window| window.gtk_window().ok())
        {
            gtk::begin(&window, &paths, ended);
            return;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (window, paths);
        let _ = ended.send(DragEnd::Unsupported);
    });
    if let Err(error) = begun {
        // The application is ending; the sender is gone, and whoever waits is told so.
        tracing::debug!(%error, "files could not be dragged out");
    }
}

#[cfg(target_os = "linux")]
mod gtk {
    use std::cell::{Cell, RefCell};
    use std::path::PathBuf;
    use std::rc::Rc;

    use gtk::gdk::{DragAction, ModifierType};
    use gtk::glib::{self, Propagation};
    use gtk::prelude::*;
    use gtk::{ApplicationWindow, TargetList};
    use tokio::sync::oneshot;

    use super::DragEnd;

    const FIRST_BUTTON: i32 = 1;

    pub(super) fn begin(
        window: &ApplicationWindow,
        paths: &[PathBuf],
        ended: oneshot::Sender<DragEnd>,
    ) {
        let uris: Vec<String> = paths
            .iter()
            .filter_map(|path| glib::filename_to_uri(path, None).ok())
            .map(Into::into)
            .collect();
        // Without a pressed button, a drag would hang on the pointer until the next click.
        if !is_pressed(window) || uris.is_empty() {
            let _ = ended.send(DragEnd::Released);
            return;
        }
        let targets = TargetList::new(&[]);
        targets.add_uri_targets(0);

        let ended = Rc::new(Cell::new(Some(ended)));
        let failed = Rc::new(Cell::new(false));
        let handlers = Rc::new(RefCell::new(Vec::new()));
        let give = window.connect_drag_data_get(move |_, _, data, _, _| {
            let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
            data.set_uris(&uris);
        });
        let fail = window.connect_drag_failed({
            let failed = Rc::clone(&failed);
            move |_, _, _| {
                failed.set(true);
                Propagation::Proceed
            }
        });
        // The very last signal of a drag: nobody asks for the data after it.
        let end = window.connect_drag_end({
            let (ended, handlers) = (Rc::clone(&ended), Rc::clone(&handlers));
            move |window, _| {
                for handler in handlers.borrow_mut().drain(..) {
                    window.disconnect(handler);
                }
                tell(
                    &ended,
                    if failed.get() {
                        DragEnd::Cancelled
                    } else {
                        DragEnd::Dropped
                    },
                );
            }
        });
        handlers.borrow_mut().extend([give, fail, end]);

        let context = window.drag_begin_with_coordinates(
            &targets,
            DragAction::COPY,
            FIRST_BUTTON,
            None,
            -1,
            -1,
        );
        if let Some(context) = context {
            context.drag_set_icon_name("text-x-generic", 0, 0);
        } else {
            for handler in handlers.borrow_mut().drain(..) {
                window.disconnect(handler);
            }
            tell(&ended, DragEnd::Released);
        }
    }

    fn tell(ended: &Cell<Option<oneshot::Sender<DragEnd>>>, how: DragEnd) {
        if let Some(ended) = ended.take() {
            let _ = ended.send(how);
        }
    }

    fn is_pressed(window: &ApplicationWindow) -> bool {
        let pointer = WidgetExt::display(window)
            .default_seat()
            .and_then(|seat| seat.pointer());
        match (window.window(), pointer) {
            (Some(window), Some(pointer)) => window
                .device_position(&pointer)
                .3
                .contains(ModifierType::BUTTON1_MASK),
            _ => false,
        }
    }
}
