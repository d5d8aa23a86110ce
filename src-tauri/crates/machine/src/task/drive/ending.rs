//! The end of a run: the last words are heard, and the verdict is written down.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use tokio::time::timeout;
use windlass_guest::Recogniser;

use super::sources::{Said, next, understand};
use super::{Driver, GREETING_TIMEOUT};
use crate::cgroup;
use crate::console::ConsoleFollower;
use crate::error::Error;
use crate::failure;
use crate::lifecycle::{Event, Exit, Wish};
use crate::record::Durability;
use crate::shares;
use crate::status::MachineState;
use crate::task::answer;

/// A free port that was chosen may be taken before QEMU binds it.
const ATTEMPTS_MAX: u32 = 4;
/// What is read again of a console when a machine is taken over: its beginning and its end.
const REPLAY_MAX_BYTES: u64 = 8 << 20;
/// What is read of QEMU's own output.
const QEMU_LOG_MAX_BYTES: u64 = 64 << 10;

impl Driver {
    /// Reads again what the guest said while nobody listened.
    pub(super) fn replay(&mut self, start: u64) {
        let log = self.shared.folder.console_log();
        let end = log.metadata().map_or(start, |metadata| metadata.len());
        let mut from = start;
        while from < end {
            let Ok(mut follower) = ConsoleFollower::open(&log, from) else {
                return;
            };
            let half = (from + REPLAY_MAX_BYTES / 2).min(end);
            while follower.offset() < half {
                match follower.read_now() {
                    Ok(chunk) if !chunk.is_empty() => self.replay_chunk(&chunk),
                    _ => break,
                }
            }
            let read = follower.offset();
            self.follower = Some(follower);
            // The middle of a very long log is passed over.
            from = read.max(end.saturating_sub(REPLAY_MAX_BYTES / 2));
            if from != read {
                self.recogniser = Recogniser::new();
            }
        }
        if self.follower.is_none() {
            self.follower = ConsoleFollower::open(&log, start).ok();
        }
    }

    pub(super) fn replay_chunk(&mut self, chunk: &[u8]) {
        for notice in self.recogniser.push(chunk) {
            self.take_notice(&notice);
            // What was to be done about it was done, or is too late to do.
            let _done_then = self.lifecycle.event(Event::Noticed(notice));
        }
    }

    /// QEMU is gone: hears what was said last, and draws the verdict.
    pub(super) async fn finish(&mut self, exit: Exit) {
        // Its events and its console are complete now; both end where they end.
        while let Some(mut events) = self.events.take() {
            if let Ok(Some(said)) = timeout(GREETING_TIMEOUT, next(&mut events)).await {
                self.events = Some(events);
                if let Said::Event(event) = said
                    && let Some(event) = understand(&event)
                {
                    let _too_late = self.lifecycle.event(event);
                }
            }
        }
        while let Some(chunk) = self
            .follower
            .as_mut()
            .and_then(|follower| follower.read_now().ok())
            .filter(|chunk| !chunk.is_empty())
        {
            self.replay_chunk(&chunk);
        }
        for notice in self.recogniser.finish() {
            self.take_notice(&notice);
            let _too_late = self.lifecycle.event(Event::Noticed(notice));
        }
        let exit = self.explain(exit);
        if let Exit::NotStarted { message, remedy } = exit {
            if message.is_empty() {
                // Somebody was faster at the port that was chosen: another one is.
                self.process = None;
                self.launch().await;
                return;
            }
            self.start_error = Some(Error::StartFailed {
                message: message.clone(),
                remedy: remedy.clone(),
            });
            self.end(Exit::NotStarted { message, remedy }).await;
        } else {
            self.end(exit).await;
        }
    }

    /// Finds QEMU's own words where it did not get as far as to run the guest.
    pub(super) fn explain(&self, exit: Exit) -> Exit {
        let ending = match &exit {
            Exit::Code(code) if *code != 0 => format!("status {code}"),
            Exit::Signal(signal) => format!("signal {signal}"),
            _ => return exit,
        };
        if self.lifecycle.state() != MachineState::Starting {
            return exit;
        }
        let said = read_tail(&self.shared.folder.qemu_log(), QEMU_LOG_MAX_BYTES);
        let failure = failure::explain(&String::from_utf8_lossy(&said), &ending);
        let chosen = self.shared.record().spec.network.is_some_and(|network| {
            !network.ports.is_empty() && network.ports.iter().any(|port| port.host.is_none())
        });
        if failure.port_taken && chosen && self.attempts < ATTEMPTS_MAX {
            return Exit::NotStarted {
                message: String::new(),
                remedy: None,
            };
        }
        Exit::NotStarted {
            message: failure.message,
            remedy: failure.remedy,
        }
    }

    /// The run is over.
    pub(super) async fn end(&mut self, exit: Exit) {
        self.process = None;
        self.connecting = None;
        self.qmp = None;
        self.input = None;
        // A guest may be done before QEMU greets us; anything else that ends QEMU before that is a start that failed.
        let ran = exit == Exit::Code(0);
        let _timers_off = self.lifecycle.event(Event::Gone(exit));
        self.timers.clear();
        self.status.stopping = None;
        self.status.ended_at = Some(Timestamp::now());
        if let Some(sockets) = &self.sockets {
            sockets.remove();
        }
        let _not_there = std::fs::remove_file(self.shared.folder.initramfs());
        shares::stop(&mut self.helpers);
        cgroup::forget(&cgroup::name(&self.shared.folder));
        let spec = self.shared.record().spec;
        if spec.disposable {
            for index in 0..spec.disks.len() {
                let _not_there = std::fs::remove_file(self.shared.folder.overlay(index));
            }
        }
        self.shared.change_record(|record| {
            if let Some(run) = &mut record.run {
                run.process = None;
            }
        });
        self.publish(Durability::Power).await;
        if let Some(reply) = self.start_reply.take() {
            let error = match self.start_error.take() {
                None if !ran => Some(self.not_started()),
                error => error,
            };
            answer(reply, error.map_or(Ok(()), Err));
        }
        for reply in self.end_replies.drain(..) {
            answer(reply, Ok(()));
        }
    }

    /// Why a start failed that QEMU did not fail by itself.
    fn not_started(&self) -> Error {
        let switched_off = self.lifecycle.wish() == Some(Wish::Kill);
        let message = if switched_off {
            "it was switched off before"
        } else {
            "it did not answer"
        };
        Error::StartFailed {
            message: message.to_owned(),
            remedy: self.status.remedy.clone(),
        }
    }
}

/// The end of a file, as far as it can be read.
fn read_tail(path: &Path, max_bytes: u64) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(max_bytes)))?;
        let mut tail = Vec::new();
        file.take(max_bytes).read_to_end(&mut tail)?;
        Ok(tail)
    };
    read().unwrap_or_default()
}
