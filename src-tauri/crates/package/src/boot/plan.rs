//! All layers together: the scripts, and the command line that runs some of them.

use std::collections::BTreeMap;

use windlass_guest::command_line::Command;
use windlass_guest::{CommandLine, GuestOs};

use super::resolve::{Resolved, Resolver};
use super::{BootError, BootPlan, Script};
use crate::{BuildSettings, Finding, Package};

type Result<T> = std::result::Result<T, BootError>;

pub(super) fn plan(
    layers: &[&Package],
    guest: GuestOs,
    settings: &BuildSettings,
) -> Result<BootPlan> {
    let mut findings = Vec::new();
    let (owners, collisions) = owners(layers);
    let running = running(layers, &owners, settings)?;
    findings.extend(
        collisions
            .iter()
            .map(|collision| collision.finding(&running)),
    );
    check_environment(&settings.env)?;

    let bases = Resolver {
        packages: layers,
        guest,
    };
    let mut resolved: BTreeMap<&str, (&Package, Resolved)> = BTreeMap::new();
    for (name, owner) in &owners {
        let configuration = owner.run.as_ref().and_then(|run| run.configuration(name));
        let Some(configuration) = configuration else {
            continue;
        };
        match bases.chain(owner, configuration) {
            Ok(chain) => {
                resolved.insert(name, (owner, chain));
            }
            Err(error) if running.contains(name) => return Err(error),
            Err(error) => {
                let finding =
                    Finding::note(format!("the configuration `{name}` cannot be run: {error}"));
                findings.push(match error.hint() {
                    Some(hint) => finding.remedy(hint),
                    None => finding,
                });
            }
        }
    }
    let put_in = shared_variables(&running, &resolved, &mut findings);

    let scripts = resolved
        .into_iter()
        .map(|(name, (owner, chain))| {
            let in_words: &[String] = if running.iter().any(|other| other == name) {
                &put_in
            } else {
                &[]
            };
            let boot = chain.finish(&settings.env, in_words);
            if running.iter().any(|other| other == name) {
                findings.extend(boot.findings.iter().cloned());
            }
            Script {
                name: name.to_owned(),
                package: owner.manifest.name.clone(),
                path: format!("run/{name}"),
                content: boot.script_line() + "\n",
            }
        })
        .collect();
    let command_line = command_line(&running, settings)?;
    Ok(BootPlan {
        scripts,
        configurations: running,
        command_line,
        findings,
    })
}

/// A name that a configuration of two packages has.
struct Collision<'p> {
    name: &'p str,
    /// The package that has it, and below it the one whose configuration is not taken.
    taken: &'p str,
    below: &'p str,
}

impl Collision<'_> {
    /// A warning where the name is one that runs; else both are only there to be based on, by package.
    fn finding(&self, running: &[String]) -> Finding {
        let Self { name, taken, below } = self;
        let message = format!(
            "both {below} and {taken} have a run configuration `{name}`; that of {taken} is taken"
        );
        let finding = if running.iter().any(|other| other == name) {
            Finding::warning(message)
        } else {
            Finding::note(message)
        };
        finding
            .at(format!("run/{name}"))
            .remedy("Rename one of them, or base yours on the other.")
    }
}

type Owners<'p> = BTreeMap<String, &'p Package>;

/// Which package's configuration each name is: the last one's. All share `/run`.
fn owners<'p>(layers: &[&'p Package]) -> (Owners<'p>, Vec<Collision<'p>>) {
    let mut owners = Owners::new();
    let mut collisions = Vec::new();
    for package in layers {
        for configuration in package.run.iter().flat_map(|run| &run.config_set) {
            let Some(before) = owners.insert(configuration.name.clone(), package) else {
                continue;
            };
            if before.manifest.name != package.manifest.name {
                collisions.push(Collision {
                    name: &configuration.name,
                    taken: &package.manifest.name,
                    below: &before.manifest.name,
                });
            }
        }
    }
    (owners, collisions)
}

