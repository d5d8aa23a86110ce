//! How an appliance runs: settings, and the boot command that they come to.

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_guest::CommandLine;
use windlass_package::settings::{DiskKind, PortForward, VolumeSetting};
use windlass_package::{BuildSettings, Package};

use super::contents::appliance_name;
use super::{ConfigurationFields, Finding, Severity};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::{GuestOs, Protocol, RootFs};
use crate::machines::is_live;
use crate::packages::EnvironmentVariable;
use crate::volumes::VolumeMount;

/// A port of the guest that is reached at 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The port on 127.0.0.1; without one a free port is chosen at each start.
    pub host: Option<u16>,
    /// The port inside the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct EnvValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// How an appliance is built and run here; kept in its `meta/windlass.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ApplianceSettings {
    /// The guest.
    pub guest: GuestOs,
    /// The root file system.
    pub root_fs: RootFs,
    /// Whether a Linux image boots by itself, by BIOS and UEFI, as clouds need it: with a boot loader and the kernel on the
    /// disk. Machines here are given the kernel either way, which is faster.
    #[serde(default)]
    pub bootable: bool,
    /// The size of a writable root file system, in MiB; none: its content and some room.
    #[serde(default)]
    pub size_mib: Option<u32>,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub vcpus: u32,
    /// Whether the machine has a network.
    pub network: bool,
    /// Ports of the guest that are reached at 127.0.0.1.
    pub ports: Vec<Port>,
    /// Private networks that the machine is on: all machines that name one reach each other by name.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Volumes that the machine gets.
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
    /// The run configuration, or several with commas; without one, the run file's default.
    pub configuration: Option<String>,
    /// Environment beside the configuration's own, which it overrides.
    pub env: Vec<EnvValue>,
    /// A boot command instead of any configuration.
    pub command: Option<String>,
    /// Whether files of the guest can be changed while it runs.
    #[serde(default)]
    pub allow_changes: bool,
}

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

