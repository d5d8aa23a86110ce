//! DHCP messages (RFC 2131, RFC 2132), as far as a client needs them.
//!
//! ```text
//!   0  operation 1, hardware type 1, hardware address length 1, hops 1
//!   4  transaction 4, seconds 2, flags 2
//!  12  client address 4, your address 4, server address 4, relay address 4
//!  28  hardware address 16, server name 64, boot file 128
//! 236  63 82 53 63
//! 240  options: code 1, length 1, value; 0 is padding, 255 the end
//! ```
//!
//! Our own, because the library at hand (`dhcproto` 0.15) panics on options of an unexpected length, and a panic of this
//! program ends the guest: anybody on its network could have done that.

use std::net::Ipv4Addr;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const BROADCAST_FLAG: u16 = 0x8000;
const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const OPTIONS_OFFSET: usize = 240;
/// Servers may pass over anything shorter: it was the least size of BOOTP.
const LEAST_BYTES: usize = 300;

const OPTION_PADDING: u8 = 0;
pub(super) const OPTION_SUBNET_MASK: u8 = 1;
pub(super) const OPTION_ROUTER: u8 = 3;
pub(super) const OPTION_NAME_SERVER: u8 = 6;
pub(super) const OPTION_DOMAIN_NAME: u8 = 15;
pub(super) const OPTION_MTU: u8 = 26;
pub(super) const OPTION_REQUESTED_ADDRESS: u8 = 50;
pub(super) const OPTION_MESSAGE_TYPE: u8 = 53;
pub(super) const OPTION_SERVER: u8 = 54;
const OPTION_PARAMETER_LIST: u8 = 55;
pub(super) const OPTION_ROUTES: u8 = 121;
const OPTION_END: u8 = 255;

pub(super) const DISCOVER: u8 = 1;
pub(super) const OFFER: u8 = 2;
pub(super) const REQUEST_MESSAGE: u8 = 3;
pub(super) const ACKNOWLEDGE: u8 = 5;
pub(super) const REFUSE: u8 = 6;

/// What a client asks a server to tell.
/// The routes come first: a server that tells them means them instead of the router (RFC 3442).
const WANTED: [u8; 6] = [
    OPTION_ROUTES,
    OPTION_SUBNET_MASK,
    OPTION_ROUTER,
    OPTION_NAME_SERVER,
    OPTION_DOMAIN_NAME,
    OPTION_MTU,
];

/// A client's message, in bytes. An interface without an address hears broadcasts only, so it asks for those.
pub(super) fn question(
    kind: u8,
    transaction: u32,
    hardware_address: [u8; 6],
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
) -> Vec<u8> {
    let mut bytes = header(
        REQUEST,
        transaction,
        Ipv4Addr::UNSPECIFIED,
        hardware_address,
    );
    put(&mut bytes, OPTION_MESSAGE_TYPE, &[kind]);
    if let Some(address) = requested {
        put(&mut bytes, OPTION_REQUESTED_ADDRESS, &address.octets());
    }
    if let Some(address) = server {
        put(&mut bytes, OPTION_SERVER, &address.octets());
    }
    put(&mut bytes, OPTION_PARAMETER_LIST, &WANTED);
    bytes.push(OPTION_END);
    bytes.resize(bytes.len().max(LEAST_BYTES), OPTION_PADDING);
    bytes
}

