//! Talking to a QEMU whose driving connection is held by another process: through its second monitor, one process at a
//! time, for as long as it takes to say a few commands.

use std::fs::{File, TryLockError};
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use windlass_guest::GuestOs;

use crate::error::{Error, Result};
use crate::paths::Sockets;
use crate::qmp::{Command, Qmp};

/// Others hold the monitor for milliseconds; a screenshot takes longest.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
const TURN_INTERVAL: Duration = Duration::from_millis(10);

/// A turn at the second monitor: others wait until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    qmp: Qmp,
    _lock: File,
}

impl Turn {
    pub(crate) async fn execute(&self, command: Command) -> Result<Value> {
        self.qmp.execute(command).await
    }

    pub(crate) async fn execute_for<T: DeserializeOwned>(&self, command: Command) -> Result<T> {
        self.qmp.execute_for(command).await
    }

    pub(crate) async fn execute_with_file(&self, command: Command, file: OwnedFd) -> Result<Value> {
        self.qmp.execute_with_file(command, file).await
    }
}

/// Carries out commands one after the other; stops at the first that is refused.
pub(crate) async fn execute(sockets: &Sockets, commands: Vec<Command>) -> Result<Vec<Value>> {
    let turn = take_turn(sockets).await?;
    let mut answers = Vec::new();
    for command in commands {
        answers.push(turn.execute(command).await?);
    }
    Ok(answers)
}

/// Waits for a turn.
pub(crate) async fn take_turn(sockets: &Sockets) -> Result<Turn> {
    let lock_path = sockets.control_lock();
    let lock = File::create(&lock_path).map_err(Error::io("open", &lock_path))?;
    let deadline = Instant::now() + TURN_TIMEOUT;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                sleep(TURN_INTERVAL).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::NoAnswer {
                    what: "its turn at the control socket".to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", lock_path)(error)),
        }
    }
    let socket = sockets.control();
    let (qmp, _events) = timeout(TURN_TIMEOUT, Qmp::connect(&socket))
        .await
        .map_err(|_| Error::NoAnswer {
            what: "a greeting at the control socket".to_owned(),
        })?
        .map_err(Error::io("connect to", socket))?;
    Ok(Turn { qmp, _lock: lock })
}

/// The keys that have a Linux guest end its commands and power off.
pub(crate) fn ctrl_alt_del() -> Command {
    let key = |name: &str| json!({ "type": "qcode", "data": name });
    let keys = json!({ "keys": [key("ctrl"), key("alt"), key("delete")] });
    Command::with("send-key", keys)
}

/// How the guest of a machine that is driven elsewhere is asked to stop: its driver hears of the button. Both understand the power button (OSv powers off at once); a Linux guest whose kernel
/// comes without the button's driver hears Ctrl+Alt+Del.
pub(crate) fn ask_guest_commands(guest: GuestOs) -> Vec<Command> {
    let mut commands = vec![Command::new("system_powerdown")];
    if guest == GuestOs::Linux {
        commands.push(ctrl_alt_del());
    }
    commands
}

/// The format of a picture of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picture {
    /// For people. QEMU compresses it, and the guest stands meanwhile.
    Png,
    /// For programs: the bare colours, which cost QEMU next to nothing.
    Ppm,
}

/// How a screen is written to a file.
pub(crate) fn screenshot_command(path: &std::path::Path, picture: Picture) -> Command {
    let format = match picture {
        Picture::Png => "png",
        Picture::Ppm => "ppm",
    };
    Command::with(
        "screendump",
        json!({ "filename": path.to_string_lossy(), "format": format }),
    )
}

/// How processors are looked at.
pub(crate) fn registers_command() -> Command {
    Command::with(
        "human-monitor-command",
        json!({ "command-line": "info registers -a" }),
    )
}

/// Whether every processor is halted with interrupts off, as QEMU prints registers: `RFL=00000002 […] HLT=1`.
/// Only a reset wakes such a machine; an idle one is halted, too, but with interrupts on.
pub(crate) fn all_halted(registers: &str) -> bool {
    const INTERRUPTS_ON: u64 = 1 << 9;
    let mut processors = 0;
    for line in registers.lines() {
        let word = |name: &str| {
            line.split_ascii_whitespace()
                .find_map(|word| word.strip_prefix(name))
        };
        let Some(flags) = word("RFL=").or_else(|| word("EFL=")) else {
            continue;
        };
        let Ok(flags) = u64::from_str_radix(flags, 16) else {
            return false;
        };
        if flags & INTERRUPTS_ON != 0 || word("HLT=") != Some("1") {
            return false;
        }
        processors += 1;
    }
    processors > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processors_that_nothing_wakes_count_as_halted() {
        let line = |name, flags, halted| {
            format!(
                "CPU#0\nRIP=0 {name}={flags} [-------] CPL=0 II=0 A20=1 SMM=0 HLT={halted}\nES =0000"
            )
        };
        assert!(all_halted(&line("RFL", "00000002", 1)));
        assert!(
            all_halted(&line("EFL", "00000046", 1)),
            "a guest in 16-bit mode"
        );
        assert!(
            !all_halted(&line("RFL", "00000246", 1)),
            "idle: an interrupt wakes it"
        );
        assert!(!all_halted(&line("RFL", "00000002", 0)), "runs");
        let two = line("RFL", "00000002", 1) + "\n" + &line("RFL", "00000002", 0);
        assert!(!all_halted(&two), "one of two runs");
        assert!(!all_halted("nothing that is known"));
    }
}
