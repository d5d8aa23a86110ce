//! `group`: several machines as one, by the file that names them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use windlass_workshop::error::ErrorKind;
use windlass_workshop::group_files::{
    GroupFigure, GroupView, ServiceMachine, ServiceState, ServiceView,
};
use windlass_workshop::machines::{Console, Machine};

use super::machine;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, size, table};
use crate::progress;
use crate::signals::Signals;

/// How much of a console is read at once.
const BUFFER_BYTES: usize = 64 << 10;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the machines of a group's file, in order, each when those before it are healthy
    ///
    /// Machines that run as the file says are left alone; those that do not are made anew.
    Up {
        /// The file, or the folder with a windlass-group.yaml
        #[arg(default_value = ".")]
        file: PathBuf,
    },
    /// Stop the machines of a group, the last to start first, and delete them; volumes stay
    Down {
        /// The group's name, or its file or folder
        #[arg(default_value = ".", value_name = "GROUP")]
        group: PathBuf,
        /// Delete the volumes that the file names, too, with all that is on them
        #[arg(long)]
        volumes: bool,
    },
    /// Show the services of a group, how each does, and the figures that its file names
    Show {
        /// The group's name, or its file or folder
        #[arg(default_value = ".", value_name = "GROUP")]
        group: PathBuf,
    },
    /// List groups, or the machines of one
    Ps {
        /// The group's name, or its file or folder
        #[arg(value_name = "GROUP")]
        group: Option<PathBuf>,
    },
    /// Print what the guests of a group said, each line behind the machine's name
    Logs {
        /// The group's name, or its file or folder
        #[arg(default_value = ".", value_name = "GROUP")]
        group: PathBuf,
        /// Go on until all guests have ended
        #[arg(long, short)]
        follow: bool,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Up { file } => up(context, &file).await,
            Self::Down { group, volumes } => down(context, &group, volumes).await,
            Self::Show { group } => show(context, &group).await,
            Self::Ps { group: None } => list(context),
            Self::Ps { group: Some(group) } => {
                let name = name_of(context, &group)?;
                machine::list_of(context, &name)
            }
            Self::Logs { group, follow } => logs(context, &group, follow).await,
        }
    }
}

/// A group by its name; else the one that the file makes.
fn name_of(context: &Context, group: &Path) -> Result<String, Failure> {
    let groups = context.workshop.groups();
    match group.to_str() {
        Some(name) if groups.iter().any(|it| it.name == name) => Ok(name.to_owned()),
        _ => Ok(context.workshop.group_of_file(group)?),
    }
}

async fn up(context: &Context, file: &Path) -> Outcome {
    let mut signals = Signals::listen()?;
    let job = context.workshop.start_group_up(file)?;
    let job = progress::wait(context, &job, &mut signals).await?;
    machine::list_of(context, &job.produced.unwrap_or_default())
}

async fn down(context: &Context, group: &Path, with_volumes: bool) -> Outcome {
    let workshop = &context.workshop;
    let name = name_of(context, group)?;
    let volumes = if with_volumes {
        let is_there = workshop.groups().iter().any(|it| it.name == name);
        let place = if is_there { Path::new(&name) } else { group };
        workshop.group_volumes(&place.to_string_lossy())?
    } else {
        Vec::new()
    };
    match workshop.stop_group(&name).await {
        // Its volumes may be there yet.
        Err(error) if with_volumes && error.kind == ErrorKind::NotFound => {}
        stopped => {
            stopped?;
            workshop.delete_group(&name).await?;
        }
    }
    for volume in volumes {
        workshop.delete_volume(&volume).await?;
        context.output.note(&format!("Deleted the volume {volume}"));
    }
    Ok(0)
}

/// What is shown of a group.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    view: GroupView,
    figures: Vec<GroupFigure>,
}

