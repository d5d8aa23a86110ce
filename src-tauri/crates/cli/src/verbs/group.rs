//! `group`: several machines as one, by the file that names them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use windlass_workshop::machines::{Console, Machine};

use super::machine;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, table};
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
            Self::Down { group } => down(context, &group).await,
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

async fn down(context: &Context, group: &Path) -> Outcome {
    let name = name_of(context, group)?;
    context.workshop.stop_group(&name).await?;
    context.workshop.delete_group(&name).await?;
    Ok(0)
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
