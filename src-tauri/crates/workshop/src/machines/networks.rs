//! Private networks as they are shown, and what goes over the cards of a machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_machine::{HostLink, NetworkJoin};

use crate::Workshop;
use crate::error::{AppError, Result};
use crate::events::Event;

/// A private network: it is there as long as a machine names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PrivateNetwork {
    /// Its name.
    pub name: String,
    /// The machines that name it.
    pub machines: Vec<NetworkMachine>,
}

/// A machine on a private network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct NetworkMachine {
    /// The machine.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its address there, in its present or last run.
    pub address: Option<String>,
    /// The names by which the others find it.
    pub names: Vec<String>,
    /// Whether its card is connected now.
    pub is_connected: bool,
    /// What came to it, in bytes.
    pub received_bytes: u64,
    /// What it sent, in bytes.
    pub sent_bytes: u64,
}

/// A machine's place on a private network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPlace {
    /// The network.
    pub network: String,
    /// What the machine is called there beside its own name.
    #[serde(default)]
    pub aliases: Vec<String>,
}

impl From<NetworkJoin> for NetworkPlace {
    fn from(join: NetworkJoin) -> Self {
        Self {
            network: join.network,
            aliases: join.aliases,
        }
    }
}

impl From<NetworkPlace> for NetworkJoin {
    fn from(place: NetworkPlace) -> Self {
        Self {
            network: place.network,
            aliases: place.aliases,
        }
    }
}

/// What was kept of a machine's traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Captures {
    /// Files that other programs read (pcap), oldest first.
    pub files: Vec<String>,
    /// Whether more is being kept.
    pub is_going_on: bool,
}

impl Workshop {
    /// All private networks, by name.
    ///
    /// # Errors
    /// Where one does not answer as a network.
    pub async fn private_networks(&self) -> Result<Vec<PrivateNetwork>> {
        let mut networks: BTreeMap<String, Vec<NetworkMachine>> = BTreeMap::new();
        for machine in self.machines()? {
            for place in machine.networks {
                let machines = networks.entry(place.name).or_default();
                machines.push(NetworkMachine {
                    id: machine.id.clone(),
                    name: machine.name.clone(),
                    address: place.address,
                    names: place.names,
                    is_connected: false,
                    received_bytes: 0,
                    sent_bytes: 0,
                });
            }
        }
        for (network, machines) in &mut networks {
            for member in self.machines.network_members(network).await? {
                if let Some(machine) = machines.iter_mut().find(|it| it.id == member.id) {
                    machine.is_connected = member.is_connected;
                    machine.received_bytes = member.received_bytes;
                    machine.sent_bytes = member.sent_bytes;
                }
            }
        }
        let shown = |(name, machines)| PrivateNetwork { name, machines };
        Ok(networks.into_iter().map(shown).collect())
    }

    /// The bridges and tap devices of this computer that a machine can be on, as they are named among its networks:
    /// `bridge:br0`, `tap:tap0`.
    pub fn host_links(&self) -> Vec<String> {
        let links = HostLink::all();
        links.iter().map(ToString::to_string).collect()
    }

    /// Puts a machine on a private network, or on one of this computer, from its next start on, or gives it other names there.
    ///
    /// # Errors
    /// `Input` where a name cannot be; `Conflict` while another process drives the machine.
    pub async fn join_network(&self, machine: &str, place: NetworkPlace) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        let join = NetworkJoin::from(place);
        let change = move |spec: &mut windlass_machine::MachineSpec| {
            let mut kept = spec.networks.iter_mut();
            match kept.find(|kept| kept.network == join.network) {
                Some(kept) => *kept = join,
                None => spec.networks.push(join),
            }
        };
        handle.edit(change).await?;
        self.machine_changed(&handle);
        Ok(())
    }

    /// Takes a machine off a private network, from its next start on.
    ///
    /// # Errors
    /// `NotFound` where it is not on that network; `Conflict` while another process drives the machine.
    pub async fn leave_network(&self, machine: &str, network: &str) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        let there = handle.spec().networks;
        if !there.iter().any(|join| join.network == network) {
            return Err(AppError::not_found("network of this machine", network));
        }
        let gone = network.to_owned();
        handle
            .edit(move |spec| spec.networks.retain(|join| join.network != gone))
            .await?;
        self.machine_changed(&handle);
        Ok(())
    }

    fn machine_changed(&self, handle: &windlass_machine::MachineHandle) {
        let shown = Box::new(super::shown(handle));
        self.events.send(Event::MachineChanged(shown));
    }

    /// Begins to keep what goes over a machine's card: on a private network, or behind this computer's address. Gives the
    /// file.
    ///
    /// # Errors
    /// `Conflict` unless it runs; `Unavailable` where it has no such card.
    pub async fn start_capture(&self, machine: &str, network: Option<&str>) -> Result<String> {
        let handle = self.machine_handle(machine)?;
        let file = handle.start_capture(network).await?;
        Ok(file.display().to_string())
    }

    /// Ends all captures of a machine; their files stay with it.
    ///
    /// # Errors
    /// `Conflict` unless it runs.
    pub async fn stop_capture(&self, machine: &str) -> Result<Captures> {
        self.machine_handle(machine)?.stop_capture().await?;
        self.captures(machine).await
    }

    /// What was kept of a machine's traffic.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine.
    pub async fn captures(&self, machine: &str) -> Result<Captures> {
        let (files, is_going_on) = self.machine_handle(machine)?.captures().await?;
        let files = files.iter().map(|file| file.display().to_string());
        Ok(Captures {
            files: files.collect(),
            is_going_on,
        })
    }
}
