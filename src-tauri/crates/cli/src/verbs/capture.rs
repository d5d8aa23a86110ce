//! `machine capture`: what goes over a machine's network cards.

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::lines;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Begin to keep it, in a file that grows until that is stopped
    Start {
        /// Name or id of a machine
        machine: String,
        /// On this private network, rather than behind this computer's address
        #[arg(long, value_name = "NETWORK")]
        network: Option<String>,
    },
    /// End it
    Stop {
        /// Name or id of a machine
        machine: String,
    },
    /// List the files
    List {
        /// Name or id of a machine
        machine: String,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let machine = match self {
            Self::Start { machine, network } => {
                let network = network.as_deref();
                let file = workshop.start_capture(&machine, network).await?;
                context.output.show(&file, |file| format!("{file}\n"))?;
                return Ok(0);
            }
            Self::Stop { machine } => {
                workshop.stop_capture(&machine).await?;
                machine
            }
            Self::List { machine } => machine,
        };
        let captures = workshop.captures(&machine).await?;
        context
            .output
            .show(&captures, |captures| lines(&captures.files, Clone::clone))?;
        Ok(0)
    }
}
