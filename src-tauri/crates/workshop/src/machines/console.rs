//! A machine's console: read by offset from its log, typed into through its socket.
//!
//! QEMU itself writes all that the guest says into the log, whether or not anybody looks. Reading
//! the file is therefore lossless, needs no connection, and any number of windows may do it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncSeekExt};
use windlass_machine::MachineHandle;

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
    file: Option<tokio::fs::File>,
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
            file: None,
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
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let mut file = tokio::fs::File::open(&self.path).await?;
            file.seek(SeekFrom::Start(self.offset)).await?;
            self.file.insert(file)
        };
        file.read(buffer).await
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
        let mut log = File::open(&self.path).doing("read the console log", &self.path)?;
        log.seek(SeekFrom::Start(self.offset))
            .doing("read the console log", &self.path)?;
        // As long as it is now: a guest that never stops talking does not fill the disk.
        let length = log
            .metadata()
            .doing("read the console log", &self.path)?
            .len();
        let mut log = log.take(length.saturating_sub(self.offset));
        write_whole_with(to, |file| io::copy(&mut log, file).map(drop))
    }
}
