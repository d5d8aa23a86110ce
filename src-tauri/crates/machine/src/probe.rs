//! Which accelerator works: found by running a guest with it.
//!
//! That a `/dev/kvm` is there, and even that it opens, says little: inside another virtual machine it may fail at the
//! first guest, or run one that never gets anywhere. So the probe boots a guest of a few bytes with each accelerator,
//! best first. The guest writes one letter to its serial port and ends QEMU through `isa-debug-exit` with a status that
//! nothing else gives; whoever does not get that far within a few seconds does not work.

use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::command_line::{SANDBOX, accelerator_arguments};
use crate::confine;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::qemu::Qemu;

/// The probing guest takes a tenth of a second when it works.
const TIMEOUT: Duration = Duration::from_secs(5);
/// TCG always works in the end: a computer that is very busy gets more time.
const TCG_TIMEOUT: Duration = Duration::from_secs(30);
/// What the guest writes to its serial port.
const LETTER: u8 = b'W';
/// `isa-debug-exit` ends QEMU with twice the byte written, plus one.
const EXIT_BYTE: u8 = 0x10;
/// The status that QEMU ends with after [`EXIT_BYTE`].
const EXIT_STATUS: i32 = 0x21;
/// The size of the probing guest's disk; `SeaBIOS` does not boot from very small ones.
const DISK_BYTES: usize = 1 << 20;

/// A boot sector: 16-bit code that writes [`LETTER`] and ends.
const BOOT_CODE: [u8; 15] = [
    0xba, 0xf8, 0x03, // mov dx, 0x3f8      the serial port
    0xb0, LETTER, // mov al, 'W'
    0xee,   // out dx, al
    0xb0, EXIT_BYTE, // mov al, 0x10
    0xba, 0xf4, 0x00, // mov dx, 0xf4       isa-debug-exit
    0xee, // out dx, al
    0xf4, // hlt
    0xeb, 0xfd, // jmp back to hlt
];

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Linux' hardware virtualisation.
    Kvm,
    /// macOS' Hypervisor.framework.
    Hvf,
    /// The Windows Hypervisor Platform.
    Whpx,
    /// QEMU's own translator: works everywhere, several times slower.
    Tcg,
}

impl Accelerator {
    /// Whether the processor itself runs the guest.
    pub fn is_hardware(self) -> bool {
        self != Self::Tcg
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Tcg => "tcg",
        })
    }
}

/// What a QEMU can do on this computer. Worth remembering (it takes a moment to find out) for as long as
/// [`Probe::fits`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The binary that was probed.
    pub qemu: Qemu,
    /// The host: its kernel, its present start, and whether the hardware accelerator's device can be opened. Another answer here may
    /// mean another one from the probe.
    pub host: String,
    /// The accelerator to use.
    pub accelerator: Accelerator,
    /// Why it is not a better one, in words; `None` if hardware acceleration works.
    pub note: Option<String>,
    /// What would make it a better one.
    pub remedy: Option<String>,
    /// Whether this QEMU can confine itself (`-sandbox`).
    pub sandbox: bool,
    /// What this computer cannot keep a QEMU from, in words; `None` where it is kept from all that is not its own.
    #[serde(default)]
    pub unconfined: Option<String>,
    /// What this QEMU has.
    #[serde(default)]
    pub features: Features,
}

impl Probe {
    /// Whether a remembered probe still says something about this binary on this computer.
    pub fn fits(&self, qemu: &Qemu) -> bool {
        self.qemu == *qemu && self.host == host()
    }
}

/// Finds out what `qemu` can do here by running a few-byte guest with each accelerator, best first.
///
/// # Errors
/// [`Error::NoAccelerator`] if not even TCG runs the guest; [`Error::Closed`] if cancelled.
pub async fn probe(qemu: &Qemu, cancel: &CancellationToken) -> Result<Probe> {
    cancel
        .run_until_cancelled(probe_all(qemu))
        .await
        .ok_or(Error::Closed)?
}

