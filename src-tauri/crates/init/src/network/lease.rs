//! What an interface is to be set to, from wherever it comes.

use std::fmt::Write;
use std::net::Ipv4Addr;

use windlass_guest::CommandLine;
use windlass_guest::report::Report;

use super::packet::Route;
use super::prefix_length;

/// The resolver of the C library reads no more than these.
const NAME_SERVERS_LIMIT: usize = 3;

/// Address and surroundings of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    pub gateway: Option<Ipv4Addr>,
    /// Ways beside that by the gateway.
    pub routes: Vec<Route>,
    pub name_servers: Vec<Ipv4Addr>,
    pub domain: Option<String>,
    pub mtu: Option<u16>,
}

impl Lease {
    pub(super) fn report(&self, interface: &str) -> Report {
        Report::Address {
            interface: interface.to_owned(),
            address: format!("{}/{}", self.address, self.prefix_length),
            gateway: self.gateway.map(|address| address.to_string()),
            name_servers: self.name_servers.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The interfaces that the command line sets: `--ip=eth0,ADDRESS,NETMASK --defaultgw=… --nameserver=…`.
pub(super) fn of_command_line(line: &CommandLine) -> Result<Vec<(String, Lease)>, String> {
    let address = |text: &str, option: &str| {
        text.parse::<Ipv4Addr>()
            .map_err(|_| format!("--{option}: `{text}` is not an IPv4 address"))
    };
    let one = |option: &'static str| {
        line.values(option)
            .next()
            .map(|text| address(text, option))
            .transpose()
    };
    let (mut gateway, name_server) = (one("defaultgw")?, one("nameserver")?);
    let mut leases = Vec::new();
    for value in line.values("ip") {
        let parts: Vec<&str> = value.split([',', ' ']).collect();
        let [interface, ip, mask] = parts.as_slice() else {
            return Err(format!("--ip={value} is not INTERFACE,ADDRESS,NETMASK"));
        };
        let prefix_length = prefix_length(address(mask, "ip")?)
            .ok_or_else(|| format!("--ip: `{mask}` is not a netmask"))?;
        leases.push((
            (*interface).to_owned(),
            Lease {
                address: address(ip, "ip")?,
                prefix_length,
                // One default route is enough; it belongs to the first interface.
                gateway: gateway.take(),
                routes: Vec::new(),
                name_servers: name_server
                    .into_iter()
                    .filter(|_| leases.is_empty())
                    .collect(),
                domain: None,
                mtu: None,
            },
        ));
    }
    Ok(leases)
}

/// The text of `/etc/resolv.conf`.
pub(super) fn resolver_configuration(name_servers: &[Ipv4Addr], domain: Option<&str>) -> String {
    let mut text = String::new();
    // The name comes from the network: it may not bring lines of its own.
    let is_name = |name: &&str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    };
    if let Some(domain) = domain.filter(is_name) {
        let _ = writeln!(text, "search {domain}");
    }
    for server in name_servers.iter().take(NAME_SERVERS_LIMIT) {
        let _ = writeln!(text, "nameserver {server}");
    }
    text
}

/// Reads `52:54:00:12:34:56`.
pub(super) fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut address {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_command_line() {
        let read = |line: &str| of_command_line(&CommandLine::parse(line).unwrap());
        let leases = read(
            "--ip=eth0,10.0.2.15,255.255.255.0 --ip=eth1,192.168.1.2,255.255.255.252 --defaultgw=10.0.2.2 \
             --nameserver=10.0.2.3 /a",
        )
        .unwrap();
        let reports: Vec<String> = leases
            .iter()
            .map(|(name, lease)| lease.report(name).to_string())
            .collect();
        insta::assert_snapshot!(reports.join("\n"));
        assert_eq!(read("/a"), Ok(vec![]));
        assert_eq!(
            read("--ip=eth0 /a").unwrap_err(),
            "--ip=eth0 is not INTERFACE,ADDRESS,NETMASK"
        );
        assert_eq!(
            read("--ip=eth0,1.2.3.4,255.0.255.0 /a").unwrap_err(),
            "--ip: `255.0.255.0` is not a netmask"
        );
        assert!(read("--ip=eth0,1.2.3,255.0.0.0 /a").is_err());
    }

    #[test]
    fn the_resolver_gets_no_lines_from_the_network() {
        let servers = [Ipv4Addr::new(10, 0, 2, 3); 5];
        assert_eq!(
            resolver_configuration(&servers[..1], Some("example.org")),
            "search example.org\nnameserver 10.0.2.3\n"
        );
        assert_eq!(
            resolver_configuration(&servers, Some("a\nnameserver 6.6.6.6"))
                .lines()
                .count(),
            3
        );
    }

    #[test]
    fn hardware_addresses_have_six_bytes() {
        assert_eq!(
            hardware_address("52:54:00:12:34:56"),
            Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])
        );
        assert_eq!(hardware_address("52:54:00:12:34"), None);
        assert_eq!(hardware_address("52:54:00:12:34:56:78"), None);
    }
}
