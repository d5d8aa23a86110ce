//! What a QEMU has of the devices that machines are made of, and the firmware beside it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use crate::qemu::Qemu;

/// Devices that every machine may have.
const DEVICES: [&str; 7] = [
    "VGA",
    "isa-serial",
    "pvpanic",
    "virtio-blk-pci",
    "virtio-net-pci",
    "virtio-rng-pci",
    "virtio-serial-pci",
];
/// The device that shares a folder of this computer with a guest.
const FOLDERS: &str = "vhost-user-fs-pci";
/// Where distributions put the UEFI firmware for QEMU.
const UEFI: [&str; 6] = [
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/qemu/ovmf-x86_64-code.bin",
    "/usr/share/qemu/edk2-x86_64-code.fd",
];
const HELP_TIMEOUT: Duration = Duration::from_secs(15);

/// What a QEMU has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Devices that machines need and that it lacks.
    pub lacks: Vec<String>,
    /// Whether guests can reach the network through it (`-netdev user`).
    pub user_network: bool,
    /// Whether it can share folders with a guest that has virtiofs.
    pub shared_folders: bool,
    /// The UEFI firmware beside it; its BIOS was tried by the probe itself.
    pub uefi: Option<PathBuf>,
}

impl Features {
    /// Asks `qemu` for what it has.
    pub(crate) async fn of(qemu: &Qemu) -> Self {
        let devices = help(qemu, "-device").await;
        let backends = help(qemu, "-netdev").await;
        let uefi = UEFI.map(Path::new).into_iter().find(|path| path.is_file());
        Self {
            uefi: uefi.map(Path::to_owned),
            ..Self::read(&devices, &backends)
        }
    }

    /// Reads what QEMU lists: `name "virtio-net-pci", bus PCI, …`, and one network backend in a line.
    fn read(devices: &str, backends: &str) -> Self {
        let has = |name: &str| devices.contains(&format!("name \"{name}\""));
        let lacks = DEVICES.into_iter().filter(|name| !has(name));
        Self {
            lacks: lacks.map(str::to_owned).collect(),
            user_network: backends.lines().any(|line| line.trim() == "user"),
            shared_folders: has(FOLDERS),
            uefi: None,
        }
    }
}

/// What QEMU says of an option's values; nothing where it does not say.
async fn help(qemu: &Qemu, option: &str) -> String {
    let run = Command::new(&qemu.path)
        .args(["-machine", "none", option, "help"])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match timeout(HELP_TIMEOUT, run).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_backends_are_read_from_the_help() {
        let devices = "Network devices:\nname \"e1000\", bus PCI\nname \"virtio-net-pci\", bus PCI, alias \"virtio-net\"\n\
            name \"vhost-user-fs-pci\", bus PCI\nname \"VGA\", bus PCI\nname \"isa-serial\", bus ISA\n";
        let features = Features::read(devices, "Available netdev backend types:\nsocket\nuser\n");
        insta::assert_debug_snapshot!(features, @r#"
        Features {
            lacks: [
                "pvpanic",
                "virtio-blk-pci",
                "virtio-rng-pci",
                "virtio-serial-pci",
            ],
            user_network: true,
            shared_folders: true,
            uefi: None,
        }
        "#);
        assert!(!Features::read("", "").user_network);
    }
}
