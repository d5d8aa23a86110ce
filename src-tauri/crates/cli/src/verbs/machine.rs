//! Machines: `instances`, `stop`, `delete`, and all of `machine`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::guests::Protocol;
use windlass_workshop::machines::{GroupPlace, Machine, MachineDetails, MachineState, Pushed};

use crate::context::Context;
use crate::failure::{Failure, Outcome, Rendering};
use crate::foreground;
use crate::output::{Output, fields, lines, table, time, word};
use crate::progress;
use crate::signals::Signals;
use crate::values;

/// Machines by name or id.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Names or ids of machines
    #[arg(required_unless_present = "group", value_name = "NAME")]
    names: Vec<String>,
    /// All machines of a group; they start in its order, and stop the other way round
    #[arg(long, value_name = "GROUP", conflicts_with = "names")]
    group: Option<String>,
}

impl Names {
    /// The machines that are meant.
    fn names(&self, context: &Context) -> Result<Vec<String>, Failure> {
        let Some(name) = &self.group else {
            return Ok(self.names.clone());
        };
        let mut groups = context.workshop.groups();
        groups.retain(|group| group.name == *name);
        match groups.pop() {
            Some(group) => Ok(group.machines),
            None => Err(AppError::not_found("group", name)
                .hinted("`windlassctl machine list` shows the groups")
                .into()),
        }
    }
}

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
            Self::DebugBundle { name, out } => debug_bundle(context, &name, out).await,
            verb @ Self::Resources { .. } => super::resources::run(context, verb).await,
            Self::Delete(names) => delete(context, &names).await,
            Self::Rename { name, new_name } => {
                let id = context.workshop.machine(&name)?.id;
                context.workshop.rename_machine(&id, &new_name).await?;
                said(context, &[id])
            }
            Self::Details(Name { name }) => {
                let details = context.workshop.machine_details(&name)?;
                context.output.show(&details, describe)?;
                Ok(0)
            }
            Self::Stats { names } => super::stats::show(context, names).await,
            Self::Logs { name, follow } => foreground::logs(context, &name, follow).await,
            Self::Console(Name { name }) => foreground::console(context, &name).await,
            Self::Push { name, preview } => push(context, &name, preview).await,
            Self::Exec { name, words } => exec(context, &name, &words).await,
            Self::Snapshot(verb) => verb.run(context).await,
            Self::Capture(verb) => verb.run(context).await,
            Self::Screenshot { name, out } => screenshot(context, &name, out).await,
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

async fn exec(context: &Context, name: &str, words: &[String]) -> Outcome {
    let id = context.workshop.machine(name)?.id;
    let (mut stdin, mut stdout, mut stderr) =
        (tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr());
    let status = context
        .workshop
        .machine_exec(&id, words, &mut stdin, &mut stdout, &mut stderr)
        .await?;
    Ok(u8::try_from(status).unwrap_or(u8::MAX))
}

async fn debug_bundle(context: &Context, name: &str, out: Option<PathBuf>) -> Outcome {
    let machine = context.workshop.machine(name)?;
    let out = out.unwrap_or_else(|| {
        let name = machine.name.replace(['/', '\0'], "-");
        PathBuf::from(format!("{name}-debug.zip"))
    });
    context.workshop.debug_bundle(&machine.id, &out).await?;
    let path = out.display().to_string();
    let shown = serde_json::json!({ "path": path });
    context.output.show(&shown, |_| path.clone())?;
    Ok(0)
}

/// Says before a start that this computer has not the memory for it.
pub(crate) fn warn_of_memory(
    context: &Context,
    machines: &[String],
    appliance: Option<(&str, u32)>,
) {
    let (appliance, count) = appliance.unzip();
    let count = count.unwrap_or(0);
    let lacks = context
        .workshop
        .memory_shortage(machines, appliance, count)
        .unwrap_or_default();
    if let Some(short) = lacks {
        Output::warn(&format!(
            "warning: {} MiB are to be started, machines that run have {} MiB, and of this computer's {} MiB {} MiB are free; \
             it may become very slow, or end a machine",
            short.wanted_mib, short.running_mib, short.total_mib, short.available_mib
        ));
    }
}

