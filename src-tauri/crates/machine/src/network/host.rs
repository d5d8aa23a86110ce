//! The network's own host: answers ARP and ping, gives addresses by DHCP (RFC 2131) to the cards that it knows, and
//! takes questions for names. From a frame to what is to be done about it; no sockets in here.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr,
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv4Repr,
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::members::Members;
use super::{NETMASK, Subnet, names};

const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
const DNS_PORT: u16 = 53;
const HOP_LIMIT: u8 = 64;
/// Addresses stay with their machines for as long as the network lives; nobody needs to ask again soon.
const LEASE_SECONDS: u32 = 24 * 3600;
/// RFC 2132: the client's name.
const OPTION_HOST_NAME: u8 = 12;

/// What comes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A frame that goes back.
    Frame(Vec<u8>),
    /// A name that this computer's name servers are asked for; their answer goes [`back`](NetworkHost::datagram).
    Ask { question: Vec<u8>, back: Peer },
}

/// Who sent a datagram, and to which port of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    hardware_address: EthernetAddress,
    address: Ipv4Addr,
    port: u16,
    own_port: u16,
}

/// The host at a network's first address.
#[derive(Clone, Debug)]
pub(crate) struct NetworkHost {
    network: String,
    subnet: Subnet,
    hardware_address: EthernetAddress,
}

impl NetworkHost {
    pub(crate) fn new(network: &str) -> Self {
        Self {
            network: network.to_owned(),
            subnet: Subnet::of(network),
            hardware_address: EthernetAddress(super::hardware_address("", network)),
        }
    }

    pub(crate) fn hardware_address(&self) -> [u8; 6] {
        self.hardware_address.0
    }

    /// Looks at a frame that is for this host, or for all.
    pub(crate) fn receive(&self, bytes: &[u8], members: &Members) -> Option<Reply> {
        let frame = EthernetFrame::new_checked(bytes).ok()?;
        match frame.ethertype() {
            EthernetProtocol::Arp => self.arp(frame.payload()).map(Reply::Frame),
            EthernetProtocol::Ipv4 => self.ipv4(frame.src_addr(), frame.payload(), members),
            _ => None,
        }
    }

