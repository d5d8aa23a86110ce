//! What a machine is made of: the part of its record that the user decides.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use windlass_guest::GuestOs;

use crate::error::{Error, Result};
use crate::network;
use crate::shares::{self, Share};

/// The least memory that a machine may have.
const MEMORY_MIN_MIB: u32 = 16;
/// The most virtual processors of QEMU's `pc` machine.
const VCPUS_MAX: u32 = 255;
/// Each is a card and a process.
pub(crate) const SHARES_MAX: usize = 4;
/// A machine's id names its folder; the limit keeps paths short.
const ID_MAX_BYTES: usize = 64;
/// A virtio disk's serial number has at most this many bytes.
const SERIAL_BYTES_MAX: usize = 20;
/// A Linux kernel reads at most this much of its command line (`COMMAND_LINE_SIZE` on x86), NUL included.
const LINUX_APPEND_MAX_BYTES: usize = 2048;

/// Everything that is needed to start a machine, as kept in its folder's `machine.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Unique name of the machine's folder: ASCII letters, digits, `-` and `_`.
    pub id: String,
    /// What people call it; any text.
    pub name: String,
    /// The kind of guest, which decides how it is booted, asked to stop, and understood.
    #[serde(with = "guest_os")]
    pub guest: GuestOs,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// What boots.
    pub boot: Boot,
    /// Disks in the order in which the guest numbers them; the first one is the root and boots.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// The network card; `None` leaves it out. (An OSv guest with a card waits for DHCP before its program.)
    #[serde(default)]
    pub network: Option<Network>,
    /// Private networks that it is on beside that, each by a card of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkJoin>,
    /// Whether there is a screen (VGA, and a VNC socket to see it through).
    #[serde(default)]
    pub display: bool,
    /// Linux: whether files of the guest can be changed while it runs ([`crate::Agent`]); off unless asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent: bool,
    /// Folders of this computer that the guest sees by virtiofs. Linux finds them by the tags `share0` and so on, OSv as
    /// `/dev/virtiofs0` and so on (and reads only).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Whether everything that the guest writes is forgotten when it ends, to volumes as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disposable: bool,
    /// How long things may take before something is done or said about it.
    #[serde(default)]
    pub patience: Patience,
    /// How much of its console is kept on the disk, in MiB: the first and the last of it.
    #[serde(default = "console_max_mib")]
    pub console_max_mib: u32,
    /// How much of this computer it may take.
    #[serde(default, skip_serializing_if = "Resources::is_default")]
    pub resources: Resources,
    /// The group that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// What the caller wants to remember with the machine (say: its appliance and build); not looked at here.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub labels: serde_json::Value,
}

/// How much of this computer a machine may take, beside its processors and its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// How much it gives way to other programs: 0 not at all, 19 always.
    pub nice: u8,
    /// The processors of this computer that it runs on; all, where there are none. Where there are enough, each of its
    /// own processors gets one of them.
    pub pinned: Vec<u32>,
    /// The most that all of its disks together read and write in a second, in bytes each; 0 is no limit.
    pub disk_bytes: u64,
    /// The most requests to a disk in a second; 0 is no limit.
    pub disk_requests: u64,
    /// The most of this computer's processors that QEMU takes with all that it does, in hundredths of one: 150 is one and a
    /// half; 0 is no limit.
    pub cpu_percent: u32,
    /// The most memory that QEMU takes with all that it does, in MiB; 0 is no limit. Beyond it, the machine is ended.
    pub memory_max_mib: u32,
}

