//! What a guest's console says, recognised line by line.
//!
//! ```text
//!   bytes, in pieces -> lines (bounded, escapes stripped) -> patterns of OSv, of Linux, of our init -> Notice
//! ```
//!
//! A guest may be hostile or broken: a line without end costs no more memory than [`LINE_LIMIT_BYTES`], and a notice
//! carries only text that is printable and short. What repeats without telling anything new (a file system that is
//! still read-only) is noticed once per boot.

mod line;
mod linux;
mod notice;
mod osv;
#[cfg(test)]
mod tests;

pub use line::LINE_LIMIT_BYTES;
pub use notice::Notice;

use crate::report::Report;
use line::Lines;

/// Reads a guest's console and notices what matters.
#[derive(Debug, Default)]
pub struct Recogniser {
    lines: Lines,
    osv: osv::Reader,
    /// What was said already since the guest booted, and need not be said again.
    said: Said,
}

#[derive(Debug, Default)]
struct Said {
    booted: Option<Notice>,
    panic: Option<String>,
    powering_off: bool,
    read_only: bool,
    out_of_memory: bool,
}

impl Recogniser {
    /// A recogniser at the beginning of a console.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the console, in pieces of any size, and returns what they told, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Notice> {
        let Self { lines, osv, said } = self;
        let mut notices = Vec::new();
        lines.push(bytes, |line| recognise(line, osv, said, &mut notices));
        notices
    }

    /// Takes the end of the console: a last line without newline counts too.
    pub fn finish(&mut self) -> Vec<Notice> {
        self.push(b"\n")
    }
}

/// What runtimes say when their heap is full, which they make as large as the memory allows.
const OUT_OF_MEMORY: [&str; 2] = [
    "JavaScript heap out of memory",
    "java.lang.OutOfMemoryError",
];

fn recognise(line: &str, osv: &mut osv::Reader, said: &mut Said, notices: &mut Vec<Notice>) {
    let mut tell = |notice: Notice| {
        if said.is_news(&notice) {
            notices.push(notice);
        }
    };
    if let Some(report) = Report::parse(line) {
        tell(notice::of_report(report));
        return;
    }
    osv.recognise(line, &mut tell);
    linux::recognise(line, &mut tell);
    // What the C library says for EROFS, in whichever program, and Node.
    if line.contains("Read-only file system") || line.contains("EROFS: read-only file system") {
        tell(Notice::ReadOnlyFileSystem);
    }
    if OUT_OF_MEMORY.iter().any(|words| line.contains(words)) || line.trim() == "MemoryError" {
        tell(Notice::OutOfMemory { killed: None });
    }
}

impl Said {
    fn is_news(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Booted { .. } => {
                if self.booted.as_ref() == Some(notice)
                    && self.panic.is_none()
                    && !self.powering_off
                {
                    return false;
                }
                *self = Said {
                    booted: Some(notice.clone()),
                    ..Said::default()
                };
                true
            }
            // What is known better is told again.
            Notice::Panic { message } => match &mut self.panic {
                Some(said) if message.starts_with(&format!("{}: ", said.trim_end_matches('.'))) => {
                    said.clone_from(message);
                    true
                }
                Some(_) => false,
                none => {
                    *none = Some(message.clone());
                    true
                }
            },
            Notice::PoweringOff => !std::mem::replace(&mut self.powering_off, true),
            Notice::ReadOnlyFileSystem => !std::mem::replace(&mut self.read_only, true),
            Notice::OutOfMemory { killed: None } => {
                !std::mem::replace(&mut self.out_of_memory, true)
            }
            _ => true,
        }
    }
}
