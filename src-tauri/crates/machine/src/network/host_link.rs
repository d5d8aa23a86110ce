//! A card on a network of this computer: on one of its bridges, or on a tap device that somebody made for it.
//!
//! ```text
//!   bridge:br0   qemu-bridge-helper, which the system gives the right to ── makes a tap device on br0 ── its descriptor ─▶ QEMU
//!   tap:tap0     the device is there and ours ─▶ QEMU opens it
//! ```
//!
//! QEMU itself may start no program, so that the helper is ours. Whether it may touch a bridge, `/etc/qemu/bridge.conf` says.

use std::fmt;
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use tokio::process::Command;

use crate::error::{Error, Result};

/// Where the kernel lists the devices of networks.
const DEVICES: &str = "/sys/class/net";

/// The device of which each tap device is a part.
pub(crate) const TUN: &str = "/dev/net/tun";

/// The kernel's names of devices are shorter than this, in bytes (`IFNAMSIZ`).
const NAME_BYTES_MAX: usize = 15;

/// Where distributions put the helper.
const HELPERS: [&str; 4] = [
    "/usr/lib/qemu/qemu-bridge-helper",
    "/usr/libexec/qemu-bridge-helper",
    "/usr/lib/qemu-bridge-helper",
    "/usr/local/libexec/qemu-bridge-helper",
];

/// The number under which the helper finds its socket.
const HELPER_SOCKET: i32 = 3;

/// What of this computer a card is on, as it is named among a machine's networks: `bridge:NAME` or `tap:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostLink {
    /// A bridge.
    Bridge(String),
    /// A tap device.
    Tap(String),
}

impl fmt::Display for HostLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge(name) => write!(f, "bridge:{name}"),
            Self::Tap(name) => write!(f, "tap:{name}"),
        }
    }
}

impl HostLink {
    /// What a network's name means, where it is none of the private ones, whose names have no colon.
    pub fn parse(network: &str) -> Option<Self> {
        let (kind, name) = network.split_once(':')?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.chars().all(fits)
            && !matches!(name, "." | "..");
        match kind {
            "bridge" if is_name => Some(Self::Bridge(name.to_owned())),
            "tap" if is_name => Some(Self::Tap(name.to_owned())),
            _ => None,
        }
    }

    /// Those of this computer, by name: its bridges, and the tap devices that this user may use.
    pub fn all() -> Vec<Self> {
        let mut found: Vec<Self> = fs::read_dir(DEVICES)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let at = entry.path();
                if at.join("bridge").is_dir() {
                    Self::parse(&format!("bridge:{name}"))
                } else if at.join("tun_flags").exists() && is_ours(&at) {
                    Self::parse(&format!("tap:{name}"))
                } else {
                    None
                }
            })
            .collect();
        found.sort_by_key(ToString::to_string);
        found
    }

    /// Makes it ready for a QEMU that is about to be started.
    pub(super) async fn open(&self) -> Result<Opened> {
        match self {
            Self::Bridge(name) => self.open_bridge(name).await.map(Opened::File),
            Self::Tap(name) => self.check_tap(name).map(|()| Opened::Device(name.clone())),
        }
    }

    fn refuse(&self, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::HostLink {
            link: self.to_string(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    async fn open_bridge(&self, name: &str) -> Result<OwnedFd> {
        if !Path::new(DEVICES).join(name).join("bridge").is_dir() {
            return Err(self.refuse("this computer has no such bridge", others(&Self::all())));
        }
        let Some(helper) = HELPERS.iter().map(Path::new).find(|path| path.is_file()) else {
            return Err(self.refuse(
                "QEMU's bridge helper is not installed",
                "Install it (Debian and Ubuntu: `apt install qemu-system-common`).",
            ));
        };
        let mode = helper.metadata().map_or(0, |metadata| metadata.mode());
        if mode & 0o4000 == 0 && !rustix::process::geteuid().is_root() {
            return Err(self.refuse(
                "QEMU's bridge helper may not make devices for you",
                format!("`sudo chmod u+s {}` lets it.", helper.display()),
            ));
        }
        self.ask_helper(helper, name).await
    }

    async fn ask_helper(&self, helper: &Path, name: &str) -> Result<OwnedFd> {
        let broken = |source: std::io::Error| Error::io("start", helper)(source);
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| broken(error.into()))?;
        let mut command = Command::new(helper);
        command
            .arg(format!("--br={name}"))
            .arg(format!("--fd={HELPER_SOCKET}"))
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
            .fd_mappings(vec![FdMapping {
                parent_fd: theirs,
                child_fd: HELPER_SOCKET,
            }])
            .map_err(|error| broken(std::io::Error::other(error)))?;
        let output = command.output().await.map_err(broken)?;
        // The other end goes with it, so that nobody waits for what does not come.
        drop(command);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().last().unwrap_or_default().trim();
            let remedy = if said.contains("acl file") {
                format!("`echo 'allow {name}' | sudo tee -a /etc/qemu/bridge.conf` allows it.")
            } else {
                "The administrator of this computer can make a tap device for you instead: \
                 `sudo ip tuntap add tap0 mode tap user \"$USER\"`."
                    .to_owned()
            };
            return Err(self.refuse(format!("QEMU's bridge helper refuses: {said}"), remedy));
        }
        descriptor_from(&ours)
            .map_err(|error| broken(error.into()))?
            .ok_or_else(|| self.refuse("QEMU's bridge helper gives no device", "Reinstall QEMU."))
    }

    fn check_tap(&self, name: &str) -> Result<()> {
        let device = Path::new(DEVICES).join(name);
        let make = format!("`sudo ip tuntap add {name} mode tap user \"$USER\"` makes it yours.");
        if !device.join("tun_flags").exists() {
            return Err(self.refuse("this computer has no such tap device", make));
        }
        if !is_ours(&device) {
            return Err(self.refuse("the tap device is another user's", make));
        }
        if !PathBuf::from(TUN).exists() {
            return Err(self.refuse(
                format!("this computer has no {TUN}"),
                "Load the kernel module `tun`.",
            ));
        }
        Ok(())
    }
}

/// Whether a tap device is this user's, or nobody's.
fn is_ours(device: &Path) -> bool {
    let owner = fs::read_to_string(device.join("owner")).unwrap_or_default();
    match owner.trim().parse::<i64>() {
        Ok(-1) => true,
        Ok(owner) => owner == i64::from(rustix::process::geteuid().as_raw()),
        Err(_) => false,
    }
}

fn others(links: &[HostLink]) -> String {
    if links.is_empty() {
        return "It has none: `sudo ip link add br0 type bridge` makes one.".to_owned();
    }
    let names: Vec<String> = links.iter().map(|link| format!("`{link}`")).collect();
    format!("There is {}.", names.join(", "))
}

/// The descriptor that was sent over a socket.
fn descriptor_from(socket: &OwnedFd) -> rustix::io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    let mut found = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            found = files.last().or(found);
        }
    }
    Ok(found)
}

/// What QEMU is given.
#[derive(Debug)]
pub(super) enum Opened {
    File(OwnedFd),
    Device(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_name_says_what_it_is() {
        let parsed = |name: &str| HostLink::parse(name).map(|link| link.to_string());
        for link in ["bridge:br0", "tap:tap-1.x", "bridge:br-lan@2"] {
            assert_eq!(parsed(link).as_deref(), Some(link));
        }
        for none in [
            "lab",
            "bridge:",
            "tap:..",
            "tap:a/b",
            "tap:a,ifname=b",
            "bridge:sixteen-letters-",
            "vlan:x",
        ] {
            assert_eq!(parsed(none), None, "{none}");
        }
    }
}
