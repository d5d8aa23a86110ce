//! `run`: from an appliance to a running machine, in the foreground or not.

use clap::Args;
use windlass_workshop::appliances::{ApplianceSettings, Severity};
use windlass_workshop::builds::RunOptions;
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::guests::Protocol;
use windlass_workshop::machines::{GroupPlace, Machine};
use windlass_workshop::volumes::{SharedFolder, VolumeMount};

use super::findings;
use super::machine::{is_live, warn_of_memory};
use super::target::{self, Target};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{self, BuildFlags, MachineFlags};
use crate::foreground;
use crate::output::{Output, lines};
use crate::progress;
use crate::signals::Signals;
use crate::values;

/// Run an appliance.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Run {
    /// An appliance, a composed image, a machine that rests, or a folder; the current folder, when
    /// nothing is said. With --image, the name that the machine gets
    name: Option<String>,
    /// The image or appliance to run
    #[arg(long, short, value_name = "NAME")]
    image: Option<String>,
    /// An old build to run as it is, by its id of `images`; its appliance's settings are those of now
    #[arg(
        long = "build",
        value_name = "ID",
        id = "old_build",
        conflicts_with_all = ["name", "image", "execute", "count", "group", "volumes", "preview"]
    )]
    old_build: Option<String>,
    #[command(flatten)]
    build: BuildFlags,
    #[command(flatten)]
    machine: MachineFlags,
    /// The boot command, instead of a run configuration
    #[arg(long, short, value_name = "COMMAND")]
    execute: Option<String>,
    /// Return when the machine has started, and keep it
    #[arg(long, short)]
    detach: bool,
    /// How many machines to start, all of one image; more than one are left running
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200))]
    count: u32,
    /// The group that the machine belongs to
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Keep the machine when its guest has ended
    #[arg(long)]
    persist: bool,
    /// The machine's name; the appliance's own, when nothing is said
    #[arg(long = "name", value_name = "NAME", id = "machine_name")]
    machine_name: Option<String>,
    /// A volume that the machine has, and where the guest mounts it; without a path it is only attached
    #[arg(long = "volume", value_name = "NAME:/PATH", value_parser = values::volume_mount)]
    volumes: Vec<VolumeMount>,
    /// A folder of this computer that the guest sees, and where; with `:ro` it may only read it, as OSv does in any case
    #[arg(long = "share", value_name = "FOLDER:/PATH[:ro]", value_parser = values::share)]
    shares: Vec<SharedFolder>,
    /// Run straight from the appliance's folders, with no image made; what the guest writes is forgotten
    #[arg(long)]
    live: bool,
    /// Forget all that the guest writes when it ends, to volumes as well
    #[arg(long)]
    disposable: bool,
    /// Print the boot command line and stop
    #[arg(long = "dry-run")]
    preview: bool,
    /// Accepted for Capstan's scripts: QEMU is what runs machines here
    #[arg(long, short, hide = true, value_parser = ["qemu"])]
    platform: Option<String>,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
}

