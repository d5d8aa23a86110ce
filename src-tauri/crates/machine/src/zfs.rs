//! OSv's own builder guest, which makes a ZFS file system on a disk and takes the files for it by cpiod.
//!
//! ```text
//!   QEMU -kernel zfs_builder.elf ── disk with an empty second partition
//!     mkfs.so                      makes the pool `osv`
//!     cpiod.so --prefix …          "Waiting for connection from host..." ─> we send, over a free port of 127.0.0.1
//!     zfs.so, umount.so, zpool.so  everything on the disk, the pool exported; the guest powers off, QEMU ends
//! ```
//!
//! Only a guest that was heard to finish and that ended by itself has made a file system; whatever else happens is an
//! error with the guest's last words, and the disk is not to be used. QEMU ends when we do.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::command_line::{accelerator_arguments, option_with_path};
use crate::error::{Error, Result};
use crate::ports::Reservation;
use crate::probe::Probe;
use crate::spec::{Port, Protocol};

/// The port that cpiod listens on.
const CPIOD_PORT: u16 = 10_000;
const READY: &str = "Waiting for connection from host";
const RECEIVED: &str = "cpiod finished";
/// How often one looks whether it is cancelled.
const TICK: Duration = Duration::from_millis(100);
/// How long the guest may take to boot and make its pool, and to write everything and export it.
const PATIENCE: Duration = Duration::from_mins(3);
/// Somebody may take the chosen port before QEMU does.
const ATTEMPTS: usize = 3;
const LAST_WORDS: usize = 8;
const LINE_MAX_BYTES: u64 = 4096;

/// What the builder of this version of OSv is told. Up to v0.57.0 it fills the dataset `osv/zfs` and cpiod itself lets go
/// of it; later ones fill `osv`, and everything has to be let go of for the export.
pub fn zfs_builder_command_line(version: Option<&str>) -> String {
    const START: &str =
        "--console=serial --norandom --nomount --noinit --preload-zfs-library /tools/mkfs.so; ";
    let end = if is_old(version) {
        "/tools/cpiod.so --prefix /zfs/zfs/; /zfs.so set compression=off osv"
    } else {
        "/tools/cpiod.so --prefix /zfs/; /zfs.so set compression=off osv; \
         /tools/umount.so /zfs/zfs; /tools/umount.so /zfs; /zpool.so export osv"
    };
    format!("{START}{end}")
}

/// Whether an OSv of one version boots from what the builder of another makes: up to v0.57.0 it looks for its root in another
/// dataset.
pub fn is_zfs_of_one_kind(one: Option<&str>, other: Option<&str>) -> bool {
    is_old(one) == is_old(other)
}

/// Whether a version such as `v0.57.0` or `v0.57.0-398-g0e34e4dc` is one of up to v0.57.0.
fn is_old(version: Option<&str>) -> bool {
    let Some(version) = version.map(|version| version.trim_start_matches('v')) else {
        return false;
    };
    let (release, rest) = version.split_once('-').unwrap_or((version, ""));
    let numbers: Vec<u32> = release
        .split('.')
        .filter_map(|number| number.parse().ok())
        .collect();
    match numbers.as_slice().cmp(&[0, 57, 0]) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => rest.is_empty(),
        std::cmp::Ordering::Greater => false,
    }
}

