//! The machine as a whole: its name, its keys, its end.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot, sethostname, uname};
use windlass_guest::report::Report;

use crate::console::Console;

/// Files that the C library looks for, where the image has none.
const MISSING_FILES: [(&str, &str); 3] = [
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("/etc/group", "root:x:0:\n"),
];

const DEFAULT_HOSTNAME: &str = "windlass";

pub(crate) fn kernel_release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// From now on Ctrl+Alt+Del is a SIGINT to us instead of a restart.
pub(crate) fn catch_keys() {
    let _ = reboot(RebootCommand::CadOff);
}

/// Names the machine as it is told, else as the image says.
pub(crate) fn set_hostname(name: Option<&str>) {
    let of_image = || {
        fs::read_to_string("/etc/hostname")
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let name = name
        .map(str::to_owned)
        .or_else(of_image)
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| DEFAULT_HOSTNAME.to_owned());
    let _ = sethostname(name.as_bytes());
}

pub(crate) fn write_missing_files(console: &mut Console) {
    for (path, text) in MISSING_FILES {
        if Path::new(path).exists() {
            continue;
        }
        let _ = fs::create_dir_all("/etc");
        if let Err(error) = fs::write(path, text) {
            console.report(&Report::Warning {
                message: format!("cannot write {path}: {error}"),
            });
        }
    }
}

/// Writes everything out and switches the machine off. Returns only where the kernel will not do it.
pub(crate) fn power_off() {
    rustix::fs::sync();
    // Volumes first, in the reverse order of their mounting; what is still in use is at least made read-only.
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for target in mounts.lines().rev().filter_map(disk_mount) {
        if target == "/" || unmount(target.as_str(), UnmountFlags::empty()).is_err() {
            let _ = mount_remount(target.as_str(), MountFlags::RDONLY, c"");
        }
    }
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // Without power management, a kernel that has stopped is as good.
    let _ = reboot(RebootCommand::Halt);
}

/// The mount point in a line of `/proc/mounts`, where a disk is mounted.
fn disk_mount(line: &str) -> Option<String> {
    let mut fields = line.split(' ');
    let device = fields.next()?;
    let target = fields.next()?;
    // Blanks and such are written as octal numbers there.
    let target = target
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\134", "\\");
    device.starts_with("/dev/").then_some(target)
}

#[cfg(test)]
mod tests {
    use super::disk_mount;

    #[test]
    fn only_disks_are_unmounted() {
        assert_eq!(disk_mount("/dev/vda / ext4 rw 0 0").as_deref(), Some("/"));
        assert_eq!(
            disk_mount("/dev/vdb /my\\040data ext4 rw 0 0").as_deref(),
            Some("/my data")
        );
        assert_eq!(disk_mount("proc /proc proc rw 0 0"), None);
        assert_eq!(disk_mount(""), None);
    }
}
