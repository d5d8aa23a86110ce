//! A machine's console: read by offset from its log, typed into through its socket.
//!
//! QEMU itself writes all that the guest says into the log, whether or not anybody looks. Reading
//! the file is therefore lossless, needs no connection, and any number of windows may do it. Of a log that has become
//! too long, the middle is not kept: a line says so in its place.
//!
//! A screen shows no more than somebody can look at. [`Console::for_a_screen`] gives the first of a run, and what comes while
//! the reader keeps up; a reader that is far behind is taken on to the last, and told how much it was spared:
//!
//! ```text
//!   ██████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░██████
//!   SCREEN_FIRST   left out, if it is more than     SCREEN_LAST, and on from there
//!                  SCREEN_BEHIND
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_machine::{ConsoleLog, MachineHandle, Piece};

use crate::disk::write_whole_with;
use crate::error::{IoContext, Result};

/// How soon new output is looked for, and how slow the looking becomes while there is none.
const POLL: (Duration, Duration) = (Duration::from_millis(8), Duration::from_millis(64));

/// What a screen is always given of a run's beginning.
const SCREEN_FIRST_BYTES: u64 = 256 << 10;
/// How far a screen may be behind what the guest says.
const SCREEN_BEHIND_BYTES: u64 = 8 << 20;
/// What a screen that was further behind is given of the end.
const SCREEN_LAST_BYTES: u64 = 2 << 20;
/// No line is taken to be longer where the beginning of one is looked for.
const LINE_BYTES_MAX: usize = 4 << 10;

/// The command of a terminal by which a screen is told of what was left out: `ESC ] 5379 ; kept|shown ; BYTES BEL`, as
/// a piece by itself. `kept` is what is not in the log any more, `shown` what is there, but not given.
const LEFT_OUT_COMMAND: u32 = 5379;

/// A machine's console, followed from a byte of its present run on.
#[derive(Debug)]
pub struct Console {
    handle: MachineHandle,
    path: PathBuf,
    /// Where the present run begins in the log.
    start: u64,
    offset: u64,
    is_for_a_screen: bool,
    log: Option<Arc<ConsoleLog>>,
    /// What is to be read before more of the log.
    pending: Vec<u8>,
}

/// What types into a machine's console.
#[derive(Debug, Clone)]
pub struct ConsoleInput {
    handle: MachineHandle,
}

impl ConsoleInput {
    /// Types into the guest's console.
    ///
    /// # Errors
    /// `Conflict` when the machine does not run.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.handle.console_input(bytes).await?)
    }
}

impl Console {
    pub(super) fn new(handle: MachineHandle, from_byte: u64) -> Self {
        let details = handle.details();
        Self {
            path: details.console_log,
            start: details.console_start,
            offset: details.console_start.saturating_add(from_byte),
            is_for_a_screen: false,
            log: None,
            pending: Vec::new(),
            handle,
        }
    }

    /// The same, for somebody who looks: what is left out is told by a command of the terminal.
    #[must_use]
    pub fn for_a_screen(mut self) -> Self {
        self.is_for_a_screen = true;
        self
    }

    /// What types into it.
    pub fn input(&self) -> ConsoleInput {
        ConsoleInput {
            handle: self.handle.clone(),
        }
    }

    /// Reads what there is now; 0 when there is nothing new.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn read_available(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let log = if let Some(log) = &self.log {
            Arc::clone(log)
        } else {
            let log = Arc::new(ConsoleLog::open(&self.path)?);
            Arc::clone(self.log.insert(log))
        };
        while self.pending.is_empty() {
            if self.is_for_a_screen
                && let Some(offset) = taken_on(&log, self.start, self.offset)?
            {
                self.pending = left_out_of_a_screen("shown", offset - self.offset);
                self.offset = offset;
                break;
            }
            let (log, offset) = (Arc::clone(&log), self.offset);
            let mut bytes = vec![0; buffer.len()];
            let read = tokio::task::spawn_blocking(move || {
                let piece = log.read_at(offset, &mut bytes)?;
                Ok::<_, io::Error>((piece, bytes))
            });
            match read.await.map_err(io::Error::other)?? {
                (Piece::Bytes(count), bytes) => {
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    self.offset += count as u64;
                    return Ok(count);
                }
                (Piece::LeftOut(bytes), _) => {
                    self.offset += bytes;
                    self.pending = if self.is_for_a_screen {
                        left_out_of_a_screen("kept", bytes)
                    } else {
                        left_out(bytes).into_bytes()
                    };
                }
            }
        }
        let count = self.pending.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.pending[..count]);
        self.pending.drain(..count);
        Ok(count)
    }

    /// Reads what comes next, and waits for it as long as it takes.
    ///
    /// # Errors
    /// When the log cannot be read (any more): the machine was deleted.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pause = POLL.0;
        loop {
            match self.read_available(buffer).await? {
                0 => tokio::time::sleep(pause).await,
                length => return Ok(length),
            }
            pause = (pause * 2).min(POLL.1);
            if !tokio::fs::try_exists(&self.path).await? {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
        }
    }

    /// Copies the log of the present run into a file.
    pub(super) fn save(&self, to: &Path) -> Result<()> {
        let log = ConsoleLog::open(&self.path).doing("read the console log", &self.path)?;
        // As long as it is now: a guest that never stops talking does not fill the disk.
        let end = log.end().doing("read the console log", &self.path)?;
        write_whole_with(to, |file| copy(&log, self.offset..end, file))
    }
}

