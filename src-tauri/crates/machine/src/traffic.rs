//! What goes over the card behind this computer's address, counted: QEMU itself has no counters for it.
//!
//! ```text
//!   QEMU ── of each frame: when · how long · its two addresses ──▶ a file in memory, of a fixed length
//!           (filter-dump, in the format of pcap)                       │ read when somebody measures, and given back
//!                                                                      ▼
//!                                                            bytes received · bytes sent
//! ```
//!
//! - A frame costs 28 bytes and one write; a network on which nothing happens costs nothing.
//! - The file is sealed: it cannot grow. Should nobody read it for as long as a million frames take, QEMU's writes fail, it stops
//!   counting, and the guest's network goes on. Then nothing is known of that time, which is what is told.
//! - Each process that measures has a counter of its own in QEMU, named after it, and takes away those of processes that are
//!   gone.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use serde_json::json;

use crate::control::{Turn, take_turn};
use crate::error::{Error, Result};
use crate::paths::Sockets;
use crate::qmp::Command;
use crate::record::ProcessKey;

/// The name of the card, see `command_line`.
const CARD: &str = "net0";
/// What the names of our counters begin with.
const PREFIX: &str = "traffic-";
/// A million frames and more.
const FILE_BYTES: u64 = 32 << 20;
/// After so much, a new file is begun.
const RENEW_BYTES: u64 = 8 << 20;
/// The file's header, and a frame's: seconds, microseconds, how much of it is kept, how long it was.
const FILE_HEADER_BYTES: u64 = 24;
const HEADER_BYTES: usize = 16;
/// What is kept of a frame: where it goes, and where it comes from.
const KEPT_BYTES: usize = 12;
const RECORD_BYTES: usize = HEADER_BYTES + KEPT_BYTES;
/// What the hardware addresses of QEMU's user mode begin with (`slirp`); the guest's card has 52:54.
const OURS: [u8; 2] = [0x52, 0x55];
const CHUNK_BYTES: usize = RECORD_BYTES * 2048;

/// Bytes of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// Whether a QEMU that was started by this has the card; what a machine is made of may have changed since.
pub(crate) fn has_card(command: &[String]) -> bool {
    let backend = format!("id={CARD}");
    let mut parts = command.iter().flat_map(|word| word.split(','));
    parts.any(|part| part == backend)
}

/// The counter of one machine, once somebody has asked for it.
#[derive(Debug, Default)]
pub(crate) struct Traffic(tokio::sync::Mutex<Counter>);

#[derive(Debug, Default)]
enum Counter {
    #[default]
    None,
    Counts(Meter),
    /// This QEMU cannot.
    Refused(ProcessKey),
}

impl Traffic {
    /// What went over the card since this process first asked. `None` where a part of it was missed; from then on it is
    /// counted anew.
    pub(crate) async fn moved(
        &self,
        sockets: &Sockets,
        qemu: &ProcessKey,
    ) -> Result<Option<Moved>> {
        let mut counter = self.0.lock().await;
        let meter = match &mut *counter {
            Counter::Refused(of) if of == qemu => return Ok(None),
            Counter::Counts(meter) if meter.qemu == *qemu => meter,
            _ => {
                let begun = Meter::begin(sockets, qemu, Moved::default()).await;
                *counter = match begun {
                    Ok(meter) => Counter::Counts(meter),
                    Err(error @ Error::Qmp { .. }) => {
                        *counter = Counter::Refused(qemu.clone());
                        return Err(error);
                    }
                    Err(error) => return Err(error),
                };
                return Ok(Some(Moved::default()));
            }
        };
        meter.read().map_err(reading)?;
        let moved = meter.moved;
        if meter.at > FILE_BYTES - RECORD_BYTES as u64 {
            *counter = Counter::None;
            return Ok(None);
        }
        if meter.at > RENEW_BYTES {
            let next = meter.renew(sockets).await;
            *counter = next.map_or(Counter::None, Counter::Counts);
        }
        Ok(Some(moved))
    }

    /// The machine has ended.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = Counter::None;
    }
}

#[derive(Debug)]
struct Meter {
    /// Whose frames they are.
    qemu: ProcessKey,
    /// The counter's own name.
    name: String,
    file: File,
    /// How far it was read.
    at: u64,
    moved: Moved,
}

impl Meter {
    async fn begin(sockets: &Sockets, qemu: &ProcessKey, moved: Moved) -> Result<Self> {
        let turn = take_turn(sockets).await?;
        clear(&turn).await?;
        Self::add(&turn, qemu, moved).await
    }

