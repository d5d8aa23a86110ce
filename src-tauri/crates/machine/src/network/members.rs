//! Who is on a network.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Subnet, host_name};
use crate::error::{Error, Result};

/// A machine on a private network, with what it has moved there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkMember {
    /// The machine's id.
    pub id: String,
    /// The names by which the others find it, its own first.
    pub names: Vec<String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its card's hardware address.
    pub hardware_address: [u8; 6],
    /// Whether its QEMU is connected now.
    #[serde(default)]
    pub is_connected: bool,
    /// What came to the machine since it joined, in bytes of frames.
    #[serde(default)]
    pub received_bytes: u64,
    /// What the machine sent since it joined, in bytes of frames.
    #[serde(default)]
    pub sent_bytes: u64,
}

/// The names of a machine on a network: its own, then what else it is called there.
pub(crate) fn names(name: &str, aliases: &[String]) -> Vec<String> {
    let mut names = vec![host_name(name)];
    names.extend(aliases.iter().map(|alias| host_name(alias)));
    names.retain(|name| !name.is_empty());
    let mut seen = Vec::new();
    names.retain(|name| {
        let is_new = !seen.contains(name);
        seen.push(name.clone());
        is_new
    });
    names
}

/// All who joined, connected or not: an address stays with its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Members {
    pub(crate) all: Vec<NetworkMember>,
}

impl Members {
    /// Takes a machine in; it keeps the address that it had. Where there is no address left, one that is not connected
    /// gives its own up.
    pub(crate) fn join(
        &mut self,
        subnet: Subnet,
        network: &str,
        id: &str,
        names: Vec<String>,
        hardware_address: [u8; 6],
    ) -> Result<NetworkMember> {
        let taken: Vec<u8> = self
            .all
            .iter()
            .filter_map(|member| subnet.number(member.address))
            .collect();
        let known = self.all.iter().position(|member| member.id == id);
        let free = (2..=254).find(|number| !taken.contains(number));
        let address = match (known, free) {
            (Some(index), _) => self.all.remove(index).address,
            (None, Some(number)) => subnet.address(number),
            (None, None) => {
                let absent = self.all.iter().position(|member| !member.is_connected);
                let index = absent.ok_or_else(|| Error::Network {
                    network: network.to_owned(),
                    problem: "all of its 253 addresses are taken".to_owned(),
                })?;
                self.all.remove(index).address
            }
        };
        let member = NetworkMember {
            id: id.to_owned(),
            names,
            address,
            hardware_address,
            is_connected: false,
            received_bytes: 0,
            sent_bytes: 0,
        };
        self.all.push(member.clone());
        Ok(member)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut NetworkMember> {
        self.all.iter_mut().find(|member| member.id == id)
    }

    /// The machine with this card.
    pub(crate) fn by_hardware_address(&self, address: [u8; 6]) -> Option<&NetworkMember> {
        self.all
            .iter()
            .find(|member| member.hardware_address == address)
    }

    /// All addresses of a name: those that are connected, or all where none is.
    pub(crate) fn by_name(&self, name: &str) -> Vec<Ipv4Addr> {
        let named = |member: &&NetworkMember| member.names.iter().any(|own| own == name);
        let all: Vec<_> = self.all.iter().filter(named).collect();
        let present = all.iter().any(|member| member.is_connected);
        all.into_iter()
            .filter(|member| member.is_connected || !present)
            .map(|member| member.address)
            .collect()
    }

    /// The name of the machine at an address.
    pub(crate) fn name_of(&self, address: Ipv4Addr) -> Option<&str> {
        let member = self.all.iter().find(|member| member.address == address)?;
        member.names.first().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_with_their_machines_and_are_given_up_last() {
        let subnet = Subnet::of("shop");
        let mut members = Members::default();
        let join = |members: &mut Members, id: &str| {
            let names = names(id, &[]);
            members.join(subnet, "shop", id, names, [2; 6])
        };
        for number in 0..253 {
            join(&mut members, &format!("m{number}")).unwrap();
        }
        let second = members.all[1].address;
        assert_eq!(join(&mut members, "m1").unwrap().address, second);
        for member in &mut members.all {
            member.is_connected = member.id != "m7";
        }
        let given_up = members.get_mut("m7").unwrap().address;
        assert_eq!(join(&mut members, "more").unwrap().address, given_up);
        members.get_mut("more").unwrap().is_connected = true;
        let error = join(&mut members, "too-many").unwrap_err();
        insta::assert_snapshot!(error, @"the network shop: all of its 253 addresses are taken");
    }

    #[test]
    fn several_of_one_name_are_all_found_and_those_that_are_gone_only_where_none_is_left() {
        let subnet = Subnet::of("shop");
        let mut members = Members::default();
        for id in ["a", "b"] {
            let names = names(id, &["worker".to_owned()]);
            members.join(subnet, "shop", id, names, [2; 6]).unwrap();
        }
        let (a, b) = (subnet.address(2), subnet.address(3));
        assert_eq!(members.by_name("worker"), [a, b]);
        members.get_mut("b").unwrap().is_connected = true;
        assert_eq!(members.by_name("worker"), [b]);
        assert_eq!(members.by_name("a"), [a]);
        assert_eq!(members.name_of(b), Some("b"));
        assert!(members.by_name("c").is_empty());
    }
}
