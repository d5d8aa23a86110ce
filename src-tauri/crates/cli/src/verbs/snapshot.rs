//! `machine snapshot`: machines as they were.

use std::fmt::Write as _;

use clap::Subcommand;
use windlass_workshop::machines::MachineSnapshot;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{size, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the snapshots of a machine, each below the one that it came from
    List {
        /// Name or id of a machine
        machine: String,
    },
    /// Keep a machine as it is now
    Take {
        /// Name or id of a machine
        machine: String,
        /// What the snapshot is called
        name: String,
        /// With the guest's memory: it goes on where it was, rather than boots
        #[arg(long)]
        memory: bool,
    },
    /// Make a machine what it was; what was written since is lost
    Revert {
        /// Name or id of a machine
        machine: String,
        /// Name or id of a snapshot
        snapshot: String,
    },
    /// Delete a snapshot; the machine stays as it is
    Delete {
        /// Name or id of a machine
        machine: String,
        /// Name or id of a snapshot
        snapshot: String,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let machine = match self {
            Self::List { machine } => machine,
            Self::Take {
                machine,
                name,
                memory,
            } => {
                workshop.take_snapshot(&machine, &name, memory).await?;
                machine
            }
            Self::Revert { machine, snapshot } => {
                workshop.revert_machine(&machine, &snapshot).await?;
                machine
            }
            Self::Delete { machine, snapshot } => {
                workshop.delete_snapshot(&machine, &snapshot).await?;
                machine
            }
        };
        let snapshots = workshop.machine_snapshots(&machine)?;
        context.output.show(&snapshots, |all| tree(all))?;
        Ok(0)
    }
}

/// The snapshots as a tree; a star where the machine is.
fn tree(all: &[MachineSnapshot]) -> String {
    if all.is_empty() {
        return "No snapshots\n".to_owned();
    }
    let mut text = String::new();
    below(all, None, 0, &mut text);
    text
}

fn below(all: &[MachineSnapshot], parent: Option<&str>, depth: usize, text: &mut String) {
    for snapshot in all.iter().filter(|it| it.parent.as_deref() == parent) {
        let star = if snapshot.is_current { "*" } else { " " };
        let memory = if snapshot.has_memory {
            ", with memory"
        } else {
            ""
        };
        let _infallible = writeln!(
            text,
            "{star} {}{}  ({}, {}{memory}, {})",
            "  ".repeat(depth),
            snapshot.name,
            time(&snapshot.taken_at),
            size(snapshot.size_bytes),
            snapshot.id
        );
        below(all, Some(&snapshot.id), depth + 1, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_shown_below_those_that_they_came_from() {
        let snapshot = |id: &str, parent: Option<&str>, is_current| MachineSnapshot {
            id: id.to_owned(),
            name: format!("after {id}"),
            parent: parent.map(str::to_owned),
            taken_at: "2026-11-23T03:00:00Z".to_owned(),
            has_memory: is_current,
            size_bytes: 1 << 20,
            is_current,
        };
        let all = [
            snapshot("a", None, false),
            snapshot("b", Some("a"), false),
            snapshot("c", Some("b"), true),
            snapshot("d", Some("a"), false),
        ];
        // Times are this computer's own.
        let shown = tree(&all).replace(&time("2026-11-23T03:00:00Z"), "TIME");
        insta::assert_snapshot!(shown);
    }
}
