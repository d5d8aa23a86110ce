//! Tells a program's own output from what kernel and init say on the same console.
//!
//! ```text
//!   Linux   all up to "[windlass] command 1 of N started: …"    boot, not the program
//!           "[windlass] …", wherever it stands in a line         our init
//!           "[   12.345678] …" at the beginning of a line        the kernel
//!   OSv     a few lines that its kernel prints at boot and end
//! ```
//!
//! What cannot be one of these is passed on at once, so that a prompt without a line end is seen;
//! what can be one is held back until it is known, which is a line at most.

use windlass_guest::report::{MARK, Report};
use windlass_workshop::guests::GuestOs;

/// More than this of a line is not held back.
const HELD_LIMIT_BYTES: usize = 4096;

/// Beginnings of lines that OSv's kernel prints.
const OSV_LINES: &[&str] = &[
    "OSv v",
    "eth0: ",
    "Booted up in ",
    "Cmdline: ",
    "Hypervisor: ",
    "program ",
    "Loading ",
    "Running from ",
];

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// The program that runs in the guest.
    Program,
    /// The guest's kernel, or its first program.
    System,
}

/// What is held back until it is known whose it is.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// Whether it begins a line.
    line_start: bool,
}

/// Separates the voices of one console.
#[derive(Debug)]
pub(super) struct Separator {
    guest: GuestOs,
    /// Whether programs have begun to speak.
    started: bool,
    /// Whether the next byte begins a line.
    line_start: bool,
    /// What is not decided yet.
    held: Held,
    /// A carriage return that a newline may follow.
    carriage_return: bool,
}

impl Separator {
    pub(super) fn new(guest: GuestOs) -> Self {
        Self {
            guest,
            started: guest == GuestOs::Osv,
            line_start: true,
            held: Held::default(),
            carriage_return: false,
        }
    }

    /// Takes the next bytes, and returns who said what, in order. Line ends become `\n`.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<(Voice, Vec<u8>)> {
        let mut said = Vec::new();
        for &byte in bytes {
            // A console ends its lines with CR and LF, some with several CRs.
            if byte == b'\r' {
                self.carriage_return = true;
                continue;
            }
            if std::mem::take(&mut self.carriage_return) && byte != b'\n' {
                self.byte(b'\r', &mut said);
            }
            self.byte(byte, &mut said);
        }
        said
    }

    /// The console has ended: what is held back belongs to somebody.
    pub(super) fn finish(&mut self) -> Vec<(Voice, Vec<u8>)> {
        let mut said = Vec::new();
        let voice = self.voice_of_held();
        self.release(voice, &mut said);
        said
    }

    fn byte(&mut self, byte: u8, said: &mut Vec<(Voice, Vec<u8>)>) {
        if self.held.bytes.is_empty() {
            self.held.line_start = self.line_start;
        }
        self.line_start = byte == b'\n';
        if byte == b'\n' {
            let voice = self.voice_of_held();
            if let Some(Report::CommandStarted { .. } | Report::CommandNotStarted { .. }) =
                self.report()
            {
                self.started = true;
            }
            self.held.bytes.push(byte);
            self.release(voice, said);
            return;
        }
        self.held.bytes.push(byte);
        if self.may_be_system() && self.held.bytes.len() < HELD_LIMIT_BYTES {
            return;
        }
        // Not from its beginning; but our mark may begin further on.
        let voice = if self.started {
            Voice::Program
        } else {
            Voice::System
        };
        if byte == b'[' && self.held.bytes.len() > 1 {
            self.held.bytes.pop();
            self.release(voice, said);
            self.held.line_start = false;
            self.held.bytes.push(byte);
            return;
        }
        self.release(voice, said);
    }

    fn release(&mut self, voice: Voice, said: &mut Vec<(Voice, Vec<u8>)>) {
        let held = std::mem::take(&mut self.held.bytes);
        match said.last_mut() {
            _ if held.is_empty() => {}
            Some((last, bytes)) if *last == voice => bytes.extend(held),
            _ => said.push((voice, held)),
        }
    }

    fn report(&self) -> Option<Report> {
        Report::parse(std::str::from_utf8(&self.held.bytes).ok()?)
    }

    /// Whether what is held may still turn out to be the system's.
    fn may_be_system(&self) -> bool {
        if !self.started {
            return true;
        }
        let held = &self.held.bytes;
        match self.guest {
            GuestOs::Linux => {
                begins(held, MARK.as_bytes())
                    || (self.held.line_start && is_kernel_stamp_begun(held))
            }
            GuestOs::Osv => {
                self.held.line_start && OSV_LINES.iter().any(|line| begins(held, line.as_bytes()))
            }
        }
    }

    /// Whose a whole line is.
    fn voice_of_held(&self) -> Voice {
        if !self.started {
            return Voice::System;
        }
        let system = match self.guest {
            GuestOs::Linux => {
                self.report().is_some()
                    || (self.held.line_start && is_kernel_stamp(&self.held.bytes))
            }
            GuestOs::Osv => {
                let text = String::from_utf8_lossy(&self.held.bytes);
                self.held.line_start
                    && OSV_LINES.iter().any(|line| text.starts_with(line))
                    && (!text.starts_with("program ")
                        || text.contains(" returned ")
                        || text.contains("exited with status "))
            }
        };
        if system {
            Voice::System
        } else {
            Voice::Program
        }
    }
}