/// Where a screen goes on that is too far behind: at the beginning of a line near the end.
fn taken_on(log: &ConsoleLog, start: u64, offset: u64) -> io::Result<Option<u64>> {
    let end = log.end()?;
    if offset < start + SCREEN_FIRST_BYTES || end.saturating_sub(offset) <= SCREEN_BEHIND_BYTES {
        return Ok(None);
    }
    let from = end - SCREEN_LAST_BYTES;
    let mut line = [0; LINE_BYTES_MAX];
    let cut = match log.read_at(from, &mut line)? {
        Piece::Bytes(count) => line[..count].iter().position(|byte| *byte == b'\n'),
        Piece::LeftOut(_) => None,
    };
    Ok(Some(from + cut.map_or(0, |place| place as u64 + 1)))
}

fn left_out_of_a_screen(what: &str, bytes: u64) -> Vec<u8> {
    format!("\x1b]{LEFT_OUT_COMMAND};{what};{bytes}\x07").into_bytes()
}

fn copy(log: &ConsoleLog, range: std::ops::Range<u64>, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut offset = range.start;
    while offset < range.end {
        let most = usize::try_from(range.end - offset).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        match log.read_at(offset, &mut buffer[..most])? {
            Piece::Bytes(0) => break,
            Piece::Bytes(count) => {
                out.write_all(&buffer[..count])?;
                offset += count as u64;
            }
            Piece::LeftOut(bytes) => {
                out.write_all(left_out(bytes).as_bytes())?;
                offset += bytes;
            }
        }
    }
    Ok(())
}

/// What stands in the place of what was not kept.
fn left_out(bytes: u64) -> String {
    format!("\r\n[… {bytes} bytes of this console were not kept …]\r\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_screen_that_is_far_behind_is_taken_on_to_a_line_near_the_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let log = ConsoleLog::open(file.path()).unwrap();
        let lines = |from: u64, to: u64| {
            let mut text = Vec::new();
            for number in from..to {
                writeln!(text, "line {number:010}").unwrap();
            }
            text
        };
        // A little less than the lag that is borne.
        let few = (SCREEN_BEHIND_BYTES + SCREEN_FIRST_BYTES) / 16;
        file.write_all(&lines(0, few)).unwrap();
        assert_eq!(taken_on(&log, 0, SCREEN_FIRST_BYTES).unwrap(), None);
        file.write_all(&lines(few, 2 * few)).unwrap();
        // The first of a run is always shown.
        assert_eq!(taken_on(&log, 0, 100).unwrap(), None);
        assert_eq!(taken_on(&log, 16, SCREEN_FIRST_BYTES).unwrap(), None);
        let on = taken_on(&log, 0, SCREEN_FIRST_BYTES).unwrap().unwrap();
        let end = 2 * few * 16;
        assert!((end - SCREEN_LAST_BYTES..end - SCREEN_LAST_BYTES + 20).contains(&on));
        let mut line = [0; 16];
        assert_eq!(log.read_at(on, &mut line).unwrap(), Piece::Bytes(16));
        assert!(
            line.starts_with(b"line ") && line.ends_with(b"\n"),
            "{line:?}"
        );
        // Whoever is taken on has caught up.
        assert_eq!(taken_on(&log, 0, on).unwrap(), None);
    }
}
