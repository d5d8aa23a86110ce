//! A machine's console: read by offset from its log, typed into through its socket.
//!
//! QEMU itself writes all that the guest says into the log, whether or not anybody looks. Reading
//! the file is therefore lossless, needs no connection, and any number of windows may do it. Of a log that has become
//! too long, the middle is not kept: a line says so in its place.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_machine::{ConsoleLog, MachineHandle, Piece};

use crate::disk::write_whole_with;
use crate::error::{IoContext, Result};

/// How soon new output is looked for, and how slow the looking becomes while there is none.
const POLL: (Duration, Duration) = (Duration::from_millis(8), Duration::from_millis(64));

/// A machine's console, followed from a byte of its present run on.
#[derive(Debug)]
pub struct Console {
    handle: MachineHandle,
    path: PathBuf,
    offset: u64,
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
            offset: details.console_start.saturating_add(from_byte),
            log: None,
            pending: Vec::new(),
            handle,
        }
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
                    self.pending = left_out(bytes).into_bytes();
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
