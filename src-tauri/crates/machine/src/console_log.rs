//! The file that a console goes to, and how much of it is kept.
//!
//! QEMU appends to it for as long as the guest talks, and knows no limit. So from time to time the middle is given back
//! to the file system as a hole, whose place in the file stays: every offset means what it meant before, and QEMU, which
//! writes at the end, notices nothing.
//!
//! ```text
//!   earlier runs        present run
//!   ░░░░░░░░░░░░░░░░░░░░████████████░░░░░░░░░░░░░░░░░░░░░░░░░░████████████████████████
//!   given back first    the first   given back when the       the last, which grows
//!                       eighth      limit is passed
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

/// Holes begin and end at multiples of this, which is one of every file system's block.
const STEP_BYTES: u64 = 64 << 10;

/// A console log, open for reading. What was given back of it is passed over.
#[derive(Debug)]
pub struct ConsoleLog {
    file: File,
}

/// What is at a place of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes, which are in the buffer; none at the end.
    Bytes(usize),
    /// So many bytes were given back; what follows them is there.
    LeftOut(u64),
}

impl ConsoleLog {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file })
    }

    /// How far it reaches, what was given back included.
    ///
    /// # Errors
    /// When the file does not say.
    pub fn end(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(crate) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Reads what there is from `offset` on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<Piece> {
        let count = self.file.read_at(buffer, offset)?;
        if count == 0 {
            return Ok(Piece::Bytes(0));
        }
        // Asked after the reading: what was given back meanwhile is not taken for zeros that the guest wrote. A file
        // system that knows no holes does not say.
        let hole = seek(&self.file, SeekFrom::Hole(offset)).unwrap_or(u64::MAX);
        let whole = usize::try_from(hole.saturating_sub(offset)).unwrap_or(usize::MAX);
        if whole > 0 {
            return Ok(Piece::Bytes(count.min(whole)));
        }
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => Ok(Piece::LeftOut(data.saturating_sub(offset).max(1))),
            Err(Errno::NXIO) => Ok(Piece::LeftOut(count as u64)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Gives back what is beyond the limit, if it pays: what earlier runs said, then the middle of the run that began at
/// `run_start`. Says how much there is afterwards, on the disk.
///
/// # Errors
/// When the file cannot be changed, or its file system knows no holes.
pub(crate) fn trim(path: &Path, run_start: u64, limit_bytes: u64) -> io::Result<u64> {
    let file = File::options().write(true).open(path)?;
    let kept = |file: &File| Ok::<_, io::Error>(file.metadata()?.blocks() * 512);
    // Not for every line: what is beyond the limit may be an eighth of it.
    if kept(&file)? <= limit_bytes + limit_bytes / 8 {
        return kept(&file);
    }
    give_back(&file, 0, run_start)?;
    let end = file.metadata()?.len();
    let first = limit_bytes / 8;
    let (from, to) = (run_start + first, end.saturating_sub(limit_bytes - first));
    give_back(&file, from, to)?;
    kept(&file)
}

fn give_back(file: &File, from: u64, to: u64) -> io::Result<()> {
    let from = from.next_multiple_of(STEP_BYTES);
    let to = to - to % STEP_BYTES;
    if from >= to {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, from, to - from)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A log whose every eight bytes say where they are.
    fn log(bytes: u64) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for offset in (0..bytes).step_by(8) {
            file.write_all(format!("{offset:07}\n").as_bytes()).unwrap();
        }
        file.flush().unwrap();
        file
    }

    /// All of a log, with what is left out of it in brackets; each byte is where it belongs.
    fn read(path: &Path, from: u64) -> Vec<(u64, u64)> {
        let log = ConsoleLog::open(path).unwrap();
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        let (mut offset, mut buffer) = (from, vec![0; 40_000]);
        loop {
            match log.read_at(offset, &mut buffer).unwrap() {
                Piece::Bytes(0) => return stretches,
                Piece::Bytes(count) => {
                    for (index, byte) in buffer[..count].iter().enumerate() {
                        let at = offset + index as u64;
                        let line = format!("{:07}\n", at - at % 8);
                        assert_eq!(*byte, line.as_bytes()[usize::try_from(at % 8).unwrap()]);
                    }
                    match stretches.last_mut() {
                        Some(last) if last.1 == offset => last.1 += count as u64,
                        _ => stretches.push((offset, offset + count as u64)),
                    }
                    offset += count as u64;
                }
                Piece::LeftOut(bytes) => offset += bytes,
            }
        }
    }

    #[test]
    fn the_first_and_the_last_of_a_long_log_are_kept() {
        let file = log(6 * MIB);
        assert_eq!(read(file.path(), 0), [(0, 6 * MIB)]);
        assert!(trim(file.path(), 0, 6 * MIB).unwrap() >= 6 * MIB);
        assert_eq!(read(file.path(), 0), [(0, 6 * MIB)], "within the limit");

        // The present run began after one MiB.
        let kept = trim(file.path(), MIB, 4 * MIB).unwrap();
        assert!(kept <= 4 * MIB + 2 * STEP_BYTES, "{kept}");
        let first = (MIB, MIB + MIB / 2);
        let last = (6 * MIB - 4 * MIB + MIB / 2, 6 * MIB);
        assert_eq!(read(file.path(), 0), [first, last]);
        assert_eq!(read(file.path(), 3 * MIB), [(3 * MIB, 6 * MIB)]);
        assert_eq!(read(file.path(), 7 * MIB), []);
        let kept_again = trim(file.path(), MIB, 4 * MIB).unwrap();
        assert_eq!(kept_again, kept, "once is enough");
    }

    #[test]
    fn what_the_guest_wrote_as_zeros_is_not_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a\0\0b").unwrap();
        let log = ConsoleLog::open(file.path()).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(log.read_at(0, &mut buffer).unwrap(), Piece::Bytes(4));
        assert_eq!(&buffer[..4], b"a\0\0b");
        assert_eq!(log.read_at(4, &mut buffer).unwrap(), Piece::Bytes(0));
        assert_eq!(log.read_at(400, &mut buffer).unwrap(), Piece::Bytes(0));
    }
}
