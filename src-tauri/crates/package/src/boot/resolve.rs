//! One configuration with all that it bases on.

use windlass_guest::GuestOs;
use windlass_guest::command_line::script::{self, ScriptCommand};

use super::variables::{self, Variable};
use super::{BootCommand, BootError};
use crate::run_file::{Base, RunConfiguration, Settings};
use crate::{Finding, Package};

pub(super) struct Resolver<'a> {
    pub packages: &'a [&'a Package],
    pub guest: GuestOs,
}

/// A configuration as resolved, before variables are put into it.
pub(super) struct Resolved {
    pub commands: Vec<ScriptCommand>,
    pub env: Vec<(String, String)>,
    pub variables: Vec<Variable>,
    pub findings: Vec<Finding>,
}

impl Resolved {
    /// The boot command, when these variables are set elsewhere and those are put into the words.
    pub fn finish(mut self, overridden: &[(String, String)], put_in: &[String]) -> BootCommand {
        let mut env = Vec::new();
        for Variable { name, words } in std::mem::take(&mut self.variables) {
            let set_elsewhere = overridden.iter().any(|(key, _)| key == name)
                || self.env.iter().any(|(key, _)| key == name);
            match words.as_slice() {
                _ if set_elsewhere => {}
                [word] if !put_in.iter().any(|key| key == name) => {
                    if variables::is_named(&self.commands, name) {
                        env.push((name.to_owned(), word.clone()));
                    }
                }
                words => variables::put_in(&mut self.commands, name, words),
            }
        }
        env.append(&mut self.env);
        BootCommand {
            env,
            command: variables::render(&self.commands),
            findings: self.findings,
        }
    }
}

impl Resolver<'_> {
    pub fn resolve(
        &self,
        owner: &Package,
        configuration: &RunConfiguration,
    ) -> Result<BootCommand, BootError> {
        Ok(self.chain(owner, configuration)?.finish(&[], &[]))
    }

    /// Follows the bases to the boot command, gathering environment and variables on the way.
    pub fn chain(
        &self,
        owner: &Package,
        configuration: &RunConfiguration,
    ) -> Result<Resolved, BootError> {
        let mut path: Vec<String> = Vec::new();
        let mut env: Vec<(String, String)> = Vec::new();
        let mut variables: Vec<Variable> = Vec::new();
        let mut findings = Vec::new();
        let (mut owner, mut configuration) = (owner, configuration);
        loop {
            let step = format!("{}:{}", owner.manifest.name, configuration.name);
            let closes = path.contains(&step);
            path.push(step);
            if closes {
                return Err(BootError::Circle { path });
            }
            for (name, value) in &configuration.env {
                if !env.iter().any(|(other, _)| other == name) {
                    env.push((name.clone(), value.clone()));
                }
            }
            for variable in variables::variables(&configuration.settings) {
                if !variables.iter().any(|other| other.name == variable.name) {
                    variables.push(variable);
                }
            }
            if let Some(command) = self.command_of(configuration) {
                let commands =
                    script::parse_line(command.trim()).map_err(|source| BootError::Command {
                        origin: format!(
                            "the configuration `{}` of {}",
                            configuration.name, owner.manifest.name
                        ),
                        command: command.to_owned(),
                        source,
                    })?;
                return Ok(Resolved {
                    commands,
                    env,
                    variables,
                    findings,
                });
            }
            (owner, configuration) = self.base_of(owner, configuration, &mut findings)?;
        }
    }

    fn command_of<'c>(&self, configuration: &'c RunConfiguration) -> Option<&'c str> {
        match &configuration.settings {
            Settings::Native { bootcmd, by_guest } => by_guest
                .iter()
                .find(|(guest, _)| *guest == self.guest)
                .map(|(_, command)| command)
                .or(bootcmd.as_ref())
                .map(String::as_str),
            _ => None,
        }
    }

    fn base_of<'p>(
        &'p self,
        owner: &Package,
        configuration: &RunConfiguration,
        findings: &mut Vec<Finding>,
    ) -> Result<(&'p Package, &'p RunConfiguration), BootError> {
        let runtime = configuration.settings.runtime();
        let named = configuration.base.clone();
        let Some(base) = named.clone().or_else(|| variables::usual_base(runtime)) else {
            return Err(BootError::NoCommand {
                package: owner.manifest.name.clone(),
                configuration: configuration.name.clone(),
            });
        };
        let exact = self
            .packages
            .iter()
            .rev()
            .find(|package| package.manifest.name == base.package);
        // What Capstan's manifests name is years old; a newer package of the same kind does as well.
        let related = || {
            let family = variables::family(runtime)?;
            let is_related = |package: &&&Package| {
                package.manifest.name.starts_with(family)
                    && package
                        .run
                        .as_ref()
                        .is_some_and(|run| run.configuration(&base.configuration).is_some())
            };
            self.packages.iter().rev().find(is_related)
        };
        let Some(package) = exact.or_else(related) else {
            return Err(BootError::NoBasePackage {
                package: owner.manifest.name.clone(),
                configuration: configuration.name.clone(),
                base,
            });
        };
        if named.is_some() && exact.is_none() {
            findings.push(Finding::note(format!(
                "`{}` bases on {base}, which is not there; {} is taken instead",
                configuration.name, package.manifest.name
            )));
        }
        configuration_of(package, owner, configuration, base)
    }
}

fn configuration_of<'p>(
    package: &'p Package,
    owner: &Package,
    configuration: &RunConfiguration,
    base: Base,
) -> Result<(&'p Package, &'p RunConfiguration), BootError> {
    let run = package.run.as_ref();
    match run.and_then(|run| run.configuration(&base.configuration)) {
        Some(found) => Ok((package, found)),
        None => Err(BootError::NoBaseConfiguration {
            package: owner.manifest.name.clone(),
            configuration: configuration.name.clone(),
            base,
            available: run
                .map(|run| {
                    run.config_set
                        .iter()
                        .map(|found| found.name.clone())
                        .collect()
                })
                .unwrap_or_default(),
        }),
    }
}
