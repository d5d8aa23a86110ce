//! Bytes, until all are there.

use std::io::{Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::Digest;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Job;
use super::part::Part;
use crate::kinds::{Opened, Resume, Source};
use crate::{Error, Network, Sha256};

/// What is handed to the writer at once.
const BATCH_BYTES: usize = 512 << 10;
/// How often progress is told.
const TOLD_BYTES: u64 = 64 << 10;
/// How many of these may wait for the disk.
const BATCHES: usize = 8;
/// A try that brought this much was not in vain: the count of tries begins anew.
const HEADWAY_BYTES: u64 = 1 << 20;

/// What came.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
    /// The digest that the server said with the file.
    pub(super) said: Option<Sha256>,
    /// Whether a part of it was there before.
    pub(super) resumed: bool,
}

/// How a try ended that ended well for now.
enum Ended {
    /// Everything is there.
    Whole,
    /// Whoever waits holds it.
    Held,
}

/// Fetches until all is there.
pub(super) async fn run(
    job: &Job<'_>,
    part: &mut Part,
    expected: Option<Sha256>,
) -> Result<Got, Error> {
    let mut hasher = sha2::Sha256::new();
    let mut length = 0;
    // Only what can be recognised again may be taken up.
    let trusted = |part: &Part| {
        let state = part.state();
        state.is_some_and(|state| state.validator.is_some()) || expected.is_some()
    };
    if trusted(part) {
        (hasher, length) = digest(job, part).await?;
    } else {
        part.clear()?;
    }
    let mut resumed = length > 0;
    let mut said = None;
    let mut attempt = 0;
    loop {
        job.control.pass().await?;
        job.progress.at(length, job.entry.size_bytes);
        let total = job.entry.size_bytes.or_else(|| part.state()?.total);
        if length > 0 && total == Some(length) {
            break;
        }
        let before = length;
        let outcome = match reach(job, part, &mut hasher, &mut length).await {
            Ok(opened) => {
                resumed |= length > 0;
                once(job, part, opened, &mut hasher, &mut length, &mut said).await
            }
            // Opening has tries of its own; but a network that was there a moment ago may come back.
            Err(error) if length == 0 || !error.is_offline() => return Err(error),
            Err(error) => Err(error),
        };
        let error = match outcome {
            Ok(Ended::Whole) => break,
            Ok(Ended::Held) => continue,
            Err(error) => error,
        };
        let passing = matches!(error, Error::Network { .. });
        if !trusted(part) {
            part.clear()?;
            (hasher, length) = (sha2::Sha256::new(), 0);
        }
        attempt = if length >= before + HEADWAY_BYTES {
            0
        } else {
            attempt + 1
        };
        if !passing || attempt > job.limits.retries {
            return Err(error);
        }
        let pause = job.limits.backoff * 2_u32.saturating_pow(attempt.saturating_sub(1));
        tracing::debug!(place = job.entry.locator.place, %error, length, "taking it up again");
        job.control
            .until(tokio::time::sleep(pause.min(job.limits.longest_wait)))
            .await?;
    }
    Ok(Got {
        sha256: Sha256::from_bytes(hasher.finalize().into()),
        size_bytes: length,
        said,
        resumed,
    })
}

/// Digests what is there already.
async fn digest(job: &Job<'_>, part: &Part) -> Result<(sha2::Sha256, u64), Error> {
    let mut file = part.handle()?;
    let path = part.path().to_path_buf();
    let token = job.control.token().clone();
    let work = tokio::task::spawn_blocking(move || {
        let failed = |source| Error::io("read", &path, source);
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; BATCH_BYTES];
        let mut length = 0;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        loop {
            if token.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                return Ok((hasher, length));
            }
            hasher.update(&buffer[..count]);
            length += count as u64;
        }
    });
    work.await.unwrap_or(Err(Error::Cancelled))
}

/// Opens the file where we are, or from its beginning if that is not possible any more.
async fn reach(
    job: &Job<'_>,
    part: &mut Part,
    hasher: &mut sha2::Sha256,
    length: &mut u64,
) -> Result<Opened, Error> {
    let resume = (*length > 0).then(|| Resume {
        start: *length,
        validator: part.state().and_then(|state| state.validator.clone()),
    });
    let opened = job
        .kind
        .open(&job.entry.locator, resume.as_ref(), job.control)
        .await?;
    if opened.start != *length {
        // It is another file now, or a server that cannot begin in the middle.
        part.clear()?;
        *hasher = sha2::Sha256::new();
        *length = 0;
    }
    if let Some(total) = opened.total {
        if let Some(expected) = job.entry.size_bytes.filter(|size| *size != total) {
            return Err(Error::Length {
                place: job.entry.locator.place.clone(),
                expected,
                found: total,
            });
        }
        if total > job.limits.file_bytes {
            return Err(job.too_large());
        }
    }
    Ok(opened)
}

