//! Private networks: several machines on one wire, each found by the others by its name.
//!
//! ```text
//!   machine web ── its second card ── QEMU ──┐ unix stream, a length before each frame
//!                                            ├──▶ switch, one process per network
//!   machine db  ── its second card ── QEMU ──┘      ├ forwards frames by hardware address
//!                                                   └ its own host, .1: ARP, ping, DHCP, and the names of all
//!
//!   <runtime>/n<short>/   lock      held by the switch as long as it lives
//!                         control   join, members (JSON, one line each way)
//!                         members   who was given which address (JSON)
//!                         p<N>      where the QEMU of the machine at address .N connects
//! ```
//!
//! - The switch is no part of the window: like QEMU it is started apart and outlives us, is found again by its socket, and
//!   ends a while after its last machine. Nobody is asked for rights: it opens no network device, only unix sockets (and
//!   asks this computer's name servers for the names that it does not know).
//! - A network exists where a machine names it. Its addresses follow from its name, so there is nothing to set up.
//! - Machines are told their addresses on the guest's command line where they boot by a kernel, and by DHCP besides.
//! - A network that is named `bridge:NAME` or `tap:NAME` is none of ours but this computer's ([`HostLink`]).
//!
//! [`host`] and [`names`] are pure: from a frame to a frame.

mod control;
mod host;
mod host_link;
mod members;
mod names;
mod switch;

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use command_fds::FdMapping;
use serde::{Deserialize, Serialize};
use windlass_guest::{CommandLine, GuestOs};

pub(crate) use self::control::{Joined, Wire, join, who_is_on};
pub use self::host_link::HostLink;
pub(crate) use self::host_link::TUN;
pub use self::members::NetworkMember;
use crate::error::{Error, Result};
use crate::paths::short_hash;
use crate::spec::{MachineSpec, NetworkJoin};

/// The first argument of a process that is a network's switch: no program that does not know it takes it for something else.
const SWITCH_ARGUMENT: &str = "--network-switch";

/// The netmask of every private network, in bits.
pub(crate) const PREFIX_LENGTH: u8 = 24;
/// The same as a mask.
pub(crate) const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

/// Becomes a network's switch if this process was started to be one; returns its exit status then. To be called first
/// thing in the `main` of every program that starts machines.
pub fn switch_process() -> Option<u8> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != SWITCH_ARGUMENT {
        return None;
    }
    let folder = PathBuf::from(arguments.next()?);
    let network = arguments.next()?.into_string().ok()?;
    Some(switch::run(&folder, &network))
}

/// The addresses of a network: `10.A.B.0/24`, from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    second: u8,
    third: u8,
}

impl Subnet {
    pub(crate) fn of(network: &str) -> Self {
        let hash = short_hash(network.as_bytes());
        let number = u16::from_str_radix(hash.get(..4).unwrap_or("0"), 16).unwrap_or(0);
        let [second, third] = number.to_be_bytes();
        // 10.0 and 10.1 are what everybody uses (QEMU's user mode is 10.0.2.0): stay away from small numbers.
        Self {
            second: 64 + second % 128,
            third,
        }
    }

    /// The switch's own address.
    pub(crate) fn host(self) -> Ipv4Addr {
        self.address(1)
    }

    pub(crate) fn address(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.second, self.third, number)
    }

    /// The last number of an address, if it is one of this network.
    pub(crate) fn number(self, address: Ipv4Addr) -> Option<u8> {
        let [.., number] = address.octets();
        (self.address(number) == address).then_some(number)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{PREFIX_LENGTH}", self.address(0))
    }
}

/// The guest's command line with what it is told of its networks; as it is where it says something of addresses itself,
/// or cannot be understood.
pub(crate) fn on_command_line(spec: &MachineSpec, joined: &[Joined], line: &str) -> String {
    match CommandLine::parse(line) {
        Ok(parsed) if !joined.is_empty() && !parsed.has_option("ip") => {
            guest_options(spec.network.is_some(), joined)
                .into_iter()
                .fold(parsed, |line, (key, value)| {
                    line.with_option(key, Some(&value))
                })
                .to_string()
        }
        _ => line.to_owned(),
    }
}

/// What the guest of a machine is told of its networks, in the options that OSv and our init share.
fn guest_options(user_mode: bool, joined: &[Joined]) -> Vec<(&'static str, String)> {
    let Some(first) = joined.iter().find(|network| network.address.is_some()) else {
        return Vec::new();
    };
    let mut options = Vec::new();
    let mut card = 0;
    if user_mode {
        // What QEMU's user mode gives to its only guest.
        options.push(("ip", "eth0,10.0.2.15,255.255.255.0".to_owned()));
        options.push(("defaultgw", "10.0.2.2".to_owned()));
        card += 1;
    }
    for network in joined {
        if let Some(address) = network.address {
            options.push(("ip", format!("eth{card},{address},{NETMASK}")));
        }
        card += 1;
    }
    options.push(("nameserver", Subnet::of(&first.network).host().to_string()));
    options
}

/// The cards whose addresses a Linux guest has to ask for, where that is not `eth0` alone: `eth1,eth2`.
pub(crate) fn asking_cards(spec: &MachineSpec, joined: &[Joined]) -> Option<String> {
    let asks = |network: &Joined| network.address.is_none();
    if !joined.iter().any(asks) {
        return None;
    }
    // Whoever is told the addresses of some is told that of the first as well.
    let user_mode = spec.network.as_ref().map(|_| joined.iter().all(asks));
    let cards = user_mode.into_iter().chain(joined.iter().map(asks));
    let cards = cards.enumerate().filter(|(_, asks)| *asks);
    let cards: Vec<_> = cards.map(|(number, _)| format!("eth{number}")).collect();
    Some(cards.join(","))
}