impl Resources {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn validate(&self, memory_mib: u32) -> Result<()> {
        if self.nice > NICE_MAX {
            let nice = self.nice;
            return refuse(
                "priority",
                format!("{nice} is not between 0 and {NICE_MAX}"),
            );
        }
        let least = memory_mib.saturating_add(QEMU_MEMORY_MIB);
        if (1..least).contains(&self.memory_max_mib) {
            return refuse(
                "memory limit",
                format!(
                    "{} MiB are less than its guest's {} MiB and the {QEMU_MEMORY_MIB} MiB that QEMU itself needs",
                    self.memory_max_mib, memory_mib
                ),
            );
        }
        let pinned = self.pinned.iter();
        if let Some(processor) = pinned
            .copied()
            .find(|number| *number >= HOST_PROCESSORS_MAX)
        {
            return refuse("processors", format!("there is no processor {processor}"));
        }
        Ok(())
    }
}

fn refuse(field: &'static str, problem: String) -> Result<()> {
    Err(Error::Spec { field, problem })
}

/// What QEMU takes beside the guest's memory, at least.
const QEMU_MEMORY_MIB: u32 = 128;
/// The most that a process may give way.
const NICE_MAX: u8 = 19;
/// The most processors of a computer, as the kernel counts them for a process.
const HOST_PROCESSORS_MAX: u32 = 1024;

/// A machine's place among those that are started and stopped as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// What people call it; any text.
    pub name: String,
    /// When it is started: those of the lowest number first, those of the same number at once. Stopped the other way
    /// round.
    #[serde(default)]
    pub order: u32,
}

/// As much of a console as is usually kept, in MiB.
pub const fn console_max_mib() -> u32 {
    128
}

/// How long things may take before something is done or said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Patience {
    /// A guest that was asked to stop gets this long before its power button is pressed, in milliseconds. One that
    /// understands nothing but the button has it pressed at once.
    pub stop_ms: u64,
    /// After its power button was pressed it gets this long before its power is cut, in milliseconds.
    pub power_ms: u64,
    /// A guest with a network card gets this long to say its address before the user is told, in milliseconds.
    pub address_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stop_ms: 10_000,
            power_ms: 5_000,
            address_ms: 45_000,
        }
    }
}

/// What boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Boot {
    /// A kernel that QEMU loads itself: some ten times faster than a boot sector.
    Kernel {
        /// An OSv ELF kernel or a Linux bzImage.
        kernel: PathBuf,
        /// The initramfs of a Linux kernel.
        initrd: Option<PathBuf>,
        /// OSv: the whole command line, as is. Linux: kernel parameters beyond those every machine gets.
        append: String,
        /// Linux: the command line that our init runs; it rides in a second archive behind `initrd`.
        command_line: Option<String>,
    },
    /// The first disk's own boot sector, with the command line that is written on that disk.
    Disk,
}

/// A disk of the machine, attached as virtio-blk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The image file; an absolute path.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// What the machine may do with it.
    pub access: DiskAccess,
    /// A serial number by which the guest can tell it from others: at most 20 letters, digits, `-`, `_` and `.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// The format of a disk's image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// Byte for byte what the guest sees.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

/// What a machine may do with a disk's image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DiskAccess {
    /// The guest reads only (ROFS roots); any number of machines may share the file.
    ReadOnly,
    /// The guest writes into an overlay in the machine's own folder, which lasts from start to start;
    /// the file itself is only read, and any number of machines may share it.
    Overlay,
    /// The guest writes into the file itself; one machine at a time.
    Writable,
}

/// The machine's network: user mode, behind the host's own address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Ports of the guest that can be reached at 127.0.0.1.
    #[serde(default)]
    pub ports: Vec<Port>,
}

