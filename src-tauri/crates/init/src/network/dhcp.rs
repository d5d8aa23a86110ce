//! DHCP (RFC 2131): one address, asked for once.
//!
//! ```text
//!   DISCOVER ──> OFFER ──> REQUEST ──> ACK      the lease
//!      ^  (nothing: again after 0.5, 1, 2, 4 … s)
//!      └───────────────────── NAK
//! ```
//!
//! The lease is not renewed: a machine lives shorter than the leases of the networks that it is made for, and its address
//! stays with its hardware address there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::lease::Lease;
use super::packet::{self, Reply};
use super::prefix_length;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// The first wait for an answer; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// No answer is longer than what an Ethernet frame carries.
const ANSWER_LIMIT_BYTES: usize = 1500;

/// Asks for an address; says in words why there is none.
pub(super) fn ask(
    interface: &str,
    hardware_address: [u8; 6],
    timeout: Duration,
) -> Result<Lease, String> {
    let context = |error: io::Error| format!("cannot ask for one: {error}");
    let socket = open(interface).map_err(context)?;
    let start = Instant::now();
    let mut exchange = Exchange::new(hardware_address);
    let mut wait = FIRST_WAIT;
    let server = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT)).into();
    let mut refused = false;
    while start.elapsed() < timeout {
        let question = exchange.question();
        socket.send_to(&question, &server).map_err(context)?;
        let deadline = (start.elapsed() + wait).min(timeout);
        wait = (wait * 2).min(LONGEST_WAIT);
        while let Some(answer) = receive(&socket, start, deadline).map_err(context)? {
            match exchange.take_answer(&answer) {
                Answer::Lease(lease) => return Ok(lease),
                Answer::Offer => break,
                Answer::Refusal => {
                    refused = true;
                    break;
                }
                Answer::Other => {}
            }
        }
    }
    let seconds = timeout.as_secs();
    Err(match (refused, exchange.offer.is_some()) {
        (true, _) => "the DHCP server refuses one".to_owned(),
        (false, true) => {
            format!("the DHCP server offered one and then fell silent for {seconds} s")
        }
        (false, false) => format!("no DHCP server answered within {seconds} s"),
    })
}

/// A socket that sends from an interface which has no address yet.
fn open(interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).into())?;
    Ok(socket)
}

/// The next datagram that comes until `deadline`, counted from `start`.
fn receive(socket: &Socket, start: Instant, deadline: Duration) -> io::Result<Option<Vec<u8>>> {
    let Some(left) = deadline
        .checked_sub(start.elapsed())
        .filter(|left| !left.is_zero())
    else {
        return Ok(None);
    };
    // A timeout of less than the clock's step would be none.
    socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
    let mut reader = socket;
    let mut buffer = vec![0; ANSWER_LIMIT_BYTES];
    match io::Read::read(&mut reader, &mut buffer) {
        Ok(count) => {
            buffer.truncate(count);
            Ok(Some(buffer))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(Vec::new())),
        Err(error) => Err(error),
    }
}

/// What an answer means for us.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Offer,
    Lease(Lease),
    Refusal,
    Other,
}

/// The questions and what was answered; no network in here.
#[derive(Debug)]
struct Exchange {
    hardware_address: [u8; 6],
    transaction: u32,
    /// The address that was offered, and by whom.
    offer: Option<(Ipv4Addr, Option<Ipv4Addr>)>,
}

impl Exchange {
    fn new(hardware_address: [u8; 6]) -> Self {
        // Alone on its hardware address, a client needs no luck for its number to be its own.
        let [_, _, a, b, c, d] = hardware_address;
        Self {
            hardware_address,
            transaction: u32::from_be_bytes([a, b, c, d]) ^ 0x5749_4e44,
            offer: None,
        }
    }

    /// The bytes to send next.
    fn question(&self) -> Vec<u8> {
        let (kind, requested, server) = match self.offer {
            None => (packet::DISCOVER, None, None),
            Some((address, server)) => (packet::REQUEST_MESSAGE, Some(address), server),
        };
        packet::question(
            kind,
            self.transaction,
            self.hardware_address,
            requested,
            server,
        )
    }

    fn take_answer(&mut self, bytes: &[u8]) -> Answer {
        let Some(reply) = Reply::read(bytes, self.transaction, self.hardware_address) else {
            return Answer::Other;
        };
        match (reply.kind(), self.offer, reply.address()) {
            (Some(packet::OFFER), None, Some(address)) => {
                let server = reply.addresses(packet::OPTION_SERVER).first().copied();
                self.offer = Some((address, server));
                Answer::Offer
            }
            (Some(packet::ACKNOWLEDGE), Some(_), Some(address)) => {
                Answer::Lease(lease(reply, address))
            }
            (Some(packet::REFUSE), Some(_), _) => {
                self.offer = None;
                Answer::Refusal
            }
            _ => Answer::Other,
        }
    }
}

