//! Private networks as they are shown, and what goes over the cards of a machine.

use std::collections::BTreeMap;

use serde::Serialize;
use specta::Type;

use crate::Workshop;
use crate::error::Result;

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
