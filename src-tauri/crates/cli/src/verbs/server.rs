//! `server`: servers of clouds.

use clap::{Args, Subcommand};
use windlass_workshop::clouds::{
    CloudServer, CloudServerAction, CloudServerChange, CloudServerChoices, CloudServerDeed,
    DeployFrom,
};

use super::cloud::open;
use crate::context::Context;
use crate::failure::Outcome;
use crate::foreground;
use crate::output::{Output, fields, table, time};
use crate::progress;
use crate::signals::Signals;

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
    Show {
        #[command(flatten)]
        named: Named,
        /// As Nova shows it, as JSON
        #[arg(long)]
        raw: bool,
    },
    /// Print what a server said on its console
    Logs {
        #[command(flatten)]
        named: Named,
        /// The last lines; all, when nothing is said
        #[arg(long, short, value_name = "NUMBER", conflicts_with = "follow")]
        lines: Option<u32>,
        /// Go on with what comes
        #[arg(long, short)]
        follow: bool,
    },
    /// Type into a server's serial console; Ctrl+] leaves it
    Console(Named),
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
    /// Make an image of a server as it is
    Snapshot {
        #[command(flatten)]
        named: Named,
        /// What the image is to be called
        name: String,
    },
    /// Give a server another size
    Resize {
        #[command(flatten)]
        named: Named,
        /// The flavor
        flavor: String,
        /// Keep it at once; otherwise confirm or revert when it runs
        #[arg(long)]
        confirm: bool,
    },
    /// Keep the size that a server was given
    Confirm(Named),
    /// Go back to the size that a server had
    Revert(Named),
    /// Put another image into a server, which keeps its addresses
    Rebuild {
        #[command(flatten)]
        named: Named,
        /// An image of this computer: a build or a file
        image: String,
        /// It is an appliance, which is built as it is now
        #[arg(long, conflicts_with = "remote")]
        appliance: bool,
        /// It is an image of the cloud
        #[arg(long)]
        remote: bool,
    },
    /// List what servers of a cloud can be given: flavors, volumes, networks of floating addresses
    Choices {
        /// The cloud
        cloud: String,
    },
    /// Give a server a volume of the cloud
    Attach {
        #[command(flatten)]
        named: Named,
        /// The volume's name or id
        volume: String,
    },
    /// Take a volume from a server
    Detach {
        #[command(flatten)]
        named: Named,
        /// The volume's name or id
        volume: String,
    },
    /// Have a floating address lead to a server: one that is free, else a new one
    Float {
        #[command(flatten)]
        named: Named,
        /// The outside network that it comes from
        #[arg(long, value_name = "NETWORK")]
        from: Option<String>,
    },
    /// Have a floating address lead to a server no more
    Unfloat {
        #[command(flatten)]
        named: Named,
        /// The address
        address: String,
    },
    /// List what was done with a server, and why it failed
    History(Named),
    /// Delete a server; with the last of a deployment goes what was made for it
    Delete(Named),
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        use CloudServerAction as Action;
        let (workshop, output) = (&context.workshop, &context.output);
        let act = |action| CloudServerChange::Act { action };
        let (named, change) = match self {
            Self::List { cloud, ours } => {
                let cloud = open(context, &cloud).await?;
                let servers = workshop.cloud_servers(cloud.id, ours).await?;
                output.show(&servers, |it: &Vec<CloudServer>| list(it))?;
                return Ok(0);
            }
            Self::Show { named, raw } => return shown(context, &named, raw).await,
            Self::History(named) => {
                let cloud = open(context, &named.cloud).await?;
                let deeds = workshop
                    .cloud_server_history(cloud.id, &named.server)
                    .await?;
                output.show(deeds.as_slice(), history)?;
                return Ok(0);
            }
            Self::Console(named) => {
                let cloud = open(context, &named.cloud).await?;
                let console = workshop
                    .cloud_server_serial(cloud.id, &named.server)
                    .await?;
                return foreground::join(context, console).await;
            }
            Self::Logs {
                named,
                lines,
                follow,
            } => return said(context, &named, lines, follow).await,
            Self::Choices { cloud } => {
                let cloud = open(context, &cloud).await?;
                output.show(&workshop.cloud_server_choices(cloud.id).await?, choices)?;
                return Ok(0);
            }
            Self::Attach { named, volume } => (named, CloudServerChange::AttachVolume { volume }),
            Self::Detach { named, volume } => (named, CloudServerChange::DetachVolume { volume }),
            Self::Float { named, from } => (named, CloudServerChange::AddFloating { from }),
            Self::Unfloat { named, address } => {
                (named, CloudServerChange::RemoveFloating { address })
            }
            Self::Delete(named) => (named, CloudServerChange::Delete),
            Self::Snapshot { named, name } => (named, CloudServerChange::Snapshot { name }),
            Self::Resize {
                named,
                flavor,
                confirm,
            } => (named, CloudServerChange::Resize { flavor, confirm }),
            Self::Rebuild {
                named,
                image,
                appliance,
                remote,
            } => {
                let from = match (appliance, remote) {
                    (true, _) => DeployFrom::Appliance,
                    (_, true) => DeployFrom::Cloud,
                    _ => DeployFrom::Image,
                };
                (named, CloudServerChange::Rebuild { image, from })
            }
            Self::Confirm(named) => (named, act(Action::ConfirmResize)),
            Self::Revert(named) => (named, act(Action::RevertResize)),
            Self::Start(named) => (named, act(Action::Start)),
            Self::Stop(named) => (named, act(Action::Stop)),
            Self::Reboot { named, hard: true } => (named, act(Action::HardReboot)),
            Self::Reboot { named, .. } => (named, act(Action::Reboot)),
            Self::Pause(named) => (named, act(Action::Pause)),
            Self::Unpause(named) => (named, act(Action::Unpause)),
            Self::Suspend(named) => (named, act(Action::Suspend)),
            Self::Resume(named) => (named, act(Action::Resume)),
            Self::Shelve(named) => (named, act(Action::Shelve)),
            Self::Unshelve(named) => (named, act(Action::Unshelve)),
        };
        changed(context, &named, change).await
    }
}