/// Lists machines.
pub(crate) fn list(context: &Context) -> Outcome {
    show(context, context.workshop.machines()?)
}

/// Lists the machines of a group.
pub(crate) fn list_of(context: &Context, group: &str) -> Outcome {
    let mut machines = context.workshop.machines()?;
    machines.retain(|machine| {
        let place = machine.group.as_ref();
        place.is_some_and(|place| place.name == group)
    });
    show(context, machines)
}

/// Shows machines, those of a group together and in its order.
fn show(context: &Context, mut machines: Vec<Machine>) -> Outcome {
    machines.sort_by_key(|machine| {
        let place = machine.group.clone();
        place.map(|place| (place.name, place.order))
    });
    context.output.show(&machines, |machines| {
        let rows: Vec<_> = machines.iter().map(row).collect();
        table(
            [
                "NAME", "GROUP", "STATE", "GUEST", "PORTS", "ADDRESS", "STARTED", "ID",
            ],
            &rows,
            "No machines; `windlassctl run` starts one",
        )
    })?;
    Ok(0)
}

fn row(machine: &Machine) -> [String; 8] {
    let group = machine.group.as_ref();
    [
        machine.name.clone(),
        group.map(|place| place.name.clone()).unwrap_or_default(),
        state(machine),
        machine.guest.title().to_owned(),
        ports(machine),
        machine.address.clone().unwrap_or_default(),
        machine.started_at.as_deref().map(time).unwrap_or_default(),
        machine.id.clone(),
    ]
}

/// The state with the exit status, where it says something.
fn state(machine: &Machine) -> String {
    let state = word(&machine.state);
    match machine.exit_status {
        Some(status) if !is_live(machine.state) => format!("{state} ({status})"),
        _ => state,
    }
}

fn ports(machine: &Machine) -> String {
    let ports: Vec<_> = machine
        .ports
        .iter()
        .map(|port| {
            let suffix = if port.protocol == Protocol::Udp {
                "/udp"
            } else {
                ""
            };
            format!("{}:{}{suffix}", port.host, port.guest)
        })
        .collect();
    ports.join(", ")
}

/// Says how machines are after something was done to them.
fn said(context: &Context, names: &[String]) -> Outcome {
    let machines: Vec<_> = names
        .iter()
        .map(|name| context.workshop.machine(name))
        .collect::<Result<_, _>>()?;
    context.output.show(&machines, |machines| {
        lines(machines, |machine| {
            format!("{}: {}", machine.name, state(machine))
        })
    })?;
    Ok(0)
}

/// What became of doing something to several machines: one that refuses keeps no other from it.
#[derive(Debug, Default)]
struct Each {
    done: Vec<String>,
    refused: Option<Failure>,
}

impl Each {
    /// Takes note of one of them. The first refusal is told at the end, the others at once.
    fn note(&mut self, context: &Context, name: &str, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => self.done.push(name.to_owned()),
            Err(failure) if self.refused.is_none() => self.refused = Some(failure),
            Err(failure) => {
                let json = context.output.json;
                Rendering { json }.show(&failure);
            }
        }
    }

    fn end(self, outcome: Outcome) -> Outcome {
        match self.refused {
            Some(failure) => Err(failure),
            None => outcome,
        }
    }
}

async fn each(
    context: &Context,
    names: &Names,
    act: impl AsyncFn(&str) -> Result<(), Failure>,
) -> Outcome {
    let mut each = Each::default();
    for name in &names.names(context)? {
        let outcome = act(name).await;
        each.note(context, name, outcome);
    }
    let outcome = if each.done.is_empty() {
        Ok(0)
    } else {
        said(context, &each.done)
    };
    each.end(outcome)
}

