//! A machine in the foreground: what its program says on stdout, what is typed into it, its end.
//!
//! ```text
//!   console log ── separator ──> stdout (the program), stderr (kernel, init)
//!   stdin (a terminal) ────────> console
//!   Ctrl+C, SIGTERM ───────────> the guest is asked to stop; a second one cuts its power
//!   the guest's end ───────────> our exit status
//! ```
//!
//! The machine is QEMU's and not ours: when this process is killed it goes on, and
//! `windlassctl instances` finds it.

mod separator;
mod terminal;

use std::io::Write;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use windlass_workshop::clouds::ServerConsole;
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::machines::{Console, Machine, MachineState};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::signals::Signals;
use crate::verbs::machine::is_live;
use separator::{Separator, Voice};
use terminal::{Mode, Terminal};

/// How soon new output is looked for.
const POLL: Duration = Duration::from_millis(15);
/// How much is read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// Ctrl+], which leaves a console.
const LEAVE: u8 = 0x1D;
/// How much of what was said before a console shows.
const TAIL_BYTES: usize = 4096;

/// Stays with a machine until its guest has ended; its status is ours.
pub(crate) async fn attend(context: &Context, machine: &Machine, mut signals: Signals) -> Outcome {
    let workshop = &context.workshop;
    let id = machine.id.as_str();
    let mut console = workshop.console(id, 0)?;
    let mut input = console.input();
    let mut separator = Separator::new(machine.guest);
    let terminal = Terminal::engage(Mode::Keys);
    let mut keys = terminal.as_ref().map(|_| Terminal::keys());
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut asked: Option<u8> = None;
    let ended = workshop.ended_machine(id);
    tokio::pin!(ended);
    let machine = loop {
        let said = drain(context, &mut console, &mut separator, &mut buffer).await;
        if let Err(failure) = said {
            // Nobody listens any more: as after Ctrl+C, at once.
            let _ = workshop.kill_machine(id).await;
            return Err(failure);
        }
        tokio::select! {
            machine = &mut ended => break machine?,
            typed = next_key(&mut keys) => match typed {
                // A guest that has just ended hears nothing, which its end will tell.
                Some(bytes) => { let _ = input.write(&bytes).await; }
                None => keys = None,
            },
            status = signals.next() => {
                if asked.replace(status).is_none() {
                    context.output.note(&format!(
                        "Stopping {}; Ctrl+C again cuts its power", machine.name
                    ));
                    // It may have ended by itself just now.
                    let _ = workshop.stop_machine(id).await;
                } else {
                    let _ = workshop.kill_machine(id).await;
                }
            }
            () = tokio::time::sleep(POLL) => {}
        }
    };
    drain(context, &mut console, &mut separator, &mut buffer).await?;
    say(context, separator.finish())?;
    drop(terminal);
    end(context, &machine, asked)
}

/// Passes on all that there is now.
async fn drain(
    context: &Context,
    console: &mut Console,
    separator: &mut Separator,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    loop {
        match console.read_available(buffer).await {
            Ok(0) => return Ok(()),
            Ok(length) => say(context, separator.push(&buffer[..length]))?,
            // QEMU has not made it yet, or the machine was deleted.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn say(context: &Context, said: Vec<(Voice, Vec<u8>)>) -> Result<(), Failure> {
    for (voice, bytes) in said {
        match voice {
            Voice::Program => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&bytes)?;
                stdout.flush()?;
            }
            Voice::System if context.output.quiet => {}
            Voice::System => {
                let _ = std::io::stderr().lock().write_all(&bytes);
            }
        }
    }
    Ok(())
}

