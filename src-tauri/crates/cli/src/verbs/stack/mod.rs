//! `stack`: appliances and groups by a cloud's Heat, and the same as text for other engines; beside them Capstan's two verbs.

mod capstan;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use windlass_workshop::clouds::{DeployFrom, DeployOptions};
use windlass_workshop::group_files::PLACES;
use windlass_workshop::stacks::{CloudStack, StackFormat, StackOptions, StackPreview, StackSource};

use self::capstan::{Login, Push};
use super::cloud::open;
use super::deploy::deploy;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{table, time};
use crate::progress;
use crate::signals::Signals;
use crate::values;

/// A size in megabytes, as Capstan has it here, or with a unit.
fn megabytes(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => values::size_mib(text),
    }
}

/// For whom a text is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// A Heat template (HOT)
    Heat,
    /// Commands of the `openstack` client, as a script
    Commands,
    /// Kubernetes resources, for `KubeVirt` (Virtlet, which MIKELANGELO used, ended in 2019)
    Kubernetes,
}

impl From<Format> for StackFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Heat => Self::Heat,
            Format::Commands => Self::Commands,
            Format::Kubernetes => Self::Kubernetes,
        }
    }
}

/// What is launched.
#[derive(Debug, Args)]
pub(crate) struct What {
    /// An appliance, or the file of a group, or the folder with a windlass-group.yaml; one whose folder has such a file is
    /// meant as the group
    source: String,
    /// The stack's name; the group's or appliance's, when nothing is said
    #[arg(long, short)]
    name: Option<String>,
    /// The flavor of all machines
    #[arg(long, short)]
    flavor: Option<String>,
    /// The network that floating addresses come from
    #[arg(long, value_name = "NETWORK")]
    external: Option<String>,
    /// The key pair that may log in
    #[arg(long)]
    key: Option<String>,
}

impl What {
    fn read(self, context: &Context) -> (StackSource, StackOptions) {
        let is_group =
            |path: &Path| path.is_file() || PLACES.iter().any(|it| path.join(it).is_file());
        let path = PathBuf::from(&self.source);
        // An appliance whose folder has a group's file is meant as that group.
        let appliance = context.workshop.find_appliance(&self.source);
        let folder = appliance.map(|it| PathBuf::from(it.path)).ok();
        let source = [Some(path), folder]
            .into_iter()
            .flatten()
            .find(|it| is_group(it))
            .map_or_else(
                || StackSource::Appliance {
                    name: self.source.clone(),
                },
                |path| StackSource::Group { path },
            );
        let options = StackOptions {
            name: self.name,
            flavor: self.flavor,
            external: self.external,
            key: self.key,
            registry: None,
        };
        (source, options)
    }
}

/// A stack of a cloud.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The cloud
    cloud: String,
    /// The stack's name or id
    stack: String,
}

