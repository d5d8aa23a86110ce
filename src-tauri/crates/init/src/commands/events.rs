//! What wakes the supervisor: children that end, the host's wish that the guest stops, and what the agent wants.
//!
//! The wish comes as SIGINT (Ctrl+Alt+Del), as a press of the power button, or as one of the signals by
//! which `poweroff`, `halt` and `reboot` in the image tell process 1 (busybox: SIGUSR2, SIGUSR1, SIGTERM).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::agent::{Wish, Wishes};

/// `struct input_event` of a 64-bit kernel: 16 bytes of time, type, code, value.
const KEY_EVENT_BYTES: usize = 24;
const EVENT_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// Signals as bytes in sockets, so that they can be polled, and the input devices.
pub(crate) struct Events {
    children: UnixStream,
    end: UnixStream,
    power_keys: Vec<File>,
    agent: Option<Wishes>,
}

impl Events {
    pub(crate) fn listen(agent: Option<Wishes>) -> io::Result<Self> {
        let (children, children_sender) = UnixStream::pair()?;
        let (end, end_sender) = UnixStream::pair()?;
        children.set_nonblocking(true)?;
        end.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGCHLD, children_sender)?;
        for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2] {
            signal_hook::low_level::pipe::register(signal, end_sender.try_clone()?)?;
        }
        Ok(Self {
            children,
            end,
            power_keys: power_keys(),
            agent,
        })
    }

    pub(super) fn to_poll(&self) -> Vec<PollFd<'_>> {
        let sockets = [&self.children, &self.end].map(|socket| PollFd::new(socket, PollFlags::IN));
        let keys = self
            .power_keys
            .iter()
            .map(|file| PollFd::new(file, PollFlags::IN));
        let agent = self.agent.iter();
        let agent = agent.map(|wishes| PollFd::new(&wishes.bell, PollFlags::IN));
        sockets.into_iter().chain(keys).chain(agent).collect()
    }

    /// What the agent wants, if anything.
    pub(super) fn wish(&mut self) -> Option<Wish> {
        self.agent.as_mut()?.take()
    }

    /// Takes what has come; true when the guest shall stop.
    pub(super) fn take(&mut self) -> bool {
        drain(&mut self.children);
        drain(&mut self.end) | self.is_power_key_pressed()
    }

    fn is_power_key_pressed(&mut self) -> bool {
        let mut is_pressed = false;
        for file in &mut self.power_keys {
            let mut events = [0; KEY_EVENT_BYTES * 16];
            while let Ok(count) = file.read(&mut events) {
                if count == 0 {
                    break;
                }
                is_pressed |= events[..count]
                    .chunks_exact(KEY_EVENT_BYTES)
                    .any(is_power_key);
            }
        }
        is_pressed
    }
}

/// Whether anything was there to be read.
fn drain(stream: &mut UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut has_read = false;
    while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {
        has_read = true;
    }
    has_read
}

/// The input devices, one of which is the power button; the keyboard is among them and does not disturb.
fn power_keys() -> Vec<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let open = |path| {
        fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .ok()
    };
    let entries = fs::read_dir("/dev/input").into_iter().flatten().flatten();
    let events = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"event"));
    events.filter_map(|entry| open(entry.path())).collect()
}

fn is_power_key(event: &[u8]) -> bool {
    let number = |offset: usize| {
        event[offset..]
            .first_chunk()
            .map(|bytes| u16::from_le_bytes(*bytes))
    };
    // Zero as value is the key's release.
    number(16) == Some(EVENT_KEY) && number(18) == Some(KEY_POWER) && event[20] != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_press_of_the_power_key_counts() {
        let event = |kind: u8, code: u8, value: u8| {
            let mut bytes = [0; KEY_EVENT_BYTES];
            (bytes[16], bytes[18], bytes[20]) = (kind, code, value);
            is_power_key(&bytes)
        };
        assert!(event(1, 116, 1));
        assert!(!event(1, 116, 0));
        assert!(!event(1, 30, 1));
        assert!(!event(0, 116, 1));
    }
}
