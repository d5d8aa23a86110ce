//! The machine as a whole: its name, its keys, its end.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot, sethostname, uname};
use windlass_guest::report::Report;

use crate::console::Console;

/// Files that the C library looks for, where the image has none.
const MISSING_FILES: [(&str, &str); 3] = [
    (HOSTS, "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("/etc/group", "root:x:0:\n"),
];

const HOSTS: &str = "/etc/hosts";

const DEFAULT_HOSTNAME: &str = "windlass";

pub(crate) fn kernel_release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// From now on Ctrl+Alt+Del is a SIGINT to us instead of a restart.
pub(crate) fn catch_keys() {
    let _ = reboot(RebootCommand::CadOff);
}

/// Names the machine as it is told, else as the image says.
///
/// Programs look their own machine up (Java's servers fail where they do not find it): where `/etc/hosts` can be written
/// and does not know the name, it learns it.
pub(crate) fn set_hostname(name: Option<&str>, is_root_writable: bool) {
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
    if is_root_writable
        && let Some(text) = with_host(&fs::read_to_string(HOSTS).unwrap_or_default(), &name)
    {
        let _ = fs::write(HOSTS, text);
    }
}

/// The text of `/etc/hosts` with this machine in it, unless it is there already. Another address than `localhost`'s, as
/// Debian has it, so that the one stays the name of the other.
fn with_host(text: &str, name: &str) -> Option<String> {
    let mut names = text.lines().flat_map(|line| {
        line.split('#')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .skip(1)
    });
    if names.any(|known| known == name) {
        return None;
    }
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    Some(format!("{text}{end}127.0.1.1 {name}\n"))
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
    use super::{disk_mount, with_host};

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

    #[test]
    fn a_machine_finds_itself() {
        let added = |text| with_host(text, "web-1");
        assert_eq!(
            added("127.0.0.1 localhost").as_deref(),
            Some("127.0.0.1 localhost\n127.0.1.1 web-1\n")
        );
        assert_eq!(added("").as_deref(), Some("127.0.1.1 web-1\n"));
        assert_eq!(added("10.0.0.1\tother web-1 # mine\n"), None);
        assert!(added("10.0.0.1 web # web-1\n").is_some());
    }
}
