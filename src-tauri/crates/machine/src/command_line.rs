//! QEMU's command line: a value that is made from the machine's description alone, and can be shown.
//!
//! Every device is chosen on purpose (`-nodefaults`). The choices, and where they come from:
//! - `-machine pc`: OSv hangs on q35's SATA controller when a CD-ROM hangs on it, and needs the HPET or kvmclock that
//!   microvm lacks under TCG. Disks are virtio-blk, the first one boots.
//! - A panicking guest says so through `pvpanic` (OSv's and Linux' kernels both know it); QEMU then ends, as it does when the
//!   guest restarts: a machine whose guest is dead never looks alive.
//! - Everything we talk through is a unix socket in a folder that only the user can enter. Forwarded ports are bound to
//!   127.0.0.1.
//! - The serial port's bytes go to the console log whether or not anybody is connected to its socket.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use windlass_guest::GuestOs;
use windlass_guest::agent::PORT_NAME;

use crate::network::{self, Joined, Wire};
use crate::paths::{MachineFolder, Sockets};
use crate::probe::{Accelerator, Probe};
use crate::resources;
use crate::spec::{Boot, Disk, DiskAccess, DiskFormat, ForwardedPort, MachineSpec};

/// QEMU may not start programs, gain rights or touch others' scheduling.
pub(crate) const SANDBOX: &str =
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// What every Linux guest is told (`windlass.network=off` besides where it has no card). The console that comes last is `/dev/console`; -1 restarts at once after a
/// panic, which ends QEMU. The kernel's tests of its own ciphers would take a sixth of the boot under TCG. That
/// the timer ticks is not to be tried: on a busy computer it ticks too late for that, and the kernel panics.
const LINUX_PARAMETERS: &str =
    "quiet loglevel=4 panic=-1 cryptomgr.notests no_timer_check rdinit=/init";

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
}

/// What a command line is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) spec: &'a MachineSpec,
    pub(crate) probe: &'a Probe,
    pub(crate) folder: &'a MachineFolder,
    pub(crate) sockets: &'a Sockets,
    /// The forwarded ports, with those that were chosen.
    pub(crate) ports: &'a [ForwardedPort],
    /// Its places on private networks.
    pub(crate) networks: &'a [Joined],
    /// Whether it goes on from a snapshot's memory, which is sent to it then.
    pub(crate) from_memory: bool,
}

impl CommandLine {
    pub(crate) fn new(launch: Launch<'_>) -> Self {
        let mut line = Self {
            program: launch.probe.qemu.path.clone().into_os_string(),
            arguments: Vec::new(),
        };
        line.machine(launch);
        line.boot(launch);
        for (index, disk) in launch.spec.disks.iter().enumerate() {
            line.disk(index, disk, launch);
        }
        line.network(launch);
        line.shares(launch);
        line.monitors_and_console(launch);
        line.display(launch);
        line.agent(launch);
        if launch.from_memory {
            line.option("-incoming", "defer");
        }
        line
    }

    /// The command line as text, one word per argument.
    pub(crate) fn words(&self) -> Vec<String> {
        std::iter::once(&self.program)
            .chain(&self.arguments)
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.arguments.push(name.into());
        self.arguments.push(value.into());
    }

    fn machine(&mut self, Launch { spec, probe, .. }: Launch<'_>) {
        self.option("-name", format!("guest={},debug-threads=on", spec.id));
        self.arguments
            .extend(["-nodefaults".into(), "-no-user-config".into()]);
        if probe.sandbox {
            self.option("-sandbox", SANDBOX);
        }
        if spec.shares.is_empty() {
            self.option("-machine", "pc");
        } else {
            // What virtiofsd reads and writes.
            let memory = format!(
                "memory-backend-memfd,id=memory,size={}M,share=on",
                spec.memory_mib
            );
            self.option("-object", memory);
            self.option("-machine", "pc,memory-backend=memory");
        }
        for argument in accelerator_arguments(probe.accelerator) {
            self.arguments.push(argument.into());
        }
        self.option("-smp", spec.vcpus.to_string());
        self.option("-m", format!("{}M", spec.memory_mib));
        self.option("-action", "reboot=shutdown,panic=shutdown");
        self.option("-device", "pvpanic");
        self.option("-device", "virtio-rng-pci");
    }

