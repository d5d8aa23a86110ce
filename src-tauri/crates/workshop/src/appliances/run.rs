//! How an appliance runs: what there is to choose from, and the boot command that settings come to.

use serde::Serialize;
use specta::Type;
use windlass_guest::CommandLine;
use windlass_package::Package;

use super::contents::appliance_name;
use super::{ApplianceSettings, ConfigurationFields, EnvValue, Finding, Severity};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::{GuestOs, Protocol, RootFs};
use crate::machines::is_live;
use crate::packages::EnvironmentVariable;

/// What runs a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Runtime {
    /// Any boot command.
    Native,
    /// Node.js.
    Node,
    /// A Java virtual machine.
    Java,
    /// Python.
    Python,
}

crate::guests::mirror!(Runtime, windlass_package::Runtime: Native, Node, Java, Python);

/// A run configuration that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RunConfiguration {
    /// Its name.
    pub name: String,
    /// The layer that it comes from.
    pub layer: String,
    /// What runs it.
    pub runtime: Runtime,
    /// Its environment.
    pub env: Vec<EnvValue>,
    /// The boot command that it comes to; empty where that cannot be said (yet).
    pub command: String,
    /// Whether it runs when nothing else is said.
    pub is_default: bool,
    /// Whether it is the appliance's own, and can be edited.
    pub own: bool,
    /// All that it says.
    pub fields: ConfigurationFields,
}

/// The settings of an appliance and what there is to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RunForm {
    /// The settings in force.
    pub settings: ApplianceSettings,
    /// The configurations of the appliance and its packages.
    pub configurations: Vec<RunConfiguration>,
    /// The environment variables that the appliance and its packages understand.
    pub environment: Vec<EnvironmentVariable>,
}

/// What settings come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct BootPreview {
    /// The boot command line.
    pub command_line: String,
    /// The same run as a `windlassctl` command.
    pub command: String,
    /// What stands in the way.
    pub problems: Vec<Finding>,
}

impl Workshop {
    /// The settings of an appliance, with what there is to choose from.
    ///
    /// # Errors
    /// `NotFound`; `Input` when a manifest has a mistake.
    pub fn run_form(&self, id: &str) -> Result<RunForm> {
        let package = Package::open(self.appliance_record(id)?.path)?;
        let settings = self.settings_of(&package.settings)?;
        let guest = settings.guest;
        // Without its packages an appliance still has configurations of its own.
        let mut packages = Vec::new();
        if let Ok(resolution) = self.library.resolve(
            &package.manifest.requirements(),
            super::read_lock(&package.root)?.as_ref(),
        ) {
            packages.extend(
                resolution
                    .packages
                    .into_iter()
                    .filter_map(|it| Package::open(it.path).ok()),
            );
        }
        packages.push(package);
        let all: Vec<&Package> = packages.iter().collect();
        let own = packages.len() - 1;
        let mut configurations = Vec::new();
        // The appliance's own first, then those that its packages bring.
        for (index, package) in packages.iter().enumerate().rev() {
            let Some(run) = &package.run else { continue };
            for configuration in &run.config_set {
                let resolved =
                    windlass_package::boot::resolve(package, configuration, &all, guest.into());
                configurations.push(RunConfiguration {
                    name: configuration.name.clone(),
                    layer: appliance_name(package),
                    runtime: run.runtime.into(),
                    env: configuration
                        .env
                        .iter()
                        .map(|(name, value)| EnvValue {
                            name: name.clone(),
                            value: value.clone(),
                        })
                        .collect(),
                    command: resolved.map(|boot| boot.command).unwrap_or_default(),
                    is_default: index == own
                        && run.config_set_default.contains(&configuration.name),
                    own: index == own,
                    fields: configuration.into(),
                });
            }
        }
        Ok(RunForm {
            settings,
            configurations,
            environment: environment_of(&packages),
        })
    }

