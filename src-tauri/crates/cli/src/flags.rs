//! The flags by which an appliance's settings are changed, for once or for good.

use clap::Args;
use windlass_workshop::appliances::{ApplianceSettings, EnvValue, Port};
use windlass_workshop::guests::{GuestOs, RootFs};

use crate::values::{self, DiskForm, DiskSize, FileSystem, Guest, Network};

/// What goes into an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct BuildFlags {
    /// The guest that boots the image
    #[arg(long, value_enum)]
    pub(crate) guest: Option<Guest>,
    /// The root file system; the guest's own, when nothing is said
    #[arg(long, value_enum)]
    pub(crate) fs: Option<FileSystem>,
    /// Linux: whether the image boots by itself, by BIOS and UEFI, or is given its kernel
    #[arg(long, value_enum)]
    pub(crate) disk: Option<DiskForm>,
    /// The same as `--disk bootable`
    #[arg(long, conflicts_with = "disk")]
    pub(crate) bootable: bool,
    /// The size of a writable root file system, such as 4G; `auto` is content and some room
    #[arg(long, value_name = "SIZE", value_parser = values::disk_size)]
    pub(crate) disk_size: Option<DiskSize>,
    /// Run configuration to boot; several run from left to right
    #[arg(long, value_name = "NAME")]
    pub(crate) boot: Vec<String>,
    /// Environment variable, beside those of the run configuration
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub(crate) env: Vec<EnvValue>,
}

/// What a machine has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct MachineFlags {
    /// Memory, such as 512M or 1G
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    pub(crate) memory: Option<u32>,
    /// Virtual processors
    #[arg(long, short, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) cpus: Option<u32>,
    /// Port of this computer (127.0.0.1) that leads to one of the guest; without HOST a free one is chosen
    #[arg(long, short, value_name = "HOST:GUEST[/udp]", value_parser = values::port)]
    pub(crate) forward: Vec<Port>,
    /// The machine's network
    #[arg(long, short, value_enum)]
    pub(crate) network: Option<Network>,
    /// Private network that the machine is on: all machines that name it reach each other by name. Or a bridge or a tap
    /// device of this computer: `bridge:NAME`, `tap:NAME`
    #[arg(long, value_name = "NETWORK")]
    pub(crate) join: Vec<String>,
    /// Let `machine push` change the guest's files while it runs
    #[arg(long)]
    pub(crate) allow_changes: bool,
}

/// Lays flags over settings; `None` when no flag was given, so that the folder's settings hold.
pub(crate) fn overlay(
    base: &ApplianceSettings,
    build: &BuildFlags,
    machine: &MachineFlags,
    command: Option<&str>,
) -> Option<ApplianceSettings> {
    if *build == BuildFlags::default() && *machine == MachineFlags::default() && command.is_none() {
        return None;
    }
    let mut settings = base.clone();
    if let Some(guest) = build.guest.map(GuestOs::from)
        && guest != settings.guest
    {
        settings.guest = guest;
        settings.root_fs = match guest {
            GuestOs::Osv => RootFs::Rofs,
            GuestOs::Linux => RootFs::Ext4,
        };
    }
    if let Some(file_system) = build.fs {
        settings.root_fs = file_system.into();
    }
    if build.bootable || build.disk.is_some() {
        settings.bootable = build.bootable || build.disk == Some(DiskForm::Bootable);
    }
    if let Some(size) = build.disk_size {
        settings.size_mib = size.0;
    }
    if !build.boot.is_empty() {
        settings.configuration = Some(build.boot.join(","));
        settings.command = None;
    }
    if let Some(command) = command {
        settings.command = Some(command.to_owned());
    }
    for env in &build.env {
        settings.env.retain(|kept| kept.name != env.name);
        settings.env.push(env.clone());
    }
    if let Some(memory_mib) = machine.memory {
        settings.memory_mib = memory_mib;
    }
    if let Some(vcpus) = machine.cpus {
        settings.vcpus = vcpus;
    }
    if !machine.forward.is_empty() {
        settings.ports.clone_from(&machine.forward);
        settings.network = true;
    }
    if let Some(network) = machine.network {
        settings.network = network == Network::Nat;
    }
    if !machine.join.is_empty() {
        settings.networks.clone_from(&machine.join);
    }
    settings.allow_changes |= machine.allow_changes;
    Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> ApplianceSettings {
        ApplianceSettings {
            guest: GuestOs::Osv,
            root_fs: RootFs::Rofs,
            bootable: false,
            networks: Vec::new(),
            volumes: Vec::new(),
            size_mib: None,
            memory_mib: 512,
            vcpus: 1,
            network: true,
            ports: vec![values::port("8080:80").unwrap()],
            configuration: None,
            env: vec![values::env("A=1").unwrap()],
            command: Some("/hello".into()),
            allow_changes: false,
        }
    }

    #[test]
    fn without_flags_the_folders_settings_hold() {
        assert_eq!(
            overlay(
                &base(),
                &BuildFlags::default(),
                &MachineFlags::default(),
                None
            ),
            None
        );
    }

    #[test]
    fn flags_win_over_the_folders_settings() {
        let build = BuildFlags {
            guest: Some(Guest::Linux),
            boot: vec!["one".into(), "two".into()],
            env: vec![values::env("A=2").unwrap(), values::env("B=3").unwrap()],
            fs: None,
            disk: None,
            disk_size: Some(DiskSize(Some(4096))),
            bootable: true,
        };
        let machine = MachineFlags {
            forward: vec![values::port("81").unwrap()],
            memory: Some(64),
            ..MachineFlags::default()
        };
        let settings = overlay(&base(), &build, &machine, None).unwrap();
        assert_eq!(
            (settings.guest, settings.root_fs),
            (GuestOs::Linux, RootFs::Ext4)
        );
        assert_eq!(settings.configuration.as_deref(), Some("one,two"));
        assert_eq!(settings.command, None);
        assert_eq!(settings.ports, [values::port("81").unwrap()]);
        assert_eq!(settings.env.len(), 2);
        assert!(settings.bootable);
        assert_eq!(settings.memory_mib, 64);
    }
}
