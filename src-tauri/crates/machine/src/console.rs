//! A guest's console: what it wrote is in one file ([`crate::ConsoleLog`]), and whoever wants to see it follows that file.
//!
//! QEMU appends to the file itself, so nothing is missed when no window is open, and any number of readers, in any number of
//! processes, read at their own pace from their own offset. Typing goes the other way, through the serial port's
//! socket. That takes one connection only, so the process that drives the machine makes it, and passes on what comes to
//! the `input` socket beside it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::console_log::{ConsoleLog, Piece};
use crate::paths::Sockets;
use crate::readiness::watch_readable;

/// The most that is read at once.
const CHUNK_MAX_BYTES: usize = 256 << 10;
/// A guest writes byte by byte; readers are woken at most this often.
const WAKE_INTERVAL: Duration = Duration::from_millis(4);
/// The guest gets this long to take what was typed before the connection is closed.
const TYPING_LINGER: Duration = Duration::from_secs(2);
/// A guest that does not read what is typed leaves room for some of it; then typing fails after this time.
const TYPING_TIMEOUT: Duration = Duration::from_secs(5);
/// Where no change is announced, the file is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The same where changes are announced, but for those that another computer makes (network file systems).
const LOOK_ANYWAY_INTERVAL: Duration = Duration::from_secs(10);

/// Follows a console log from an offset on.
#[derive(Debug)]
pub struct ConsoleFollower {
    log: ConsoleLog,
    offset: u64,
    changes: Option<AsyncFd<OwnedFd>>,
    last_chunk: Option<Instant>,
}

impl ConsoleFollower {
    /// Follows `log` from `from_byte` on. Has to be called on a tokio runtime.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(log: &Path, from_byte: u64) -> io::Result<Self> {
        // Without notification there is still the regular look.
        let changes = watch(log).ok();
        Ok(Self {
            log: ConsoleLog::open(log)?,
            offset: from_byte,
            changes,
            last_chunk: None,
        })
    }

    /// Where the next chunk begins, in bytes from the file's beginning.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What comes next, without what was given back of a long log; waits for it. `None` once the file was removed and all of it was read. May be dropped and called
    /// again without loss.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(last) = self.last_chunk {
                sleep_until(last + WAKE_INTERVAL).await;
            }
            let chunk = self.read_now()?;
            if !chunk.is_empty() {
                self.last_chunk = Some(Instant::now());
                return Ok(Some(chunk));
            }
            if self.log.is_removed()? {
                return Ok(None);
            }
            match &mut self.changes {
                Some(changes) => {
                    let _look_anyway = timeout(LOOK_ANYWAY_INTERVAL, changed(changes)).await;
                }
                None => sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// What is there already; empty if there is nothing new.
    pub(crate) fn read_now(&mut self) -> io::Result<Vec<u8>> {
        let new = self.log.end()?.saturating_sub(self.offset);
        let length = usize::try_from(new).unwrap_or(CHUNK_MAX_BYTES);
        let mut chunk = vec![0; length.min(CHUNK_MAX_BYTES)];
        loop {
            match self.log.read_at(self.offset, &mut chunk)? {
                Piece::LeftOut(bytes) => self.offset += bytes,
                Piece::Bytes(count) => {
                    chunk.truncate(count);
                    self.offset += count as u64;
                    return Ok(chunk);
                }
            }
        }
    }
}

fn watch(log: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let changes = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::ATTRIB;
    inotify::add_watch(&changes, log, what)?;
    watch_readable(changes)
}

/// Waits for a change, and takes all that are announced.
async fn changed(changes: &mut AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut ready = changes.readable_mut().await?;
    let mut buffer = [0; 4096];
    while rustix::io::read(ready.get_inner(), &mut buffer).is_ok_and(|count| count > 0) {}
    ready.clear_ready();
    Ok(())
}

/// Passes on to the serial port what comes to the `input` socket. Runs until it is dropped.
///
/// The serial port's own socket is connected to only while somebody types. QEMU 7.2 writes bytes to the log twice when
/// its peer there is slow to read, and is several times slower with a peer than without.
pub(crate) async fn pass_on_input(sockets: Sockets) -> io::Result<()> {
    let input = sockets.input();
    let _not_there = std::fs::remove_file(&input);
    let listener = UnixListener::bind(&input)?;
    let (keys, mut typed) = mpsc::channel::<Vec<u8>>(16);
    let mut wire: Option<Wire> = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(read_typist(accepted?.0, keys.clone()));
            }
            Some(bytes) = typed.recv() => {
                let connected = match wire.take() {
                    Some(wire) => Ok(wire),
                    None => Wire::connect(&sockets).await,
                };
                match connected {
                    Ok(mut connected) => {
                        if connected.to_guest.write_all(&bytes).await.is_ok() {
                            wire = Some(connected);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "nobody to type to"),
                }
            }
            () = sleep(TYPING_LINGER), if wire.is_some() => wire = None,
        }
    }
}

async fn read_typist(mut typist: UnixStream, keys: mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = typist.read(&mut buffer).await {
        if keys.send(buffer[..count].to_vec()).await.is_err() {
            return;
        }
    }
}

/// The serial port's connection; what the guest writes to it is in the log already, and is taken off.
#[derive(Debug)]
struct Wire {
    to_guest: OwnedWriteHalf,
    drain: JoinHandle<()>,
}

impl Wire {
    async fn connect(sockets: &Sockets) -> io::Result<Self> {
        let (mut from_guest, to_guest) = UnixStream::connect(sockets.serial()).await?.into_split();
        let drain = tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(1..) = from_guest.read(&mut buffer).await {}
        });
        Ok(Self { to_guest, drain })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

/// Types into the console of a machine, whichever process drives it. What is typed after this has returned comes after
/// it: the other end hangs up when it has taken all.
pub(crate) async fn type_into(sockets: &Sockets, bytes: &[u8]) -> io::Result<()> {
    let typing = async {
        let mut stream = UnixStream::connect(sockets.input()).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        let _hung_up = stream.read(&mut [0]).await?;
        Ok(())
    };
    timeout(TYPING_TIMEOUT, typing).await?
}
