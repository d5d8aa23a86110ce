//! File systems other than the root.

use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};
use windlass_guest::CommandLine;
use windlass_guest::report::Report;

use crate::console::Console;
use crate::root::NEW_ROOT;

/// What the kernel itself shows as files: needed before anything else, and taken along into the root.
const KERNEL: [(&str, &str); 3] = [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")];

/// Links that programs expect beside the devices.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

pub(crate) fn kernel_file_systems() -> Result<(), String> {
    for (kind, target) in KERNEL {
        // Where there is no such directory, mounting says so.
        let _ = fs::create_dir_all(target);
        match mount(kind, target, kind, MountFlags::NOSUID, None) {
            // The kernel may have mounted /dev already.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => return Err(format!("cannot mount {target}: {error}")),
        }
    }
    Ok(())
}

/// Takes the kernel's file systems along and makes the mounted root the root.
pub(crate) fn switch_root() -> Result<(), String> {
    for (_, target) in KERNEL {
        let new = format!("{NEW_ROOT}{target}");
        if !Path::new(&new).is_dir() && fs::create_dir(&new).is_err() {
            return Err(format!(
                "the image has no directory {target} and is read-only"
            ));
        }
        mount_move(target, &new).map_err(|error| format!("cannot move {target}: {error}"))?;
    }
    let context = |error| format!("cannot make the image the root: {error}");
    chdir(NEW_ROOT).map_err(context)?;
    mount_move(".", "/").map_err(context)?;
    chroot(".").map_err(context)?;
    chdir("/").map_err(context)
}

/// Mounts what lies in memory only. `/tmp` and `/run` keep what the image has there (Capstan's packages have their run
/// configurations in `/run`).
pub(crate) fn in_root(console: &mut Console) {
    let mounts: [(&str, &str, &CStr, bool); 4] = [
        ("devpts", "/dev/pts", c"mode=620,ptmxmode=666", false),
        ("tmpfs", "/dev/shm", c"mode=1777", false),
        ("tmpfs", "/tmp", c"mode=1777", true),
        ("tmpfs", "/run", c"mode=755", true),
    ];
    for (kind, target, options, must_be_empty) in mounts {
        let _ = fs::create_dir_all(target);
        let is_empty = fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
        if must_be_empty && !is_empty {
            continue;
        }
        if let Err(error) = mount(kind, target, kind, MountFlags::NOSUID, options) {
            let message = format!("cannot mount {target}: {error}");
            console.report(&Report::Warning { message });
        }
    }
    for (target, link) in DEVICE_LINKS {
        let _ = std::os::unix::fs::symlink(target, link);
    }
}

/// How long a cloud may take to attach a volume after the machine has started.
const ATTACHED_WITHIN: Duration = Duration::from_mins(2);

/// Mounts what `--mount-fs=type,device,path` asks for. Where a cloud did the asking, its disks may come later.
pub(crate) fn of_command_line(line: &CommandLine, by_cloud: bool, console: &mut Console) {
    for value in line.values("mount-fs") {
        let Some((kind, device, path)) = mount_option(value) else {
            let message = format!("--mount-fs={value} is not TYPE,DEVICE,PATH");
            console.report(&Report::Warning { message });
            continue;
        };
        let begun = Instant::now();
        while by_cloud && !Path::new(&device).exists() && begun.elapsed() < ATTACHED_WITHIN {
            sleep(Duration::from_millis(100));
        }
        let _ = fs::create_dir_all(&path);
        if let Err(error) = mount(
            device.as_str(),
            path.as_str(),
            kind.as_str(),
            MountFlags::empty(),
            None,
        ) {
            let message = format!("cannot mount {device} as {kind} on {path}: {error}");
            console.report(&Report::Warning { message });
        }
    }
}

/// Reads `ext,/dev/vblk1,/data`, with OSv's names turned into Linux's.
fn mount_option(value: &str) -> Option<(String, String, String)> {
    let mut parts = value.splitn(3, ',').filter(|part| !part.is_empty());
    let (kind, device, path) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = match kind {
        "ext" => "ext4",
        "ramfs" => "tmpfs",
        other => other,
    };
    Some((
        kind.to_owned(),
        linux_device(device).unwrap_or_else(|| device.to_owned()),
        path.to_owned(),
    ))
}

/// `/dev/vblk1.2` is `/dev/vdb3`: OSv counts the entries of the partition table from 0, Linux from 1.
fn linux_device(device: &str) -> Option<String> {
    let (disk, partition) = match device.strip_prefix("/dev/vblk")?.split_once('.') {
        Some((disk, partition)) => (disk, Some(partition.parse::<u8>().ok()?.checked_add(1)?)),
        None => (device.strip_prefix("/dev/vblk")?, None),
    };
    let letter = char::from(b'a'.checked_add(disk.parse::<u8>().ok()?)?);
    letter.is_ascii_lowercase().then(|| match partition {
        Some(partition) => format!("/dev/vd{letter}{partition}"),
        None => format!("/dev/vd{letter}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn osv_names_of_disks_mean_the_same_ones() {
        let read = |value| {
            mount_option(value).map(|(kind, device, path)| format!("{kind} {device} {path}"))
        };
        assert_eq!(
            read("ext,/dev/vblk1,/data").as_deref(),
            Some("ext4 /dev/vdb /data")
        );
        assert_eq!(
            read("ext,/dev/vblk0.2,/data").as_deref(),
            Some("ext4 /dev/vda3 /data")
        );
        assert_eq!(
            read("ext4,/dev/sdb,/a,b").as_deref(),
            Some("ext4 /dev/sdb /a,b")
        );
        assert_eq!(read("ext,/dev/vblk1"), None);
        assert_eq!(linux_device("/dev/vblk99"), None);
    }
}