/// The number under which QEMU finds the tap device of a card.
pub(crate) fn file_number(index: usize) -> i32 {
    /// The standard ones, and room.
    const FIRST: i32 = 10;
    FIRST.saturating_add(i32::try_from(index).unwrap_or(i32::MAX))
}

/// The tap devices that QEMU is given.
pub(crate) fn files(joined: &[Joined]) -> io::Result<Vec<FdMapping>> {
    let mut files = Vec::new();
    for (index, network) in joined.iter().enumerate() {
        if let Wire::File(file) = &network.wire {
            files.push(FdMapping {
                parent_fd: file.try_clone()?,
                child_fd: file_number(index),
            });
        }
    }
    Ok(files)
}

/// The name by which a machine is found: what of its name can be one (RFC 1123), in small letters.
pub(crate) fn host_name(name: &str) -> String {
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(63);
    label.trim_end_matches('-').to_owned()
}

/// The hardware address of a machine's card on a network: the same at each start, and nobody else's.
pub(crate) fn hardware_address(id: &str, network: &str) -> [u8; 6] {
    let hash = short_hash(format!("{network}\0{id}").as_bytes());
    let byte = |index: usize| {
        let digits = hash.get(index * 2..index * 2 + 2).unwrap_or("0");
        u8::from_str_radix(digits, 16).unwrap_or(0)
    };
    // Locally administered.
    [0x52, byte(0), byte(1), byte(2), byte(3), byte(4)]
}

/// Checks what a machine says of its networks.
pub(crate) fn validate(spec: &MachineSpec) -> Result<()> {
    /// QEMU's `pc` machine has some thirty slots for all cards and disks.
    const NETWORKS_MAX: usize = 4;
    let refuse = |problem: String| {
        Err(Error::Spec {
            field: "networks",
            problem,
        })
    };
    if spec.networks.len() > NETWORKS_MAX {
        return refuse(format!(
            "a machine can be on {NETWORKS_MAX} networks at most"
        ));
    }
    let is_of_host = |join: &NetworkJoin| HostLink::parse(&join.network).is_some();
    let of_host = spec.networks.iter().filter(|join| is_of_host(join)).count();
    if spec.guest == GuestOs::Osv && (1..spec.networks.len()).contains(&of_host) {
        return refuse(
            "OSv asks for its addresses on all of its networks or on none: give it private networks, or bridges and tap \
             devices"
                .to_owned(),
        );
    }
    let mut seen: Vec<&NetworkJoin> = Vec::new();
    for join in &spec.networks {
        if is_of_host(join) {
            if seen.iter().any(|other| other.network == join.network) {
                return refuse(format!("`{}` is named twice", join.network));
            }
            seen.push(join);
            continue;
        }
        if !is_name(&join.network) {
            return refuse(format!(
                "`{}` is no name of a network: 1 to 40 letters, digits, `-`, `_` and `.`; or `bridge:NAME`, `tap:NAME`",
                join.network
            ));
        }
        if let Some(alias) = join
            .aliases
            .iter()
            .find(|alias| host_name(alias) != **alias)
        {
            return refuse(format!(
                "`{alias}` is no host name: small letters, digits and `-`"
            ));
        }
        for other in seen.iter().filter(|other| !is_of_host(other)) {
            if Subnet::of(&other.network) == Subnet::of(&join.network) {
                return refuse(format!(
                    "`{}` and `{}` have the same addresses; one machine cannot be on both",
                    other.network, join.network
                ));
            }
        }
        seen.push(join);
    }
    Ok(())
}

fn is_name(network: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=40).contains(&network.len()) && network.chars().all(letter)
}

/// Where a network's sockets are.
pub(crate) fn folder(runtime: &Path, network: &str) -> PathBuf {
    let hash = short_hash(network.as_bytes());
    runtime.join(format!("n{}", hash.get(1..).unwrap_or_default()))
}

/// A network that a machine is on in its present or last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAddress {
    /// The network's name.
    pub network: String,
    /// The machine's address there; on a network of this computer, only its guest knows.
    pub address: Option<Ipv4Addr>,
    /// The names by which the others find it.
    #[serde(default)]
    pub names: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_addresses_of_its_own_that_stay() {
        let subnet = Subnet::of("shop");
        assert_eq!(subnet, Subnet::of("shop"));
        assert_ne!(subnet, Subnet::of("lab"));
        let [first, second, ..] = subnet.host().octets();
        assert!(first == 10 && (64..192).contains(&second), "{subnet}");
        assert_eq!(subnet.number(subnet.address(7)), Some(7));
        assert_eq!(subnet.number(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn a_machines_name_becomes_a_host_name() {
        let names = ["web", "Name node (2)", "_x_", "--", "Größe"].map(host_name);
        assert_eq!(names, ["web", "name-node-2", "x", "", "gr-e"]);
        assert_eq!(host_name(&"a".repeat(80)).len(), 63);
    }

    #[test]
    fn cards_differ_by_machine_and_network() {
        let a = hardware_address("a", "shop");
        assert_ne!(a, hardware_address("b", "shop"));
        assert_ne!(a, hardware_address("a", "lab"));
        assert_eq!(a[0] & 0b11, 0b10, "local, and of one card alone");
    }
}
