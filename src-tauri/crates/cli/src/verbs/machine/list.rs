//! Machines as a table, and how they are after something was done to them.

use windlass_workshop::guests::Protocol;
use windlass_workshop::machines::Machine;

use super::is_live;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{lines, table, time, word};

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
pub(super) fn state(machine: &Machine) -> String {
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
pub(super) fn said(context: &Context, names: &[String]) -> Outcome {
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
