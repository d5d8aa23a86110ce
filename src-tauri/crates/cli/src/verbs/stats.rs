//! `machine stats`: what machines take of this computer.

use windlass_workshop::machines::MachineNow;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{size, table};
use crate::verbs::machine::is_live;

/// Measures for a second, and shows it.
pub(crate) async fn show(context: &Context, mut names: Vec<String>) -> Outcome {
    if names.is_empty() {
        let machines = context.workshop.machines()?.into_iter();
        names.extend(
            machines
                .filter(|machine| is_live(machine.state))
                .map(|machine| machine.id),
        );
    }
    let measured = if names.is_empty() {
        Vec::new()
    } else {
        context.workshop.measure(&names).await?
    };
    context.output.show(&measured, |measured| {
        let rows: Vec<_> = measured.iter().map(row).collect();
        table(
            [
                "NAME", "CPU", "MEMORY", "READ", "WRITTEN", "RECEIVED", "SENT",
            ],
            &rows,
            "No machine runs",
        )
    })?;
    Ok(0)
}

fn row(machine: &MachineNow) -> [String; 7] {
    let name = machine.name.clone();
    let Some(load) = machine.load else {
        let none = || "-".to_owned();
        return [name, none(), none(), none(), none(), none(), none()];
    };
    let rate = |bytes| format!("{}/s", size(bytes));
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), rate);
    [
        name,
        format!("{} %", load.cpu_permille.div_ceil(10)),
        size(load.memory_bytes),
        rate(load.read_rate),
        rate(load.write_rate),
        known(load.receive_rate),
        known(load.send_rate),
    ]
}
