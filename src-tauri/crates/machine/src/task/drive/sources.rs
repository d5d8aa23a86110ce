//! What a driver listens to. Each waits for ever where there is nothing to listen to, and may be dropped and called
//! again.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::Connection;
use crate::console::ConsoleFollower;
use crate::lifecycle::{Event, Exit, Timer};
use crate::paths::Sockets;
use crate::process::Process;
use crate::qmp::{Qmp, QmpEvent};

const CONNECT_INTERVAL: Duration = Duration::from_millis(4);

/// Connects as soon as QEMU answers; how long that may take is a timer's to say.
pub(super) fn keep_connecting(sockets: &Sockets) -> JoinHandle<io::Result<Connection>> {
    let qmp = sockets.qmp();
    tokio::spawn(async move {
        loop {
            match Qmp::connect(&qmp).await {
                Ok(connection) => return Ok(connection),
                Err(_) => sleep(CONNECT_INTERVAL).await,
            }
        }
    })
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

pub(super) async fn next_event(
    events: &mut Option<broadcast::Receiver<QmpEvent>>,
) -> Option<QmpEvent> {
    match events {
        Some(events) => next(events).await,
        None => pending().await,
    }
}

/// The next event; what was missed by lagging behind is not worth more than a word in the log.
pub(super) async fn next(events: &mut broadcast::Receiver<QmpEvent>) -> Option<QmpEvent> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                tracing::warn!(count, "events of QEMU's were missed");
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}

pub(super) async fn connected(
    connecting: &mut Option<JoinHandle<io::Result<Connection>>>,
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

pub(super) async fn ring(timer: Option<(Timer, Instant)>) {
    match timer {
        Some((_, at)) => sleep_until(at).await,
        None => pending().await,
    }
}
