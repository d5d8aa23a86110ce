//! Whether this computer has what Windlass needs, with the remedy for what is missing.

use std::sync::Arc;

use serde::Serialize;
use specta::Type;
use tokio_util::sync::CancellationToken;

use crate::Workshop;
use crate::guests::GuestOs;

/// Below this much free space an image of usual size may not fit.
const LITTLE_SPACE_BYTES: u64 = 2 << 30;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum CheckId {
    /// The emulator itself.
    Qemu,
    /// What runs the guest's instructions.
    Accelerator,
    /// What QEMU can do, and the firmware beside it.
    Features,
    /// What QEMU is kept from.
    Confinement,
    /// A Linux guest kernel.
    LinuxKernel,
    /// An OSv guest kernel.
    OsvKernel,
    /// Room for images.
    DiskSpace,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, not as well as it could.
    Warning,
    /// It has to be got before something works.
    Missing,
}

/// What the window can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Fix {
    /// Fetch the distribution's Linux kernel.
    FetchLinuxKernel,
    /// Let the user pick a kernel file.
    AddKernel,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Which.
    pub id: CheckId,
    /// What it is called.
    pub title: String,
    /// How it is.
    pub status: Health,
    /// What was found, in words.
    pub detail: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What the window can do about it.
    pub fix: Option<Fix>,
}

impl Check {
    fn good(id: CheckId, title: &str, detail: String) -> Self {
        Self {
            id,
            title: title.into(),
            status: Health::Good,
            detail,
            remedy: None,
            fix: None,
        }
    }
}

impl Workshop {
    /// Looks at QEMU, its accelerator, the guest kernels and the disk.
    pub async fn doctor(self: &Arc<Self>) -> Vec<Check> {
        let mut checks = self.check_qemu().await;
        checks.push(self.check_kernel(GuestOs::Linux));
        checks.push(self.check_kernel(GuestOs::Osv));
        checks.push(self.check_disk());
        checks
    }

    async fn check_qemu(&self) -> Vec<Check> {
        match self.probe(&CancellationToken::new()).await {
            Ok(probe) => {
                let accelerator = probe.accelerator.to_string().to_uppercase();
                let mut check =
                    Check::good(CheckId::Accelerator, "Accelerator", accelerator.clone());
                if let Some(note) = probe.note {
                    check.status = Health::Warning;
                    check.detail = format!("{accelerator}: {note}");
                    check.remedy = probe.remedy;
                }
                vec![
                    Check::good(CheckId::Qemu, "QEMU", probe.qemu.version),
                    check,
                    features(&probe.features, windlass_machine::no_folders()),
                    confinement(probe.sandbox, probe.unconfined),
                ]
            }
            Err(error) => vec![Check {
                status: Health::Missing,
                remedy: error.hints.first().cloned(),
                ..Check::good(CheckId::Qemu, "QEMU", error.message)
            }],
        }
    }

    fn check_kernel(&self, guest: GuestOs) -> Check {
        let (id, title) = match guest {
            GuestOs::Linux => (CheckId::LinuxKernel, "Linux kernel"),
            GuestOs::Osv => (CheckId::OsvKernel, "OSv kernel"),
        };
        let kernels = self.kernels().unwrap_or_default();
        if let Some(kernel) = kernels.into_iter().find(|kernel| kernel.guest == guest) {
            return Check::good(id, title, kernel.version);
        }
        let (status, remedy, fix) = match guest {
            GuestOs::Linux => (
                Health::Missing,
                "Fetch the distribution's own; the first run does it by itself",
                Fix::FetchLinuxKernel,
            ),
            GuestOs::Osv => (
                Health::Warning,
                "Pick an OSv loader image or ELF kernel; appliances run on Linux until then",
                Fix::AddKernel,
            ),
        };
        Check {
            status,
            remedy: Some(remedy.to_owned()),
            fix: Some(fix),
            ..Check::good(id, title, "None in the library".to_owned())
        }
    }

    fn check_disk(&self) -> Check {
        let root = self.home.root();
        let free = match rustix::fs::statvfs(root) {
            Ok(space) => space.f_bavail.saturating_mul(space.f_frsize),
            Err(error) => {
                return Check {
                    status: Health::Warning,
                    ..Check::good(CheckId::DiskSpace, "Disk space", error.to_string())
                };
            }
        };
        let tenths = free / (1 << 30) * 10 + free % (1 << 30) * 10 / (1 << 30);
        let detail = format!("{}.{} GiB free", tenths / 10, tenths % 10);
        let check = Check::good(CheckId::DiskSpace, "Disk space", detail);
        if free >= LITTLE_SPACE_BYTES {
            return check;
        }
        Check {
            status: Health::Warning,
            remedy: Some(format!(
                "Delete old builds and machines, or free space on the disk of {}",
                root.display()
            )),
            ..check
        }
    }
}

/// Whether QEMU has what machines are made of.
fn features(features: &windlass_machine::Features, no_folders: Option<&str>) -> Check {
    let mut has = vec!["BIOS (tried)"];
    has.extend(features.uefi.is_some().then_some("UEFI"));
    has.extend(features.user_network.then_some("network"));
    let shares_folders = features.shared_folders && no_folders.is_none();
    has.extend(shares_folders.then_some("shared folders"));
    let check = Check::good(CheckId::Features, "QEMU's parts", has.join(", "));
    let mut lacks = features.lacks.clone();
    if !features.user_network {
        lacks.push("user-mode network".to_owned());
    }
    if let (true, Some(reason)) = (lacks.is_empty(), no_folders) {
        return Check {
            status: Health::Warning,
            detail: format!("{}; no shared folders: {reason}", check.detail),
            remedy: Some(
                "Install virtiofsd (Debian and Ubuntu: `apt install virtiofsd`) to share folders and to run live"
                    .into(),
            ),
            ..check
        };
    }
    if lacks.is_empty() {
        return check;
    }
    Check {
        status: Health::Warning,
        detail: format!("It lacks {}", lacks.join(", ")),
        remedy: Some(
            "Install the full QEMU for x86 (Debian and Ubuntu: `apt install qemu-system-x86`)"
                .into(),
        ),
        ..check
    }
}

/// What a QEMU that a guest has taken over could do.
fn confinement(sandbox: bool, unconfined: Option<String>) -> Check {
    let detail = "QEMU opens its own files only, and starts no programs".to_owned();
    let check = Check::good(CheckId::Confinement, "Confinement", detail);
    let mut problems: Vec<_> = unconfined.into_iter().collect();
    if !sandbox {
        problems.push("this QEMU cannot be kept from starting programs (it has no seccomp)".into());
    }
    if problems.is_empty() {
        return check;
    }
    Check {
        status: Health::Warning,
        detail: problems.join("; "),
        remedy: Some(
            "A newer Linux kernel, with Landlock switched on, and a distribution's QEMU confine it"
                .into(),
        ),
        ..check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_folders_from_being_shared_is_said_with_its_remedy() {
        let features_of_most = windlass_machine::Features {
            user_network: true,
            shared_folders: true,
            ..windlass_machine::Features::default()
        };
        let check = features(&features_of_most, None);
        assert_eq!(check.status, Health::Good);
        insta::assert_snapshot!(check.detail, @"BIOS (tried), network, shared folders");
        let check = features(&features_of_most, Some("the program virtiofsd is missing"));
        assert_eq!(check.status, Health::Warning);
        insta::assert_snapshot!(check.detail, @"BIOS (tried), network; no shared folders: the program virtiofsd is missing");
        assert!(check.remedy.is_some());
    }
}
