//! A live machine that another process drives: requests go straight to QEMU.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::{self, Picture};
use crate::error::{Error, Result};
use crate::lifecycle::Request;
use crate::process::Process;
use crate::qmp::{Command, Qmp};
use crate::record::{ProcessKey, Record};
use crate::status::{MachineState, Status};
use crate::task::{Shared, try_lock};
use crate::usage;

/// The driving process writes what it saw within milliseconds; where the disk is busy, it takes longer.
const SEEN_TIMEOUT: Duration = Duration::from_secs(10);
const SEEN_INTERVAL: Duration = Duration::from_millis(20);
/// QEMU gets this long to end by itself.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn request(shared: &Shared, request: Request) -> Result<()> {
    let record = Record::read(&shared.folder)?;
    let state = record.status.state;
    shared.change_record(|old| *old = record.clone());
    let sockets = shared.sockets()?;
    let (commands, expected) = match (request, state) {
        (Request::Pause, MachineState::Running) => {
            (vec![Command::new("stop")], Some(MachineState::Paused))
        }
        (Request::Resume, MachineState::Paused) => {
            (vec![Command::new("cont")], Some(MachineState::Running))
        }
        (Request::Stop, MachineState::Stopping) => (Vec::new(), None),
        (Request::Stop, MachineState::Running | MachineState::Paused) => {
            let mut commands = control::ask_guest_commands(record.spec.guest);
            if state == MachineState::Paused {
                commands.insert(0, Command::new("cont"));
            }
            (commands, Some(MachineState::Stopping))
        }
        (Request::Kill, state) if state.is_live() => {
            let process = record.run.and_then(|run| run.process);
            return kill(shared, process.as_ref()).await;
        }
        (request, state) => {
            return Err(Error::WrongState {
                request: request.verb(),
                state,
            });
        }
    };
    if !commands.is_empty() {
        control::execute(&sockets, commands).await?;
    }
    if let Some(expected) = expected {
        wait_until_seen(shared, |state| state == expected || !state.is_live()).await?;
    }
    Ok(())
}

async fn kill(shared: &Shared, process: Option<&ProcessKey>) -> Result<()> {
    let found = process.and_then(Process::find);
    let quit = control::execute(&shared.sockets()?, vec![Command::new("quit")]).await;
    let Some(mut found) = found else {
        // Its driver has not written down who it is yet; QEMU's own word has to do.
        quit?;
        return wait_until_seen(shared, |state| !state.is_live()).await;
    };
    if quit.is_err()
        || tokio::time::timeout(QUIT_TIMEOUT, found.exited())
            .await
            .is_err()
    {
        found.kill();
        let gone = tokio::time::timeout(QUIT_TIMEOUT, found.exited()).await;
        gone.map_err(|_| Error::NoAnswer {
            what: "its process' end".to_owned(),
        })?;
    }
    wait_until_seen(shared, |state| !state.is_live()).await
}

/// Has QEMU end, as far as it can be asked.
pub(super) async fn quit(shared: &Shared) {
    if let Ok(sockets) = shared.sockets() {
        let _nobody_there = control::execute(&sockets, vec![Command::new("quit")]).await;
    }
}

/// Waits until the driving process has written down a state that fits, or is gone: then the next look tells.
async fn wait_until_seen(shared: &Shared, fits: impl Fn(MachineState) -> bool) -> Result<()> {
    let deadline = Instant::now() + SEEN_TIMEOUT;
    loop {
        // Asked first: a driver that lets go has written before.
        let driven = try_lock(shared).is_ok_and(|lock| lock.is_none());
        let Ok(record) = Record::read(&shared.folder) else {
            return Ok(());
        };
        let status = record.status.clone();
        if fits(status.state) {
            shared.change_record(|old| *old = record);
            shared.publish(Status {
                elsewhere: status.state.is_live(),
                ..status
            });
            return Ok(());
        }
        if !driven {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::DriverSilent);
        }
        sleep(SEEN_INTERVAL).await;
    }
}

pub(super) async fn screenshot(shared: &Shared, picture: Picture) -> Result<Vec<u8>> {
    let state = shared.record().status.state;
    if !state.is_live() {
        return Err(Error::WrongState {
            request: "photograph",
            state,
        });
    }
    let path = screenshot_path(shared)?;
    let command = control::screenshot_command(&path, picture);
    let result = control::execute(&shared.sockets()?, vec![command]).await;
    take_file(&path, result.map(|_| ()))
}

/// A screenshot through the driving connection.
pub(super) async fn screenshot_through(
    shared: &Shared,
    qmp: &Qmp,
    picture: Picture,
) -> Result<Vec<u8>> {
    let path = screenshot_path(shared)?;
    let command = control::screenshot_command(&path, picture);
    let result = qmp.execute(command).await;
    take_file(&path, result.map(|_| ()))
}

/// What a live machine's disks have read and written.
pub(super) async fn disk_bytes(shared: &Shared) -> Result<(u64, u64)> {
    let state = shared.record().status.state;
    if !state.is_live() {
        return Err(Error::WrongState {
            request: "measure",
            state,
        });
    }
    let turn = control::take_turn(&shared.sockets()?).await?;
    Ok(usage::disk_bytes(
        &turn.execute_for::<Vec<_>>(blockstats()).await?,
    ))
}

/// The same through the driving connection.
pub(super) async fn disk_bytes_through(qmp: &Qmp) -> Result<(u64, u64)> {
    Ok(usage::disk_bytes(
        &qmp.execute_for::<Vec<_>>(blockstats()).await?,
    ))
}

fn blockstats() -> Command {
    Command::new("query-blockstats")
}

fn screenshot_path(shared: &Shared) -> Result<std::path::PathBuf> {
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    Ok(shared.sockets()?.screenshot(unique))
}

fn take_file(path: &std::path::Path, result: Result<()>) -> Result<Vec<u8>> {
    let bytes = result.and_then(|()| std::fs::read(path).map_err(Error::io("read", path)));
    let _not_there = std::fs::remove_file(path);
    bytes
}