    fn boot(
        &mut self,
        Launch {
            spec,
            folder,
            networks,
            ..
        }: Launch<'_>,
    ) {
        let Boot::Kernel {
            kernel,
            initrd,
            append,
            command_line,
        } = &spec.boot
        else {
            return;
        };
        self.option("-kernel", kernel);
        match (initrd, command_line) {
            (_, Some(_)) => self.option("-initrd", folder.initramfs()),
            (Some(initrd), None) => self.option("-initrd", initrd),
            (None, None) => {}
        }
        let append = match spec.guest {
            GuestOs::Osv => network::on_command_line(spec, networks, append),
            GuestOs::Linux => {
                let screen = if spec.display { "console=tty0 " } else { "" };
                let network = if spec.network.is_some() || !networks.is_empty() {
                    ""
                } else {
                    "windlass.network=off "
                };
                let agent = if spec.agent { "windlass.agent=on " } else { "" };
                // Its name is the one that the others on its networks know.
                let name = match network::host_name(&spec.name) {
                    name if networks.is_empty() || name.is_empty() => String::new(),
                    name => format!("windlass.hostname={name} "),
                };
                let asking = match network::asking_cards(spec, networks) {
                    Some(cards) => format!("windlass.dhcp={cards} "),
                    None => String::new(),
                };
                format!("{screen}console=ttyS0 {LINUX_PARAMETERS} {network}{asking}{agent}{name}{append}")
                    .trim_end()
                    .to_owned()
            }
        };
        if !append.is_empty() {
            self.option("-append", append);
        }
    }

    fn disk(&mut self, index: usize, disk: &Disk, Launch { spec, folder, .. }: Launch<'_>) {
        let boot = &spec.boot;
        let overlay = folder.overlay(index);
        let (path, format, read_only) = match spec.access(disk) {
            DiskAccess::ReadOnly => (disk.path.as_path(), disk.format, "on"),
            DiskAccess::Writable => (disk.path.as_path(), disk.format, "off"),
            DiskAccess::Overlay => (overlay.as_path(), DiskFormat::Qcow2, "off"),
        };
        let driver = match format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        let node = format!(
            "driver={driver},node-name=disk{index},read-only={read_only},discard=unmap,\
             file.driver=file,file.filename="
        );
        self.option("-blockdev", option_with_path(&node, path, ""));
        // A kernel that QEMU loads takes the first place in the boot order itself.
        let boot_order = match boot {
            Boot::Disk => format!(",bootindex={index}"),
            Boot::Kernel { .. } => String::new(),
        };
        let serial = disk
            .serial
            .as_ref()
            .map(|serial| format!(",serial={serial}"))
            .unwrap_or_default();
        self.option(
            "-device",
            format!(
                "virtio-blk-pci,id={},drive=disk{index},{ON_ERROR}{boot_order}{serial}",
                resources::device(index)
            ),
        );
    }

    fn network(&mut self, launch: Launch<'_>) {
        if launch.spec.network.is_some() {
            self.user_mode(launch);
        }
        for (index, joined) in launch.networks.iter().enumerate() {
            let backend = match &joined.wire {
                Wire::Switch(socket) => {
                    let backend = format!("stream,id=private{index},server=off");
                    let reconnect = reconnect_option(&launch.probe.qemu.version);
                    let backend = format!("{backend}{reconnect},addr.type=unix,addr.path=");
                    option_with_path(&backend, socket, "")
                }
                Wire::File(_) => {
                    let file = network::file_number(index);
                    format!("tap,id=private{index},fd={file}").into()
                }
                Wire::Device(name) => {
                    format!("tap,id=private{index},ifname={name},script=no,downscript=no").into()
                }
            };
            self.option("-netdev", backend);
            let mac = joined.hardware_address.map(|byte| format!("{byte:02x}"));
            let card = format!(
                "virtio-net-pci,netdev=private{index},mac={},romfile=",
                mac.join(":")
            );
            self.option("-device", card);
        }
    }

