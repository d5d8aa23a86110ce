//! The settings by which an appliance is built and run, as the form has them and as its folder keeps them.

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_package::BuildSettings;
use windlass_package::settings::{DiskKind, PortForward, VolumeSetting};

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::{GuestOs, Protocol, RootFs};
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
    pub(super) fn check(&self) -> Result<()> {
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
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Those of some appliance.
    pub(in crate::appliances) fn settings() -> ApplianceSettings {
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
