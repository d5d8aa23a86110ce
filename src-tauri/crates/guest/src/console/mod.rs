//! What a guest's console says, recognised line by line.
//!
//! ```text
//!   bytes, in pieces -> lines (bounded, escapes stripped) -> patterns of OSv, of Linux, of our init -> Notice
//! ```
//!
//! A guest may be hostile or broken: a line without end costs no more memory than
//! [`LINE_LIMIT_BYTES`], and a notice carries only text that is printable and short.

mod notice;

pub use notice::Notice;

/// The longest line that is looked at, in bytes. What comes after it, up to the next newline, is passed over.
pub const LINE_LIMIT_BYTES: usize = 4096;

/// Reads a guest's console and notices what matters.
#[derive(Debug, Default)]
pub struct Recogniser {
    line: Vec<u8>,
}

impl Recogniser {
    /// A recogniser at the beginning of a console.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the console, in pieces of any size, and returns what they told, in order.
    pub fn push(&mut self, _bytes: &[u8]) -> Vec<Notice> {
        let _ = &mut self.line;
        Vec::new()
    }

    /// Takes the end of the console: a last line without newline counts too.
    pub fn finish(&mut self) -> Vec<Notice> {
        self.push(b"\n")
    }
}