    fn shares(&mut self, Launch { spec, sockets, .. }: Launch<'_>) {
        for index in 0..spec.shares.len() {
            let chardev = format!("socket,id=fs{index},path=");
            let socket = sockets.share(index);
            self.option("-chardev", option_with_path(&chardev, &socket, ""));
            let card = format!("vhost-user-fs-pci,chardev=fs{index},tag=share{index}");
            self.option("-device", card);
        }
    }

    fn user_mode(&mut self, Launch { ports, .. }: Launch<'_>) {
        let mut backend = "user,id=net0".to_owned();
        for ForwardedPort {
            host,
            guest,
            protocol,
        } in ports
        {
            let _infallible = write!(backend, ",hostfwd={protocol}:127.0.0.1:{host}-:{guest}");
        }
        self.option("-netdev", backend);
        // No boot from the network: without its ROM the firmware is done sooner.
        self.option("-device", "virtio-net-pci,netdev=net0,romfile=");
    }

    fn monitors_and_console(
        &mut self,
        Launch {
            folder, sockets, ..
        }: Launch<'_>,
    ) {
        for (name, path) in [("qmp", sockets.qmp()), ("control", sockets.control())] {
            let chardev = format!("socket,id={name},server=on,wait=off,path=");
            self.option("-chardev", option_with_path(&chardev, &path, ""));
            self.option("-mon", format!("chardev={name},mode=control"));
        }
        let mut console = option_with_path(
            "socket,id=serial,server=on,wait=off,path=",
            &sockets.serial(),
            ",logappend=on",
        );
        console.push(option_with_path(",logfile=", &folder.console_log(), ""));
        self.option("-chardev", console);
        self.option("-device", "isa-serial,chardev=serial");
    }

    /// The port that the guest's agent is reached by, only where it was asked for.
    fn agent(&mut self, Launch { spec, sockets, .. }: Launch<'_>) {
        if !spec.agent || spec.guest != GuestOs::Linux {
            return;
        }
        let chardev = "socket,id=agent,server=on,wait=off,path=";
        self.option("-chardev", option_with_path(chardev, &sockets.agent(), ""));
        self.option("-device", "virtio-serial-pci");
        let port = format!("virtserialport,chardev=agent,name={PORT_NAME}");
        self.option("-device", port);
    }

    fn display(&mut self, Launch { spec, sockets, .. }: Launch<'_>) {
        self.option("-display", "none");
        if spec.display {
            self.option("-device", "VGA");
            self.option("-vnc", option_with_path("unix:", &sockets.vnc(), ""));
        }
    }
}

/// The processor that each accelerator gives its guests.
pub(crate) fn accelerator_arguments(accelerator: Accelerator) -> [&'static str; 4] {
    match accelerator {
        Accelerator::Kvm => ["-accel", "kvm", "-cpu", "host,+x2apic"],
        Accelerator::Hvf => ["-accel", "hvf", "-cpu", "host"],
        Accelerator::Whpx => ["-accel", "whpx", "-cpu", "max"],
        Accelerator::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
    }
}

/// A disk that fails pauses the guest, which so does not take its file system for broken.
const ON_ERROR: &str = "rerror=stop,werror=stop";

/// How QEMU is told to connect again to a switch that was killed; versions before 8.0 cannot.
fn reconnect_option(version: &str) -> &'static str {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(9)), Some(Ok(0..=1))) | (Some(Ok(8)), _) => ",reconnect=1",
        (Some(Ok(9..)), _) => ",reconnect-ms=500",
        _ => "",
    }
}

/// An option's text with a path in it; QEMU reads a doubled comma as a comma.
pub(crate) fn option_with_path(before: &str, path: &Path, after: &str) -> OsString {
    let mut text = before.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        text.push(*byte);
        if *byte == b',' {
            text.push(b',');
        }
    }
    text.extend_from_slice(OsStr::new(after).as_bytes());
    OsString::from_vec(text)
}

#[cfg(test)]
mod tests;