async fn show(context: &Context, group: &Path) -> Outcome {
    let name = name_of(context, group)?;
    let is_there = context.workshop.groups().iter().any(|it| it.name == name);
    let place = if is_there { Path::new(&name) } else { group };
    let place = place.to_string_lossy();
    let view = context.workshop.group_looked_at(&place).await?;
    let figures = if view.has_figures {
        context.workshop.group_figures(&place).await?
    } else {
        Vec::new()
    };
    context.output.show(&Shown { view, figures }, |shown| {
        let rows: Vec<_> = shown.view.services.iter().flat_map(rows_of).collect();
        let mut text = table(["SERVICE", "MACHINE", "STATE", "AFTER", ""], &rows, "");
        let figures: Vec<_> = shown
            .figures
            .iter()
            .map(|it| {
                let value = match (it.bytes, &it.value, &it.problem) {
                    (Some(bytes), ..) => size(bytes),
                    (None, Some(value), _) => value.clone(),
                    (None, None, problem) => problem.clone().unwrap_or_default(),
                };
                [it.service.clone(), it.label.clone(), value]
            })
            .collect();
        if !figures.is_empty() {
            text.push('\n');
            text.push_str(&table(["SERVICE", "FIGURE", "VALUE"], &figures, ""));
        }
        text
    })?;
    Ok(0)
}

fn rows_of(service: &ServiceView) -> Vec<[String; 5]> {
    let state = |state| match state {
        ServiceState::Absent => "not there",
        ServiceState::Starting => "starting",
        ServiceState::Waiting => "waiting for health",
        ServiceState::Healthy => "healthy",
        ServiceState::Running => "running",
        ServiceState::Ill => "not healthy",
        ServiceState::Paused => "paused",
        ServiceState::Stopping => "stopping",
        ServiceState::Ended => "ended",
        ServiceState::Failed => "failed",
    };
    let row = |machine: &ServiceMachine| {
        [
            service.name.clone(),
            machine.name.clone(),
            state(machine.state).to_owned(),
            service.depends_on.join(","),
            machine.message.clone().unwrap_or_default(),
        ]
    };
    service.machines.iter().map(row).collect()
}

fn list(context: &Context) -> Outcome {
    let groups = context.workshop.groups();
    context.output.show(&groups, |groups| {
        let rows: Vec<_> = groups
            .iter()
            .map(|group| {
                let count = group.machines.len();
                [group.name.clone(), format!("{} of {count}", group.running)]
            })
            .collect();
        table(["GROUP", "RUNNING"], &rows, "There are no groups")
    })?;
    Ok(0)
}

/// One guest's console, cut into lines.
struct Told {
    machine: Machine,
    console: Console,
    rest: Vec<u8>,
}

impl Told {
    /// Prints the lines that are whole; says whether there was something.
    async fn print(&mut self, width: usize, is_over: bool) -> Result<bool, Failure> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let count = self.console.read_available(&mut buffer).await?;
        self.rest.extend_from_slice(&buffer[..count]);
        let whole = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            // A line is not waited for without an end.
            None if self.rest.len() >= BUFFER_BYTES || is_over => self.rest.len(),
            None => 0,
        };
        let whole: Vec<u8> = self.rest.drain(..whole).collect();
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let mut text = format!("{:width$}  ", self.machine.name).into_bytes();
            text.extend_from_slice(line.trim_ascii_end());
            text.push(b'\n');
            Output::raw(&text)?;
        }
        Ok(count > 0)
    }
}

async fn logs(context: &Context, group: &Path, follow: bool) -> Outcome {
    let workshop = &context.workshop;
    let name = name_of(context, group)?;
    let mut signals = Signals::listen()?;
    let mut all = Vec::new();
    for machine in workshop.machines()? {
        if machine.group.as_ref().is_some_and(|it| it.name == name) {
            all.push(Told {
                console: workshop.console(&machine.id, 0)?,
                machine,
                rest: Vec::new(),
            });
        }
    }
    let width = all
        .iter()
        .map(|it| it.machine.name.len())
        .max()
        .unwrap_or(0);
    loop {
        let mut live = false;
        for it in &all {
            live |= machine::is_live(workshop.machine(&it.machine.id)?.state);
        }
        let is_over = !follow || !live;
        let mut is_new = false;
        for it in &mut all {
            is_new |= it.print(width, is_over).await?;
        }
        if is_new {
            continue;
        }
        if is_over {
            return Ok(0);
        }
        tokio::select! {
            status = signals.next() => return Ok(status),
            () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {}
        }
    }
}