/// Has the builder make a ZFS file system in the second partition of a raw disk. `send` is called once, with the port of
/// 127.0.0.1 that leads to cpiod, and has to return when the guest has everything. Blocks.
///
/// # Errors
/// What `send` returns; [`Error::Builder`] with the guest's words; [`Error::Cancelled`].
pub fn build_zfs<E: From<Error>>(
    probe: &Probe,
    builder: &Path,
    command_line: &str,
    disk: &Path,
    mut send: impl FnMut(u16) -> std::result::Result<(), E>,
    cancel: &CancellationToken,
) -> std::result::Result<(), E> {
    let mut attempt = 1;
    loop {
        let mut guest = Guest::start(probe, builder, command_line, disk)?;
        match guest.wait_until_ready(cancel) {
            Err(Error::PortTaken { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
                continue;
            }
            ready => ready?,
        }
        send(guest.port)?;
        guest.wait_for_the_end(cancel)?;
        return Ok(());
    }
}

/// A builder that runs. Dropped, its QEMU ends.
#[derive(Debug)]
struct Guest {
    qemu: Child,
    lines: mpsc::Receiver<String>,
    last: VecDeque<String>,
    port: u16,
}

impl Guest {
    fn start(probe: &Probe, builder: &Path, command_line: &str, disk: &Path) -> Result<Self> {
        let port = Port {
            host: None,
            guest: CPIOD_PORT,
            protocol: Protocol::Tcp,
        };
        let reservation = Reservation::take(&[port], |_, _| None)?;
        let forwarded = reservation.hand_over();
        let port = forwarded.first().map_or(0, |port| port.host);
        let words = arguments(probe, builder, command_line, disk, port);
        let program = probe.qemu.path.clone();
        // The second word is whatever QEMU says itself: both go to one pipe.
        let mut qemu = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("start", program))?;
        let (sender, lines) = mpsc::channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            qemu.stdout.take().map(|output| Box::new(output) as _),
            qemu.stderr.take().map(|output| Box::new(output) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            thread::spawn(move || read_lines(output, &sender));
        }
        Ok(Self {
            qemu,
            lines,
            last: VecDeque::new(),
            port,
        })
    }

    /// The next line; `None` at the end of all output.
    fn line(
        &mut self,
        deadline: Instant,
        what: &str,
        cancel: &CancellationToken,
    ) -> Result<Option<String>> {
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match self.lines.recv_timeout(TICK) {
                Ok(line) => {
                    self.last.push_back(line.clone());
                    if self.last.len() > LAST_WORDS {
                        self.last.pop_front();
                    }
                    return Ok(Some(line));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failed(&format!("it did not {what} in time")));
                }
            }
        }
    }

    fn wait_until_ready(&mut self, cancel: &CancellationToken) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.line(deadline, "get ready", cancel)? {
                Some(line) if line.contains(READY) => return Ok(()),
                Some(line) if line.contains("Could not set up host forwarding") => {
                    return Err(Error::PortTaken {
                        port: self.port,
                        protocol: Protocol::Tcp,
                        holder: None,
                    });
                }
                Some(_) => {}
                None => return Err(self.failed("it ended before it was ready")),
            }
        }
    }

    fn wait_for_the_end(&mut self, cancel: &CancellationToken) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut has_received = false;
        while let Some(line) = self.line(deadline, "end", cancel)? {
            has_received |= line.contains(RECEIVED);
            if is_failure(&line) {
                return Err(self.failed("it could not write the file system"));
            }
        }
        let status = self.qemu.wait().map_err(Error::io("wait for", "QEMU"))?;
        if !status.success() {
            return Err(self.failed("QEMU failed"));
        }
        if !has_received {
            return Err(self.failed("it ended before it had all files"));
        }
        Ok(())
    }

    fn failed(&self, problem: &str) -> Error {
        let said: Vec<&str> = self.last.iter().map(String::as_str).collect();
        Error::Builder {
            problem: problem.to_owned(),
            said: said.join("\n"),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ended_already = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The words of a guest that did not do its work, though it may go on.
fn is_failure(line: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "Failed to load object",
        "failed looking up symbol",
        "Aborted",
        "Assertion failed",
        "terminate called",
        "[backtrace]",
        "cannot export",
        "No space left on device",
    ];
    SIGNS.iter().any(|sign| line.contains(sign))
}

fn read_lines(output: impl Read, lines: &mpsc::Sender<String>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match output
            .by_ref()
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(count) if count > 0 => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if lines.send(text).is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

fn arguments(
    probe: &Probe,
    builder: &Path,
    command_line: &str,
    disk: &Path,
    port: u16,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["-nodefaults", "-no-user-config", "-machine", "pc"]
        .map(OsString::from)
        .to_vec();
    words.extend(accelerator_arguments(probe.accelerator).map(OsString::from));
    if probe.sandbox {
        words.extend(["-sandbox".into(), crate::command_line::SANDBOX.into()]);
    }
    // What is not whole in the end is thrown away: nothing needs to be safe before.
    let node = "driver=raw,node-name=disk0,cache.no-flush=on,file.driver=file,file.filename=";
    words.extend(["-smp", "1", "-m", "512M", "-display", "none"].map(OsString::from));
    words.extend(["-action".into(), "reboot=shutdown,panic=shutdown".into()]);
    words.extend(["-device".into(), "pvpanic".into()]);
    words.extend(["-kernel".into(), builder.as_os_str().to_owned()]);
    words.extend(["-append".into(), command_line.into()]);
    words.extend(["-blockdev".into(), option_with_path(node, disk, "")]);
    words.extend(["-device".into(), "virtio-blk-pci,drive=disk0".into()]);
    let network = format!("user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:{CPIOD_PORT}");
    words.extend(["-netdev".into(), network.into()]);
    words.extend([
        "-device".into(),
        "virtio-net-pci,netdev=net0,romfile=".into(),
    ]);
    words.extend(["-chardev".into(), "stdio,id=serial,signal=off".into()]);
    words.extend(["-device".into(), "isa-serial,chardev=serial".into()]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_builder_is_told_what_it_understands() {
        for old in ["v0.55.0", "v0.57.0", "0.24"] {
            assert!(zfs_builder_command_line(Some(old)).contains("--prefix /zfs/zfs/;"));
        }
        assert!(is_zfs_of_one_kind(Some("v0.55.0"), Some("v0.57.0")));
        assert!(!is_zfs_of_one_kind(
            Some("v0.57.0"),
            Some("v0.57.0-398-g0e34e4dc")
        ));
        for new in [Some("v0.57.0-398-g0e34e4dc"), Some("v0.58.1"), None] {
            let line = zfs_builder_command_line(new);
            assert!(line.contains("--prefix /zfs/; ") && line.ends_with("/zpool.so export osv"));
        }
    }

    #[test]
    fn a_guests_failures_are_told_by_its_words() {
        assert!(is_failure(
            "Failed to load object: /tools/cpiod.so. Powering off."
        ));
        assert!(is_failure(
            "terminate called after throwing an instance of 'std::system_error'"
        ));
        assert!(!is_failure("Adding /usr/lib/libfailed.so..."));
        let (sender, lines) = mpsc::channel();
        read_lines(&b"one\r\ntwo"[..], &sender);
        drop(sender);
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["one", "two"]);
    }
}