impl ApplianceSettings {
    /// The form's settings as the folder keeps them.
    pub(crate) fn to_build_settings(&self) -> BuildSettings {
        let text = |text: &Option<String>| {
            text.as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        BuildSettings {
            guest: Some(self.guest.into()),
            root_fs: Some(self.root_fs.into()),
            disk: self.bootable.then_some(DiskKind::Bootable),
            size_mib: self.size_mib,
            memory_mib: Some(self.memory_mib),
            vcpus: Some(self.vcpus),
            network: Some(self.network),
            ports: self
                .ports
                .iter()
                .map(|port| PortForward {
                    host: port.host,
                    guest: port.guest,
                    protocol: port.protocol.into(),
                })
                .collect(),
            networks: self.networks.clone(),
            volumes: self
                .volumes
                .iter()
                .map(|volume| VolumeSetting {
                    name: volume.volume.clone(),
                    path: text(&volume.path),
                })
                .collect(),
            configuration: text(&self.configuration),
            env: self
                .env
                .iter()
                .map(|env| (env.name.clone(), env.value.clone()))
                .collect(),
            command: text(&self.command),
            allow_changes: self.allow_changes.then_some(true),
        }
    }

    /// Refuses what no machine can have, naming it.
    fn check(&self) -> Result<()> {
        let refuse = |message: String, hint: &str| {
            Err(AppError::new(ErrorKind::Input, message).hinted(hint))
        };
        let (least, most) = windlass_package::settings::MEMORY_MIB;
        if !(least..=most).contains(&self.memory_mib) {
            return refuse(
                format!("A machine cannot have {} MiB of memory", self.memory_mib),
                &format!("Give between {least} and {most} MiB"),
            );
        }
        let (least, most) = windlass_package::settings::SIZE_MIB;
        if let Some(size_mib) = self.size_mib
            && !(least..=most).contains(&size_mib)
        {
            return refuse(
                format!("A disk cannot have {size_mib} MiB"),
                &format!("Give between {least} and {most} MiB"),
            );
        }
        let (least, most) = windlass_package::settings::VCPUS;
        if !(least..=most).contains(&self.vcpus) {
            return refuse(
                format!("A machine cannot have {} processors", self.vcpus),
                &format!("Give between {least} and {most}"),
            );
        }
        if !windlass_guest::RootFs::from(self.root_fs).is_for(self.guest.into()) {
            let found = match self.root_fs {
                RootFs::Rofs => "ROFS, which is OSv's own file system",
                RootFs::Ext4 => "ext4",
                RootFs::Zfs => "ZFS, which Windlass makes for OSv only",
            };
            return refuse(
                format!("{} cannot boot from {found}", self.guest.title()),
                "Choose ext4, or OSv as the guest",
            );
        }
        for (index, port) in self.ports.iter().enumerate() {
            if port.guest == 0 || port.host == Some(0) {
                return refuse("0 is not a port".to_owned(), "Give a port from 1 to 65535");
            }
            let twice = self.ports[..index].iter().any(|other| {
                other.host.is_some() && other.host == port.host && other.protocol == port.protocol
            });
            if twice {
                return refuse(
                    format!("Port {} is forwarded twice", port.host.unwrap_or_default()),
                    "Leave one of them empty: a free port is chosen then",
                );
            }
        }
        for env in &self.env {
            if env.name.is_empty() || env.name.contains(['=', ' ', '\0', '?']) {
                return refuse(
                    format!(
                        "`{}` cannot be the name of an environment variable",
                        env.name
                    ),
                    "Use letters, digits and underscores",
                );
            }
        }
        Ok(())
    }
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

    /// Fills in what the folder's settings leave open.
    pub(crate) fn settings_of(&self, kept: &BuildSettings) -> Result<ApplianceSettings> {
        let (guest, root_fs) = self.guest_of(kept);
        Ok(ApplianceSettings {
            guest,
            root_fs,
            bootable: kept.disk == Some(DiskKind::Bootable),
            size_mib: kept.size_mib,
            memory_mib: match kept.memory_mib {
                Some(memory_mib) => memory_mib,
                None => self.settings()?.default_memory_mib,
            },
            vcpus: kept.vcpus.unwrap_or(1),
            network: kept.network.unwrap_or(true),
            ports: kept
                .ports
                .iter()
                .map(|port| Port {
                    host: port.host,
                    guest: port.guest,
                    protocol: port.protocol.into(),
                })
                .collect(),
            networks: kept.networks.clone(),
            volumes: kept
                .volumes
                .iter()
                .map(|volume| VolumeMount {
                    volume: volume.name.clone(),
                    path: volume.path.clone(),
                })
                .collect(),
            configuration: kept.configuration.clone(),
            env: kept
                .env
                .iter()
                .map(|(name, value)| EnvValue {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            command: kept.command.clone(),
            allow_changes: kept.allow_changes.unwrap_or(false),
        })
    }

    /// Checks settings and keeps them in the appliance's folder.
    ///
    /// # Errors
    /// `Input` when a value makes no sense; nothing is written then.
    pub fn save_settings(
        &self,
        id: &str,
        settings: ApplianceSettings,
    ) -> Result<ApplianceSettings> {
        settings.check()?;
        let record = self.appliance_record(id)?;
        settings.to_build_settings().save(&record.path)?;
        self.plans.forget(id);
        self.tell_appliance(id);
        Ok(settings)
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
    use super::*;

    fn settings() -> ApplianceSettings {
        ApplianceSettings {
            guest: GuestOs::Linux,
            root_fs: RootFs::Ext4,
            bootable: false,
            networks: Vec::new(),
            volumes: Vec::new(),
            size_mib: None,
            memory_mib: 256,
            vcpus: 2,
            network: true,
            ports: vec![
                Port {
                    host: Some(8080),
                    guest: 80,
                    protocol: Protocol::Tcp,
                },
                Port {
                    host: None,
                    guest: 53,
                    protocol: Protocol::Udp,
                },
            ],
            configuration: None,
            env: vec![EnvValue {
                name: "GREETING".into(),
                value: "it's me".into(),
            }],
            command: None,
            allow_changes: false,
        }
    }

    #[test]
    fn a_run_can_be_copied_as_a_command() {
        assert_eq!(
            as_command("hello", &settings()),
            r"windlassctl run hello --guest linux --memory 256M --cpus 2 --forward 8080:80 --forward :53/udp --env 'GREETING=it'\''s me'"
        );
    }

    #[test]
    fn settings_that_no_machine_can_have_are_refused_by_name() {
        let mut twice = settings();
        twice.ports.push(Port {
            host: Some(8080),
            guest: 81,
            protocol: Protocol::Tcp,
        });
        assert_eq!(
            twice.check().unwrap_err().message,
            "Port 8080 is forwarded twice"
        );

        let rofs = ApplianceSettings {
            root_fs: RootFs::Rofs,
            ..settings()
        };
        assert!(rofs.check().unwrap_err().message.contains("ROFS"));

        let none = ApplianceSettings {
            memory_mib: 0,
            ..settings()
        };
        assert_eq!(
            none.check().unwrap_err().message,
            "A machine cannot have 0 MiB of memory"
        );
        settings().check().unwrap();
    }
}
