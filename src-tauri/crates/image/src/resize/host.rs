//! `e2fsck` and `resize2fs` of this computer, on a copy.
//!
//! They get the place of the file system in the copy's name (`FILE?offset=BYTES`), are cut off from the rest of the
//! environment, and end when we do (`setpriv --pdeathsig`).

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Error, Watch};

const PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
const POLL: Duration = Duration::from_millis(20);
const SAID_BYTES_MAX: u64 = 64 << 10;
/// `e2fsck` has found nothing, or put right what it found.
const SOUND: [i32; 2] = [0, 1];

/// Grows an ext4 to fill its place in a raw disk.
pub(super) fn grow_ext4(
    disk: &Path,
    size_bytes: u64,
    place: &Range<u64>,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let mut name = OsString::from(disk);
    name.push(format!("?offset={}", place.start));
    let sectors = format!("{}s", (place.end - place.start) / 512);
    let check = ["e2fsck", "-f", "-p"].map(OsString::from).to_vec();
    let grow = ["resize2fs"].map(OsString::from).to_vec();
    for (mut command, rest, good) in [
        (check, vec![name.clone()], &SOUND[..]),
        (grow, vec![name, sectors.into()], &SOUND[..1]),
    ] {
        let program = command[0].to_string_lossy().into_owned();
        command.extend(rest);
        let (status, said) = run(&command, watch).map_err(|error| match error {
            Ended::Cancelled => Error::Cancelled,
            Ended::Failed(source) => Error::Resize {
                size_bytes,
                reason: format!(
                    "its ext4 is laid out by others, and {program} cannot be started ({source}); \
                     it comes with the package e2fsprogs"
                ),
            },
        })?;
        if !status.is_some_and(|status| good.contains(&status)) {
            let said = said.trim();
            return Err(Error::Resize {
                size_bytes,
                reason: format!("{program} refuses: {said}"),
            });
        }
    }
    Ok(())
}

enum Ended {
    Cancelled,
    Failed(io::Error),
}

fn run(
    command: &[OsString],
    watch: &mut (impl Watch + ?Sized),
) -> Result<(Option<i32>, String), Ended> {
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(command)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Ended::Failed)?;
    let errors = child.stderr.take();
    // Whatever it says is read, so that it never waits for us.
    let reading = std::thread::spawn(move || {
        let mut said = String::new();
        if let Some(mut errors) = errors {
            let mut start = Vec::new();
            let _ = errors.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut start);
            let _ = io::copy(&mut errors, &mut io::sink());
            said = String::from_utf8_lossy(&start).into_owned();
        }
        said
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if watch.advance(0).is_break() => {
                let _ = child.kill();
                let _ = child.wait();
                break Err(Ended::Cancelled);
            }
            Ok(None) => std::thread::sleep(POLL),
            Err(error) => break Err(Ended::Failed(error)),
        }
    };
    let said = reading.join().unwrap_or_default();
    let status = status?;
    // What setpriv itself says when there is no such program.
    if status.code() == Some(127) {
        return Err(Ended::Failed(io::ErrorKind::NotFound.into()));
    }
    Ok((status.code(), said))
}