impl Run {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if let Some(build) = &self.old_build {
            return self.run_build(context, build).await;
        }
        let wanted = self.image.as_deref().or(self.name.as_deref());
        let target = target::find(context, wanted).await?;
        let workshop = &context.workshop;
        let (appliance, base) = match &target {
            Target::Machine(machine) => return self.start_again(context, machine).await,
            Target::Appliance(appliance) => (appliance, workshop.run_form(&appliance.id)?.settings),
            Target::Image(name, appliance) => {
                let kept = workshop.image_settings(name)?;
                let base = match kept {
                    Some(settings) => settings,
                    None => workshop.run_form(&appliance.id)?.settings,
                };
                (appliance, base)
            }
        };
        let settings = flags::overlay(&base, &self.build, &self.machine, self.execute.as_deref());
        if self.preview {
            return preview(context, &appliance.id, &settings.unwrap_or(base));
        }
        let machine_name = match (&self.machine_name, &self.image) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(_)) => self.name.clone(),
            (None, None) => None,
        };
        let options = RunOptions {
            settings,
            name: machine_name,
            volumes: (!self.volumes.is_empty()).then(|| self.volumes.clone()),
            networks: Vec::new(),
            shares: self.shares.clone(),
            is_live: self.live,
            is_disposable: self.disposable,
            count: self.count,
            group: self.group.clone().map(|name| GroupPlace { name, order: 0 }),
            group_file: None,
            resources: None,
        };
        let before: Vec<_> = workshop
            .machines()?
            .into_iter()
            .map(|shown| shown.id)
            .collect();
        warn_of_memory(
            context,
            &[],
            Some((&appliance.id, self.machine.memory, self.count)),
        );
        let mut signals = Signals::listen()?;
        let job = match &target {
            Target::Image(name, _) => workshop.start_image_run(name, options)?,
            _ => workshop.start_run_with(&appliance.id, options)?,
        };
        let run = job.id.clone();
        let keep = self.persist || self.detach;
        let job = match progress::wait(context, &job, &mut signals).await {
            Ok(job) => job,
            Err(failure) => {
                // What never ran is not worth keeping, unless that was asked for.
                if !self.persist {
                    take_back(context, &run).await;
                }
                return Err(failure);
            }
        };
        if self.count > 1 {
            let mut made = workshop.machines()?;
            made.retain(|machine| {
                !before.contains(&machine.id)
                    && machine.appliance_id.as_ref() == Some(&appliance.id)
            });
            context.output.show(&made, |made| {
                lines(made, |machine| format!("{}  {}", machine.id, machine.name))
            })?;
            return Ok(0);
        }
        let id = job.produced.unwrap_or_default();
        self.attend(context, &id, keep, signals).await
    }

    /// Runs an old build.
    async fn run_build(&self, context: &Context, build: &str) -> Outcome {
        if self.build != BuildFlags::default()
            || self.machine != MachineFlags::default()
            || self.machine_name.is_some()
        {
            return Err(Failure::usage(
                "an old build runs with its appliance's settings".to_owned(),
                "Change them with `windlassctl appliance settings`, or leave these flags out",
            ));
        }
        let mut signals = Signals::listen()?;
        let job = context.workshop.start_build_run(build)?;
        let run = job.id.clone();
        let keep = self.persist || self.detach;
        match progress::wait(context, &job, &mut signals).await {
            Ok(job) => {
                let id = job.produced.unwrap_or_default();
                self.attend(context, &id, keep, signals).await
            }
            Err(failure) => {
                if !self.persist {
                    take_back(context, &run).await;
                }
                Err(failure)
            }
        }
    }

    /// Starts a machine that rests.
    async fn start_again(&self, context: &Context, machine: &Machine) -> Outcome {
        let unchanged = self.build == BuildFlags::default()
            && self.machine == MachineFlags::default()
            && self.execute.is_none()
            && self.volumes.is_empty()
            && self.shares.is_empty()
            && !self.live
            && !self.disposable
            && self.count == 1
            && self.group.is_none()
            && !self.preview;
        if !unchanged {
            return Err(Failure::usage(
                format!(
                    "`{}` is a machine, which keeps the settings that it was made with",
                    machine.name
                ),
                "Run its appliance, which makes a new machine, or leave these flags out",
            ));
        }
        let signals = Signals::listen()?;
        context.workshop.start_machine(&machine.id).await?;
        self.attend(context, &machine.id, true, signals).await
    }

    /// Stays with a machine until its guest has ended, or leaves it running.
    async fn attend(&self, context: &Context, id: &str, keep: bool, signals: Signals) -> Outcome {
        let machine = context.workshop.machine(id)?;
        for port in &machine.ports {
            let suffix = if port.protocol == Protocol::Udp {
                "/udp"
            } else {
                ""
            };
            context.output.note(&format!(
                "127.0.0.1:{}{suffix} leads to port {} of {}",
                port.host, port.guest, machine.name
            ));
        }
        if self.detach {
            context.output.note(&format!(
                "{0} runs; `windlassctl machine logs {0}` shows what it says",
                machine.name
            ));
            context
                .output
                .show(&machine, |machine| machine.id.clone())?;
            return Ok(0);
        }
        let outcome = foreground::attend(context, &machine, signals).await;
        if !keep
            && let Err(error) = context.workshop.delete_machine(id).await
            && error.kind != ErrorKind::NotFound
        {
            Output::warn(&format!(
                "warning: the machine could not be deleted: {error}"
            ));
        }
        outcome
    }
}

/// Deletes the machine that a run made and that did not start.
async fn take_back(context: &Context, run: &str) {
    let workshop = &context.workshop;
    let made = workshop.job(run).ok().and_then(|job| job.produced);
    if let Some(machine) = made.and_then(|id| workshop.machine(&id).ok())
        && !is_live(machine.state)
    {
        let _ = workshop.delete_machine(&machine.id).await;
    }
}

fn preview(context: &Context, appliance: &str, settings: &ApplianceSettings) -> Outcome {
    let preview = context.workshop.preview_boot(appliance, settings)?;
    if let Some(problem) = preview
        .problems
        .iter()
        .find(|problem| problem.severity == Severity::Error)
    {
        let mut error = AppError::new(ErrorKind::Input, problem.message.clone());
        error.hints.extend(problem.remedy.clone());
        return Err(error.into());
    }
    context
        .output
        .show(&preview, |preview| preview.command_line.clone())?;
    if !context.output.json {
        let lines = findings::lines(&preview.problems);
        if !lines.is_empty() {
            context.output.note(lines.trim_end());
        }
    }
    Ok(0)
}