fn header(operation: u8, transaction: u32, yours: Ipv4Addr, hardware_address: [u8; 6]) -> Vec<u8> {
    let mut bytes = vec![operation, ETHERNET, 6, 0];
    bytes.extend(transaction.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(BROADCAST_FLAG.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(yours.octets());
    bytes.extend([0; 8]);
    bytes.extend(hardware_address);
    bytes.resize(OPTIONS_OFFSET - MAGIC.len(), 0);
    bytes.extend(MAGIC);
    bytes
}

fn put(bytes: &mut Vec<u8>, code: u8, value: &[u8]) {
    bytes.push(code);
    bytes.push(u8::try_from(value.len()).unwrap_or(0));
    bytes.extend(value);
}

/// A way to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub destination: Ipv4Addr,
    pub prefix_length: u8,
    /// Unspecified where the network is on the same wire.
    pub gateway: Ipv4Addr,
}

/// A server's message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    bytes: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Takes the bytes as a reply to this client; `None` where they are something else.
    pub(super) fn read(
        bytes: &'a [u8],
        transaction: u32,
        hardware_address: [u8; 6],
    ) -> Option<Self> {
        let is_ours = bytes.first() == Some(&REPLY)
            && bytes.get(4..8) == Some(transaction.to_be_bytes().as_slice())
            && bytes.get(28..34) == Some(hardware_address.as_slice())
            && bytes.get(OPTIONS_OFFSET - MAGIC.len()..OPTIONS_OFFSET) == Some(MAGIC.as_slice());
        is_ours.then_some(Self { bytes })
    }

    /// The address that is offered or leased.
    pub(super) fn address(self) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = *self.bytes.get(16..)?.first_chunk()?;
        Some(Ipv4Addr::from(octets)).filter(|address| !address.is_unspecified())
    }

    /// The value of an option; one that is cut off is none.
    pub(super) fn option(self, wanted: u8) -> Option<&'a [u8]> {
        let mut rest = self.bytes.get(OPTIONS_OFFSET..)?;
        loop {
            let (code, after) = rest.split_first()?;
            match *code {
                OPTION_PADDING => rest = after,
                OPTION_END => return None,
                code => {
                    let (length, after) = after.split_first()?;
                    let (value, after) = after.split_at_checked(usize::from(*length))?;
                    if code == wanted {
                        return Some(value);
                    }
                    rest = after;
                }
            }
        }
    }

    pub(super) fn kind(self) -> Option<u8> {
        self.option(OPTION_MESSAGE_TYPE)?.first().copied()
    }

    /// The addresses in an option, as many as are whole.
    pub(super) fn addresses(self, option: u8) -> Vec<Ipv4Addr> {
        let value = self.option(option).unwrap_or_default();
        value
            .as_chunks::<4>()
            .0
            .iter()
            .map(|octets| Ipv4Addr::from(*octets))
            .collect()
    }

    /// The routes (RFC 3442), as many as are whole: width of the destination's prefix, as many of its bytes as that takes,
    /// gateway.
    pub(super) fn routes(self) -> Vec<Route> {
        let mut rest = self.option(OPTION_ROUTES).unwrap_or_default();
        let mut routes = Vec::new();
        while let Some((&prefix_length, after)) = rest.split_first() {
            let significant = usize::from(prefix_length).div_ceil(8);
            let (Some((destination, after)), true) =
                (after.split_at_checked(significant), prefix_length <= 32)
            else {
                break;
            };
            let Some((gateway, after)) = after.split_first_chunk::<4>() else {
                break;
            };
            let mut octets = [0; 4];
            octets
                .iter_mut()
                .zip(destination)
                .for_each(|(octet, byte)| *octet = *byte);
            routes.push(Route {
                destination: Ipv4Addr::from(octets),
                prefix_length,
                gateway: Ipv4Addr::from(*gateway),
            });
            rest = after;
        }
        routes
    }

    pub(super) fn number(self, option: u8) -> Option<u16> {
        self.option(option)?
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(super) fn text(self, option: u8) -> Option<String> {
        let text = String::from_utf8_lossy(self.option(option)?);
        Some(text.trim_end_matches('\0').to_owned()).filter(|text| !text.is_empty())
    }
}

/// A server's message, for tests.
#[cfg(test)]
pub(super) fn reply(
    transaction: u32,
    yours: Ipv4Addr,
    hardware_address: [u8; 6],
    options: &[(u8, &[u8])],
) -> Vec<u8> {
    let mut bytes = header(REPLY, transaction, yours, hardware_address);
    for (code, value) in options {
        bytes.push(OPTION_PADDING);
        put(&mut bytes, *code, value);
    }
    bytes.push(OPTION_END);
    bytes
}
