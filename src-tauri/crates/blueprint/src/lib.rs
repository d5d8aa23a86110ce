//! An appliance, or a group of them, as what other engines run.
//!
//! ```text
//!                      ┌──► heat::template       HOT, for Heat
//!   Blueprint ─────────┼──► commands::script     the same by the `openstack` client
//!   machines, images,  └──► kubevirt::resources  VirtualMachine, Service, DataVolume, for Kubernetes
//!   ports, volumes
//! ```
//!
//! What comes out is text that is read, kept and used without us: names and order are those of the group, and everything that
//! another cloud would have otherwise is a parameter with a default. Nothing here speaks to a network.

pub mod commands;
pub mod heat;
pub mod kubevirt;

mod yaml;

use std::collections::BTreeSet;

/// How many machines a blueprint may have.
pub const MACHINES_MAX: usize = 200;
/// The longest name: of a host (RFC 1123), with room for what is put behind it.
const NAME_MAX: usize = 50;

/// Several services that run as one; or one alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blueprint {
    /// The name of the whole.
    pub name: String,
    /// In the order in which they start.
    pub services: Vec<Service>,
}

/// Machines of one image that do the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, by which the others reach it.
    pub name: String,
    /// How many machines.
    pub count: u32,
    /// When it starts: after all services with lower numbers.
    pub order: u32,
    /// What its machines boot: the name of an image in the cloud; for Kubernetes, of a container image that holds a disk.
    pub image: String,
    /// The flavor, where one is known.
    pub flavor: Option<String>,
    /// Memory of each machine, in MiB.
    pub memory_mib: u32,
    /// Processors of each machine.
    pub vcpus: u32,
    /// Ports that are reached from outside the group.
    pub ports: Vec<Port>,
    /// Disks of each machine that stay when it goes, in the order of their device names.
    pub volumes: Vec<Volume>,
    /// What its machines run, where that is not what the image says.
    pub command_line: Option<String>,
}

/// A port of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Whether it is UDP, rather than TCP.
    pub udp: bool,
}

/// A disk that stays when its machine goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its size.
    pub size_gib: u32,
    /// What it holds at first: as [`Service::image`]. Empty without.
    pub image: Option<String>,
}

/// Why there can be no blueprint of something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that a host cannot have.
    #[error(
        "`{name}` cannot be the name of a host: use small letters, digits and dashes, at most {NAME_MAX}, a letter first"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two services, or machines, of one name.
    #[error("There are two of the name `{name}`")]
    Twice {
        /// The name.
        name: String,
    },
    /// No machine, or too many.
    #[error("{count} machines: there have to be 1 to {MACHINES_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name { .. } | Self::Twice { .. } => "Rename the service in the group's file",
            Self::Count { .. } => "Change `count` in the group's file",
        }
    }
}

/// One machine of a blueprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine<'a> {
    pub service: &'a Service,
    /// Which of its service's, from 1.
    pub number: u32,
}

impl Machine<'_> {
    /// `web`, or `web-2`.
    pub(crate) fn name(&self) -> String {
        if self.service.count == 1 {
            self.service.name.clone()
        } else {
            format!("{}-{}", self.service.name, self.number)
        }
    }

    /// The name of one of its volumes: each machine has its own.
    pub(crate) fn volume_name(&self, volume: &Volume) -> String {
        if self.service.count == 1 {
            volume.name.clone()
        } else {
            format!("{}-{}", volume.name, self.number)
        }
    }
}

impl Blueprint {
    /// Whether every name can be a host's and there are machines, not too many.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn check(&self) -> Result<(), Error> {
        let count = self
            .services
            .iter()
            .map(|it| usize::try_from(it.count).unwrap_or(usize::MAX))
            .fold(0, usize::saturating_add);
        if count == 0 || count > MACHINES_MAX {
            return Err(Error::Count { count });
        }
        let services = self.services.iter().map(|it| it.name.clone());
        let machines = self
            .machines()
            .filter(|it| it.service.count > 1)
            .map(|it| it.name());
        let volumes = self.machines().flat_map(|it| {
            it.service
                .volumes
                .iter()
                .map(move |volume| it.volume_name(volume))
        });
        let mut hosts = BTreeSet::new();
        for name in services.chain(machines) {
            check_name(&name)?;
            if !hosts.insert(name.clone()) {
                return Err(Error::Twice { name });
            }
        }
        let mut disks = BTreeSet::new();
        for name in volumes {
            check_name(&name)?;
            if !disks.insert(name.clone()) {
                return Err(Error::Twice { name });
            }
        }
        check_name(&self.name)
    }

    /// All machines, in the order in which they start.
    pub(crate) fn machines(&self) -> impl Iterator<Item = Machine<'_>> {
        let mut services: Vec<_> = self.services.iter().collect();
        services.sort_by_key(|it| it.order);
        services
            .into_iter()
            .flat_map(|service| (1..=service.count).map(move |number| Machine { service, number }))
    }

    /// Those that have to be there before the machines of an order begin: of the order before it.
    pub(crate) fn before(&self, order: u32) -> Vec<Machine<'_>> {
        let last = self
            .services
            .iter()
            .map(|it| it.order)
            .filter(|it| *it < order)
            .max();
        self.machines()
            .filter(|it| Some(it.service.order) == last)
            .collect()
    }

    /// All ports, each once.
    pub(crate) fn ports(&self) -> BTreeSet<Port> {
        self.services
            .iter()
            .flat_map(|it| it.ports.iter().copied())
            .collect()
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain);
    if good {
        Ok(())
    } else {
        Err(Error::Name {
            name: name.to_owned(),
        })
    }
}
