//! `network`: the private networks of machines.

use clap::Subcommand;
use windlass_workshop::machines::{NetworkMachine, NetworkPlace, PrivateNetwork};

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{size, table};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List private networks with their machines; `run --join NETWORK` puts one on a network
    #[command(alias = "list")]
    Ls,
    /// List the bridges and tap devices of this computer that a machine can be on as well
    Links,
    /// Put a machine on a private network, or on one of `links`, from its next start on
    Join {
        /// Name or id of a machine
        machine: String,
        /// The network; it exists where it is named. `bridge:NAME` and `tap:NAME` are this computer's
        network: String,
        /// What the machine is called there beside its own name
        #[arg(long = "as", value_name = "NAME")]
        aliases: Vec<String>,
    },
    /// Take a machine off a private network, from its next start on
    Leave {
        /// Name or id of a machine
        machine: String,
        /// The network
        network: String,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::Ls => return list(context).await,
            Self::Links => {
                context.output.show(&workshop.host_links(), |links| {
                    if links.is_empty() {
                        "No bridge and no tap device of yours; `sudo ip link add br0 type bridge` makes one".to_owned()
                    } else {
                        links.join("\n")
                    }
                })?;
            }
            Self::Join {
                machine,
                network,
                aliases,
            } => {
                let place = NetworkPlace { network, aliases };
                let note = format!("{machine} is on {} from its next start on", place.network);
                workshop.join_network(&machine, place).await?;
                context.output.note(&note);
            }
            Self::Leave { machine, network } => {
                workshop.leave_network(&machine, &network).await?;
                let note = format!("{machine} is not on {network} from its next start on");
                context.output.note(&note);
            }
        }
        Ok(0)
    }
}

async fn list(context: &Context) -> Outcome {
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