async fn next_key(keys: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

/// The exit status that a machine's end comes to.
fn end(context: &Context, machine: &Machine, asked: Option<u8>) -> Outcome {
    if context.output.json {
        Output::warn(&serde_json::to_string(machine)?);
    }
    if let Some(status) = asked {
        return Ok(status);
    }
    match (machine.state, machine.exit_status) {
        (MachineState::Stopped, None) => Ok(0),
        (MachineState::Stopped | MachineState::Failed, Some(status)) => {
            if let (Some(message), Some(remedy)) = (&machine.message, &machine.remedy)
                && !context.output.json
            {
                Output::warn(&format!("warning: {message}\n  hint: {remedy}"));
            }
            Ok(as_status(status))
        }
        _ => {
            let message = machine
                .message
                .clone()
                .unwrap_or_else(|| format!("The machine `{}` did not end well", machine.name));
            let mut error = AppError::new(ErrorKind::Internal, message);
            error.hints.extend(machine.remedy.clone());
            Err(error.into())
        }
    }
}

/// Eight bits of a status; never 0 for one that is not.
fn as_status(status: i32) -> u8 {
    match u8::try_from(status & 0xff) {
        Ok(0) if status != 0 => 1,
        Ok(status) => status,
        Err(_) => 1,
    }
}

/// Prints a machine's console, all voices, as they are.
pub(crate) async fn logs(context: &Context, name: &str, follow: bool) -> Outcome {
    let workshop = &context.workshop;
    let machine = workshop.machine(name)?;
    let mut console = workshop.console(&machine.id, 0)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let ended = workshop.ended_machine(&machine.id);
    tokio::pin!(ended);
    let mut over = !follow || !is_live(machine.state);
    loop {
        loop {
            match console.read_available(&mut buffer).await {
                Ok(0) => break,
                Ok(length) => Output::raw(&buffer[..length])?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(error.into()),
            }
        }
        if over {
            return Ok(0);
        }
        tokio::select! {
            _ = &mut ended => over = true,
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Reads and types into a machine's console until Ctrl+] or its end.
pub(crate) async fn console(context: &Context, name: &str) -> Outcome {
    let workshop = &context.workshop;
    let machine = workshop.machine(name)?;
    if !is_live(machine.state) {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("The machine `{}` does not run", machine.name),
        )
        .hinted(format!(
            "`windlassctl machine logs {}` shows what it said",
            machine.name
        ))
        .into());
    }
    let mut console = workshop.console(&machine.id, 0)?;
    let mut input = console.input();
    let mut buffer = vec![0; BUFFER_BYTES];
    Output::raw(&tail(&mut console, &mut buffer).await?)?;
    let terminal = Terminal::engage(Mode::Everything);
    if terminal.is_some() {
        context
            .output
            .note("[Ctrl+] leaves this console; the machine goes on]\r");
    }
    // Without a terminal, what is piped in is typed.
    let mut keys = Some(Terminal::keys());
    let ended = workshop.ended_machine(&machine.id);
    tokio::pin!(ended);
    loop {
        while let Ok(length @ 1..) = console.read_available(&mut buffer).await {
            Output::raw(&buffer[..length])?;
        }
        tokio::select! {
            _ = &mut ended => break,
            typed = next_key(&mut keys) => match typed {
                Some(bytes) if terminal.is_some() && bytes.contains(&LEAVE) => break,
                Some(bytes) => input.write(&bytes).await?,
                None if terminal.is_some() => break,
                None => keys = None,
            },
            () = tokio::time::sleep(POLL) => {}
        }
    }
    drop(terminal);
    context.output.note("");
    Ok(0)
}

/// Joins a terminal to a console far away, until Ctrl+] or its end.
pub(crate) async fn join(context: &Context, console: ServerConsole) -> Outcome {
    let (mut said, mut typed) = tokio::io::split(console);
    let terminal = Terminal::engage(Mode::Everything);
    if terminal.is_some() {
        context
            .output
            .note("[Ctrl+] leaves this console; the server goes on]\r");
    }
    // Without a terminal, what is piped in is typed.
    let mut keys = Some(Terminal::keys());
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        tokio::select! {
            read = said.read(&mut buffer) => match read {
                Ok(length @ 1..) => Output::raw(&buffer[..length])?,
                _ => break,
            },
            key = next_key(&mut keys) => match key {
                Some(bytes) if terminal.is_some() && bytes.contains(&LEAVE) => break,
                Some(bytes) => if typed.write_all(&bytes).await.is_err() { break },
                None if terminal.is_some() => break,
                None => keys = None,
            },
        }
    }
    drop(terminal);
    context.output.note("");
    Ok(0)
}

/// Prints what a console far away says, until Ctrl+C or its end.
pub(crate) async fn listen(mut console: ServerConsole, mut signals: Signals) -> Outcome {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        tokio::select! {
            read = console.read(&mut buffer) => match read {
                Ok(length @ 1..) => Output::raw(&buffer[..length])?,
                _ => return Ok(0),
            },
            _ = signals.next() => return Ok(0),
        }
    }
}

/// The last lines of what was said so far.
async fn tail(console: &mut Console, buffer: &mut [u8]) -> Result<Vec<u8>, Failure> {
    let mut tail = Vec::new();
    loop {
        match console.read_available(buffer).await? {
            0 => break,
            length => tail.extend_from_slice(&buffer[..length]),
        }
        if tail.len() > TAIL_BYTES {
            let from = tail.len() - TAIL_BYTES;
            let from = tail[from..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(from, |at| from + at + 1);
            tail.drain(..from);
        }
    }
    Ok(tail)
}

/// Lets what is typed not be shown until the value is dropped; nothing where there is no terminal.
pub(crate) fn hidden() -> Option<impl Drop> {
    Terminal::engage(Mode::Hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_its_eight_bits_and_never_becomes_success() {
        assert_eq!(as_status(0), 0);
        assert_eq!(as_status(7), 7);
        assert_eq!(as_status(139), 139);
        assert_eq!(as_status(256), 1);
        assert_eq!(as_status(-1), 255);
    }
}
