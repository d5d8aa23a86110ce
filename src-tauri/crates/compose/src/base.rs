//! The lowest layer: what every image of a guest has, made up here.
//!
//! OSv's own build takes it from a package (`osv.bootstrap`): the mount points, since nothing can make a folder on a
//! read-only root; `/etc/fstab`, which OSv mounts by; `/etc/hosts` and `/etc/mnttab`. The Linux guest's init mounts by
//! itself; programs linked against glibc look for the accounts and for the name service's configuration.

use std::sync::Arc;

use windlass_guest::{GuestOs, RootFs};

/// The name of the layer.
pub const NAME: &str = "base";

/// Where the Linux guest's init finds its command line in the image.
pub const LINUX_COMMAND_LINE: &str = "etc/windlass/command-line";

/// What one path of the base is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A directory with these permission bits.
    Directory(u32),
    /// A file that anybody may read.
    File(Arc<[u8]>),
    /// A symbolic link.
    Symlink(&'static str),
}

const HOSTS: &str = "127.0.0.1 localhost\n";

const OSV_FSTAB_ROFS: &str = "\
none /dev devfs defaults 0 0
none /proc procfs defaults 0 0
none /sys sysfs defaults 0 0
none /tmp ramfs defaults 0 0
";

const OSV_FSTAB_WRITABLE: &str = "\
none /dev devfs defaults 0 0
none /proc procfs defaults 0 0
none /sys sysfs defaults 0 0
";

const LINUX_PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";

const LINUX_GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

const LINUX_NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// The base of a guest: paths in the image, and what is there.
pub fn base(guest: GuestOs, root_fs: RootFs) -> Vec<(&'static str, Base)> {
    let directory = |path| (path, Base::Directory(0o755));
    let file = |path, text: &str| (path, Base::File(Arc::from(text.as_bytes())));
    let mut base: Vec<(&'static str, Base)> = ["data", "dev", "etc", "proc", "run", "sys"]
        .map(directory)
        .into();
    base.push(("tmp", Base::Directory(0o1777)));
    base.push(file("etc/hosts", HOSTS));
    match guest {
        GuestOs::Osv => {
            let fstab = match root_fs {
                RootFs::Rofs => OSV_FSTAB_ROFS,
                RootFs::Ext4 | RootFs::Zfs => OSV_FSTAB_WRITABLE,
            };
            base.push(file("etc/fstab", fstab));
            base.push(("etc/mnttab", Base::Symlink("/proc/mounts")));
        }
        GuestOs::Linux => {
            base.push(file("etc/passwd", LINUX_PASSWD));
            base.push(file("etc/group", LINUX_GROUP));
            base.push(file("etc/nsswitch.conf", LINUX_NSSWITCH));
            // Empty: the init fills it in when it has an address.
            base.push(file("etc/resolv.conf", ""));
            base.push(("etc/mtab", Base::Symlink("/proc/mounts")));
            base.push(("root", Base::Directory(0o700)));
            base.extend(["var", "var/log"].map(directory));
            base.push(("var/tmp", Base::Directory(0o1777)));
        }
    }
    base
}