fn lease(reply: Reply<'_>, address: Ipv4Addr) -> Lease {
    let mask = reply.addresses(packet::OPTION_SUBNET_MASK).first().copied();
    // Where routes are told, the default is one of them, and the router is not meant.
    let (default, routes): (Vec<_>, Vec<_>) = reply
        .routes()
        .into_iter()
        .partition(|route| route.prefix_length == 0);
    let gateway = if default.is_empty() && routes.is_empty() {
        reply.addresses(packet::OPTION_ROUTER).first().copied()
    } else {
        default.first().map(|route| route.gateway)
    };
    Lease {
        address,
        prefix_length: mask.and_then(prefix_length).unwrap_or(24),
        gateway,
        routes,
        name_servers: reply.addresses(packet::OPTION_NAME_SERVER),
        domain: reply.text(packet::OPTION_DOMAIN_NAME),
        // RFC 2132 allows no less than 68; less than IPv4's 576 would be of no use.
        mtu: reply.number(packet::OPTION_MTU).filter(|mtu| *mtu >= 576),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

    fn answer(exchange: &Exchange, kind: u8) -> Vec<u8> {
        let options: [(u8, &[u8]); 7] = [
            (packet::OPTION_MESSAGE_TYPE, &[kind]),
            (packet::OPTION_SERVER, &SERVER.octets()),
            (packet::OPTION_SUBNET_MASK, &[255, 255, 255, 0]),
            (packet::OPTION_ROUTER, &SERVER.octets()),
            (packet::OPTION_NAME_SERVER, &[10, 0, 2, 3, 10, 0, 2, 4, 10]),
            (packet::OPTION_DOMAIN_NAME, b"example.org\0"),
            (packet::OPTION_MTU, &1450_u16.to_be_bytes()),
        ];
        packet::reply(exchange.transaction, ADDRESS, HARDWARE, &options)
    }

    /// The message type and the requested address of a question.
    fn asked(exchange: &Exchange) -> (u8, Vec<u8>) {
        let mut question = exchange.question();
        assert_eq!(question.len(), 300);
        // Turned into a reply, it can be read.
        question[0] = 2;
        let reply = Reply::read(&question, exchange.transaction, HARDWARE).unwrap();
        let requested = reply
            .option(packet::OPTION_REQUESTED_ADDRESS)
            .unwrap_or_default();
        (reply.kind().unwrap(), requested.to_vec())
    }

    #[test]
    fn an_address_is_offered_requested_and_leased() {
        let mut exchange = Exchange::new(HARDWARE);
        assert_eq!(asked(&exchange), (packet::DISCOVER, vec![]));
        let offer = answer(&exchange, packet::OFFER);
        assert_eq!(exchange.take_answer(&offer), Answer::Offer);
        assert_eq!(
            asked(&exchange),
            (packet::REQUEST_MESSAGE, ADDRESS.octets().to_vec())
        );
        let acknowledgement = answer(&exchange, packet::ACKNOWLEDGE);
        let expected = Lease {
            address: ADDRESS,
            prefix_length: 24,
            gateway: Some(SERVER),
            routes: vec![],
            name_servers: vec![Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(10, 0, 2, 4)],
            domain: Some("example.org".to_owned()),
            mtu: Some(1450),
        };
        assert_eq!(
            exchange.take_answer(&acknowledgement),
            Answer::Lease(expected)
        );
    }

    #[test]
    fn routes_that_are_told_are_meant_instead_of_the_router() {
        let routes: [u8; 14] = [
            32, 169, 254, 169, 254, 10, 0, 2,
            9, // the metadata of a cloud, by its DHCP server
            0, 10, 0, 2, 7, // everything else
        ];
        let leased = |routes: &[u8]| {
            let options: [(u8, &[u8]); 2] = [
                (packet::OPTION_ROUTER, &SERVER.octets()),
                (packet::OPTION_ROUTES, routes),
            ];
            let bytes = packet::reply(1, ADDRESS, HARDWARE, &options);
            lease(Reply::read(&bytes, 1, HARDWARE).unwrap(), ADDRESS)
        };
        let lease = leased(&routes);
        assert_eq!(lease.gateway, Some(Ipv4Addr::new(10, 0, 2, 7)));
        let [route] = lease.routes.as_slice() else {
            panic!("{:?}", lease.routes)
        };
        assert_eq!(route.destination, Ipv4Addr::new(169, 254, 169, 254));
        assert_eq!(
            (route.prefix_length, route.gateway),
            (32, Ipv4Addr::new(10, 0, 2, 9))
        );
        // Without a default among them, there is none.
        assert_eq!(leased(&routes[..9]).gateway, None);
        // What is no route is passed over.
        assert_eq!(leased(&[33, 1, 2, 3]).gateway, Some(SERVER));
    }

    #[test]
    fn a_refusal_begins_again_and_what_is_for_others_is_passed_over() {
        let mut exchange = Exchange::new(HARDWARE);
        let mut foreign = answer(&exchange, packet::OFFER);
        foreign[30] ^= 1;
        assert_eq!(exchange.take_answer(&foreign), Answer::Other);
        let early = answer(&exchange, packet::ACKNOWLEDGE);
        assert_eq!(exchange.take_answer(&early), Answer::Other);
        let offer = answer(&exchange, packet::OFFER);
        exchange.take_answer(&offer);
        let refusal = answer(&exchange, packet::REFUSE);
        assert_eq!(exchange.take_answer(&refusal), Answer::Refusal);
        assert_eq!(asked(&exchange), (packet::DISCOVER, vec![]));
    }

    proptest! {
        #[test]
        fn any_datagram_can_be_taken(
            options in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>(),
        ) {
            let mut exchange = Exchange::new(HARDWARE);
            let mut offer = answer(&exchange, packet::OFFER);
            offer.truncate(cut.index(offer.len()));
            let _ = exchange.take_answer(&offer);
            for kind in [packet::OFFER, packet::ACKNOWLEDGE] {
                let mut reply = answer(&exchange, kind);
                reply.truncate(243);
                reply.extend(&options);
                let _ = exchange.take_answer(&reply);
            }
        }
    }
}
