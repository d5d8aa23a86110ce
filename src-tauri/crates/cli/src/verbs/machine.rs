//! Machines: `instances`, `stop`, `delete`, and all of `machine`.

mod each;
mod list;
mod one;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use windlass_workshop::machines::{GroupPlace, MachineState};
use windlass_workshop::volumes::SharedFolder;

use self::each::each;
pub(crate) use self::each::{Names, delete, stop};
use self::list::said;
pub(crate) use self::list::{list, list_of};
use crate::context::Context;
use crate::failure::Outcome;
use crate::foreground;
use crate::output::Output;
use crate::values;

/// One machine by name or id.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name or id of a machine
    name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List machines
    List,
    /// Start machines that rest
    Start(Names),
    /// Halt guests where they are
    Pause(Names),
    /// Let paused guests go on
    Resume(Names),
    /// Ask machines to stop, and wait until they have
    Stop(Names),
    /// Stop machines where they run, and start them
    Restart(Names),
    /// Make a machine that is as another one
    Clone {
        /// Name or id of a machine
        name: String,
        /// The name of the new one
        new_name: Option<String>,
        /// With what its guest has written to its disks; it must not run then
        #[arg(long)]
        with_changes: bool,
    },
    /// Show, or change, how much of this computer a machine may take; what is changed holds from its next start on
    Resources {
        /// Name or id of a machine
        name: String,
        /// Virtual processors
        #[arg(long, short, value_name = "NUMBER")]
        cpus: Option<u32>,
        /// Memory, such as 512M or 1G
        #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
        memory: Option<u32>,
        /// How much it gives way to other programs: 0 not at all, 19 always
        #[arg(long, value_name = "NUMBER")]
        nice: Option<u8>,
        /// The processors of this computer that it runs on, such as 0,1; `all`
        #[arg(long, value_name = "NUMBERS")]
        pin: Option<String>,
        /// The most that its disks read and write in a second, such as 50M; 0 is no limit
        #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
        disk_rate: Option<u32>,
        /// The most requests to its disks in a second; 0 is no limit
        #[arg(long, value_name = "NUMBER")]
        disk_requests: Option<u32>,
        /// The most of this computer's processors that it takes, in hundredths of one, such as 150; 0 is no limit
        #[arg(long, value_name = "PERCENT")]
        cpu_limit: Option<u32>,
        /// The most memory that it takes, QEMU's own included, such as 1G; 0 is no limit
        #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
        memory_limit: Option<u32>,
    },
    /// Let a machine's guest see a folder of this computer, from its next start on
    Share {
        /// Name or id of a machine
        name: String,
        /// The folder, and where the guest mounts it; with `:ro` it may only read it, as OSv does in any case
        #[arg(value_name = "FOLDER:/PATH[:ro]", value_parser = values::share)]
        share: SharedFolder,
    },
    /// Take a folder from a machine's guest, from its next start on
    Unshare {
        /// Name or id of a machine
        name: String,
        /// Where the guest mounts it
        path: String,
    },
    /// Write what a report of trouble needs as a ZIP, without secrets
    DebugBundle {
        /// Name or id of a machine
        name: String,
        /// The file; NAME-debug.zip when nothing is said
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Put machines into a group, whose machines start and stop as one
    Group {
        /// Names or ids of machines
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// The group
        #[arg(long, short, value_name = "GROUP", required_unless_present = "none")]
        group: Option<String>,
        /// When they start: those of the lowest number first
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        order: u32,
        /// Take them out of the group that they are in
        #[arg(long, conflicts_with_all = ["group", "order"])]
        none: bool,
    },
    /// Cut the power of machines
    Kill(Names),
    /// Delete machines with all that their guests wrote
    Delete(Names),
    /// Give a machine another name
    Rename {
        /// Name or id of a machine
        name: String,
        /// Its new name
        new_name: String,
    },
    /// Show the exact QEMU command, and where things are
    Details(Name),
    /// Show what machines take of this computer
    Stats {
        /// Names or ids of machines; all that run when none is named
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Print what a guest said on its console
    Logs {
        /// Name or id of a machine
        name: String,
        /// Go on until the guest has ended
        #[arg(long, short)]
        follow: bool,
    },
    /// Type into a guest's console and read it; Ctrl+] leaves
    Console(Name),
    /// Send what changed in the appliance to a machine that runs, and start its commands again
    ///
    /// The machine has to have been started with --allow-changes.
    Push {
        /// Name or id of a machine
        name: String,
        /// Say what would be sent, and stop
        #[arg(long = "dry-run")]
        preview: bool,
    },
    /// Run a program in a Linux guest that may be changed while it runs, and pass its status on
    Exec {
        /// Name or id of a machine
        name: String,
        /// The program and its arguments, after `--`
        #[arg(required = true, last = true, value_name = "COMMAND")]
        words: Vec<String>,
    },
    /// Look into a guest that runs: processes, memory, environment, files
    ///
    /// The machine has to have been started with --allow-changes.
    #[command(subcommand)]
    Guest(super::guest::Verb),
    /// Keep machines as they are, and go back to what they were
    #[command(subcommand)]
    Snapshot(super::snapshot::Verb),
    /// Keep what goes over a machine's network cards, as pcap
    #[command(subcommand)]
    Capture(super::capture::Verb),
    /// Save what a machine's screen shows as PNG
    Screenshot {
        /// Name or id of a machine
        name: String,
        /// The file; `-` is stdout, and NAME.png when nothing is said
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List => list(context),
            Self::Start(Names {
                group: Some(group), ..
            }) => {
                let names = Names {
                    names: Vec::new(),
                    group: Some(group.clone()),
                };
                warn_of_memory(context, &names.names(context)?, None);
                context.workshop.start_group(&group).await?;
                list_of(context, &group)
            }
            Self::Start(names) => {
                warn_of_memory(context, &names.names, None);
                each(context, &names, async |name| {
                    Ok(context.workshop.start_machine(name).await?)
                })
                .await
            }
            Self::Pause(names) => {
                each(context, &names, async |name| {
                    Ok(context.workshop.pause_machine(name).await?)
                })
                .await
            }
            Self::Resume(names) => {
                each(context, &names, async |name| {
                    Ok(context.workshop.resume_machine(name).await?)
                })
                .await
            }
            Self::Stop(names) => stop(context, &names).await,
            Self::Kill(names) => {
                each(context, &names, async |name| {
                    Ok(context.workshop.kill_machine(name).await?)
                })
                .await
            }
            Self::Restart(names) => {
                each(context, &names, async |name| {
                    Ok(context.workshop.restart_machine(name).await?)
                })
                .await
            }
            Self::Clone {
                name,
                new_name,
                with_changes,
            } => {
                let workshop = &context.workshop;
                let clone = workshop
                    .clone_machine(&name, new_name.as_deref(), with_changes)
                    .await?;
                context.output.show(&clone, |clone| clone.name.clone())?;
                Ok(0)
            }
            Self::Group {
                names,
                group,
                order,
                ..
            } => {
                let place = group.map(|name| GroupPlace { name, order });
                let names = Names { names, group: None };
                each(context, &names, async |name| {
                    let place = place.clone();
                    Ok(context.workshop.set_machine_group(name, place).await?)
                })
                .await
            }
            Self::Share { name, share } => one::share(context, &name, share).await,
            Self::Unshare { name, path } => one::unshare(context, &name, &path).await,
            Self::DebugBundle { name, out } => one::debug_bundle(context, &name, out).await,
            verb @ Self::Resources { .. } => super::resources::run(context, verb).await,
            Self::Delete(names) => delete(context, &names).await,
            Self::Rename { name, new_name } => {
                let id = context.workshop.machine(&name)?.id;
                context.workshop.rename_machine(&id, &new_name).await?;
                said(context, &[id])
            }
            Self::Details(Name { name }) => {
                let details = context.workshop.machine_details(&name)?;
                context.output.show(&details, one::describe)?;
                Ok(0)
            }
            Self::Stats { names } => super::stats::show(context, names).await,
            Self::Logs { name, follow } => foreground::logs(context, &name, follow).await,
            Self::Console(Name { name }) => foreground::console(context, &name).await,
            Self::Push { name, preview } => one::push(context, &name, preview).await,
            Self::Exec { name, words } => one::exec(context, &name, &words).await,
            Self::Guest(verb) => verb.run(context).await,
            Self::Snapshot(verb) => verb.run(context).await,
            Self::Capture(verb) => verb.run(context).await,
            Self::Screenshot { name, out } => one::screenshot(context, &name, out).await,
        }
    }
}

/// Whether there is a guest that runs, stands, or is on its way.
pub(crate) fn is_live(state: MachineState) -> bool {
    matches!(
        state,
        MachineState::Starting
            | MachineState::Running
            | MachineState::Paused
            | MachineState::Stopping
    )
}

/// Says before a start that this computer has not the memory for it.
pub(crate) fn warn_of_memory(
    context: &Context,
    machines: &[String],
    new: Option<(&str, Option<u32>, u32)>,
) {
    let (appliance, memory_mib, count) = match new {
        Some((appliance, memory_mib, count)) => (Some(appliance), memory_mib, count),
        None => (None, None, 0),
    };
    let lacks = context
        .workshop
        .memory_shortage(machines, appliance, memory_mib, count)
        .unwrap_or_default();
    if let Some(short) = lacks {
        Output::warn(&format!(
            "warning: {} MiB are to be started, machines that run have {} MiB, and of this computer's {} MiB {} MiB are free; \
             it may become very slow, or end a machine",
            short.wanted_mib, short.running_mib, short.total_mib, short.available_mib
        ));
    }
}
