//! What a driver listens to. Each waits for ever where there is nothing to listen to, and may be dropped and called
//! again.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::Connection;
use crate::console::ConsoleFollower;
use crate::lifecycle::{Event, Exit};
use crate::paths::Sockets;
use crate::process::Process;
use crate::qmp::{Qmp, QmpEvent};

const CONNECT_INTERVAL: Duration = Duration::from_millis(4);

/// Connects as soon as QEMU answers; how long that may take is a timer's to say.
pub(super) fn keep_connecting(sockets: &Sockets) -> AbortOnDropHandle<io::Result<Connection>> {
    let qmp = sockets.qmp();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            match Qmp::connect(&qmp).await {
                Ok(connection) => return Ok(connection),
                Err(_) => sleep(CONNECT_INTERVAL).await,
            }
        }
    }))
}

/// What an event of QEMU's means to a machine; most mean nothing.
pub(super) fn understand(event: &QmpEvent) -> Option<Event> {
    let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
    match event.name.as_str() {
        "STOP" => Some(Event::Paused),
        "RESUME" => Some(Event::Resumed),
        "POWERDOWN" => Some(Event::PowerButton),
        "SHUTDOWN" => Some(Event::ShutDown {
            reason: text("reason"),
        }),
        "GUEST_PANICKED" => Some(Event::Panicked),
        "BLOCK_IO_ERROR" if event.data["action"] == "stop" => Some(Event::DiskError {
            reason: text("reason"),
            full: event.data["nospace"] == true,
        }),
        _ => None,
    }
}

pub(super) async fn exited(process: &mut Option<Process>) -> Exit {
    match process {
        Some(process) => process.exited().await,
        None => pending().await,
    }
}

/// What there is to hear from QEMU.
#[derive(Debug)]
pub(super) enum Said {
    Event(QmpEvent),
    /// More than was kept for us: what of it mattered has to be asked for.
    TooMuch,
}

pub(super) async fn next_event(events: &mut Option<broadcast::Receiver<QmpEvent>>) -> Option<Said> {
    match events {
        Some(events) => next(events).await,
        None => pending().await,
    }
}

/// What comes next; `None` when the connection has ended.
pub(super) async fn next(events: &mut broadcast::Receiver<QmpEvent>) -> Option<Said> {
    match events.recv().await {
        Ok(event) => Some(Said::Event(event)),
        Err(RecvError::Lagged(count)) => {
            tracing::debug!(count, "events of QEMU's were missed");
            Some(Said::TooMuch)
        }
        Err(RecvError::Closed) => None,
    }
}

/// What came already; `None` if there is nothing more.
pub(super) fn already_said(events: &mut broadcast::Receiver<QmpEvent>) -> Option<Said> {
    match events.try_recv() {
        Ok(event) => Some(Said::Event(event)),
        Err(TryRecvError::Lagged(_)) => Some(Said::TooMuch),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
    }
}

pub(super) async fn connected(
    connecting: &mut Option<AbortOnDropHandle<io::Result<Connection>>>,
) -> Option<Connection> {
    match connecting {
        Some(connecting) => connecting.await.ok()?.ok(),
        None => pending().await,
    }
}

pub(super) async fn next_chunk(follower: &mut Option<ConsoleFollower>) -> Vec<u8> {
    match follower {
        Some(following) => match following.next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) | Err(_) => pending().await,
        },
        None => pending().await,
    }
}

/// Waits until then, or for ever.
pub(super) async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}
