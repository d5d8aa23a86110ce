//! `machine resources`: how much of this computer a machine may take.

use windlass_workshop::error::{AppError, ErrorKind};

use super::machine::Verb;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::fields;

pub(crate) async fn run(context: &Context, verb: Verb) -> Outcome {
    let Verb::Resources {
        name,
        cpus,
        memory,
        nice,
        pin,
        disk_rate,
        disk_requests,
        cpu_limit,
        memory_limit,
    } = verb
    else {
        return Ok(0);
    };
    let workshop = &context.workshop;
    let old = workshop.machine_resources(&name)?;
    let mut new = old.clone();
    new.vcpus = cpus.unwrap_or(new.vcpus);
    new.memory_mib = memory.unwrap_or(new.memory_mib);
    new.nice = nice.unwrap_or(new.nice);
    new.disk_mib = disk_rate.unwrap_or(new.disk_mib);
    new.disk_requests = disk_requests.unwrap_or(new.disk_requests);
    new.cpu_percent = cpu_limit.unwrap_or(new.cpu_percent);
    new.memory_max_mib = memory_limit.unwrap_or(new.memory_max_mib);
    if let Some(pin) = pin {
        new.pinned = processors(&pin)?;
    }
    if new != old {
        workshop.set_machine_resources(&name, new.clone()).await?;
    }
    context.output.show(&new, |new| {
        let limit = |number: u32, unit: &str| match number {
            0 => "no limit".to_owned(),
            number => format!("{number}{unit} a second"),
        };
        let at_most = |number: u32, unit: &str| match number {
            0 => "no limit".to_owned(),
            number => format!("{number} {unit}"),
        };
        let pinned: Vec<_> = new.pinned.iter().map(u32::to_string).collect();
        fields(&[
            ("Processors", new.vcpus.to_string()),
            ("Memory", format!("{} MiB", new.memory_mib)),
            ("Gives way", new.nice.to_string()),
            (
                "Runs on",
                if pinned.is_empty() {
                    "all processors".to_owned()
                } else {
                    pinned.join(", ")
                },
            ),
            ("Disks", limit(new.disk_mib, " MiB")),
            ("Disk requests", limit(new.disk_requests, "")),
            ("Processors at most", at_most(new.cpu_percent, "% of one")),
            ("Memory at most", at_most(new.memory_max_mib, "MiB")),
        ])
    })?;
    Ok(0)
}

/// `0,2`, or `all`.
fn processors(text: &str) -> Result<Vec<u32>, Failure> {
    if text == "all" {
        return Ok(Vec::new());
    }
    let numbers = text.split(',').map(|number| number.trim().parse());
    numbers.collect::<Result<_, _>>().map_err(|_| {
        AppError::new(
            ErrorKind::Input,
            format!("`{text}` names no processors of this computer"),
        )
        .hinted("Name them by numbers, such as 0,1; `all` pins the machine to none")
        .into()
    })
}