/// Whether one is the beginning of the other.
fn begins(held: &[u8], pattern: &[u8]) -> bool {
    let length = held.len().min(pattern.len());
    held[..length] == pattern[..length]
}

/// Whether this may become, or is, `[   12.345678] …`.
fn is_kernel_stamp_begun(held: &[u8]) -> bool {
    let Some(rest) = held.strip_prefix(b"[") else {
        return held.is_empty();
    };
    match rest.iter().position(|byte| *byte == b']') {
        Some(_) => is_kernel_stamp(held),
        None => rest.len() < 24 && rest.iter().all(|byte| b" .0123456789".contains(byte)),
    }
}

fn is_kernel_stamp(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"[") else {
        return false;
    };
    let Some(end) = rest.iter().position(|byte| *byte == b']') else {
        return false;
    };
    let stamp = String::from_utf8_lossy(&rest[..end]);
    let Some((seconds, fraction)) = stamp.trim_start().split_once('.') else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(seconds) && digits(fraction) && fraction.len() == 6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each voice says, whichever way the console is cut into pieces.
    fn voices(guest: GuestOs, console: &str) -> (String, String) {
        let mut outcomes = Vec::new();
        for piece in [1, 2, 7, 10_000] {
            let mut separator = Separator::new(guest);
            let (mut program, mut system) = (String::new(), String::new());
            let pieces = console.as_bytes().chunks(piece);
            let mut said: Vec<_> = pieces.flat_map(|piece| separator.push(piece)).collect();
            said.extend(separator.finish());
            for (voice, bytes) in said {
                let text = String::from_utf8(bytes).unwrap();
                match voice {
                    Voice::Program => program.push_str(&text),
                    Voice::System => system.push_str(&text),
                }
            }
            outcomes.push((program, system));
        }
        outcomes.dedup();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes.remove(0)
    }

    #[test]
    fn a_linux_guests_program_is_heard_alone() {
        let (program, system) = voices(
            GuestOs::Linux,
            "[    0.100000] noise\r\nmore noise\r\n[windlass] init 0.1.0 on Linux 6.1\r\n\
             [windlass] command 1 of 1 started: /hello\r\nHello\r\r\n[ok] [1.5] not the kernel\r\n\
             [    5.123456] kernel: a warning\r\n10%\r20%\r\n\
             no line end[windlass] command 1 of 1 exited with status 0: /hello\r\n\
             [windlass] all ended with status 0\r\n[windlass] powering off\r\n",
        );
        insta::assert_snapshot!(program.replace('\r', "<CR>"), @r"
        Hello
        [ok] [1.5] not the kernel
        10%<CR>20%
        no line end
        ");
        insta::assert_snapshot!(system, @r"
        [    0.100000] noise
        more noise
        [windlass] init 0.1.0 on Linux 6.1
        [windlass] command 1 of 1 started: /hello
        [    5.123456] kernel: a warning
        [windlass] command 1 of 1 exited with status 0: /hello
        [windlass] all ended with status 0
        [windlass] powering off
        ");
    }

    #[test]
    fn a_prompt_is_not_held_back() {
        let mut separator = Separator::new(GuestOs::Linux);
        separator.push(b"[windlass] command 1 of 1 started: /sh\n");
        assert_eq!(separator.push(b"> "), [(Voice::Program, b"> ".to_vec())]);
        assert_eq!(separator.push(b"[wind"), []);
        assert_eq!(
            separator.push(b"mill"),
            [(Voice::Program, b"[windmill".to_vec())]
        );
    }

    #[test]
    fn what_only_looks_like_ours_is_the_programs() {
        let (program, _) = voices(
            GuestOs::Linux,
            "[windlass] command 1 of 1 started: /x\n[windlass] is a fine program\n[[windlass] stopping\n",
        );
        insta::assert_snapshot!(program, @r"
        [windlass] is a fine program
        [
        ");
    }

    #[test]
    fn osv_prints_little_of_its_own() {
        let (program, system) = voices(
            GuestOs::Osv,
            "OSv v0.57.0\r\neth0: 10.0.2.15\r\nBooted up in 120.1 ms\r\nCmdline: /hello\r\n\
             Hello\nprogram notes\nprogram /hello returned 3\n",
        );
        insta::assert_snapshot!(program, @r"
        Hello
        program notes
        ");
        assert!(system.ends_with("Cmdline: /hello\nprogram /hello returned 3\n"));
    }
}
