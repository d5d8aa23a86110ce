//! Ports of this computer: choosing free ones, and finding out that one is taken before QEMU does.
//!
//! A chosen port is kept by a listener of our own until QEMU is about to be started; between that moment and QEMU's own
//! bind anybody may take it, so whoever starts QEMU tries again when that happens.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use crate::error::{Error, Result};
use crate::spec::{ForwardedPort, Port, Protocol};

/// Ports that are ours for as long as this lives.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    pub(crate) ports: Vec<ForwardedPort>,
    held: Vec<Held>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for their being bound, not to be used")]
enum Held {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Reservation {
    /// Takes every port that is asked for, and a free one for each that is left open. `holder_of` says who has a port.
    pub(crate) fn take(
        wanted: &[Port],
        holder_of: impl Fn(u16, Protocol) -> Option<String>,
    ) -> Result<Self> {
        let mut reservation = Self::default();
        // Fixed ones first: a free one must not be chosen to be one that is asked for further down.
        let fixed = wanted.iter().filter(|port| port.host.is_some());
        let open = wanted.iter().filter(|port| port.host.is_none());
        for port in fixed.chain(open) {
            let asked = port.host.unwrap_or(0);
            let (held, host) = bind(asked, port.protocol)
                .map_err(|error| refusal(error, asked, port.protocol, &holder_of))?;
            reservation.held.push(held);
            reservation.ports.push(ForwardedPort {
                host,
                guest: port.guest,
                protocol: port.protocol,
            });
        }
        Ok(reservation)
    }

    /// Lets go of the ports, for QEMU to take them.
    pub(crate) fn hand_over(self) -> Vec<ForwardedPort> {
        self.ports
    }
}

/// Says why a port of 127.0.0.1 could not be had now. Whoever asks may know better who has it.
///
/// # Errors
/// [`Error::PortTaken`] or [`Error::PortForbidden`].
pub fn check_port(port: u16, protocol: Protocol) -> Result<()> {
    bind(port, protocol).map_err(|error| refusal(error, port, protocol, |_, _| None))?;
    Ok(())
}

/// Why a port cannot be had.
fn refusal(
    error: io::Error,
    port: u16,
    protocol: Protocol,
    holder_of: impl Fn(u16, Protocol) -> Option<String>,
) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken {
            port,
            protocol,
            holder: holder_of(port, protocol),
        },
        io::ErrorKind::PermissionDenied => Error::PortForbidden { port, protocol },
        _ => Error::io("listen on", format!("127.0.0.1:{port}/{protocol}"))(error),
    }
}

fn bind(port: u16, protocol: Protocol) -> io::Result<(Held, u16)> {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind(address)?;
            let port = listener.local_addr()?.port();
            Ok((Held::Tcp(listener), port))
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(address)?;
            let port = socket.local_addr()?.port();
            Ok((Held::Udp(socket), port))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host: Option<u16>, guest: u16, protocol: Protocol) -> Port {
        Port {
            host,
            guest,
            protocol,
        }
    }

    #[test]
    fn free_ports_are_chosen_and_kept_until_handed_over() {
        let wanted = [port(None, 80, Protocol::Tcp), port(None, 53, Protocol::Udp)];
        let reservation = Reservation::take(&wanted, |_, _| None).unwrap();
        let chosen = reservation.ports.clone();
        assert_eq!(
            chosen.iter().map(|port| port.guest).collect::<Vec<_>>(),
            [80, 53]
        );
        for port in &chosen {
            bind(port.host, port.protocol).expect_err("is kept");
        }
        assert_eq!(reservation.hand_over(), chosen);
        for port in &chosen {
            bind(port.host, port.protocol).expect("is free");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_its_holder() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = other.local_addr().unwrap().port();
        let wanted = [port(Some(taken), 80, Protocol::Tcp)];
        let error = Reservation::take(&wanted, |_, _| Some("machine web".to_owned())).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("port {taken}/tcp of this computer is in use by machine web")
        );
    }

    #[test]
    fn a_port_that_cannot_be_had_says_why() {
        let error = |kind: io::ErrorKind| refusal(kind.into(), 80, Protocol::Tcp, |_, _| None);
        insta::assert_snapshot!(error(io::ErrorKind::AddrInUse), @"port 80/tcp of this computer is in use");
        insta::assert_snapshot!(error(io::ErrorKind::PermissionDenied), @"port 80/tcp of this computer is not for users to take");
        insta::assert_snapshot!(error(io::ErrorKind::OutOfMemory), @"cannot listen on 127.0.0.1:80/tcp");
    }
}
