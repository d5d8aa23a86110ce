//! `appliance`: the folders that images are built from.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use windlass_workshop::appliances::{
    Appliance, Contents, DroppedKind, EntryKind, Manifests, RunForm, TreeEntry,
};
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::guests::{GuestOs, Protocol};

use super::package::agreed;
use super::{findings, layers};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{self, BuildFlags, MachineFlags};
use crate::output::{count, fields, lines, size, table, word};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add a folder, or an archive, which is unpacked
    Add(Add),
    /// List appliances
    List,
    /// Forget appliances; their folders, builds and machines stay
    Remove {
        /// Names, ids or folders of appliances
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Show how an appliance runs or, with flags, change it
    Settings(Settings),
    /// Show what an image would hold
    Contents {
        /// Name, id or folder of an appliance
        name: String,
        /// A directory of the merged tree; its layers and findings, when nothing is said
        directory: Option<String>,
    },
    /// Show the layers of an appliance or, with --set, give it others
    Layers {
        /// Name, id or folder of an appliance
        name: String,
        /// A package, lowest first; repeat for several: `node >=18, <21`. Empty for none at all
        #[arg(long, value_name = "PACKAGE")]
        set: Option<Vec<String>>,
    },
    /// Show where the bytes of an image would be
    Sizes {
        /// Name, id or folder of an appliance
        name: String,
        /// How many folders deep
        #[arg(long, default_value_t = 2)]
        depth: usize,
    },
    /// Show the packages that each build uses or, with --update, hold fast the newest that fit
    Lock {
        /// Name, id or folder of an appliance
        name: String,
        /// Make the lock file anew
        #[arg(long)]
        update: bool,
    },
    /// Show what of the findings can be mended by itself, or mend one
    Fix {
        /// Name, id or folder of an appliance
        name: String,
        /// Which one
        number: Option<usize>,
    },
}

/// Add a folder.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The folder or archive
    path: PathBuf,
    /// Write the proposed manifest where there is none, without asking
    #[arg(long, short)]
    yes: bool,
}

/// Show or change how an appliance runs.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Name, id or folder of an appliance
    name: String,
    #[command(flatten)]
    build: BuildFlags,
    #[command(flatten)]
    machine: MachineFlags,
    /// The boot command, instead of a run configuration
    #[arg(long, short, value_name = "COMMAND")]
    execute: Option<String>,
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::Add(add) => {
                let appliance = add.run(context).await?;
                context.output.show(&appliance, |appliance| {
                    format!("Added {} ({})", appliance.name, appliance.path)
                })?;
            }
            Self::List => context
                .output
                .show(&workshop.appliances()?, |all| list(all))?,
            Self::Remove { names } => {
                for name in &names {
                    workshop.remove_appliance(&workshop.find_appliance(name)?.id)?;
                }
                context.output.show(&names, |names| {
                    lines(names, |name| format!("Removed {name}; its folder stays"))
                })?;
            }
            Self::Layers { name, set } => return layers::layers(context, &name, set).await,
            Self::Sizes { name, depth } => return layers::sizes(context, &name, depth).await,
            Self::Lock { name, update } => return layers::lock(context, &name, update).await,
            Self::Fix { name, number } => return layers::fix(context, &name, number).await,
            Self::Settings(settings) => {
                let id = workshop.find_appliance(&settings.name)?.id;
                let mut form = workshop.run_form(&id)?;
                let changed = flags::overlay(
                    &form.settings,
                    &settings.build,
                    &settings.machine,
                    settings.execute.as_deref(),
                );
                if let Some(changed) = changed {
                    form.settings = workshop.save_settings(&id, changed)?;
                }
                context.output.show(&form, describe)?;
            }
            Self::Contents { name, directory } => {
                let id = workshop.find_appliance(&name)?.id;
                match directory {
                    Some(directory) => {
                        let entries = workshop.tree(&id, &directory).await?;
                        context.output.show(&entries, |entries| tree(entries))?;
                    }
                    None => context
                        .output
                        .show(&workshop.contents(&id).await?, contents)?,
                }
            }
        }
        Ok(0)
    }
}

