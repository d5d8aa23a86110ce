//! `meta/windlass.yaml`: how an appliance is built and run here. Every key is optional.
//!
//! ```yaml
//! guest: linux
//! root_fs: ext4
//! disk: bootable                               # or direct; Linux: whether the image has a boot loader
//! size_mib: 4096                               # of a writable root file system; else its content and some room
//! memory_mib: 512
//! vcpus: 1
//! network: true
//! ports:
//!   - {host: 8080, guest: 80, protocol: tcp}   # no host: a free one is chosen
//! volumes:
//!   - {name: data, path: /var/lib/data}        # no path: attached, and not mounted
//! networks: [shop]                             # private ones, joined with all machines that name them
//! configuration: server                        # of run.yaml; several with commas
//! env: {GREETING: hello world}
//! command: /usr/bin/hello                      # instead of any configuration
//! allow_changes: true                          # to the guest's files, while it runs
//! ```

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use serde::ser::{Serialize, SerializeMap, Serializer};
use windlass_guest::{GuestOs, RootFs};

use crate::Error;
use crate::error::IoContext;
use crate::yaml::{self, Fields, Mistake, Parsed};

/// Where the settings are, within a package.
pub const FILE: &str = "meta/windlass.yaml";

/// The least and most memory of a machine, in MiB.
pub const MEMORY_MIB: (u32, u32) = (16, 1 << 20);
/// The least and most of a writable root file system, in MiB.
pub const SIZE_MIB: (u32, u32) = (1, 1 << 24);
/// The least and most processors of a machine.
pub const VCPUS: (u32, u32) = (1, 256);

/// How an appliance is built and run; what is `None` is decided where it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildSettings {
    /// The guest kernel.
    pub guest: Option<GuestOs>,
    /// The root file system.
    pub root_fs: Option<RootFs>,
    /// How a Linux image is started.
    pub disk: Option<DiskKind>,
    /// The size of a writable root file system; `None` is its content and some room.
    pub size_mib: Option<u32>,
    /// Memory of the machine.
    pub memory_mib: Option<u32>,
    /// Processors of the machine.
    pub vcpus: Option<u32>,
    /// Whether the machine has a network.
    pub network: Option<bool>,
    /// Ports of the guest that are reached through this computer.
    pub ports: Vec<PortForward>,
    /// Private networks that the machine is on.
    pub networks: Vec<String>,
    /// Volumes that the machine gets.
    pub volumes: Vec<VolumeSetting>,
    /// The run configuration, or several with commas; `None` is the run file's own default.
    pub configuration: Option<String>,
    /// Environment beside that of the configuration, which it overrides; in order.
    pub env: Vec<(String, String)>,
    /// A boot command instead of any configuration.
    pub command: Option<String>,
    /// Whether the guest's files can be changed while it runs; off where nothing is said.
    pub allow_changes: Option<bool>,
}

/// How the image of a Linux appliance is started. One of OSv with a loader always boots by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DiskKind {
    /// The hypervisor loads the kernel: the image is the root file system alone.
    #[default]
    Direct,
    /// The disk boots by itself, by BIOS and UEFI, as clouds need it.
    Bootable,
}

impl DiskKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Bootable];
}

impl fmt::Display for DiskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Bootable => "bootable",
        })
    }
}

impl FromStr for DiskKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or(())
    }
}

/// A volume that a machine gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeSetting {
    /// The volume's name.
    pub name: String,
    /// Where the guest mounts it; `None` where it is only attached.
    pub path: Option<String>,
}

/// A port of the guest that is reached through one of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortForward {
    /// The port here; `None` when a free one is to be chosen.
    pub host: Option<u16>,
    /// The port in the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// What runs over a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// TCP.
    #[default]
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

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(()),
        }
    }
}

impl BuildSettings {
    /// Reads the text of a `windlass.yaml`. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// When it is not YAML, or a value is of the wrong kind or out of bounds.
    pub fn parse(text: &str, file: &str) -> Result<Parsed<Self>, Error> {
        Ok(parse(text, file)?)
    }

    /// The settings of the package in this folder; all empty when it has none.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read or parsed.
    pub fn load(package: &Path) -> Result<Parsed<Self>, Error> {
        match crate::package::read_small_text(&package.join(FILE))? {
            Some(text) => Self::parse(&text, FILE),
            None => Ok(Parsed {
                value: Self::default(),
                notes: Vec::new(),
            }),
        }
    }