async fn probe_all(qemu: &Qemu) -> Result<Probe> {
    let folder = tempfile::Builder::new()
        .prefix("windlass-probe-")
        .tempdir()
        .map_err(Error::io("make a folder in", std::env::temp_dir()))?;
    let disk = folder.path().join("probe.img");
    std::fs::write(&disk, boot_disk()).map_err(Error::io("write", &disk))?;

    // TCG first: whatever keeps it from working is no fault of the hardware, and must not be blamed on it.
    let mut sandbox = true;
    let mut tcg = try_guest(qemu, Accelerator::Tcg, sandbox, &disk).await;
    if tcg
        .as_ref()
        .is_err_and(|found| found.contains("sandbox") || found.contains("seccomp"))
    {
        sandbox = false;
        tcg = try_guest(qemu, Accelerator::Tcg, sandbox, &disk).await;
    }
    let (note, remedy) = match hardware() {
        Hardware::Usable(accelerator) => match try_guest(qemu, accelerator, sandbox, &disk).await {
            Ok(()) => {
                return Ok(Probe {
                    qemu: qemu.clone(),
                    host: host(),
                    accelerator,
                    note: None,
                    remedy: None,
                    sandbox,
                    unconfined: confine::missing(),
                    features: Features::of(qemu).await,
                });
            }
            Err(found) => (
                format!(
                    "Slower: hardware acceleration ({accelerator}) does not work here: {found}."
                ),
                "Inside a virtual machine, nested virtualisation has to be allowed by its host."
                    .to_owned(),
            ),
        },
        Hardware::Unusable { note, remedy } => (note, remedy),
    };
    tcg.map_err(|found| Error::NoAccelerator {
        path: qemu.path.clone(),
        found,
    })?;
    Ok(Probe {
        qemu: qemu.clone(),
        host: host(),
        accelerator: Accelerator::Tcg,
        note: Some(note),
        remedy: Some(remedy),
        sandbox,
        unconfined: confine::missing(),
        features: Features::of(qemu).await,
    })
}

/// Runs the probing guest; an error is what went wrong, as part of a sentence.
async fn try_guest(
    qemu: &Qemu,
    accelerator: Accelerator,
    sandbox: bool,
    disk: &Path,
) -> Result<(), String> {
    let mut command = Command::new(&qemu.path);
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-machine",
            "pc",
            "-m",
            "32",
            "-display",
            "none",
        ])
        .args(accelerator_arguments(accelerator))
        .args([
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
            "-serial",
            "stdio",
        ])
        .args([
            "-blockdev",
            "driver=raw,node-name=disk,read-only=on,file.driver=file,file.filename=probe.img",
        ])
        .args(["-device", "virtio-blk-pci,drive=disk,bootindex=0"]);
    if sandbox {
        command.args(["-sandbox", SANDBOX]);
    }
    if let Some(folder) = disk.parent() {
        command.current_dir(folder);
    }
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let limit = if accelerator.is_hardware() {
        TIMEOUT
    } else {
        TCG_TIMEOUT
    };
    let output = match timeout(limit, command.output()).await {
        Err(_) => {
            return Err(format!(
                "a guest started with it gets nowhere within {} s",
                limit.as_secs()
            ));
        }
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(output)) => output,
    };
    if output.status.code() == Some(EXIT_STATUS) && output.stdout.contains(&LETTER) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().find(|line| !line.trim().is_empty());
    Err(first.map_or_else(
        || format!("QEMU ended with {}", output.status),
        |line| {
            let words = line
                .split_once(": ")
                .map_or(line, |(_program, words)| words);
            format!(
                "QEMU says \"{}\"",
                words.chars().take(200).collect::<String>()
            )
        },
    ))
}

fn boot_disk() -> Vec<u8> {
    let mut disk = vec![0; DISK_BYTES];
    disk[..BOOT_CODE.len()].copy_from_slice(&BOOT_CODE);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// What this operating system offers.
enum Hardware {
    Usable(Accelerator),
    Unusable { note: String, remedy: String },
}

fn hardware() -> Hardware {
    if cfg!(target_os = "macos") {
        return Hardware::Usable(Accelerator::Hvf);
    }
    if cfg!(windows) {
        return Hardware::Usable(Accelerator::Whpx);
    }
    let (note, remedy) = match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => return Hardware::Usable(Accelerator::Kvm),
        Err(error) if error.kind() == ErrorKind::NotFound => (
            "Slower: this computer offers no hardware acceleration (there is no /dev/kvm)."
                .to_owned(),
            "Switch virtualisation on in the firmware's settings; inside a virtual machine, its host has to allow it.",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => (
            "Slower: you may not use this computer's hardware acceleration (/dev/kvm).".to_owned(),
            "Join the group that may (`sudo usermod -aG kvm \"$USER\"`), then log out and in.",
        ),
        Err(error) => (
            format!(
                "Slower: this computer's hardware acceleration cannot be used (/dev/kvm: {error})."
            ),
            "See `dmesg | grep -i kvm` for what the system says about it.",
        ),
    };
    Hardware::Unusable {
        note,
        remedy: remedy.to_owned(),
    }
}

/// Which start of this computer this is: modules and settings may be others after the next one.
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// What a probe's answer depends on besides the binary.
fn host() -> String {
    let uname = rustix::system::uname();
    let device = match hardware() {
        Hardware::Usable(accelerator) => accelerator.to_string(),
        Hardware::Unusable { .. } => "none".to_owned(),
    };
    format!(
        "{} {} {} {} {device}",
        uname.nodename().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        boot_id().unwrap_or_default(),
    )
}