    async fn add(turn: &Turn, qemu: &ProcessKey, moved: Moved) -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = rustix::fs::memfd_create("windlass-traffic", flags)
            .map_err(|error| reading(error.into()))?;
        let file = File::from(memory);
        let copy: OwnedFd = file.try_clone().map_err(reading)?.into();
        let given = turn.execute_with_file(Command::new("add-fd"), copy).await?;
        let number = &given["fd"];
        let name = new_name()?;
        let filter = json!({
            "qom-type": "filter-dump",
            "id": name,
            "netdev": CARD,
            // QEMU opens it for itself.
            "file": format!("/proc/self/fd/{number}"),
            "maxlen": KEPT_BYTES,
        });
        let added = turn.execute(Command::with("object-add", filter)).await;
        let fd_set = json!({ "fdset-id": given["fdset-id"] });
        turn.execute(Command::with("remove-fd", fd_set)).await?;
        added?;
        // QEMU has emptied it; what it has written since stays.
        file.set_len(FILE_BYTES).map_err(reading)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SEAL)
            .map_err(|error| reading(error.into()))?;
        Ok(Self {
            qemu: qemu.clone(),
            name,
            file,
            at: FILE_HEADER_BYTES,
            moved,
        })
    }

    /// Goes on with another file. The frames of the moment in between are missed.
    async fn renew(&mut self, sockets: &Sockets) -> Result<Self> {
        let turn = take_turn(sockets).await?;
        let filter = json!({ "id": self.name });
        turn.execute(Command::with("object-del", filter)).await?;
        self.read().map_err(reading)?;
        Self::add(&turn, &self.qemu, self.moved).await
    }

    /// Counts what was written since the last time, and gives it back.
    fn read(&mut self) -> io::Result<()> {
        let begun = self.at;
        let mut chunk = vec![0; CHUNK_BYTES];
        // Most of the time there is nothing.
        if self.file.read_at(&mut chunk[..HEADER_BYTES], self.at)? < HEADER_BYTES
            || chunk[..HEADER_BYTES].iter().all(|byte| *byte == 0)
        {
            return Ok(());
        }
        loop {
            let length = self.file.read_at(&mut chunk, self.at)?;
            let (frames, moved) = count(&chunk[..length]);
            self.at += (frames * RECORD_BYTES) as u64;
            self.moved.received = self.moved.received.saturating_add(moved.received);
            self.moved.sent = self.moved.sent.saturating_add(moved.sent);
            if frames < CHUNK_BYTES / RECORD_BYTES {
                break;
            }
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if self.at > begun {
            rustix::fs::fallocate(&self.file, punch, begun, self.at - begun)?;
        }
        Ok(())
    }
}

/// The frames at the beginning of `bytes` that are there whole, and what they moved. Of the last one, a part may be missing yet.
fn count(bytes: &[u8]) -> (usize, Moved) {
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    let mut moved = Moved::default();
    let mut frames = 0;
    for record in records {
        let [
            ..,
            a,
            b,
            c,
            d,
            _,
            _,
            _,
            _,
            _,
            _,
            from0,
            from1,
            f2,
            f3,
            f4,
            f5,
        ] = *record;
        if [from0, from1, f2, f3, f4, f5] == [0; 6] {
            break;
        }
        let length = u64::from(u32::from_ne_bytes([a, b, c, d]));
        let side = if [from0, from1] == OURS {
            &mut moved.received
        } else {
            &mut moved.sent
        };
        *side = side.saturating_add(length);
        frames += 1;
    }
    (frames, moved)
}

/// Takes the counters of processes that are gone away.
async fn clear(turn: &Turn) -> Result<()> {
    let path = json!({ "path": "/objects" });
    let objects = turn.execute(Command::with("qom-list", path)).await?;
    let names = objects.as_array().map(Vec::as_slice).unwrap_or_default();
    for found in names.iter().filter_map(|object| object["name"].as_str()) {
        let Some(rest) = found.strip_prefix(PREFIX) else {
            continue;
        };
        let mut numbers = rest.split('-').map(str::parse::<u64>);
        let pid = numbers.next().and_then(std::result::Result::ok);
        let start = numbers.next().and_then(std::result::Result::ok);
        let alive = pid
            .and_then(|pid| pid.try_into().ok())
            .and_then(ProcessKey::of);
        if alive.is_none_or(|key| Some(key.start_ticks) != start) {
            let filter = json!({ "id": found });
            turn.execute(Command::with("object-del", filter)).await?;
        }
    }
    Ok(())
}

/// The name of another counter of this process: its id, when it was started, and a number.
fn new_name() -> Result<String> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let process = ProcessKey::of(pid).ok_or_else(|| reading(io::ErrorKind::NotFound.into()))?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{PREFIX}{pid}-{}-{number}", process.start_ticks))
}

fn reading(error: io::Error) -> Error {
    Error::io("count the traffic in", "memory")(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u32, from: [u8; 6]) -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0, 2, 0, 0, 0, 12, 0, 0, 0];
        bytes.extend(length.to_ne_bytes());
        bytes.extend([0xff; 6]);
        bytes.extend(from);
        bytes
    }

    #[test]
    fn frames_are_counted_by_where_they_come_from() {
        let (guest, host) = ([0x52, 0x54, 0, 0x12, 0x34, 0x56], [0x52, 0x55, 10, 0, 2, 2]);
        let mut bytes = [frame(60, guest), frame(1514, host), frame(100, guest)].concat();
        let moved = Moved {
            received: 1514,
            sent: 160,
        };
        assert_eq!(count(&bytes), (3, moved));
        // QEMU is in the middle of the last one: its header is there, its addresses are not.
        bytes[2 * RECORD_BYTES + HEADER_BYTES..].fill(0);
        assert_eq!(count(&bytes), (2, Moved { sent: 60, ..moved }));
        bytes.truncate(RECORD_BYTES + 3);
        assert_eq!(count(&bytes).0, 1);
        assert_eq!(count(&[0; 4096]), (0, Moved::default()));
    }
}
