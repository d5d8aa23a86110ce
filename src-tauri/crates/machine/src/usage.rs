//! What a machine takes of this computer, from the kernel's counters and QEMU's own.
//!
//! ```text
//!   /proc/PID/stat    processor time      ─┐
//!   /proc/PID/statm   memory              ─┼─▶ Usage ── since an earlier one ──▶ Load ──▶ History
//!   query-blockstats  what the disks move ─┤   (counters)                       (rates)    (minutes)
//!   traffic, switches what the cards move ─┘
//! ```
//!
//! Reading it costs some ten microseconds, so that all machines can be asked each second. A question to QEMU costs more, for
//! QEMU as well: it is only asked where it has read or written files since the last time (`/proc/PID/io`).

use std::fs;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::record::ProcessKey;

/// The counters of a machine's QEMU at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// When they were read.
    pub at: Instant,
    /// Processor time since QEMU was started, of all its threads.
    pub cpu: Duration,
    /// Memory of this computer that QEMU holds, the guest's included.
    pub memory_bytes: u64,
    /// What the guest has read from its disks since the start.
    pub read_bytes: u64,
    /// What the guest has written to its disks since the start.
    pub written_bytes: u64,
    /// What came to the guest on all its cards, in bytes of frames, since it was first asked for; `None` where that is not known.
    pub received_bytes: Option<u64>,
    /// What the guest sent on all its cards.
    pub sent_bytes: Option<u64>,
}

/// How much a machine does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Processors kept busy: 1.0 is one of them, all the time.
    pub cpus: f64,
    /// Memory of this computer that QEMU holds, in bytes.
    pub memory_bytes: u64,
    /// Bytes that the guest reads from its disks in a second.
    pub read_rate: f64,
    /// Bytes that the guest writes to its disks in a second.
    pub write_rate: f64,
    /// Bytes that come to the guest on all its cards in a second; `None` where that is not known.
    pub receive_rate: Option<f64>,
    /// Bytes that the guest sends on all its cards in a second.
    pub send_rate: Option<f64>,
}

impl Usage {
    /// What was done between an earlier reading and this one; `None` where they are of two runs, or of one moment.
    pub fn since(&self, earlier: &Self) -> Option<Load> {
        let seconds = self
            .at
            .checked_duration_since(earlier.at)
            .filter(|passed| !passed.is_zero())?
            .as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate to show, not to count with"
        )]
        let rate = |now: u64, then: u64| Some(now.checked_sub(then)? as f64 / seconds);
        Some(Load {
            cpus: self.cpu.checked_sub(earlier.cpu)?.as_secs_f64() / seconds,
            memory_bytes: self.memory_bytes,
            read_rate: rate(self.read_bytes, earlier.read_bytes)?,
            write_rate: rate(self.written_bytes, earlier.written_bytes)?,
            receive_rate: self
                .received_bytes
                .zip(earlier.received_bytes)
                .and_then(|(now, then)| rate(now, then)),
            send_rate: self
                .sent_bytes
                .zip(earlier.sent_bytes)
                .and_then(|(now, then)| rate(now, then)),
        })
    }
}

/// Processor time and memory of a process, if it is still the same one.
pub(crate) fn of_process(key: &ProcessKey) -> Option<(Duration, u64)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", key.pid)).ok()?;
    let (start_ticks, cpu) = times(&stat, rustix::param::clock_ticks_per_second())?;
    if start_ticks != key.start_ticks {
        return None;
    }
    let statm = fs::read_to_string(format!("/proc/{}/statm", key.pid)).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((cpu, pages * rustix::param::page_size() as u64))
}

/// Start time (in ticks) and processor time in `/proc/PID/stat`, see proc(5).
fn times(stat: &str, ticks_per_second: u64) -> Option<(u64, Duration)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)?.checked_add(number(12)?)?;
    let millis = ticks.checked_mul(1000)? / ticks_per_second.max(1);
    Some((number(19)?, Duration::from_millis(millis)))
}

/// What the disks of a machine had moved when QEMU was asked last.
#[derive(Clone, Debug)]
pub(crate) struct DiskReading {
    process: ProcessKey,
    /// What the process had read and written in all, when it had answered.
    file_bytes: u64,
    at: Instant,
    /// What the guest had read and written.
    pub(crate) bytes: (u64, u64),
}

impl DiskReading {
    /// A guest's sector: less than that is not from a disk.
    const SECTOR_BYTES: u64 = 512;
    /// What a guest reads where nothing was written yet, QEMU reads from no file.
    const ASK_ANYWAY: Duration = Duration::from_secs(10);

