//! `runtime`: what runs a package, and its run configurations.

use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;
use windlass_workshop::appliances::{ConfigurationFields, EnvValue, RuntimeFields};
use windlass_workshop::error::{AppError, ErrorKind};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{lines, table};

/// The runtimes, with what they are and a run file to begin with.
const RUNTIMES: [(&str, &str, &str); 4] = [
    (
        "native",
        "any program, by its boot command",
        "runtime: native\nconfig_set:\n  default:\n    # The boot command.\n    bootcmd: /program\n    # Environment.\n    env:\n      NAME: value\nconfig_set_default: default\n",
    ),
    (
        "node",
        "a script for Node.js",
        "runtime: node\nconfig_set:\n  default:\n    # The script.\n    main: /server.js\n    # Arguments of the script.\n    args: []\n    # Environment.\n    env:\n      NAME: value\nconfig_set_default: default\n",
    ),
    (
        "java",
        "a class or .jar for a Java virtual machine",
        "runtime: java\nconfig_set:\n  default:\n    # The class, or a path that ends in .jar.\n    main: /application.jar\n    # Where classes are.\n    classpath:\n      - /\n    # Arguments of the program.\n    args: []\n    # Environment.\n    env:\n      NAME: value\nconfig_set_default: default\n",
    ),
    (
        "python",
        "a script for Python",
        "runtime: python\nconfig_set:\n  default:\n    # The script.\n    main: /main.py\n    # Arguments of the script.\n    args: []\n    # Environment.\n    env:\n      NAME: value\nconfig_set_default: default\n",
    ),
];

/// A runtime and how it is begun with.
#[derive(Debug, Args)]
pub(crate) struct Template {
    /// The runtime: native, node, java or python
    #[arg(long, short)]
    runtime: String,
    /// Without comments
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List runtimes
    List,
    /// Print a run file to begin with
    Preview(Template),
    /// Write a run file to begin with into the package in the current folder
    Init {
        #[command(flatten)]
        template: Template,
        /// Replace the one that is there
        #[arg(long, short)]
        force: bool,
    },
    /// Change a run configuration of an appliance, or add it: `main=/server.js`, `args=--port 80`, `env.NAME=VALUE`
    Set {
        /// The appliance
        name: String,
        /// The configuration
        configuration: String,
        /// Fields with their values; an empty value takes a field away
        #[arg(required = true, value_name = "FIELD=VALUE")]
        fields: Vec<String>,
        /// What runs it, where the appliance has no run file yet
        #[arg(long, default_value = "native")]
        runtime: String,
    },
    /// Remove a run configuration
    Remove {
        /// The appliance
        name: String,
        /// The configuration
        configuration: String,
    },
    /// Give a run configuration another name
    Rename {
        /// The appliance
        name: String,
        /// The configuration
        configuration: String,
        /// Its new name
        new_name: String,
    },
    /// Say what runs when nothing else is said, in order
    Default {
        /// The appliance
        name: String,
        /// The configurations
        configurations: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    description: &'static str,
}

impl Template {
    fn text(&self) -> Result<String, Failure> {
        let found = RUNTIMES.iter().find(|(name, ..)| *name == self.runtime);
        let Some((_, _, text)) = found else {
            return Err(Failure::usage(
                format!("There is no runtime `{}`", self.runtime),
                "Give native, node, java or python",
            ));
        };
        let keep = |line: &&str| !self.plain || !line.trim_start().starts_with('#');
        let lines: Vec<_> = text.lines().filter(keep).collect();
        Ok(lines.join("\n") + "\n")
    }
}

impl Verb {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::List => {
                let all = RUNTIMES.map(|(name, description, _)| Listed { name, description });
                context.output.show(all.as_slice(), |all| {
                    let rows: Vec<_> = all
                        .iter()
                        .map(|it| [it.name.to_owned(), it.description.to_owned()])
                        .collect();
                    table(["RUNTIME", "RUNS"], &rows, "")
                })?;
            }
            Self::Preview(template) => {
                let text = template.text()?;
                context.output.show(&text, Clone::clone)?;
            }
            Self::Init { template, force } => {
                let text = template.text()?;
                workshop.write_run_file(Path::new("."), &text, force)?;
                context
                    .output
                    .show("meta/run.yaml", |path| format!("Wrote {path}"))?;
            }
            Self::Set {
                name,
                configuration,
                fields,
                runtime,
            } => {
                let id = workshop.find_appliance(&name)?.id;
                let form = workshop.run_form(&id)?;
                let own = || form.configurations.iter().filter(|it| it.own);
                let before = own().find(|it| it.name == configuration);
                let mut changed = match (before, own().next()) {
                    (Some(before), _) => before.fields.clone(),
                    (None, Some(other)) => empty(kind_of(&other.fields.settings))?,
                    (None, None) => empty(&runtime)?,
                };
                for field in &fields {
                    set(&mut changed, field)?;
                }
                if before.is_some() {
                    workshop.save_configuration(&id, &configuration, &changed)?;
                } else {
                    workshop.add_configuration(&id, &configuration, &changed)?;
                }
                show(context, &id)?;
            }
            Self::Remove {
                name,
                configuration,
            } => {
                let id = workshop.find_appliance(&name)?.id;
                workshop.remove_configuration(&id, &configuration)?;
                show(context, &id)?;
            }
            Self::Rename {
                name,
                configuration,
                new_name,
            } => {
                let id = workshop.find_appliance(&name)?.id;
                workshop.rename_configuration(&id, &configuration, &new_name)?;
                show(context, &id)?;
            }
            Self::Default {
                name,
                configurations,
            } => {
                let id = workshop.find_appliance(&name)?.id;
                workshop.set_default_configurations(&id, &configurations)?;
                show(context, &id)?;
            }
        }
        Ok(0)
    }
}

