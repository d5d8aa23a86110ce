//! What a machine did in the last days, minute by minute, in one small file that never grows.
//!
//! ```text
//!   0      8          16                          16 + slot · 56
//!   magic  reserved   ring of 2,880 slots: minute · cpus (mean, most) · memory · disk (read, written) · network (in, out)
//! ```
//!
//! A minute's slot is its number modulo that of the slots, so that a minute is written in place with one small write, and
//! whoever is killed loses the minute that was not over. A slot that does not hold the minute that it should is a gap:
//! the machine did not run, or nobody watched.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::usage::Load;

/// Two days.
pub const MINUTES_MAX: u64 = 2880;

const MAGIC: [u8; 8] = *b"WLHIST03";
const HEADER_BYTES: u64 = 16;
const SLOT_BYTES: usize = 56;
/// A rate that nobody knows.
const UNKNOWN: u64 = u64::MAX;

/// A minute of a machine's life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Minute {
    /// Which, counted from 1970.
    pub number: u64,
    /// What it did, on the average; of memory, the most.
    pub mean: Load,
    /// The most processors that were busy.
    pub cpus_most: f64,
}

/// The file of one machine, or of the computer. Made with the first minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History(PathBuf);

impl History {
    /// The history in a file, which need not be there yet.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Keeps a minute.
    ///
    /// # Errors
    /// Where the file cannot be made or written.
    pub fn keep(&self, minute: &Minute) -> io::Result<()> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.0)?;
        if !is_ours(&file) {
            file.set_len(0)?;
            file.write_all_at(&MAGIC, 0)?;
        }
        let slot = HEADER_BYTES + minute.number % MINUTES_MAX * SLOT_BYTES as u64;
        file.write_all_at(&minute.to_bytes(), slot)
    }

    /// The minutes from `first` to `last` that there are, oldest first. A file that is not ours holds none.
    ///
    /// # Errors
    /// Where the file cannot be read; one that is not there holds nothing.
    pub fn minutes(&self, first: u64, last: u64) -> io::Result<Vec<Minute>> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if !is_ours(&file) {
            return Ok(Vec::new());
        }
        let length = usize::try_from(MINUTES_MAX).unwrap_or(usize::MAX) * SLOT_BYTES;
        let mut bytes = Vec::with_capacity(length);
        let mut chunk = [0; 8192];
        while bytes.len() < length {
            match file.read_at(&mut chunk, HEADER_BYTES + bytes.len() as u64)? {
                0 => break,
                count => bytes.extend(&chunk[..count]),
            }
        }
        let (slots, _cut_off) = bytes.as_chunks::<SLOT_BYTES>();
        let mut minutes: Vec<_> = slots
            .iter()
            .zip(0..MINUTES_MAX)
            .map(|(slot, index)| (Minute::from_bytes(slot), index))
            .filter(|(minute, index)| minute.number % MINUTES_MAX == *index)
            .map(|(minute, _)| minute)
            .filter(|minute| (first.max(1)..=last).contains(&minute.number))
            .collect();
        minutes.sort_by_key(|minute| minute.number);
        Ok(minutes)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Minute {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are far below the limits, and are only shown"
    )]
    fn to_bytes(self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        let cpus = [self.mean.cpus as f32, self.cpus_most as f32];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..12].copy_from_slice(&cpus[0].to_le_bytes());
        bytes[12..16].copy_from_slice(&cpus[1].to_le_bytes());
        bytes[16..24].copy_from_slice(&self.mean.memory_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&(self.mean.read_rate as u64).to_le_bytes());
        bytes[32..40].copy_from_slice(&(self.mean.write_rate as u64).to_le_bytes());
        let known = |rate: Option<f64>| rate.map_or(UNKNOWN, |rate| rate as u64);
        bytes[40..48].copy_from_slice(&known(self.mean.receive_rate).to_le_bytes());
        bytes[48..].copy_from_slice(&known(self.mean.send_rate).to_le_bytes());
        bytes
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "rates are far below the limits, and are only shown"
    )]
    fn from_bytes(bytes: &[u8; SLOT_BYTES]) -> Self {
        let number = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(field)
        };
        let cpus = |at: usize| {
            let mut field = [0; 4];
            field.copy_from_slice(&bytes[at..at + 4]);
            let cpus = f64::from(f32::from_le_bytes(field));
            if cpus.is_finite() { cpus.max(0.0) } else { 0.0 }
        };
        let known = |at: usize| {
            Some(number(at))
                .filter(|rate| *rate != UNKNOWN)
                .map(|rate| rate as f64)
        };
        Self {
            number: number(0),
            mean: Load {
                cpus: cpus(8),
                memory_bytes: number(16),
                read_rate: number(24) as f64,
                write_rate: number(32) as f64,
                receive_rate: known(40),
                send_rate: known(48),
            },
            cpus_most: cpus(12),
        }
    }
}

fn is_ours(file: &File) -> bool {
    let mut magic = [0; MAGIC.len()];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(number: u64) -> Minute {
        let mean = Load {
            cpus: 0.5,
            memory_bytes: 1 << 30,
            read_rate: 4096.0,
            write_rate: 512.0,
            receive_rate: Some(100.0),
            send_rate: None,
        };
        Minute {
            number,
            mean,
            cpus_most: 2.0,
        }
    }

    fn numbers(history: &History, first: u64, last: u64) -> Vec<u64> {
        let minutes = history.minutes(first, last).unwrap();
        minutes.iter().map(|minute| minute.number).collect()
    }

    #[test]
    fn minutes_are_kept_with_gaps_and_the_oldest_give_way() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path().join("history"));
        assert!(numbers(&history, 0, u64::MAX).is_empty());
        let begin = 28_000_000;
        for number in [begin, begin + 1, begin + 5] {
            history.keep(&minute(number)).unwrap();
        }
        assert_eq!(
            numbers(&history, 0, u64::MAX),
            [begin, begin + 1, begin + 5]
        );
        assert_eq!(numbers(&history, begin + 1, begin + 4), [begin + 1]);
        assert_eq!(history.minutes(begin, begin).unwrap(), [minute(begin)]);

        let later = begin + MINUTES_MAX;
        history.keep(&minute(later)).unwrap();
        assert_eq!(
            numbers(&history, 0, u64::MAX),
            [begin + 1, begin + 5, later]
        );
        let length = std::fs::metadata(history.path()).unwrap().len();
        assert!(length <= HEADER_BYTES + MINUTES_MAX * SLOT_BYTES as u64);
    }

    #[test]
    fn whatever_is_in_the_file_is_no_reason_to_fail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let history = History::at(path.clone());
        for content in [
            &b""[..],
            b"WLHIST",
            b"not ours at all, and long enough to look so",
        ] {
            std::fs::write(&path, content).unwrap();
            assert!(numbers(&history, 0, u64::MAX).is_empty());
        }
        history.keep(&minute(7)).unwrap();
        assert_eq!(numbers(&history, 0, u64::MAX), [7]);
        // A slot that was cut off, and one with a number that is no minute of its place.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend([0xff; 60]);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(numbers(&history, 0, u64::MAX), [7]);
    }
}
