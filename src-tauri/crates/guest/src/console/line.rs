//! Bytes to lines, in bounded memory, without the escape sequences of terminals.

/// The longest line that is looked at, in bytes. What comes after it, up to the next newline, is passed over.
pub const LINE_LIMIT_BYTES: usize = 4096;

/// An escape sequence longer than this is none: what follows is text again.
const ESCAPE_LIMIT_BYTES: u16 = 256;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    state: State,
    escape_bytes: u16,
}

/// Where in an escape sequence (ECMA-48) the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// In `ESC [ parameters final`, ended by a byte of 0x40..=0x7E.
    Control,
    /// In `ESC ] text`, ended by BEL or `ESC \`.
    String,
}

impl Lines {
    /// Takes the next bytes and gives each line that they end. A carriage return ends one too: what stood before it
    /// was on the screen.
    pub(super) fn push(&mut self, bytes: &[u8], mut take: impl FnMut(&str)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Text {
                // Text mostly comes in runs without anything special.
                let run = rest
                    .iter()
                    .position(|byte| *byte < b' ')
                    .unwrap_or(rest.len());
                let room = LINE_LIMIT_BYTES.saturating_sub(self.line.len());
                self.line.extend_from_slice(&rest[..run.min(room)]);
                rest = &rest[run..];
                let Some((special, more)) = rest.split_first() else {
                    return;
                };
                rest = more;
                match *special {
                    b'\n' | b'\r' => self.end_line(&mut take),
                    ESCAPE => {
                        self.state = State::Escape;
                        self.escape_bytes = 0;
                    }
                    b'\t' if self.line.len() < LINE_LIMIT_BYTES => self.line.push(b'\t'),
                    _ => {}
                }
            } else {
                let byte = rest[0];
                // A newline is never part of a sequence: the text around it matters more.
                if byte == b'\n' || byte == b'\r' || self.escape_bytes == ESCAPE_LIMIT_BYTES {
                    self.state = State::Text;
                    continue;
                }
                rest = &rest[1..];
                self.escape_bytes += 1;
                self.state = self.state.next(byte);
            }
        }
    }

    fn end_line(&mut self, take: &mut impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.line);
        let text = text.trim_end();
        if !text.is_empty() {
            take(text);
        }
        self.line.clear();
    }
}

impl State {
    fn next(self, byte: u8) -> Self {
        match (self, byte) {
            (_, ESCAPE) | (State::Escape, b' '..=b'/') => State::Escape,
            (State::Escape, b'[') => State::Control,
            (State::Escape, b']' | b'P' | b'_' | b'^' | b'X') => State::String,
            (State::Escape, _) | (State::Control, 0x40..=0x7e) | (State::String, BELL) => {
                State::Text
            }
            (state, _) => state,
        }
    }
}