fn show(context: &Context, id: &str) -> Result<(), Failure> {
    let mut form = context.workshop.run_form(id)?;
    form.configurations.retain(|it| it.own);
    context.output.show(&form.configurations, |all| {
        lines(all, |it| {
            let mark = if it.is_default { " (default)" } else { "" };
            format!("{}{mark}  {}", it.name, it.command)
        })
    })
}

fn kind_of(settings: &RuntimeFields) -> &'static str {
    match settings {
        RuntimeFields::Native { .. } => "native",
        RuntimeFields::Node { .. } => "node",
        RuntimeFields::Java { .. } => "java",
        RuntimeFields::Python { .. } => "python",
    }
}

fn empty(runtime: &str) -> Result<ConfigurationFields, Failure> {
    let list = Vec::new;
    let settings = match runtime {
        "native" => RuntimeFields::Native { bootcmd: None },
        "node" => RuntimeFields::Node {
            main: None,
            node_args: list(),
            args: list(),
            shell: false,
        },
        "java" => RuntimeFields::Java {
            main: None,
            xms: None,
            xmx: None,
            classpath: list(),
            jvm_args: list(),
            args: list(),
        },
        "python" => RuntimeFields::Python {
            main: None,
            python_args: list(),
            args: list(),
            shell: false,
        },
        _ => {
            return Err(Failure::usage(
                format!("There is no runtime `{runtime}`"),
                "Give native, node, java or python",
            ));
        }
    };
    Ok(ConfigurationFields {
        settings,
        base: None,
        env: Vec::new(),
    })
}

/// Takes over `FIELD=VALUE`; lists are words between blanks.
fn set(fields: &mut ConfigurationFields, text: &str) -> Result<(), Failure> {
    let Some((field, value)) = text.split_once('=') else {
        return Err(Failure::usage(
            format!("`{text}` is no FIELD=VALUE"),
            "Write something like main=/server.js or env.PORT=80",
        ));
    };
    if let Some(name) = field.strip_prefix("env.") {
        fields.env.retain(|it| it.name != name);
        if !value.is_empty() {
            fields.env.push(EnvValue {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        return Ok(());
    }
    let one = Some(value.to_owned()).filter(|value| !value.is_empty());
    let many: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    let yes = matches!(value, "true" | "yes" | "1");
    match (&mut fields.settings, field) {
        (_, "base") => fields.base = one,
        (RuntimeFields::Native { bootcmd }, "bootcmd") => *bootcmd = one,
        (
            RuntimeFields::Node { main, .. }
            | RuntimeFields::Java { main, .. }
            | RuntimeFields::Python { main, .. },
            "main",
        ) => *main = one,
        (
            RuntimeFields::Node { args, .. }
            | RuntimeFields::Java { args, .. }
            | RuntimeFields::Python { args, .. },
            "args",
        ) => *args = many,
        (RuntimeFields::Node { node_args, .. }, "node_args") => *node_args = many,
        (RuntimeFields::Python { python_args, .. }, "python_args") => *python_args = many,
        (RuntimeFields::Node { shell, .. } | RuntimeFields::Python { shell, .. }, "shell") => {
            *shell = yes;
        }
        (RuntimeFields::Java { xms, .. }, "xms") => *xms = one,
        (RuntimeFields::Java { xmx, .. }, "xmx") => *xmx = one,
        (RuntimeFields::Java { classpath, .. }, "classpath") => *classpath = many,
        (RuntimeFields::Java { jvm_args, .. }, "jvm_args") => *jvm_args = many,
        (settings, field) => {
            return Err(AppError::new(
                ErrorKind::Input,
                format!("A {} configuration has no `{field}`", kind_of(settings)),
            )
            .into());
        }
    }
    Ok(())
}
