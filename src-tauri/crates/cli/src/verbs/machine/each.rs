//! The same done to several machines: one that refuses keeps no other from it.

use clap::Args;
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::machines::Machine;

use super::is_live;
use super::list::{list_of, said};
use crate::context::Context;
use crate::failure::{Failure, Outcome, Rendering};
use crate::output::{lines, word};
use crate::signals::Signals;

/// Machines by name or id.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Names or ids of machines
    #[arg(required_unless_present = "group", value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// All machines of a group; they start in its order, and stop the other way round
    #[arg(long, value_name = "GROUP", conflicts_with = "names")]
    pub(super) group: Option<String>,
}

impl Names {
    /// The machines that are meant.
    pub(super) fn names(&self, context: &Context) -> Result<Vec<String>, Failure> {
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

pub(super) async fn each(
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