    /// Writes the settings into the package in this folder, or nothing of them when that fails.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, package: &Path) -> Result<(), Error> {
        let file = package.join(FILE);
        let directory = package.join(crate::META_DIRECTORY);
        fs::create_dir_all(&directory).context("create", &directory)?;
        write_beside(&file, self.to_yaml()?.as_bytes()).context("write", &file)
    }

    /// The text of a `windlass.yaml`.
    ///
    /// # Errors
    ///
    /// Never for settings that were parsed; the serialiser's own failures are passed on.
    pub fn to_yaml(&self) -> Result<String, Error> {
        yaml::to_text(self, Path::new(FILE))
    }
}

/// Writes a temporary file beside, makes it durable, and puts it in place.
pub(crate) fn write_beside(file: &Path, content: &[u8]) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".windlass-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|error| error.error)?;
    fs::File::open(directory)?.sync_all()
}

fn parse(text: &str, file: &str) -> Result<Parsed<BuildSettings>, Box<Mistake>> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "the build settings", text, file)?;
    let mut notes = Vec::new();
    let settings = BuildSettings::take(&mut fields, (text, file), &mut notes)?;
    fields.finish(&mut notes);
    Ok(Parsed {
        value: settings,
        notes,
    })
}

impl BuildSettings {
    /// Takes the keys that are settings out of a mapping.
    pub(crate) fn take(
        fields: &mut Fields<'_>,
        (text, file): (&str, &str),
        notes: &mut Vec<crate::Finding>,
    ) -> Result<Self, Box<Mistake>> {
        Ok(Self {
            guest: one_of(fields, "guest", &["osv", "linux"])?,
            root_fs: one_of(fields, "root_fs", &["rofs", "ext4", "zfs"])?,
            disk: one_of(fields, "disk", &["direct", "bootable"])?,
            size_mib: fields.number("size_mib", SIZE_MIB.0, SIZE_MIB.1)?,
            memory_mib: fields.number("memory_mib", MEMORY_MIB.0, MEMORY_MIB.1)?,
            vcpus: fields.number("vcpus", VCPUS.0, VCPUS.1)?,
            network: fields.boolean("network")?,
            ports: ports(fields, (text, file), notes)?,
            networks: fields.texts("networks")?,
            volumes: volumes(fields, (text, file), notes)?,
            configuration: fields.text("configuration")?,
            env: fields.text_map("env")?,
            command: fields.text("command")?,
            allow_changes: fields.boolean("allow_changes")?,
        })
    }

    /// These settings, and `over` where it says something: lists and the environment of `over` are added to those here.
    #[must_use]
    pub fn overlaid(mut self, over: &Self) -> Self {
        fn or<T: Clone>(over: Option<&T>, kept: Option<T>) -> Option<T> {
            over.cloned().or(kept)
        }
        self.ports.retain(|kept| {
            let same =
                |port: &PortForward| (port.guest, port.protocol) == (kept.guest, kept.protocol);
            !over.ports.iter().any(same)
        });
        self.ports.extend_from_slice(&over.ports);
        self.networks.retain(|kept| !over.networks.contains(kept));
        self.networks.extend_from_slice(&over.networks);
        self.volumes.retain(|kept| {
            over.volumes
                .iter()
                .all(|it| it.path != kept.path || it.name != kept.name)
        });
        self.volumes.extend_from_slice(&over.volumes);
        self.env
            .retain(|(kept, _)| over.env.iter().all(|(name, _)| name != kept));
        self.env.extend_from_slice(&over.env);
        Self {
            guest: over.guest.or(self.guest),
            root_fs: over.root_fs.or(self.root_fs),
            disk: over.disk.or(self.disk),
            size_mib: over.size_mib.or(self.size_mib),
            memory_mib: over.memory_mib.or(self.memory_mib),
            vcpus: over.vcpus.or(self.vcpus),
            network: over.network.or(self.network),
            // A command and a configuration are each instead of the other.
            configuration: match (&over.configuration, &over.command) {
                (None, Some(_)) => None,
                (said, _) => or(said.as_ref(), self.configuration),
            },
            command: match (&over.command, &over.configuration) {
                (None, Some(_)) => None,
                (said, _) => or(said.as_ref(), self.command),
            },
            allow_changes: over.allow_changes.or(self.allow_changes),
            ..self
        }
    }
}

