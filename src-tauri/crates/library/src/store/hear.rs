//! An archive's files are digested while they are unpacked, by a thread of their own.
//!
//! ```text
//!   decompress, check, write ── parts ──> channel ──> digest       waits when the other is behind
//!                            <── empty buffers ──┘                 so that memory is bounded
//! ```

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use blake3::Hasher;
use windlass_package::archive::Listen;

use super::import::{DATA_MODE, PROGRAM_MODE};
use super::tree::Kind;

/// So many parts are on their way at most.
const PARTS: usize = 16;

/// Files smaller than this are gathered until there is a part.
const PART_BYTES: usize = 128 << 10;

/// What was heard of an archive's files, by their paths.
pub(crate) type Heard = HashMap<Vec<u8>, Kind>;

/// What of a part belongs to which file.
#[derive(Debug)]
struct Part {
    bytes: Vec<u8>,
    /// The files that begin in it: where, their paths, their modes.
    begin: Vec<(usize, Vec<u8>, u32)>,
}

/// Listens, and passes on.
struct Ear {
    part: Part,
    full: SyncSender<Part>,
    empty: Receiver<Vec<u8>>,
}

impl Ear {
    fn pass_on(&mut self) {
        let bytes = self.empty.try_recv().unwrap_or_default();
        let part = Part {
            bytes,
            begin: Vec::new(),
        };
        // Who digests ends after us.
        let _ = self.full.send(std::mem::replace(&mut self.part, part));
    }
}

impl Listen for Ear {
    fn begin(&mut self, path: &Path, is_executable: bool) {
        let mode = if is_executable {
            PROGRAM_MODE
        } else {
            DATA_MODE
        };
        let path = path.as_os_str().as_bytes().to_vec();
        self.part.begin.push((self.part.bytes.len(), path, mode));
        // Many empty files are to be passed on as well.
        if self.part.begin.len() >= PART_BYTES / 64 {
            self.pass_on();
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.part.bytes.extend_from_slice(bytes);
        if self.part.bytes.len() >= PART_BYTES {
            self.pass_on();
        }
    }
}

/// Does something that is listened to, and gives what was heard with what it came to.
pub(crate) fn listen<R>(work: impl FnOnce(&mut dyn Listen) -> R) -> (R, Heard) {
    let (full, parts) = sync_channel(PARTS);
    let (used, empty) = sync_channel(PARTS);
    thread::scope(|scope| {
        let digester = scope.spawn(move || digest(&parts, &used));
        let mut ear = Ear {
            part: Part {
                bytes: Vec::new(),
                begin: Vec::new(),
            },
            full,
            empty,
        };
        let result = work(&mut ear);
        ear.pass_on();
        drop(ear);
        let heard = digester
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (result, heard)
    })
}

/// A file that is being digested.
struct Open {
    path: Vec<u8>,
    mode: u32,
    hasher: Hasher,
}

fn digest(parts: &Receiver<Part>, used: &SyncSender<Vec<u8>>) -> Heard {
    let mut heard = Heard::new();
    let mut open: Option<Open> = None;
    for Part { mut bytes, begin } in parts {
        let mut at = 0;
        for (start, path, mode) in begin {
            hear(&mut open, bytes.get(at..start));
            close(open.take(), &mut heard);
            let hasher = Hasher::new();
            open = Some(Open { path, mode, hasher });
            at = start;
        }
        hear(&mut open, bytes.get(at..));
        bytes.clear();
        // Where there are enough of them, it goes.
        let _ = used.try_send(bytes);
    }
    close(open, &mut heard);
    heard
}

fn hear(open: &mut Option<Open>, bytes: Option<&[u8]>) {
    if let (Some(open), Some(bytes)) = (open, bytes) {
        open.hasher.update(bytes);
    }
}

fn close(open: Option<Open>, heard: &mut Heard) {
    if let Some(Open { path, mode, hasher }) = open {
        let kind = Kind::File {
            mode,
            digest: hasher.finalize(),
            size_bytes: hasher.count(),
        };
        heard.insert(path, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_any_size_are_digested_as_they_are() {
        let sizes = [
            0,
            1,
            100,
            PART_BYTES - 1,
            0,
            PART_BYTES,
            3 * PART_BYTES + 7,
            0,
        ];
        let content = |size: usize| {
            (0..size)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect::<Vec<u8>>()
        };
        let ((), heard) = listen(|ear| {
            for (at, size) in sizes.iter().enumerate() {
                ear.begin(Path::new(&format!("file-{at}")), at % 2 == 0);
                for part in content(*size).chunks(1000) {
                    ear.bytes(part);
                }
            }
            for at in 0..10_000 {
                ear.begin(Path::new(&format!("empty-{at}")), false);
            }
        });
        assert_eq!(heard.len(), sizes.len() + 10_000);
        for (at, size) in sizes.iter().enumerate() {
            let kind = Kind::File {
                mode: if at % 2 == 0 { 0o755 } else { 0o644 },
                digest: blake3::hash(&content(*size)),
                size_bytes: *size as u64,
            };
            assert_eq!(heard.get(format!("file-{at}").as_bytes()), Some(&kind));
        }
    }
}