/// Stacks, and what Capstan called so, made right.
#[derive(Debug, Subcommand)]
pub(crate) enum Stack {
    /// Build and send the images, and launch them as a stack; one of this name is updated
    Launch {
        #[command(flatten)]
        what: What,
        /// The cloud
        #[arg(long, value_name = "NAME")]
        cloud: String,
        /// Only say what an update would change
        #[arg(long)]
        preview: bool,
    },
    /// Write an appliance or a group as text for another engine
    Template {
        #[command(flatten)]
        what: What,
        /// For whom
        #[arg(long, value_enum, default_value = "heat")]
        format: Format,
        /// Kubernetes: the registry that disks are in, with a path
        #[arg(long, value_name = "HOST/PATH")]
        registry: Option<String>,
        /// The file; the terminal, when nothing is said
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// List the stacks of a cloud
    List {
        /// The cloud
        cloud: String,
    },
    /// Show a stack: what it is made of, its addresses, what happened to it
    Show(Named),
    /// Delete a stack with all that is of it; images stay
    Delete(Named),
    /// Compose the package in the current folder, or take an image that is there, and send it to OpenStack
    Push(Box<Push>),
    /// Run servers of an image that is in OpenStack
    Run {
        /// The image's name or id there
        image: String,
        /// The flavor; the smallest that fits, when nothing is said
        #[arg(long, short)]
        flavor: Option<String>,
        /// The least memory, in MB or with a unit
        #[arg(long, short, value_name = "SIZE", value_parser = megabytes)]
        memory: Option<u32>,
        /// The servers' name
        #[arg(long, short)]
        name: Option<String>,
        /// How many servers
        #[arg(long, short, default_value_t = 1)]
        count: u32,
        /// Accepted for Capstan's scripts
        #[arg(long, short, hide = true)]
        verbose: bool,
        #[command(flatten)]
        login: Login,
    },
}

impl Stack {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Launch {
                what,
                cloud,
                preview,
            } => launch(context, what, &cloud, preview).await,
            Self::Template {
                what,
                format,
                registry,
                output,
            } => {
                let (source, mut options) = what.read(context);
                options.registry = registry;
                let workshop = &context.workshop;
                if let Some(path) = output {
                    workshop
                        .save_stack_text(&source, format.into(), &options, &path)
                        .await?;
                    context
                        .output
                        .show(&path, |it| format!("Wrote {}", it.display()))?;
                } else {
                    let text = workshop
                        .stack_text(&source, format.into(), &options)
                        .await?;
                    context.output.show(&text, |it| it.trim_end().to_owned())?;
                }
                Ok(0)
            }
            Self::List { cloud } => {
                let cloud = open(context, &cloud).await?;
                let stacks = context.workshop.cloud_stacks(cloud.id).await?;
                context.output.show(stacks.as_slice(), list)?;
                Ok(0)
            }
            Self::Show(named) => {
                let cloud = open(context, &named.cloud).await?;
                let stack = context.workshop.cloud_stack(cloud.id, &named.stack).await?;
                context.output.show(&stack, show)?;
                Ok(0)
            }
            Self::Delete(named) => {
                let cloud = open(context, &named.cloud).await?;
                let mut signals = Signals::listen()?;
                let job = context
                    .workshop
                    .start_stack_delete(cloud.id, &named.stack)?;
                progress::wait(context, &job, &mut signals).await?;
                context
                    .output
                    .show(&named.stack, |it| format!("Deleted {it}"))?;
                Ok(0)
            }
            Self::Push(push) => push.run(context).await,
            Self::Run {
                image,
                flavor,
                memory,
                name,
                count,
                verbose: _,
                login,
            } => {
                let cloud = login.cloud(context).await?;
                let options = DeployOptions {
                    from: DeployFrom::Cloud,
                    flavor,
                    memory_mib: memory,
                    name,
                    count,
                    ..DeployOptions::default()
                };
                deploy(context, &cloud, &image, options).await
            }
        }
    }
}

async fn launch(context: &Context, what: What, cloud: &str, preview: bool) -> Outcome {
    let cloud = open(context, cloud).await?;
    let (source, options) = what.read(context);
    let workshop = &context.workshop;
    if preview {
        let changes = workshop.preview_stack(cloud.id, &source, &options).await?;
        context.output.show(&changes, changed)?;
        return Ok(0);
    }
    let mut signals = Signals::listen()?;
    let job = workshop.start_stack_launch(cloud.id, &source, options)?;
    let job = progress::wait(context, &job, &mut signals).await?;
    let name = job.produced.unwrap_or_default();
    let stack = workshop.cloud_stack(cloud.id, &name).await?;
    context.output.show(&stack, show)?;
    Ok(0)
}

fn changed(preview: &StackPreview) -> String {
    let mut lines = Vec::new();
    for (words, names) in [
        ("comes", &preview.added),
        ("goes", &preview.deleted),
        ("is made anew", &preview.replaced),
        ("changes", &preview.updated),
    ] {
        lines.extend(names.iter().map(|name| format!("{name} {words}")));
    }
    lines.push(format!("{} stay as they are", preview.unchanged));
    lines.join("\n")
}

fn list(stacks: &[CloudStack]) -> String {
    let rows: Vec<_> = stacks
        .iter()
        .map(|it| {
            [
                it.name.clone(),
                it.status.clone(),
                if it.ours { "yes" } else { "no" }.to_owned(),
                time(&it.made_at),
                it.id.clone(),
            ]
        })
        .collect();
    table(
        ["NAME", "STATUS", "OURS", "MADE", "ID"],
        &rows,
        "No stacks; `windlassctl stack launch APPLIANCE --cloud NAME` launches one",
    )
}

fn show(stack: &CloudStack) -> String {
    let mut text = format!("{}: {}", stack.name, stack.status);
    if !stack.reason.is_empty() {
        let _ = write!(text, " ({})", stack.reason);
    }
    text.push('\n');
    for (what, value) in &stack.outputs {
        let _ = writeln!(text, "{what}: {value}");
    }
    let rows: Vec<_> = stack
        .resources
        .iter()
        .map(|it| {
            [
                it.name.clone(),
                it.kind.clone(),
                it.status.clone(),
                it.id.clone().unwrap_or_default(),
            ]
        })
        .collect();
    text.push_str(&table(
        ["RESOURCE", "TYPE", "STATUS", "ID"],
        &rows,
        "It has no resources",
    ));
    text
}
