//! The names of a network's machines, over DNS (RFC 1035).
//!
//! A machine is found by its name alone and by `name.network`, and its name by its address. What else is asked for with
//! a dot in it goes to the name servers of this computer; a single word that nobody bears does not.

use std::net::Ipv4Addr;

use simple_dns::rdata::{A, PTR, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::Subnet;
use super::members::Members;

/// Machines come and go: nobody keeps an answer for long.
const TIME_TO_LIVE_SECONDS: u32 = 5;

/// What comes of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer.
    Answer(Vec<u8>),
    /// Somebody else knows.
    Forward,
}

/// Answers a question; `None` where it is none.
pub(crate) fn answer(
    question: &[u8],
    network: &str,
    subnet: Subnet,
    members: &Members,
) -> Option<Reply> {
    let query = Packet::parse(question).ok()?;
    if query.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    if query.opcode() != OPCODE::StandardQuery {
        return refusal(&query, RCODE::NotImplemented);
    }
    let [asked] = query.questions.as_slice() else {
        return refusal(&query, RCODE::FormatError);
    };
    let name = asked.qname.to_string().to_ascii_lowercase();
    let wants = |kind: TYPE| [QTYPE::TYPE(kind), QTYPE::ANY].contains(&asked.qtype);
    let mut reply = reply_to(&query);
    reply.questions.push(asked.clone());
    if let Some(address) = reverse(&name).filter(|address| subnet.number(*address).is_some()) {
        match own_name(address, network, subnet, members) {
            Some(name) if wants(TYPE::PTR) => {
                let target = Name::new(&name).ok()?.into_owned();
                let data = RData::PTR(PTR(target));
                push(&mut reply, &asked.qname, data);
            }
            Some(_) => {}
            None => *reply.rcode_mut() = RCODE::NameError,
        }
        return bytes(&reply);
    }
    let host = name
        .strip_suffix(&network.to_ascii_lowercase())
        .and_then(|rest| rest.strip_suffix('.'))
        .unwrap_or(&name);
    let mut addresses = members.by_name(host);
    if addresses.is_empty() && host == "gateway" && host != name {
        addresses.push(subnet.host());
    }
    if addresses.is_empty() {
        if name.contains('.') && host == name {
            return Some(Reply::Forward);
        }
        *reply.rcode_mut() = RCODE::NameError;
        return bytes(&reply);
    }
    // A question for IPv6 has an answer without addresses: the name is there, none of its addresses is of that kind.
    if wants(TYPE::A) {
        for address in addresses {
            push(&mut reply, &asked.qname, RData::A(A::from(address)));
        }
    }
    bytes(&reply)
}

/// The answer to a question that nobody could be asked.
pub(crate) fn server_failure(question: &[u8]) -> Option<Vec<u8>> {
    let query = Packet::parse(question).ok()?;
    match refusal(&query, RCODE::ServerFailure)? {
        Reply::Answer(bytes) => Some(bytes),
        Reply::Forward => None,
    }
}

fn refusal(query: &Packet<'_>, code: RCODE) -> Option<Reply> {
    let mut reply = reply_to(query);
    reply.questions.clone_from(&query.questions);
    *reply.rcode_mut() = code;
    bytes(&reply)
}

fn reply_to<'a>(query: &Packet<'_>) -> Packet<'a> {
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply
}

fn push<'a>(reply: &mut Packet<'a>, name: &Name<'a>, data: RData<'a>) {
    let record = ResourceRecord::new(name.clone(), CLASS::IN, TIME_TO_LIVE_SECONDS, data);
    reply.answers.push(record);
}

fn bytes(reply: &Packet<'_>) -> Option<Reply> {
    reply.build_bytes_vec().ok().map(Reply::Answer)
}

fn own_name(address: Ipv4Addr, network: &str, subnet: Subnet, members: &Members) -> Option<String> {
    if address == subnet.host() {
        return Some(format!("gateway.{network}"));
    }
    members.name_of(address).map(str::to_owned)
}

/// The address in `15.2.0.10.in-addr.arpa`.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let digits = name.strip_suffix(".in-addr.arpa")?;
    let address: Ipv4Addr = digits.parse().ok()?;
    let [a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use simple_dns::{QCLASS, Question};

    use super::super::members::names;
    use super::*;

    fn members() -> Members {
        let mut members = Members::default();
        for (id, name, alias) in [
            ("1", "Web", "shop"),
            ("2", "db-1", "db"),
            ("3", "db-2", "db"),
        ] {
            let names = names(name, &[alias.to_owned()]);
            members
                .join(Subnet::of("lab"), "lab", id, names, [2; 6])
                .unwrap();
        }
        members
    }

    fn ask(name: &str, kind: TYPE) -> String {
        let mut query = Packet::new_query(7);
        query.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(name).unwrap();
        let question = Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false);
        query.questions.push(question);
        let query = query.build_bytes_vec().unwrap();
        match answer(&query, "lab", Subnet::of("lab"), &members()).unwrap() {
            Reply::Forward => "forwarded".to_owned(),
            Reply::Answer(bytes) => {
                let reply = Packet::parse(&bytes).unwrap();
                assert!(reply.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED));
                assert_eq!((reply.id(), reply.questions.len()), (7, 1));
                let mut text = format!("{:?}", reply.rcode());
                for record in &reply.answers {
                    match &record.rdata {
                        RData::A(a) => {
                            let [.., number] = Ipv4Addr::from(a.address).octets();
                            write!(text, " .{number}").unwrap();
                        }
                        RData::PTR(name) => write!(text, " {}", name.0).unwrap(),
                        other => panic!("{other:?}"),
                    }
                }
                text
            }
        }
    }

    #[test]
    fn machines_are_found_by_their_names() {
        assert_eq!(ask("web", TYPE::A), "NoError .2");
        assert_eq!(ask("WEB", TYPE::A), "NoError .2");
        assert_eq!(ask("shop.lab", TYPE::A), "NoError .2");
        assert_eq!(ask("db", TYPE::A), "NoError .3 .4");
        assert_eq!(ask("web", TYPE::AAAA), "NoError");
        assert_eq!(ask("nobody", TYPE::A), "NameError");
        assert_eq!(ask("nobody.lab", TYPE::A), "NameError");
        assert_eq!(ask("gateway.lab", TYPE::A), "NoError .1");
        assert_eq!(ask("example.org", TYPE::A), "forwarded");
        assert_eq!(ask("web.example.org", TYPE::A), "forwarded");
    }

    #[test]
    fn names_are_found_by_their_addresses() {
        let question = |number: u8| {
            let [a, b, c, d] = Subnet::of("lab").address(number).octets();
            ask(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"), TYPE::PTR)
        };
        assert_eq!(question(2), "NoError web");
        assert_eq!(question(1), "NoError gateway.lab");
        assert_eq!(question(9), "NameError");
        assert_eq!(ask("1.0.0.127.in-addr.arpa", TYPE::PTR), "forwarded");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_or_passed_over(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _none_or_some = answer(&bytes, "lab", Subnet::of("lab"), &members());
        }
    }
}
