//! The things that we ask the kernel to do with a network interface (rtnetlink).

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressHeader, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkHeader, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::packet::Route;

/// The kernel's main routing table.
const MAIN_TABLE: u8 = 254;

/// A conversation with the kernel.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Brings an interface up, with another size of packets where one is given.
    pub(super) fn set_up(&mut self, index: u32, mtu: Option<u16>) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header = LinkHeader {
            index,
            flags: LinkFlags::Up,
            change_mask: LinkFlags::Up,
            ..LinkHeader::default()
        };
        link.attributes
            .extend(mtu.map(|mtu| LinkAttribute::Mtu(mtu.into())));
        self.request(RouteNetlinkMessage::SetLink(link), 0)
    }

    pub(super) fn add_address(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        prefix_len: u8,
    ) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header = AddressHeader {
            family: AddressFamily::Inet,
            prefix_len,
            scope: AddressScope::Universe,
            index,
            ..AddressHeader::default()
        };
        let broadcast = broadcast_address(address, prefix_len);
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(address)),
            AddressAttribute::Address(IpAddr::V4(address)),
        ];
        message
            .attributes
            .extend(broadcast.map(AddressAttribute::Broadcast));
        self.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    pub(super) fn add_default_route(&mut self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let route = Route {
            destination: Ipv4Addr::UNSPECIFIED,
            prefix_length: 0,
            gateway,
        };
        self.add_route(index, &route)
    }

    pub(super) fn add_route(&mut self, index: u32, route: &Route) -> io::Result<()> {
        let on_wire = route.gateway.is_unspecified();
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet,
            table: MAIN_TABLE,
            protocol: RouteProtocol::Dhcp,
            destination_prefix_length: route.prefix_length,
            scope: if on_wire {
                RouteScope::Link
            } else {
                RouteScope::Universe
            },
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = vec![RouteAttribute::Oif(index)];
        if route.prefix_length > 0 {
            let destination = RouteAddress::Inet(route.destination);
            message
                .attributes
                .push(RouteAttribute::Destination(destination));
        }
        if !on_wire {
            let gateway = RouteAddress::Inet(route.gateway);
            message.attributes.push(RouteAttribute::Gateway(gateway));
        }
        self.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Sends a request and waits for its acknowledgement.
    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| io::Error::other(error.to_string()))?;
            if packet.header.sequence_number != self.sequence {
                continue;
            }
            return match packet.payload {
                // An acknowledgement is an error of number zero.
                NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
                NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => Ok(()),
                _ => continue,
            };
        }
    }
}

/// The address of everyone in the network; there is none where two have it to themselves.
fn broadcast_address(address: Ipv4Addr, prefix_length: u8) -> Option<Ipv4Addr> {
    let host_bits = u32::MAX.checked_shr(prefix_length.into())?;
    (prefix_length < 31).then(|| Ipv4Addr::from_bits(address.to_bits() | host_bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_addresses() {
        let address = Ipv4Addr::new(10, 0, 2, 15);
        assert_eq!(
            broadcast_address(address, 24),
            Some(Ipv4Addr::new(10, 0, 2, 255))
        );
        assert_eq!(broadcast_address(address, 0), Some(Ipv4Addr::BROADCAST));
        assert_eq!(broadcast_address(address, 31), None);
        assert_eq!(broadcast_address(address, 32), None);
    }
}