fn one_of<T: FromStr>(
    fields: &mut Fields<'_>,
    key: &'static str,
    names: &[&'static str],
) -> Result<Option<T>, Box<Mistake>> {
    let source = fields.source();
    let Some((text, place)) = fields.text_node(key)? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        let mut mistake = source.mistake(
            place,
            format!("`{key}` has to be {}, not `{text}`", names.join(" or ")),
        );
        mistake.suggestion = yaml::nearest(&text, names.iter().copied()).map(str::to_owned);
        mistake
    })
}

fn ports(
    fields: &mut Fields<'_>,
    (text, file): (&str, &str),
    notes: &mut Vec<crate::Finding>,
) -> Result<Vec<PortForward>, Box<Mistake>> {
    let source = fields.source();
    let Some(node) = fields.take("ports") else {
        return Ok(Vec::new());
    };
    let yaml::Value::List(items) = node.value else {
        return Err(source.mistake(node.place, "`ports` has to be a list"));
    };
    let mut ports = Vec::with_capacity(items.len());
    for item in items {
        let mut port = Fields::new(item, "a port", text, file)?;
        let host = port.number("host", 0, u32::from(u16::MAX))?;
        let Some(guest) = port.number("guest", 1, u32::from(u16::MAX))? else {
            return Err(port.missing("guest"));
        };
        let protocol = one_of(&mut port, "protocol", &["tcp", "udp"])?.unwrap_or_default();
        port.finish(notes);
        ports.push(PortForward {
            host: host
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port != 0),
            guest: u16::try_from(guest).unwrap_or(u16::MAX),
            protocol,
        });
    }
    Ok(ports)
}

fn volumes(
    fields: &mut Fields<'_>,
    (text, file): (&str, &str),
    notes: &mut Vec<crate::Finding>,
) -> Result<Vec<VolumeSetting>, Box<Mistake>> {
    let source = fields.source();
    let Some(node) = fields.take("volumes") else {
        return Ok(Vec::new());
    };
    let yaml::Value::List(items) = node.value else {
        return Err(source.mistake(node.place, "`volumes` has to be a list"));
    };
    let mut volumes = Vec::with_capacity(items.len());
    for item in items {
        let mut volume = Fields::new(item, "a volume", text, file)?;
        let Some(name) = volume.text("name")? else {
            return Err(volume.missing("name"));
        };
        let path = volume.text("path")?;
        volume.finish(notes);
        volumes.push(VolumeSetting { name, path });
    }
    Ok(volumes)
}

impl Serialize for BuildSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(guest) = self.guest {
            map.serialize_entry("guest", &guest.to_string())?;
        }
        if let Some(root_fs) = self.root_fs {
            map.serialize_entry("root_fs", &root_fs.to_string())?;
        }
        if let Some(disk) = self.disk {
            map.serialize_entry("disk", &disk.to_string())?;
        }
        if let Some(size_mib) = self.size_mib {
            map.serialize_entry("size_mib", &size_mib)?;
        }
        if let Some(memory_mib) = self.memory_mib {
            map.serialize_entry("memory_mib", &memory_mib)?;
        }
        if let Some(vcpus) = self.vcpus {
            map.serialize_entry("vcpus", &vcpus)?;
        }
        if let Some(network) = self.network {
            map.serialize_entry("network", &network)?;
        }
        if !self.ports.is_empty() {
            map.serialize_entry("ports", &self.ports)?;
        }
        if !self.networks.is_empty() {
            map.serialize_entry("networks", &self.networks)?;
        }
        if !self.volumes.is_empty() {
            map.serialize_entry("volumes", &self.volumes)?;
        }
        if let Some(configuration) = &self.configuration {
            map.serialize_entry("configuration", configuration)?;
        }
        if !self.env.is_empty() {
            map.serialize_entry("env", &Env(&self.env))?;
        }
        if let Some(command) = &self.command {
            map.serialize_entry("command", command)?;
        }
        if let Some(allow_changes) = self.allow_changes {
            map.serialize_entry("allow_changes", &allow_changes)?;
        }
        map.end()
    }
}

struct Env<'a>(&'a [(String, String)]);

impl Serialize for Env<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::manifest::as_map(self.0, serializer)
    }
}

impl Serialize for VolumeSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        if let Some(path) = &self.path {
            map.serialize_entry("path", path)?;
        }
        map.end()
    }
}

impl Serialize for PortForward {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(host) = self.host {
            map.serialize_entry("host", &host)?;
        }
        map.serialize_entry("guest", &self.guest)?;
        map.serialize_entry("protocol", &self.protocol.to_string())?;
        map.end()
    }
}