    fn arp(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let packet = ArpPacket::new_checked(bytes).ok()?;
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        } = ArpRepr::parse(&packet).ok()?
        else {
            return None;
        };
        let ours = self.subnet.host();
        if operation != ArpOperation::Request || target_protocol_addr != ours {
            return None;
        }
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: self.hardware_address,
            source_protocol_addr: ours,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        Some(self.frame(
            source_hardware_addr,
            EthernetProtocol::Arp,
            reply.buffer_len(),
            |payload| reply.emit(&mut ArpPacket::new_unchecked(payload)),
        ))
    }

    fn ipv4(&self, from: EthernetAddress, bytes: &[u8], members: &Members) -> Option<Reply> {
        let checksums = ChecksumCapabilities::default();
        let packet = Ipv4Packet::new_checked(bytes).ok()?;
        let header = Ipv4Repr::parse(&packet, &checksums).ok()?;
        // Nothing that matters here comes in pieces.
        if packet.more_frags() || packet.frag_offset() != 0 {
            return None;
        }
        let to_us = header.dst_addr == self.subnet.host();
        match header.next_header {
            IpProtocol::Icmp if to_us => {
                let echo = Icmpv4Packet::new_checked(packet.payload()).ok()?;
                let Icmpv4Repr::EchoRequest {
                    ident,
                    seq_no,
                    data,
                } = Icmpv4Repr::parse(&echo, &checksums).ok()?
                else {
                    return None;
                };
                let reply = Icmpv4Repr::EchoReply {
                    ident,
                    seq_no,
                    data,
                };
                let frame = self.packet(
                    (from, header.src_addr),
                    IpProtocol::Icmp,
                    reply.buffer_len(),
                    |payload| reply.emit(&mut Icmpv4Packet::new_unchecked(payload), &checksums),
                );
                Some(Reply::Frame(frame))
            }
            IpProtocol::Udp => {
                let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
                let (source, destination) = (
                    IpAddress::Ipv4(header.src_addr),
                    IpAddress::Ipv4(header.dst_addr),
                );
                let ports = UdpRepr::parse(&datagram, &source, &destination, &checksums).ok()?;
                match ports.dst_port {
                    DHCP_SERVER_PORT if to_us || header.dst_addr.is_broadcast() => {
                        self.dhcp(datagram.payload(), members).map(Reply::Frame)
                    }
                    DNS_PORT if to_us => {
                        let back = Peer {
                            hardware_address: from,
                            address: header.src_addr,
                            port: ports.src_port,
                            own_port: DNS_PORT,
                        };
                        let question = datagram.payload();
                        match names::answer(question, &self.network, self.subnet, members)? {
                            names::Reply::Answer(bytes) => {
                                Some(Reply::Frame(self.datagram(back, &bytes)))
                            }
                            names::Reply::Forward => Some(Reply::Ask {
                                question: question.to_vec(),
                                back,
                            }),
                        }
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn dhcp(&self, bytes: &[u8], members: &Members) -> Option<Vec<u8>> {
        let packet = DhcpPacket::new_checked(bytes).ok()?;
        let asked = DhcpRepr::parse(&packet).ok()?;
        let card = asked.client_hardware_address;
        let member = members.by_hardware_address(card.0)?;
        let wanted = asked.requested_ip.unwrap_or(member.address);
        let for_us = asked
            .server_identifier
            .is_none_or(|server| server == self.subnet.host());
        let kind = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if for_us && wanted == member.address => DhcpMessageType::Ack,
            DhcpMessageType::Request if for_us => DhcpMessageType::Nak,
            _ => return None,
        };
        let given = kind != DhcpMessageType::Nak;
        let host_name = member.names.first().map(|name| DhcpOption {
            kind: OPTION_HOST_NAME,
            data: name.as_bytes(),
        });
        let reply = DhcpRepr {
            message_type: kind,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: card,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: if given {
                member.address
            } else {
                Ipv4Addr::UNSPECIFIED
            },
            server_ip: self.subnet.host(),
            // There is no way out of here.
            router: None,
            subnet_mask: given.then_some(NETMASK),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: asked.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.subnet.host()),
            parameter_request_list: None,
            dns_servers: given.then(|| [self.subnet.host()].into_iter().collect()),
            max_size: None,
            lease_duration: given.then_some(LEASE_SECONDS),
            renew_duration: None,
            rebind_duration: None,
            additional_options: host_name.as_slice().get(..usize::from(given))?,
        };
        let mut payload = vec![0; reply.buffer_len()];
        reply
            .emit(&mut DhcpPacket::new_unchecked(payload.as_mut_slice()))
            .ok()?;
        // To all: a card without an address hears nothing else.
        let to = Peer {
            hardware_address: EthernetAddress::BROADCAST,
            address: Ipv4Addr::BROADCAST,
            port: DHCP_CLIENT_PORT,
            own_port: DHCP_SERVER_PORT,
        };
        Some(self.datagram(to, &payload))
    }

    /// A frame that carries `payload` to a peer.
    pub(crate) fn datagram(&self, to: Peer, payload: &[u8]) -> Vec<u8> {
        let ports = UdpRepr {
            src_port: to.own_port,
            dst_port: to.port,
        };
        let (source, destination) = (
            IpAddress::Ipv4(self.subnet.host()),
            IpAddress::Ipv4(to.address),
        );
        self.packet(
            (to.hardware_address, to.address),
            IpProtocol::Udp,
            ports.header_len() + payload.len(),
            |bytes| {
                ports.emit(
                    &mut UdpPacket::new_unchecked(bytes),
                    &source,
                    &destination,
                    payload.len(),
                    |to| to.copy_from_slice(payload),
                    &ChecksumCapabilities::default(),
                );
            },
        )
    }

    fn packet(
        &self,
        (to, address): (EthernetAddress, Ipv4Addr),
        protocol: IpProtocol,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Vec<u8> {
        let header = Ipv4Repr {
            src_addr: self.subnet.host(),
            dst_addr: address,
            next_header: protocol,
            payload_len: length,
            hop_limit: HOP_LIMIT,
        };
        let header_length = header.buffer_len();
        self.frame(
            to,
            EthernetProtocol::Ipv4,
            header_length + length,
            |bytes| {
                let (_, payload) = bytes.split_at_mut(header_length);
                write(payload);
                let mut packet = Ipv4Packet::new_unchecked(bytes);
                header.emit(&mut packet, &ChecksumCapabilities::default());
            },
        )
    }

    fn frame(
        &self,
        to: EthernetAddress,
        protocol: EthernetProtocol,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Vec<u8> {
        /// What Ethernet carries at least, without its checksum.
        const LENGTH_MIN_BYTES: usize = 60;
        let header = EthernetRepr {
            src_addr: self.hardware_address,
            dst_addr: to,
            ethertype: protocol,
        };
        let mut bytes = vec![0; header.buffer_len() + length];
        let mut frame = EthernetFrame::new_unchecked(bytes.as_mut_slice());
        header.emit(&mut frame);
        write(frame.payload_mut());
        bytes.resize(bytes.len().max(LENGTH_MIN_BYTES), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, TYPE};

    use super::super::members::names;
    use super::*;

    const CARD: [u8; 6] = [0x52, 1, 2, 3, 4, 5];

    fn lab() -> (NetworkHost, Members) {
        let mut members = Members::default();
        let names = names("web", &[]);
        members
            .join(Subnet::of("lab"), "lab", "1", names, CARD)
            .unwrap();
        (NetworkHost::new("lab"), members)
    }

    /// A guest's card, made of the same parts.
    fn guest() -> NetworkHost {
        NetworkHost {
            hardware_address: EthernetAddress(CARD),
            ..NetworkHost::new("lab")
        }
    }

    fn request(kind: DhcpMessageType, wanted: Option<Ipv4Addr>) -> Vec<u8> {
        let request = DhcpRepr {
            message_type: kind,
            transaction_id: 99,
            secs: 0,
            client_hardware_address: EthernetAddress(CARD),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: wanted,
            client_identifier: None,
            server_identifier: None,
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut payload = vec![0; request.buffer_len()];
        request
            .emit(&mut DhcpPacket::new_unchecked(payload.as_mut_slice()))
            .unwrap();
        guest().datagram(
            Peer {
                hardware_address: EthernetAddress::BROADCAST,
                address: Ipv4Addr::BROADCAST,
                port: DHCP_SERVER_PORT,
                own_port: DHCP_CLIENT_PORT,
            },
            &payload,
        )
    }

    /// The payload of the datagram in a reply.
    fn payload(reply: Option<Reply>) -> Vec<u8> {
        let Some(Reply::Frame(frame)) = reply else {
            panic!("{reply:?}")
        };
        let frame = EthernetFrame::new_checked(frame.as_slice()).unwrap();
        let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
        assert!(packet.verify_checksum());
        let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
        assert!(datagram.verify_checksum(
            &IpAddress::Ipv4(packet.src_addr()),
            &IpAddress::Ipv4(packet.dst_addr())
        ));
        datagram.payload().to_vec()
    }

    #[test]
    fn a_card_that_joined_gets_its_address() {
        let (host, members) = lab();
        let address = Subnet::of("lab").address(2);
        let asked = |kind, wanted| {
            let bytes = payload(host.receive(&request(kind, wanted), &members));
            let packet = DhcpPacket::new_checked(bytes.as_slice()).unwrap();
            let reply = DhcpRepr::parse(&packet).unwrap();
            (reply.message_type, reply.your_ip, reply.router)
        };
        let offer = asked(DhcpMessageType::Discover, None);
        assert_eq!(offer, (DhcpMessageType::Offer, address, None));
        let given = asked(DhcpMessageType::Request, Some(address));
        assert_eq!(given, (DhcpMessageType::Ack, address, None));
        let other = asked(DhcpMessageType::Request, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(other, (DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED, None));
        let stranger = host.receive(
            &request(DhcpMessageType::Discover, None),
            &Members::default(),
        );
        assert_eq!(stranger, None);
    }

    #[test]
    fn arp_and_names_are_answered_and_others_names_are_passed_on() {
        let (host, members) = lab();
        let question = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(CARD),
            source_protocol_addr: Subnet::of("lab").address(2),
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: Subnet::of("lab").host(),
        };
        let frame = guest().frame(
            EthernetAddress::BROADCAST,
            EthernetProtocol::Arp,
            question.buffer_len(),
            |bytes| question.emit(&mut ArpPacket::new_unchecked(bytes)),
        );
        let Some(Reply::Frame(reply)) = host.receive(&frame, &members) else {
            panic!("no answer")
        };
        assert_eq!(reply.get(..6), Some(&CARD[..]));

        let ask = |name| {
            let mut query = Packet::new_query(1);
            let class = QCLASS::CLASS(CLASS::IN);
            let name = Name::new(name).unwrap();
            query
                .questions
                .push(Question::new(name, QTYPE::TYPE(TYPE::A), class, false));
            let to = Peer {
                hardware_address: host.hardware_address,
                address: Subnet::of("lab").host(),
                port: DNS_PORT,
                own_port: 4000,
            };
            host.receive(
                &guest().datagram(to, &query.build_bytes_vec().unwrap()),
                &members,
            )
        };
        let answer = payload(ask("web"));
        assert_eq!(Packet::parse(&answer).unwrap().answers.len(), 1);
        assert!(matches!(ask("example.org"), Some(Reply::Ask { .. })));
    }

    proptest! {
        #[test]
        fn any_frame_is_answered_or_passed_over(
            kind in prop_oneof![Just([8, 0]), Just([8, 6]), any::<[u8; 2]>()],
            rest in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let (host, members) = lab();
            let frame = [&[0xff; 6][..], &CARD, &kind, &rest].concat();
            let _none_or_some = host.receive(&frame, &members);
        }

        #[test]
        fn a_question_that_is_cut_or_changed_is_survived(
            at in 0_usize..300, value in any::<u8>(), cut in 0_usize..400,
        ) {
            let (host, members) = lab();
            let mut frame = request(DhcpMessageType::Discover, None);
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            frame.truncate(cut.max(14));
            let _none_or_some = host.receive(&frame, &members);
        }
    }
}
