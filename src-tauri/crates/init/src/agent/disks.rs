//! Disks that come and go while the commands run.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags};
use windlass_guest::agent::Refusal;

/// Where the kernel lists disks, each with its serial number.
const DISKS: &str = "/sys/block";

/// The kernel looks at a disk that was just put in for a moment.
const TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

type Refused = (Refusal, String);

/// Mounts the disk with this serial number.
pub(super) fn mount(serial: &str, kind: &str, place: &Path) -> Result<(), Refused> {
    let deadline = Instant::now() + TIMEOUT;
    let device = loop {
        match find(Path::new(DISKS), serial) {
            Some(device) if device.exists() => break device,
            _ if Instant::now() > deadline => {
                let message = format!("no disk with the serial number {serial} comes");
                return Err((Refusal::Other, message));
            }
            _ => sleep(LOOK_INTERVAL),
        }
    };
    let refused = |error: &dyn std::fmt::Display| {
        let message = format!("cannot mount {}: {error}", place.display());
        (Refusal::Other, message)
    };
    fs::create_dir_all(place).map_err(|error| refused(&error))?;
    rustix::mount::mount(&device, place, kind, MountFlags::empty(), None)
        .map_err(|error| refused(&error))
}

/// Unmounts what is there. What nothing is mounted at is well.
pub(super) fn unmount(place: &Path) -> Result<(), Refused> {
    match rustix::mount::unmount(place, UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::BUSY) => {
            let message = format!("{} is in use by a program", place.display());
            Err((Refusal::Other, message))
        }
        Err(error) => {
            let message = format!("cannot unmount {}: {error}", place.display());
            Err((Refusal::Other, message))
        }
    }
}

/// The device file of the disk with a serial number.
fn find(disks: &Path, serial: &str) -> Option<PathBuf> {
    let is_it = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("serial")).is_ok_and(|text| text.trim() == serial)
    };
    let disk = fs::read_dir(disks).ok()?.flatten().find(is_it)?;
    Some(Path::new("/dev").join(disk.file_name()))
}