impl Add {
    async fn run(self, context: &Context) -> Result<Appliance, Failure> {
        let dropped = context.workshop.inspect(&self.path).await?;
        if dropped.kind == DroppedKind::Kernel {
            let shown = self.path.display();
            return Err(
                AppError::new(ErrorKind::Input, format!("`{shown}` is a guest kernel"))
                    .hinted(format!(
                        "`windlassctl kernel add {shown}` adds it to the library"
                    ))
                    .into(),
            );
        }
        let manifests = match &dropped.proposal {
            None => None,
            Some(proposal) if self.yes || agreed(context, proposal)? => Some(Manifests {
                package_yaml: proposal.package_yaml.clone(),
                run_yaml: proposal.run_yaml.clone(),
            }),
            Some(_) => {
                return Err(AppError::new(
                    ErrorKind::Input,
                    format!("`{}` has no manifest", dropped.path),
                )
                .hinted("`--yes` writes one that fits what is in it")
                .hinted(format!(
                    "`windlassctl package init {}` shows it first",
                    dropped.path
                ))
                .into());
            }
        };
        let path = PathBuf::from(dropped.path);
        Ok(context.workshop.add_appliance(&path, manifests).await?)
    }
}

fn list(appliances: &[Appliance]) -> String {
    let rows: Vec<_> = appliances
        .iter()
        .map(|appliance| {
            let state = match (&appliance.problem, appliance.machines_running) {
                (Some(problem), _) => problem
                    .message
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                (None, 0) => String::new(),
                (None, running) => format!("{running} running"),
            };
            [
                appliance.name.clone(),
                appliance.guest.title().to_owned(),
                state,
                appliance.path.clone(),
            ]
        })
        .collect();
    table(
        ["NAME", "GUEST", "STATE", "FOLDER"],
        &rows,
        "No appliances; `windlassctl appliance add FOLDER` or `windlassctl sample create hello` makes one",
    )
}

fn describe(form: &RunForm) -> String {
    let settings = &form.settings;
    let ports: Vec<_> = settings
        .ports
        .iter()
        .map(|port| {
            let host = port.host.map_or("any".to_owned(), |host| host.to_string());
            let suffix = if port.protocol == Protocol::Udp {
                "/udp"
            } else {
                ""
            };
            format!("{host}:{}{suffix}", port.guest)
        })
        .collect();
    let env: Vec<_> = settings
        .env
        .iter()
        .map(|env| format!("{}={}", env.name, env.value))
        .collect();
    let mut text = fields(&[
        ("Guest", settings.guest.title().to_owned()),
        ("Root file system", settings.root_fs.to_string()),
        (
            "Disk",
            match settings.guest {
                GuestOs::Linux if settings.bootable => "bootable",
                GuestOs::Linux => "direct",
                GuestOs::Osv => "",
            }
            .to_owned(),
        ),
        (
            "Disk size",
            settings
                .size_mib
                .map(|size_mib| format!("{size_mib} MiB"))
                .unwrap_or_default(),
        ),
        ("Memory", format!("{} MiB", settings.memory_mib)),
        ("Processors", settings.vcpus.to_string()),
        (
            "Network",
            if settings.network { "nat" } else { "none" }.to_owned(),
        ),
        ("Ports", ports.join("\n")),
        ("Environment", env.join("\n")),
        (
            "Configuration",
            settings.configuration.clone().unwrap_or_default(),
        ),
        ("Command", settings.command.clone().unwrap_or_default()),
    ]);
    let rows: Vec<_> = form
        .configurations
        .iter()
        .map(|configuration| {
            [
                configuration.name.clone(),
                if configuration.is_default {
                    "default"
                } else {
                    ""
                }
                .to_owned(),
                word(&configuration.runtime),
                configuration.layer.clone(),
                configuration.command.clone(),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(
        ["CONFIGURATION", "", "RUNTIME", "FROM", "COMMAND"],
        &rows,
        "No run configurations\n",
    ));
    text
}

fn contents(contents: &Contents) -> String {
    let rows: Vec<_> = contents
        .layers
        .iter()
        .map(|layer| {
            [
                layer.name.clone(),
                word(&layer.kind),
                layer.version.clone().unwrap_or_default(),
                count(layer.file_count, "file", "files"),
                size(layer.size_bytes),
            ]
        })
        .collect();
    let mut text = table(["LAYER", "KIND", "VERSION", "FILES", "SIZE"], &rows, "");
    let _ = write!(
        text,
        "\n{}, {}\n",
        count(contents.file_count, "file", "files"),
        size(contents.size_bytes)
    );
    text.push_str(&findings::lines(&contents.findings));
    text
}

fn tree(entries: &[TreeEntry]) -> String {
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            let name = match (entry.kind, &entry.target) {
                (EntryKind::Directory, _) => format!("{}/", entry.name),
                (_, Some(target)) => format!("{} -> {target}", entry.name),
                _ => entry.name.clone(),
            };
            let over = if entry.overrides.is_empty() {
                String::new()
            } else {
                format!("over {}", entry.overrides.join(", "))
            };
            [name, size(entry.size_bytes), entry.layer.clone(), over]
        })
        .collect();
    table(["NAME", "SIZE", "FROM", ""], &rows, "Empty")
}