/// One connection.
async fn once(
    job: &Job<'_>,
    part: &mut Part,
    opened: Opened,
    hasher: &mut sha2::Sha256,
    length: &mut u64,
    said: &mut Option<Sha256>,
) -> Result<Ended, Error> {
    *said = opened.digest;
    part.is_of(opened.validator.clone(), opened.total)?;

    let total = opened.total;
    let mut writer = Writer::begin(part, std::mem::take(hasher), *length)?;
    let outcome = pour(job, opened, &mut writer, *length).await;
    // What came is kept, whatever ended it.
    let (written_hasher, written) = writer.finish().await?;
    *hasher = written_hasher;
    *length = written;
    match outcome? {
        Ended::Held => Ok(Ended::Held),
        Ended::Whole => match total {
            Some(total) if written < total => Err(Error::Network {
                url: job.entry.locator.place.clone(),
                problem: Network::Cut,
                source: None,
            }),
            Some(total) if written > total => Err(Error::Length {
                place: job.entry.locator.place.clone(),
                expected: total,
                found: written,
            }),
            _ => Ok(Ended::Whole),
        },
    }
}

/// Pours what comes into the writer, until it ends, is held, or next to nothing comes.
async fn pour(
    job: &Job<'_>,
    mut opened: Opened,
    writer: &mut Writer,
    start: u64,
) -> Result<Ended, Error> {
    let limits = job.limits;
    let total = opened.total.or(job.entry.size_bytes);
    let mut length = start;
    let mut told = start;
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut window = (Instant::now() + limits.stall, length);
    let outcome = loop {
        let next = tokio::select! {
            biased;
            () = job.control.token().cancelled() => break Err(Error::Cancelled),
            () = job.control.held() => break Ok(Ended::Held),
            next = tokio::time::timeout_at(window.0, opened.body.next()) => next,
        };
        match next {
            Err(_) => {
                if length - window.1 < limits.slowest_bytes {
                    break Err(crate::http::slow(&job.entry.locator.place));
                }
            }
            Ok(None) => break Ok(Ended::Whole),
            Ok(Some(Err(error))) => break Err(error),
            Ok(Some(Ok(chunk))) => {
                length += chunk.len() as u64;
                batch_bytes += chunk.len();
                batch.push(chunk);
            }
        }
        if length > limits.file_bytes {
            break Err(job.too_large());
        }
        let now = Instant::now();
        if now >= window.0 {
            if length - window.1 < limits.slowest_bytes {
                break Err(crate::http::slow(&job.entry.locator.place));
            }
            window = (now + limits.stall, length);
        }
        if length >= told + TOLD_BYTES {
            told = length;
            job.progress.at(length, total);
        }
        if batch_bytes >= BATCH_BYTES {
            if !writer.write(std::mem::take(&mut batch)).await {
                // Why is said when it is finished.
                break Ok(Ended::Held);
            }
            batch_bytes = 0;
        }
    };
    writer.write(batch).await;
    job.progress.at(length, total);
    outcome
}

/// Writes and digests on a thread of its own, so that neither disk nor digest keeps the network waiting.
struct Writer {
    batches: mpsc::Sender<Vec<Bytes>>,
    thread: JoinHandle<Result<(sha2::Sha256, u64), Error>>,
}

impl Writer {
    fn begin(part: &Part, mut hasher: sha2::Sha256, start: u64) -> Result<Self, Error> {
        let mut file = part.handle()?;
        let path = part.path().to_path_buf();
        let (batches, mut queue) = mpsc::channel::<Vec<Bytes>>(BATCHES);
        let thread = tokio::task::spawn_blocking(move || {
            let failed = |source| Error::io("write", &path, source);
            let mut length = start;
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            while let Some(batch) = queue.blocking_recv() {
                for chunk in batch {
                    file.write_all(&chunk).map_err(failed)?;
                    hasher.update(&chunk);
                    length += chunk.len() as u64;
                }
            }
            Ok((hasher, length))
        });
        Ok(Self { batches, thread })
    }

    /// Hands over; false when the writer has failed.
    async fn write(&self, batch: Vec<Bytes>) -> bool {
        batch.is_empty() || self.batches.send(batch).await.is_ok()
    }

    /// Waits until all is written.
    async fn finish(self) -> Result<(sha2::Sha256, u64), Error> {
        drop(self.batches);
        self.thread.await.unwrap_or(Err(Error::Cancelled))
    }
}
