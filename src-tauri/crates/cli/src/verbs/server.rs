//! `server`: servers of clouds.

use clap::{Args, Subcommand};
use windlass_workshop::clouds::{CloudServer, CloudServerAction};

use super::cloud::open;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Output, fields, table, time};

/// Servers of a cloud.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The cloud
    cloud: String,
    /// The server's name or id
    server: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the servers of a cloud
    List {
        /// The cloud
        cloud: String,
        /// Those that Windlass made
        #[arg(long)]
        ours: bool,
    },
    /// Show a server
    Show(Named),
    /// Print what a server said on its console
    Logs {
        #[command(flatten)]
        named: Named,
        /// The last lines; all, when nothing is said
        #[arg(long, short, value_name = "NUMBER")]
        lines: Option<u32>,
    },
    /// Start a server
    Start(Named),
    /// Ask the guest of a server to stop
    Stop(Named),
    /// Start a server anew
    Reboot {
        #[command(flatten)]
        named: Named,
        /// As if by its button, without asking its guest
        #[arg(long)]
        hard: bool,
    },
    /// Hold a server in memory
    Pause(Named),
    /// Let a paused server go on
    Unpause(Named),
    /// Put a server to disk
    Suspend(Named),
    /// Bring a suspended server back
    Resume(Named),
    /// Free what a server takes, and keep what it is
    Shelve(Named),
    /// Bring a shelved server back
    Unshelve(Named),
    /// Delete a server; with the last of a deployment goes what was made for it
    Delete(Named),
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        use CloudServerAction as Action;
        let (workshop, output) = (&context.workshop, &context.output);
        let (named, action) = match self {
            Self::List { cloud, ours } => {
                let cloud = open(context, &cloud).await?;
                let servers = workshop.cloud_servers(cloud.id, ours).await?;
                output.show(&servers, |it: &Vec<CloudServer>| list(it))?;
                return Ok(0);
            }
            Self::Show(named) => {
                let cloud = open(context, &named.cloud).await?;
                output.show(&workshop.cloud_server(cloud.id, &named.server).await?, show)?;
                return Ok(0);
            }
            Self::Logs { named, lines } => {
                let cloud = open(context, &named.cloud).await?;
                let log = workshop
                    .cloud_server_log(cloud.id, &named.server, lines)
                    .await?;
                Output::raw(log.as_bytes())?;
                return Ok(0);
            }
            Self::Delete(named) => {
                let cloud = open(context, &named.cloud).await?;
                workshop
                    .delete_cloud_server(cloud.id, &named.server)
                    .await?;
                output.show(&named.server, |it| format!("Deleted {it}"))?;
                return Ok(0);
            }
            Self::Start(named) => (named, Action::Start),
            Self::Stop(named) => (named, Action::Stop),
            Self::Reboot { named, hard } => (
                named,
                if hard {
                    Action::HardReboot
                } else {
                    Action::Reboot
                },
            ),
            Self::Pause(named) => (named, Action::Pause),
            Self::Unpause(named) => (named, Action::Unpause),
            Self::Suspend(named) => (named, Action::Suspend),
            Self::Resume(named) => (named, Action::Resume),
            Self::Shelve(named) => (named, Action::Shelve),
            Self::Unshelve(named) => (named, Action::Unshelve),
        };
        let cloud = open(context, &named.cloud).await?;
        workshop
            .act_on_cloud_server(cloud.id, &named.server, action)
            .await?;
        let server = workshop.cloud_server(cloud.id, &named.server).await?;
        output.show(&server, |it| list(std::slice::from_ref(it)))?;
        Ok(0)
    }
}

pub(super) fn list(servers: &[CloudServer]) -> String {
    let rows: Vec<_> = servers
        .iter()
        .map(|it| {
            [
                it.name.clone(),
                it.task.as_ref().map_or_else(
                    || it.status.clone(),
                    |task| format!("{} ({task})", it.status),
                ),
                it.fixed.join(" "),
                it.floating.join(" "),
                it.flavor.clone().unwrap_or_default(),
                it.deployment.clone().unwrap_or_default(),
                it.id.clone(),
            ]
        })
        .collect();
    table(
        [
            "NAME",
            "STATE",
            "ADDRESS",
            "FLOATING",
            "FLAVOR",
            "DEPLOYMENT",
            "ID",
        ],
        &rows,
        "No servers",
    )
}

fn show(server: &CloudServer) -> String {
    fields(&[
        ("Name", server.name.clone()),
        ("Id", server.id.clone()),
        ("State", server.status.clone()),
        ("Doing", server.task.clone().unwrap_or_default()),
        ("Fault", server.fault.clone().unwrap_or_default()),
        ("Addresses", server.fixed.join(" ")),
        ("Floating", server.floating.join(" ")),
        ("Flavor", server.flavor.clone().unwrap_or_default()),
        ("Image", server.image.clone().unwrap_or_default()),
        ("Deployment", server.deployment.clone().unwrap_or_default()),
        ("Made", time(&server.made)),
    ])
}
