//! `network`: the private networks of machines.

use clap::Subcommand;
use windlass_workshop::machines::{NetworkMachine, PrivateNetwork};

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{size, table};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List private networks with their machines; `run --join NETWORK` puts one on a network
    #[command(alias = "list")]
    Ls,
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let networks = context.workshop.private_networks().await?;
        context.output.show(&networks, |networks| {
            let rows = networks.iter().flat_map(|network| {
                let machines = network.machines.iter();
                machines.map(move |machine| row(network, machine))
            });
            let rows: Vec<_> = rows.collect();
            table(
                ["NETWORK", "MACHINE", "ADDRESS", "NAMES", "RECEIVED", "SENT"],
                &rows,
                "No private networks; `windlassctl run --join NETWORK` makes one",
            )
        })?;
        Ok(0)
    }
}

fn row(network: &PrivateNetwork, machine: &NetworkMachine) -> [String; 6] {
    let moved = |bytes| {
        if machine.is_connected {
            size(bytes)
        } else {
            String::new()
        }
    };
    [
        network.name.clone(),
        machine.name.clone(),
        machine.address.clone().unwrap_or_default(),
        machine.names.join(", "),
        moved(machine.received_bytes),
        moved(machine.sent_bytes),
    ]
}