async fn shown(context: &Context, named: &Named, raw: bool) -> Outcome {
    let workshop = &context.workshop;
    let cloud = open(context, &named.cloud).await?;
    if raw {
        let text = workshop
            .cloud_server_as_shown(cloud.id, &named.server)
            .await?;
        Output::raw(format!("{text}\n").as_bytes())?;
    } else {
        let server = workshop.cloud_server(cloud.id, &named.server).await?;
        context.output.show(&server, show)?;
    }
    Ok(0)
}

async fn said(context: &Context, named: &Named, lines: Option<u32>, follow: bool) -> Outcome {
    let workshop = &context.workshop;
    let cloud = open(context, &named.cloud).await?;
    if follow {
        let signals = Signals::listen()?;
        let log = workshop
            .follow_cloud_server(cloud.id, &named.server)
            .await?;
        return foreground::listen(log, signals).await;
    }
    let log = workshop
        .cloud_server_log(cloud.id, &named.server, lines)
        .await?;
    Output::raw(log.as_bytes())?;
    Ok(0)
}

async fn changed(context: &Context, named: &Named, change: CloudServerChange) -> Outcome {
    let (workshop, output) = (&context.workshop, &context.output);
    let cloud = open(context, &named.cloud).await?;
    let gone = change == CloudServerChange::Delete;
    let mut signals = Signals::listen()?;
    let job = workshop.start_cloud_server_change(cloud.id, &named.server, None, change)?;
    let job = progress::wait(context, &job, &mut signals).await?;
    if gone {
        output.show(&named.server, |it| format!("Deleted {it}"))?;
        return Ok(0);
    }
    let server = workshop.cloud_server(cloud.id, &named.server).await?;
    if let Some(made) = job.produced.filter(|it| *it != server.id) {
        output.show(&made, Clone::clone)?;
        return Ok(0);
    }
    output.show(&server, |it| list(std::slice::from_ref(it)))?;
    Ok(0)
}

fn choices(choices: &CloudServerChoices) -> String {
    let flavors = choices.flavors.iter().map(|it| {
        let size = format!(
            "{} CPU, {} MiB, {} GiB",
            it.vcpus, it.memory_mib, it.disk_gib
        );
        ["flavor".to_owned(), it.name.clone(), size]
    });
    let volumes = choices.volumes.iter().map(|it| {
        let size = format!("{} GiB, {}", it.size_gib, it.status);
        ["volume".to_owned(), it.name.clone(), size]
    });
    let outside = choices
        .external
        .iter()
        .map(|it| ["outside network".to_owned(), it.clone(), String::new()]);
    let rows: Vec<_> = flavors.chain(volumes).chain(outside).collect();
    table(["WHAT", "NAME", "SIZE"], &rows, "Nothing")
}

fn history(deeds: &[CloudServerDeed]) -> String {
    let rows: Vec<_> = deeds
        .iter()
        .map(|it| {
            let outcome = if it.failed { "failed" } else { "" };
            [
                time(&it.started),
                it.action.clone(),
                outcome.to_owned(),
                it.fault.clone().unwrap_or_default(),
                it.request.clone(),
            ]
        })
        .collect();
    table(
        ["WHEN", "WHAT", "OUTCOME", "WHY", "REQUEST"],
        &rows,
        "Nothing was done with it",
    )
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
