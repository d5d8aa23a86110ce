//! The network: loopback, and the cards by DHCP or as `--ip` says.

mod dhcp;
mod lease;
mod netlink;
mod packet;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use windlass_guest::CommandLine;
use windlass_guest::report::Report;

use crate::Failure;
use crate::console::Console;
use crate::settings::{NetworkNeed, Settings};
use lease::Lease;
use netlink::Netlink;

/// Where the kernel lists network interfaces.
const INTERFACES: &str = "/sys/class/net";

/// The interface that asks for an address where nothing else is said.
const OUTSIDE: &str = "eth0";

/// Brings the network up. A machine without a network interface has none and that is well.
pub(crate) fn bring_up(
    line: &CommandLine,
    settings: &Settings,
    is_root_writable: bool,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            let message = format!("cannot talk to the kernel about the network: {error}");
            return Err(Failure(Report::Failed { message }));
        }
    };
    if let Some(index) = interface_index("lo") {
        // Without it `localhost` is not reached; the kernel gives it its address.
        if let Err(error) = netlink.set_up(index, None) {
            console.report(&Report::Warning {
                message: format!("cannot bring up lo: {error}"),
            });
        }
    }
    if settings.network == NetworkNeed::Off {
        return Ok(());
    }
    let fixed = lease::of_command_line(line)
        .map_err(|reason| Failure(Report::BadCommandLine { reason }))?;
    let asking = if !settings.dhcp.is_empty() {
        settings.dhcp.clone()
    } else if fixed.is_empty() && interface_index(OUTSIDE).is_some() {
        vec![OUTSIDE.to_owned()]
    } else {
        Vec::new()
    };
    let mut leases: Vec<(String, Result<Lease, String>)> = fixed
        .into_iter()
        .map(|(interface, lease)| (interface, Ok(lease)))
        .collect();
    for interface in asking {
        if leases.iter().any(|(told, _)| *told == interface) {
            continue;
        }
        let lease = ask_for_lease(&mut netlink, &interface, settings);
        leases.push((interface, lease));
    }
    let mut has_gateway = false;
    let mut name_servers = Vec::new();
    let mut domain = None;
    for (interface, lease) in leases {
        // The first way out is the one.
        let lease = lease.map(|mut lease| {
            lease.gateway = lease.gateway.filter(|_| !has_gateway);
            has_gateway |= lease.gateway.is_some();
            lease
        });
        let applied =
            lease.and_then(|lease| apply(&mut netlink, &interface, &lease).map(|()| lease));
        match applied {
            Ok(lease) => {
                console.report(&lease.report(&interface));
                name_servers.extend(lease.name_servers);
                domain = domain.or(lease.domain);
            }
            Err(reason) => {
                let report = Report::NoAddress { interface, reason };
                if settings.network == NetworkNeed::Required {
                    return Err(Failure(report));
                }
                console.report(&report);
            }
        }
    }
    if is_root_writable && !name_servers.is_empty() {
        let path = Path::new("/etc/resolv.conf");
        let text = lease::resolver_configuration(&name_servers, domain.as_deref());
        // A link to what some other system's resolver would have written leads nowhere here.
        if path.is_symlink() && !path.exists() {
            let _ = fs::remove_file(path);
        }
        if let Err(error) = fs::write(path, text) {
            let message = format!("cannot write {}: {error}", path.display());
            console.report(&Report::Warning { message });
        }
    }
    Ok(())
}

fn ask_for_lease(
    netlink: &mut Netlink,
    interface: &str,
    settings: &Settings,
) -> Result<Lease, String> {
    let index = interface_index(interface).ok_or("the machine has no such network interface")?;
    netlink
        .set_up(index, None)
        .map_err(|error| format!("the interface cannot be brought up: {error}"))?;
    let text = fs::read_to_string(format!("{INTERFACES}/{interface}/address")).unwrap_or_default();
    let hardware_address = lease::hardware_address(text.trim())
        .ok_or_else(|| format!("its hardware address cannot be read: `{}`", text.trim()))?;
    dhcp::ask(interface, hardware_address, settings.dhcp_timeout)
}

fn apply(netlink: &mut Netlink, interface: &str, lease: &Lease) -> Result<(), String> {
    let index = interface_index(interface).ok_or("the machine has no such network interface")?;
    let context = |what: &str| {
        let what = what.to_owned();
        move |error| format!("{what}: {error}")
    };
    netlink
        .set_up(index, lease.mtu)
        .map_err(context("the interface cannot be brought up"))?;
    netlink
        .add_address(index, lease.address, lease.prefix_length)
        .map_err(context("the address cannot be set"))?;
    // The way to a gateway may be one of the others.
    for route in &lease.routes {
        netlink
            .add_route(index, route)
            .map_err(context("a route cannot be set"))?;
    }
    if let Some(gateway) = lease.gateway {
        netlink
            .add_default_route(index, gateway)
            .map_err(context("the gateway cannot be set"))?;
    }
    Ok(())
}

fn interface_index(name: &str) -> Option<u32> {
    fs::read_to_string(format!("{INTERFACES}/{name}/ifindex"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Network and host as the kernel and we write them.
fn prefix_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let length = bits.leading_ones();
    // Ones after a zero make no mask.
    (bits.count_ones() == length)
        .then(|| u8::try_from(length).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_prefixes() {
        let length = |mask: &str| prefix_length(mask.parse().unwrap());
        assert_eq!(length("255.255.255.0"), Some(24));
        assert_eq!(length("255.255.255.252"), Some(30));
        assert_eq!(length("0.0.0.0"), Some(0));
        assert_eq!(length("255.0.255.0"), None);
    }
}
