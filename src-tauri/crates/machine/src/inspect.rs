//! What a Linux guest's agent shows: folders, files, processes, the kernel's messages.
//!
//! Pages are put together here, up to limits: a guest that goes on for ever, or in circles, is cut short.

use tokio::io::{AsyncWrite, AsyncWriteExt};
use windlass_guest::agent::{
    Answer, DATA_MAX_BYTES, ListedEntry, ProcessSeen, Request, Seen, SeenKind,
};

use crate::agent::{Agent, unexpected};
use crate::error::{Error, Result};

/// The most entries of a folder, and the most processes, that are shown.
pub const SHOWN_MAX: usize = 10_000;

/// The most of the kernel's messages that is shown.
pub const KERNEL_LOG_MAX_BYTES: usize = 2 << 20;

/// The most of a file that does not say how long it is, as the kernel's own.
const UNSIZED_MAX_BYTES: u64 = 16 << 20;

/// The most of a file behind a symlink: how long it is, is not asked.
const LINKED_MAX_BYTES: u64 = 16 << 30;

/// A list that may have been cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<T> {
    /// What is shown.
    pub items: Vec<T>,
    /// Whether there was more.
    pub is_cut: bool,
}

impl Agent {
    /// What is in a folder, in the order of the names' bytes; at most [`SHOWN_MAX`].
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn list(&mut self, path: &[u8]) -> Result<Shown<ListedEntry>> {
        let mut items: Vec<ListedEntry> = Vec::new();
        loop {
            let after = items.last().map(|last| last.name.clone());
            let after = after.unwrap_or_default();
            let request = Request::List {
                path: path.to_vec(),
                after: after.clone(),
            };
            let (page, is_more) = match self.ask(&request).await? {
                Answer::Listed { entries, is_more } => (entries, is_more),
                other => return Err(unexpected(&other)),
            };
            let ordered = page.is_sorted_by(|one, next| one.name < next.name);
            if !ordered || page.first().is_some_and(|first| first.name <= after) {
                return Err(circles());
            }
            let is_empty = page.is_empty();
            items.extend(page);
            if !is_more || is_empty || items.len() >= SHOWN_MAX {
                items.truncate(SHOWN_MAX);
                return Ok(Shown {
                    items,
                    is_cut: is_more,
                });
            }
        }
    }

    /// The processes in the order of their numbers; at most [`SHOWN_MAX`].
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn processes(&mut self) -> Result<Shown<ProcessSeen>> {
        let mut items: Vec<ProcessSeen> = Vec::new();
        loop {
            let after = items.last().map_or(0, |last| last.pid);
            let (page, is_more) = match self.ask(&Request::Processes { after }).await? {
                Answer::ProcessList { processes, is_more } => (processes, is_more),
                other => return Err(unexpected(&other)),
            };
            let ordered = page.is_sorted_by(|one, next| one.pid < next.pid);
            if !ordered || page.first().is_some_and(|first| first.pid <= after) {
                return Err(circles());
            }
            let is_empty = page.is_empty();
            items.extend(page);
            if !is_more || is_empty || items.len() >= SHOWN_MAX {
                items.truncate(SHOWN_MAX);
                return Ok(Shown {
                    items,
                    is_cut: is_more,
                });
            }
        }
    }

    /// What the kernel has said, as text; at most [`KERNEL_LOG_MAX_BYTES`].
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn kernel_log(&mut self) -> Result<String> {
        let (mut text, mut from) = (Vec::new(), 0);
        loop {
            let (lines, next) = match self.ask(&Request::KernelLog { from }).await? {
                Answer::KernelLines { text, next } => (text, next),
                other => return Err(unexpected(&other)),
            };
            text.extend(lines);
            match next {
                Some(next) if next <= from => return Err(circles()),
                Some(next) if text.len() < KERNEL_LOG_MAX_BYTES => from = next,
                _ => break,
            }
        }
        text.truncate(KERNEL_LOG_MAX_BYTES);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// What is at a path.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); [`Error::NotInGuest`].
    pub async fn look_at(&mut self, path: &[u8]) -> Result<Seen> {
        let seen = self.look(&[path.to_vec()], false).await?;
        let seen = seen.into_iter().next().flatten();
        seen.ok_or_else(|| Error::NotInGuest {
            path: String::from_utf8_lossy(path).into_owned(),
        })
    }

    /// Copies a regular file of the guest into `to`: as much of it as it had in the beginning. Gives its length.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); [`Error::NotInGuest`]; [`Error::Io`] where `to` cannot be written.
    pub async fn read_file(
        &mut self,
        path: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64> {
        let seen = self.look_at(path).await?;
        let limit = match (seen.kind, seen.size_bytes) {
            // The kernel's own files have no length; a symlink's is its own.
            (SeenKind::File, 1..) => seen.size_bytes,
            (SeenKind::Symlink, _) => LINKED_MAX_BYTES,
            _ => UNSIZED_MAX_BYTES,
        };
        let mut offset = 0;
        while offset < limit {
            let wanted = (limit - offset).min(DATA_MAX_BYTES as u64);
            let request = Request::Read {
                path: path.to_vec(),
                offset,
                length: u32::try_from(wanted).unwrap_or(1),
            };
            let bytes = match self.ask(&request).await? {
                Answer::Data { bytes } if bytes.len() as u64 <= wanted => bytes,
                other => return Err(unexpected(&other)),
            };
            if bytes.is_empty() {
                break;
            }
            to.write_all(&bytes)
                .await
                .map_err(Error::io("write", "what was read of the guest"))?;
            offset += bytes.len() as u64;
        }
        Ok(offset)
    }
}

fn circles() -> Error {
    Error::AgentTalk {
        problem: "its pages do not go on where the last one ended".to_owned(),
    }
}