    /// The boot command line that settings come to, without keeping them. What is wrong with them
    /// is part of the answer: the form goes on.
    ///
    /// # Errors
    /// `NotFound`; `Input` when a manifest has a mistake.
    pub fn preview_boot(&self, id: &str, settings: &ApplianceSettings) -> Result<BootPreview> {
        let package = Package::open(self.appliance_record(id)?.path)?;
        let command = as_command(&appliance_name(&package), settings);
        let problem = |error: AppError| BootPreview {
            command_line: String::new(),
            command: command.clone(),
            problems: vec![error.into()],
        };
        if let Err(error) = settings.check() {
            return Ok(problem(error));
        }
        let kept = settings.to_build_settings();
        let boot = match self.boot_plan(package, &kept, settings.guest) {
            Ok((_, _, boot)) => boot,
            Err(error) => return Ok(problem(error)),
        };
        let line = match CommandLine::parse(&boot.command_line) {
            Ok(line) => line,
            Err(error) => {
                return Ok(problem(AppError::from_error(
                    ErrorKind::Input,
                    &error,
                    Some("Correct the boot command".to_owned()),
                )));
            }
        };
        let whole = windlass_compose::image_command_line(
            settings.guest.into(),
            settings.root_fs.into(),
            &line,
        );
        let mut problems: Vec<_> = boot.findings.into_iter().map(Finding::from).collect();
        problems.extend(self.ports_in_use(settings));
        Ok(BootPreview {
            command_line: whole.to_string(),
            command,
            problems,
        })
    }

    /// Ports that a machine would ask for and not get now, with who has them.
    fn ports_in_use(&self, settings: &ApplianceSettings) -> Vec<Finding> {
        let asked = settings.ports.iter().filter(|_| settings.network);
        let refused = asked.filter_map(|port| {
            let mut error = windlass_machine::check_port(port.host?, port.protocol.into()).err()?;
            if let windlass_machine::Error::PortTaken { port, holder, .. } = &mut error {
                *holder = self.machine_at_port(*port);
            }
            Some(Finding {
                severity: Severity::Warning,
                ..Finding::from(AppError::from(error))
            })
        });
        refused.collect()
    }

    /// The machine that a port of this computer leads to now.
    fn machine_at_port(&self, port: u16) -> Option<String> {
        let machines = self.machines.list();
        let holder = machines.iter().filter(|one| is_live(one)).find(|one| {
            let ports = one.status().borrow().ports.clone();
            ports.iter().any(|ours| ours.host == port)
        })?;
        Some(format!("the machine {}", holder.spec().name))
    }
}

/// The environment variables of packages: what a later one says of a name counts.
fn environment_of(packages: &[Package]) -> Vec<EnvironmentVariable> {
    let mut all: Vec<EnvironmentVariable> = Vec::new();
    for variable in packages
        .iter()
        .flat_map(|package| &package.manifest.environment)
    {
        let variable = EnvironmentVariable::from(variable.clone());
        match all.iter_mut().find(|it| it.name == variable.name) {
            Some(there) => *there = variable,
            None => all.push(variable),
        }
    }
    all
}

/// The same run for a terminal.
fn as_command(name: &str, settings: &ApplianceSettings) -> String {
    let mut words = vec!["windlassctl".to_owned(), "run".to_owned(), quote(name)];
    let mut option = |flag: &str, value: String| {
        words.push(flag.to_owned());
        words.push(quote(&value));
    };
    option("--guest", settings.guest.to_string());
    if settings.guest == GuestOs::Osv && settings.root_fs != RootFs::Rofs {
        option("--fs", settings.root_fs.to_string());
    }
    if settings.bootable && settings.guest == GuestOs::Linux {
        option("--disk", "bootable".to_owned());
    }
    option("--memory", format!("{}M", settings.memory_mib));
    option("--cpus", settings.vcpus.to_string());
    if !settings.network {
        option("--network", "none".to_owned());
    }
    for port in &settings.ports {
        let host = port.host.map(|host| host.to_string()).unwrap_or_default();
        let suffix = if port.protocol == Protocol::Udp {
            "/udp"
        } else {
            ""
        };
        option("--forward", format!("{host}:{}{suffix}", port.guest));
    }
    for network in &settings.networks {
        option("--join", network.clone());
    }
    for volume in &settings.volumes {
        let path = volume.path.as_deref();
        let path = path.map(|path| format!(":{path}")).unwrap_or_default();
        option("--volume", format!("{}{path}", volume.volume));
    }
    for env in &settings.env {
        option("--env", format!("{}={}", env.name, env.value));
    }
    if let Some(configuration) = &settings.configuration {
        option("--boot", configuration.clone());
    }
    if let Some(command) = &settings.command {
        option("--execute", command.clone());
    }
    if settings.allow_changes {
        words.push("--allow-changes".to_owned());
    }
    words.join(" ")
}

/// Quotes a word for a POSIX shell where it needs it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    #[test]
    fn a_run_can_be_copied_as_a_command() {
        assert_eq!(
            as_command("hello", &settings()),
            r"windlassctl run hello --guest linux --memory 256M --cpus 2 --forward 8080:80 --forward :53/udp --env 'GREETING=it'\''s me'"
        );
    }
}
