//! Notifications of the desktop.
//!
//! On Linux they go straight to `org.freedesktop.Notifications` on the session bus, with no portal between. The desktop
//! may take its time, and tells much later that one was pressed: each has a thread that waits for both.

use notify_rust::Notification;
use tokio::sync::oneshot::Sender;
use windlass_workshop::error::{AppError, ErrorKind, Result};

/// Shows a notification, and answers when the desktop has taken it.
pub(crate) fn show(
    title: &str,
    body: &str,
    answer: Sender<Result<()>>,
    pressed: impl FnOnce() + Send + 'static,
) {
    let mut notification = Notification::new();
    notification
        .appname("Windlass")
        .summary(title)
        .body(&plain(body));
    std::thread::spawn(move || tell(&mut notification, answer, pressed));
}

#[cfg(all(unix, not(target_os = "macos")))]
fn tell(notification: &mut Notification, answer: Sender<Result<()>>, pressed: impl FnOnce()) {
    const PRESSED: &str = "default";
    let shown = notification
        .icon("windlass")
        .hint(notify_rust::Hint::DesktopEntry("Windlass".to_owned()))
        .action(PRESSED, "Windlass")
        .show();
    // Whoever asked may be gone with the window.
    match shown {
        Err(error) => drop(answer.send(Err(silent(&error)))),
        Ok(shown) => {
            let _ = answer.send(Ok(()));
            shown.wait_for_action(|action| {
                if action == PRESSED {
                    pressed();
                }
            });
        }
    }
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn tell(notification: &mut Notification, answer: Sender<Result<()>>, _pressed: impl FnOnce()) {
    let shown = notification.show().map(drop);
    let _ = answer.send(shown.map_err(|error| silent(&error)));
}

fn silent(error: &notify_rust::error::Error) -> AppError {
    let hint = "Notifications can be turned off in the settings".to_owned();
    AppError::from_error(ErrorKind::Unavailable, error, Some(hint))
}

/// A text whose `<`, `>` and `&` are seen: desktops read the body as markup.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_markup_is_text() {
        assert_eq!(plain("a <b> & c"), "a &lt;b&gt; &amp; c");
    }
}