/// A private network that a machine is on: all machines that name it reach each other, by name too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkJoin {
    /// The network's name: 1 to 40 ASCII letters, digits, `-`, `_` and `.`. It exists where it is named.
    pub network: String,
    /// What the machine is called there beside its own name (in small letters, what is neither letter nor digit as `-`).
    /// Several machines may have one name in common.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// A port that shall be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The port on 127.0.0.1; `None` takes one that is free at each start.
    pub host: Option<u16>,
    /// The port inside the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A port that is forwarded: the host's side is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForwardedPort {
    /// The port on 127.0.0.1.
    pub host: u16,
    /// The port inside the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A transport protocol that can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl MachineSpec {
    /// What the guest may do with a disk in truth: a disposable machine writes into overlays alone.
    pub(crate) fn access(&self, disk: &Disk) -> DiskAccess {
        match disk.access {
            DiskAccess::Writable if self.disposable => DiskAccess::Overlay,
            access => access,
        }
    }

    /// Checks what can be checked without looking at the computer.
    ///
    /// # Errors
    /// [`Error::Spec`] names the field that cannot be, and why.
    pub fn validate(&self) -> Result<()> {
        validate_id(&self.id)?;
        self.resources.validate(self.memory_mib)?;
        if let Some(group) = &self.group
            && group.name.trim().is_empty()
        {
            return refuse("group", "it needs a name".to_owned());
        }
        if self.vcpus == 0 || self.vcpus > VCPUS_MAX {
            return refuse(
                "vcpus",
                format!("{} is not between 1 and {VCPUS_MAX}", self.vcpus),
            );
        }
        if self.memory_mib < MEMORY_MIN_MIB {
            return refuse(
                "memory",
                format!("{} MiB is less than {MEMORY_MIN_MIB} MiB", self.memory_mib),
            );
        }
        if let Some(disk) = self.disks.iter().find(|disk| !disk.path.is_absolute()) {
            return refuse(
                "disks",
                format!("{} is not an absolute path", disk.path.display()),
            );
        }
        let is_plain = |serial: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            serial.len() <= SERIAL_BYTES_MAX && serial.chars().all(plain)
        };
        let mut serials = self.disks.iter().filter_map(|disk| disk.serial.as_ref());
        if let Some(serial) = serials.find(|serial| !is_plain(serial)) {
            return refuse("disks", format!("`{serial}` is no serial number"));
        }
        match &self.boot {
            Boot::Disk if self.disks.is_empty() => {
                return refuse("boot", "there is no disk to boot from".to_owned());
            }
            Boot::Kernel {
                append,
                command_line,
                ..
            } => {
                if append.contains('\0') {
                    return refuse("command line", "it contains a NUL byte".to_owned());
                }
                if self.guest == GuestOs::Linux && append.len() >= LINUX_APPEND_MAX_BYTES {
                    return refuse(
                        "kernel parameters",
                        format!(
                            "{} bytes; Linux reads {LINUX_APPEND_MAX_BYTES}",
                            append.len()
                        ),
                    );
                }
                if self.guest == GuestOs::Osv && command_line.is_some() {
                    return refuse("command line", "OSv takes it from the kernel's".to_owned());
                }
            }
            Boot::Disk => {}
        }
        network::validate(self)?;
        shares::validate(self)?;
        let ports = self.network.iter().flat_map(|network| &network.ports);
        let mut taken = Vec::new();
        for port in ports {
            if port.guest == 0 || port.host == Some(0) {
                return refuse("ports", "0 is not a port".to_owned());
            }
            if let Some(host) = port.host {
                if taken.contains(&(host, port.protocol)) {
                    return refuse(
                        "ports",
                        format!("{host}/{} is asked for twice", port.protocol),
                    );
                }
                taken.push((host, port.protocol));
            }
        }
        Ok(())
    }
}

/// An id becomes a folder's name, so it is checked before it touches a path.
pub(crate) fn validate_id(id: &str) -> Result<()> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > ID_MAX_BYTES || !id.bytes().all(letters) {
        return Err(Error::Spec {
            field: "id",
            problem: format!(
                "{id:?} is not 1 to {ID_MAX_BYTES} ASCII letters, digits, hyphens and underscores"
            ),
        });
    }
    Ok(())
}

/// `GuestOs` is written as the name that people type.
mod guest_os {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use windlass_guest::GuestOs;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes by reference"
    )]
    pub(super) fn serialize<S: Serializer>(guest: &GuestOs, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(guest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<GuestOs, D::Error> {
        let name = String::deserialize(input)?;
        name.parse()
            .map_err(|_| D::Error::custom(format!("no such guest: {name:?}")))
    }
}
