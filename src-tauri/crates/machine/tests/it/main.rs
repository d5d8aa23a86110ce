//! Machines in real QEMU. The guests are a few bytes of 16-bit code, made here: no kernel is needed, and no
//! hardware acceleration.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says what it expects by failing, and what it skips by printing"
)]

mod bench;
mod captures;
mod confine;
mod console;
mod display;
mod ending;
mod lifecycle;
mod many;
mod networks;
mod osv;
mod ports;
mod processes;
mod snapshots;
mod start;
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use windlass_guest::GuestOs;
use windlass_machine::{
    Boot, ConsoleFollower, Disk, DiskAccess, DiskFormat, MachineHandle, MachineSpec, MachineState,
    Machines, Patience, Probe, Qemu, Status, probe,
};

/// Nothing here takes that long, unless it hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// This computer's QEMU, probed once.
async fn host() -> &'static Probe {
    static PROBE: OnceCell<Probe> = OnceCell::const_new();
    PROBE
        .get_or_init(async || {
            let qemu = Qemu::find(None).await.unwrap();
            probe(&qemu, &CancellationToken::new()).await.unwrap()
        })
        .await
}

/// A home of its own, with machines that are gone when the test is.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::Builder::new().prefix("wm-").tempdir().unwrap(),
        }
    }
    fn path(&self) -> &Path {
        self.folder.path()
    }
    fn machines_folder(&self) -> PathBuf {
        self.path().join("machines")
    }
    fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }
    async fn open(&self) -> Machines {
        Machines::open(&self.machines_folder(), &self.runtime())
            .await
            .unwrap()
    }
    /// A bootable disk of a megabyte that runs `code` at 0x7c00.
    fn disk(&self, code: &[u8]) -> PathBuf {
        let path = self.path().join("guest.img");
        let mut disk = vec![0; 1 << 20];
        disk[..code.len()].copy_from_slice(code);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&path, disk).unwrap();
        path
    }
    fn spec(&self, id: &str, code: &[u8]) -> MachineSpec {
        MachineSpec {
            id: id.to_owned(),
            name: format!("{id} of a test"),
            guest: GuestOs::Osv,
            vcpus: 1,
            memory_mib: 32,
            boot: Boot::Disk,
            disks: vec![Disk {
                path: self.disk(code),
                format: DiskFormat::Raw,
                access: DiskAccess::ReadOnly,
                serial: None,
            }],
            network: None,
            networks: Vec::new(),
            display: false,
            agent: false,
            shares: Vec::new(),
            disposable: false,
            patience: Patience {
                stop_ms: 400,
                power_ms: 400,
                address_ms: 1000,
            },
            console_max_mib: windlass_machine::console_max_mib(),
            resources: windlass_machine::Resources::default(),
            group: None,
            labels: serde_json::Value::Null,
        }
    }
    async fn started(&self, machines: &Machines, code: &[u8]) -> MachineHandle {
        let machine = machines.create(self.spec("guest", code)).await.unwrap();
        machine.start(host().await).await.unwrap();
        machine
    }
}

impl Drop for Home {
    /// A test that failed must not leave QEMU behind: those of this home are recognised by their command line.
    fn drop(&mut self) {
        let mark = self.path().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let Ok(words) = fs::read(entry.path().join("cmdline")) else {
                continue;
            };
            let words = String::from_utf8_lossy(&words);
            if words.contains("qemu-system") && words.contains(&mark) {
                kill(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

fn kill(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _gone_already = rustix::process::kill_process(pid, signal);
}

/// 16-bit code that writes text to the serial port, then does something.
fn guest(text: &str, then: &[u8]) -> Vec<u8> {
    let mut code = vec![0xfa]; // cli
    code.extend([0xba, 0xf8, 0x03]); // mov dx, 0x3f8
    for byte in text.bytes() {
        code.extend([0xb0, byte, 0xee]); // mov al, byte; out dx, al
    }
    code.extend(then);
    assert!(code.len() <= 510, "the guest does not fit a boot sector");
    code
}

/// Does nothing for ever, with interrupts on: idle, as a healthy guest is.
const IDLE: &[u8] = &[0xfb, 0xf4, 0xeb, 0xfc]; // sti; hlt; jmp to sti
/// Halts with interrupts off: dead, as a crashed OSv guest is.
const HALT: &[u8] = &[0xfa, 0xf4, 0xeb, 0xfc]; // cli; hlt; jmp
/// Powers off through ACPI: the PIIX4's power management is switched on at 0x600, then told to sleep for good.
const POWER_OFF: &[u8] = &[
    0x66, 0xb8, 0x40, 0x0b, 0x00,
    0x80, // mov eax, 0x80000b40: device 1, function 3, register 0x40
    0xba, 0xf8, 0x0c, // mov dx, 0xcf8
    0x66, 0xef, // out dx, eax
    0xba, 0xfc, 0x0c, // mov dx, 0xcfc
    0x66, 0xb8, 0x01, 0x06, 0x00, 0x00, // mov eax, 0x601
    0x66, 0xef, // out dx, eax
    0x66, 0xb8, 0x80, 0x0b, 0x00, 0x80, // mov eax, 0x80000b80
    0xba, 0xf8, 0x0c, // mov dx, 0xcf8
    0x66, 0xef, // out dx, eax
    0xba, 0xfc, 0x0c, // mov dx, 0xcfc
    0xb0, 0x01, // mov al, 1
    0xee, // out dx, al
    0xba, 0x04, 0x06, // mov dx, 0x604: PM1a control
    0xb8, 0x00, 0x20, // mov ax, 0x2000: sleep type 0, enable
    0xef, // out dx, ax
    0xf4, 0xeb, 0xfd, // hlt; jmp
];
/// Tells `pvpanic`.
const PANIC: &[u8] = &[0xba, 0x05, 0x05, 0xb0, 0x01, 0xee, 0xf4, 0xeb, 0xfd];
/// Restarts the machine through the keyboard controller.
const RESET: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd];

/// Reads the console from `from` until `text` has come.
async fn console_until(follower: &mut ConsoleFollower, text: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            seen.extend(
                follower
                    .next()
                    .await
                    .unwrap()
                    .expect("the console is there"),
            );
        }
    };
    timeout(LIMIT, read)
        .await
        .unwrap_or_else(|_| panic!("{text:?} has not come"));
    String::from_utf8_lossy(&seen).into_owned()
}

async fn status_when(machine: &MachineHandle, fits: impl Fn(&Status) -> bool) -> Status {
    let mut status = machine.status();
    let last = status.clone();
    let waited = timeout(LIMIT, status.wait_for(|status| fits(status))).await;
    waited
        .unwrap_or_else(|_| panic!("it stays at {:?}", *last.borrow()))
        .unwrap()
        .clone()
}

async fn state_when(machine: &MachineHandle, state: MachineState) -> Status {
    status_when(machine, |status| status.state == state).await
}

/// How a machine ended, as the window shows it.
fn story(status: &Status) -> String {
    format!(
        "{:?}, status {:?}: {}{}",
        status.state,
        status.exit_status,
        status.message.as_deref().unwrap_or("-"),
        status
            .remedy
            .as_deref()
            .map(|remedy| format!("\n  -> {remedy}"))
            .unwrap_or_default(),
    )
}