/// Asks machines to stop and waits; Ctrl+C cuts their power.
pub(crate) async fn stop(context: &Context, names: &Names) -> Outcome {
    let mut signals = Signals::listen()?;
    let workshop = &context.workshop;
    if let Some(group) = &names.group {
        workshop.stop_group(group).await?;
        return list_of(context, group);
    }
    let mut each = Each::default();
    for name in &names.names {
        let asked = workshop.stop_machine(name).await;
        each.note(context, name, asked.map_err(Failure::from));
    }
    for name in &each.done {
        let id = workshop.machine(name)?.id;
        let mut impatient = false;
        loop {
            tokio::select! {
                ended = workshop.ended_machine(&id) => { ended?; break }
                status = signals.next() => {
                    if impatient {
                        return Ok(status);
                    }
                    impatient = true;
                    context.output.note(&format!("Cutting the power of {name}"));
                    workshop.kill_machine(&id).await?;
                }
            }
        }
    }
    let outcome = if each.done.is_empty() {
        Ok(0)
    } else {
        said(context, &each.done)
    };
    each.end(outcome)
}

/// Deletes machines.
pub(crate) async fn delete(context: &Context, names: &Names) -> Outcome {
    let mut deleted = Vec::new();
    let mut each = Each::default();
    for name in &names.names(context)? {
        let outcome = delete_one(context, name).await;
        each.note(context, name, outcome.map(|machine| deleted.push(machine)));
    }
    if !deleted.is_empty() {
        context.output.show(&deleted, |machines| {
            lines(machines, |machine| format!("Deleted {}", machine.name))
        })?;
    }
    each.end(Ok(0))
}

async fn delete_one(context: &Context, name: &str) -> Result<Machine, Failure> {
    let machine = context.workshop.machine(name)?;
    if is_live(machine.state) {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("The machine `{}` is {}", machine.name, word(&machine.state)),
        )
        .hinted(format!("`windlassctl stop {}` ends it first", machine.name))
        .into());
    }
    context.workshop.delete_machine(&machine.id).await?;
    Ok(machine)
}

fn describe(details: &MachineDetails) -> String {
    let mut text = fields(&[
        ("QEMU", details.qemu_version.clone()),
        (
            "Process",
            details.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        ),
        ("Folder", details.folder.clone()),
        ("Console log", details.console_log.clone()),
        ("Noticed", details.notices.join("\n")),
    ]);
    let words: Vec<_> = details.command.iter().map(|word| quote(word)).collect();
    let _ = writeln!(text, "\n{}", words.join(" "));
    text
}

/// Quotes a word for a POSIX shell where it needs it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

async fn push(context: &Context, name: &str, preview: bool) -> Outcome {
    let workshop = &context.workshop;
    let machine = workshop.machine(name)?;
    let pushed = if preview {
        workshop.push_preview(&machine.id).await?
    } else {
        let mut signals = Signals::listen()?;
        let job = workshop.start_push(&machine.id)?;
        progress::wait(context, &job, &mut signals).await?;
        workshop.last_push(&machine.id)?.unwrap_or_default()
    };
    context.output.show(&pushed, |pushed| {
        let Pushed {
            added,
            changed,
            removed,
            bytes,
            restarted,
        } = pushed;
        let end = match (restarted, preview) {
            (true, false) => "; its commands began again",
            (true, true) => "; its commands would begin again",
            (false, _) => "; it has all of it already",
        };
        format!("{added} added, {changed} changed, {removed} removed, {bytes} bytes{end}")
    })?;
    Ok(0)
}

async fn screenshot(context: &Context, name: &str, out: Option<PathBuf>) -> Outcome {
    let machine = context.workshop.machine(name)?;
    let picture = context.workshop.machine_screenshot(&machine.id).await?;
    let file = out.unwrap_or_else(|| {
        // A name is any text; as a file it stays in this folder.
        PathBuf::from(format!("{}.png", machine.name.replace(['/', '\0'], "-")))
    });
    if file.as_os_str() == "-" {
        Output::raw(&picture)?;
        return Ok(0);
    }
    std::fs::write(&file, &picture).map_err(|error| {
        let mut shown = AppError::new(
            ErrorKind::Unavailable,
            format!("Cannot write `{}`", file.display()),
        );
        shown.chain.push(error.to_string());
        Failure::from(shown)
    })?;
    let shown = file.display().to_string();
    context
        .output
        .show(&serde_json::json!({ "path": shown }), |_| shown.clone())?;
    Ok(0)
}