    /// What was just answered.
    pub(crate) fn new(process: ProcessKey, bytes: (u64, u64)) -> Option<Self> {
        Some(Self {
            file_bytes: file_bytes(process.pid)?,
            process,
            at: Instant::now(),
            bytes,
        })
    }

    /// Whether QEMU would answer the same.
    pub(crate) fn holds_for(&self, process: &ProcessKey) -> bool {
        let is_new = || {
            let now = file_bytes(process.pid);
            now.is_none_or(|now| now.saturating_sub(self.file_bytes) >= Self::SECTOR_BYTES)
        };
        self.process == *process && self.at.elapsed() < Self::ASK_ANYWAY && !is_new()
    }
}

/// What a process has read and written, whatever it was.
fn file_bytes(pid: i32) -> Option<u64> {
    let counters = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let bytes = |name: &str| {
        let line = counters.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    bytes("rchar:")?.checked_add(bytes("wchar:")?)
}

/// A disk in the answer to `query-blockstats`, of which there is much more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DiskCounters {
    stats: Counters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counters {
    rd_bytes: u64,
    wr_bytes: u64,
}

/// What all disks have read and written.
pub(crate) fn disk_bytes(disks: &[DiskCounters]) -> (u64, u64) {
    disks.iter().fold((0, 0), |(read, written), disk| {
        (
            u64::saturating_add(read, disk.stats.rd_bytes),
            u64::saturating_add(written, disk.stats.wr_bytes),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_is_what_happened_between_two_readings() {
        let first = Usage {
            at: Instant::now(),
            cpu: Duration::from_secs(10),
            memory_bytes: 5,
            read_bytes: 1000,
            written_bytes: 0,
            received_bytes: Some(0),
            sent_bytes: Some(60),
        };
        let second = Usage {
            at: first.at + Duration::from_secs(2),
            cpu: Duration::from_secs(13),
            memory_bytes: 7,
            read_bytes: 1500,
            written_bytes: 4096,
            received_bytes: Some(100),
            sent_bytes: Some(60),
        };
        let load = second.since(&first);
        let expected = Load {
            cpus: 1.5,
            memory_bytes: 7,
            read_rate: 250.0,
            write_rate: 2048.0,
            receive_rate: Some(50.0),
            send_rate: Some(0.0),
        };
        assert_eq!(load, Some(expected));
        let counted_anew = Usage {
            received_bytes: Some(7),
            sent_bytes: None,
            ..second
        };
        let third = Usage {
            at: second.at + Duration::from_secs(1),
            ..counted_anew
        };
        let load = third
            .since(&second)
            .map(|load| (load.receive_rate, load.send_rate));
        assert_eq!(
            load,
            Some((None, None)),
            "what went over the cards is not known then"
        );
        assert_eq!(first.since(&second), None, "time does not go back");
        let restarted = Usage {
            cpu: Duration::ZERO,
            ..second
        };
        assert_eq!(
            restarted.since(&first),
            None,
            "another run has counters of its own"
        );
    }

    #[test]
    fn the_kernels_counters_are_found_behind_any_program_name() {
        let tail = "S 1 2 3 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 4711 9 10";
        for name in ["qemu-system-x86", "a) S (b"] {
            let found = times(&format!("42 ({name}) {tail}"), 100);
            assert_eq!(found, Some((4711, Duration::from_secs(2))), "{name}");
        }
        assert_eq!(times("42 (short) S 1 2", 100), None);
        assert_eq!(times("nonsense", 100), None);
    }

    #[test]
    fn our_own_process_has_counters() {
        let key = ProcessKey::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let (_, memory_bytes) = of_process(&key).unwrap();
        assert!(memory_bytes > 1 << 20);
        let earlier = ProcessKey {
            start_ticks: key.start_ticks - 1,
            ..key
        };
        assert_eq!(of_process(&earlier), None);
    }

    #[test]
    fn the_bytes_of_all_disks_are_added() {
        let answer = json!([
            {"device": "", "stats": {"rd_bytes": 512, "wr_bytes": 1, "new": {}}},
            {"stats": {"rd_bytes": 512, "wr_bytes": 4096}},
            {"no": "stats"},
        ]);
        let disks: Vec<DiskCounters> = serde_json::from_value(answer).unwrap();
        assert_eq!(disk_bytes(&disks), (1024, 4097));
    }
}