fn running(
    layers: &[&Package],
    owners: &BTreeMap<String, &Package>,
    settings: &BuildSettings,
) -> Result<Vec<String>> {
    if settings
        .command
        .as_deref()
        .is_some_and(|command| !command.trim().is_empty())
    {
        return Ok(Vec::new());
    }
    let chosen: Vec<String> = settings
        .configuration
        .iter()
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let names = if chosen.is_empty() {
        default_of(layers)
    } else {
        chosen
    };
    let available = || owners.keys().cloned().collect::<Vec<_>>();
    if names.is_empty() {
        return Err(BootError::Nothing {
            available: available(),
        });
    }
    match names.iter().find(|name| !owners.contains_key(*name)) {
        Some(name) => Err(BootError::NoConfiguration {
            name: name.clone(),
            available: available(),
        }),
        None => Ok(names),
    }
}

/// The default of the appliance or its only configuration, else the default nearest below it.
fn default_of(layers: &[&Package]) -> Vec<String> {
    let Some((appliance, below)) = layers.split_last() else {
        return Vec::new();
    };
    if let Some(run) = &appliance.run {
        if !run.config_set_default.is_empty() {
            return run.config_set_default.clone();
        }
        if let [only] = run.config_set.as_slice() {
            return vec![only.name.clone()];
        }
    }
    // Capstan runs /run/default when nothing is said.
    if layers
        .iter()
        .flat_map(|layer| &layer.run)
        .any(|run| run.configuration("default").is_some())
    {
        return vec!["default".to_owned()];
    }
    let defaults = below
        .iter()
        .rev()
        .flat_map(|layer| &layer.run)
        .map(|run| &run.config_set_default);
    defaults
        .into_iter()
        .find(|names| !names.is_empty())
        .cloned()
        .unwrap_or_default()
}

/// The variables of runtimes that configurations which run together give different values: put
/// into the commands, for there is one environment. Others of that kind are findings.
fn shared_variables(
    running: &[String],
    resolved: &BTreeMap<&str, (&Package, Resolved)>,
    findings: &mut Vec<Finding>,
) -> Vec<String> {
    let chains = || {
        running
            .iter()
            .filter_map(|name| Some((name, &resolved.get(name.as_str())?.1)))
    };
    let mut put_in = Vec::new();
    let mut values: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (name, chain) in chains() {
        if running.len() > 1 {
            put_in.extend(
                chain
                    .variables
                    .iter()
                    .map(|variable| variable.name.to_owned()),
            );
        }
        for (key, value) in &chain.env {
            match values.get(key.as_str()) {
                Some((other, before)) if before != value => findings.push(
                    Finding::warning(format!(
                        "`{key}` is `{before}` in `{other}` and `{value}` in `{name}`, which run in one environment"
                    ))
                    .remedy("Give the variables different names, or run the two in machines of their own."),
                ),
                Some(_) => {}
                None => {
                    values.insert(key, (name, value));
                }
            }
        }
    }
    put_in.sort();
    put_in.dedup();
    put_in
}

fn check_environment(env: &[(String, String)]) -> Result<()> {
    for (name, value) in env {
        let error = |problem| BootError::Environment {
            name: name.clone(),
            problem,
        };
        if name.is_empty() || name.ends_with('?') || name.contains(['=', ' ', '\t', '\n', '\0']) {
            return Err(error("a name has no blanks, `=` or final `?`"));
        }
        if value.contains(['\0', '\n', '\r']) {
            return Err(error("a value is one line"));
        }
    }
    Ok(())
}

fn command_line(running: &[String], settings: &BuildSettings) -> Result<String> {
    let mut line = if let Some(command) = settings.command.as_deref().filter(|_| running.is_empty())
    {
        CommandLine::parse(command.trim()).map_err(|source| BootError::Command {
            origin: "the run settings".into(),
            command: command.to_owned(),
            source,
        })?
    } else {
        let commands = running
            .iter()
            .map(|name| Command::new(["runscript", &format!("/run/{name}")]));
        CommandLine {
            options: Vec::new(),
            commands: commands.collect(),
        }
    };
    for (name, value) in &settings.env {
        line = line.with_env(name, value);
    }
    Ok(line.to_string())
}
