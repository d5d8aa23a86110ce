//! `machine guest`: what is inside a guest that runs.

use std::path::PathBuf;

use clap::Subcommand;
use windlass_workshop::machines::{
    GuestCopy, GuestEntry, GuestEntryKind, GuestFolder, GuestNow, GuestProcess, TracePoint,
};

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Output, fields, size, table, time, word};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the processes of a guest
    Ps {
        /// Name or id of a machine
        machine: String,
    },
    /// Show how a guest's memory is used
    Mem {
        /// Name or id of a machine
        machine: String,
    },
    /// Show the environment of a process
    Env {
        /// Name or id of a machine
        machine: String,
        /// The number of the process; the first program when nothing is said
        process: Option<u32>,
    },
    /// Show the command line of a guest's kernel
    Cmdline {
        /// Name or id of a machine
        machine: String,
    },
    /// Print what a guest's kernel has said
    Dmesg {
        /// Name or id of a machine
        machine: String,
    },
    /// List where OSv's kernel tells what happens, with how often it did where that is counted
    Trace {
        /// Name or id of a machine
        machine: String,
        /// Begin to count these
        #[arg(long, value_name = "EVENT")]
        count: Vec<String>,
        /// Count these no longer
        #[arg(long, value_name = "EVENT")]
        stop: Vec<String>,
    },
    /// List a folder of a guest
    Ls {
        /// Name or id of a machine
        machine: String,
        /// The folder
        #[arg(default_value = "/")]
        path: String,
    },
    /// Copy a file out of a guest
    Get {
        /// Name or id of a machine
        machine: String,
        /// The file in the guest
        path: String,
        /// Where it goes: a file or a folder; this folder when nothing is said
        #[arg(default_value = ".")]
        to: PathBuf,
    },
    /// Copy a file into a guest
    Put {
        /// Name or id of a machine
        machine: String,
        /// The file
        file: PathBuf,
        /// Where it goes in the guest: a file, or a folder that is there
        #[arg(default_value = "/")]
        path: String,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let output = context.output;
        let id = |name: &str| workshop.machine(name).map(|machine| machine.id);
        match self {
            Self::Ps { machine } => {
                let now = workshop.guest_now(&id(&machine)?).await?;
                if now.is_cut {
                    Output::warn("warning: there are more processes than are shown");
                }
                output.show(&now.processes, |all| processes(all))?;
            }
            Self::Mem { machine } => {
                let now = workshop.guest_now(&id(&machine)?).await?;
                output.show(&now.memory, |_| memory(&now))?;
            }
            Self::Env { machine, process } => {
                let found = workshop.guest_environment(&id(&machine)?, process).await?;
                output.show(&found, |found| {
                    let line = |(name, value): &(String, String)| format!("{name}={value}\n");
                    found.variables.iter().map(line).collect()
                })?;
            }
            Self::Cmdline { machine } => {
                let found = workshop.guest_environment(&id(&machine)?, None).await?;
                output.show(&found.command_line, Clone::clone)?;
            }
            Self::Dmesg { machine } => {
                let text = workshop.guest_kernel_log(&id(&machine)?).await?;
                output.show(&text, Clone::clone)?;
            }
            Self::Trace {
                machine,
                count,
                stop,
            } => {
                let id = id(&machine)?;
                let counted = count.iter().map(|event| (event, true));
                for (event, is_counted) in counted.chain(stop.iter().map(|event| (event, false))) {
                    workshop.guest_trace_count(&id, event, is_counted).await?;
                }
                output.show(&workshop.guest_trace(&id).await?, |all| points(all))?;
            }
            Self::Ls { machine, path } => {
                let folder = workshop.guest_folder(&id(&machine)?, &path).await?;
                if folder.is_cut {
                    Output::warn("warning: there is more in it than is shown");
                }
                output.show(&folder, listing)?;
            }
            Self::Get { machine, path, to } => {
                let copy = workshop.guest_get(&id(&machine)?, &path, &to).await?;
                output.show(&copy, copied)?;
            }
            Self::Put {
                machine,
                file,
                path,
            } => {
                let copy = workshop.guest_put(&id(&machine)?, &file, &path).await?;
                output.show(&copy, copied)?;
            }
        }
        Ok(0)
    }
}

fn copied(copy: &GuestCopy) -> String {
    format!("{}, {}", copy.path, size(copy.size_bytes))
}

fn processes(all: &[GuestProcess]) -> String {
    let row = |process: &GuestProcess| {
        [
            process.id.to_string(),
            word(&process.state),
            format!(
                "{}.{:02} s",
                process.cpu_ms / 1000,
                process.cpu_ms % 1000 / 10
            ),
            size(process.memory_bytes),
            process.threads.to_string(),
            if process.command.is_empty() {
                format!("[{}]", process.name)
            } else {
                process.command.clone()
            },
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let headings = ["ID", "STATE", "CPU", "MEMORY", "THREADS", "COMMAND"];
    table(headings, &rows, "No processes")
}

/// All of it, and who has most.
fn memory(now: &GuestNow) -> String {
    let memory = now.memory;
    let mut text = fields(&[
        ("Total", size(memory.total_bytes)),
        ("Available", size(memory.available_bytes)),
        ("Free", size(memory.free_bytes)),
        ("Kept of files", size(memory.cache_bytes)),
    ]);
    let mut most: Vec<&GuestProcess> = now.processes.iter().collect();
    most.retain(|process| process.memory_bytes > 0);
    most.sort_by_key(|process| std::cmp::Reverse(process.memory_bytes));
    let row = |process: &&GuestProcess| {
        [
            process.id.to_string(),
            size(process.memory_bytes),
            process.name.clone(),
        ]
    };
    let rows: Vec<_> = most.iter().take(10).map(row).collect();
    text.push('\n');
    text.push_str(&table(["ID", "MEMORY", "NAME"], &rows, "No processes\n"));
    text
}

fn points(all: &[TracePoint]) -> String {
    let row = |point: &TracePoint| {
        let count = point.count.map(|count| count.to_string());
        [count.unwrap_or_default(), point.id.clone()]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(["COUNT", "EVENT"], &rows, "None")
}

fn listing(folder: &GuestFolder) -> String {
    let row = |entry: &GuestEntry| {
        let kind = match entry.kind {
            GuestEntryKind::Directory => 'd',
            GuestEntryKind::File => '-',
            GuestEntryKind::Symlink => 'l',
            GuestEntryKind::Special => 's',
        };
        [
            format!("{kind}{:04o}", entry.mode),
            match entry.kind {
                GuestEntryKind::File => size(entry.size_bytes),
                _ => String::new(),
            },
            entry.modified.as_deref().map(time).unwrap_or_default(),
            entry.name.clone(),
        ]
    };
    let rows: Vec<_> = folder.entries.iter().map(row).collect();
    table(
        ["MODE", "SIZE", "MODIFIED", "NAME"],
        &rows,
        "Nothing is in it",
    )
}
