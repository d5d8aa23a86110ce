//! QEMU confined: it can open its own files, and nothing else of the user's.
//!
//! ```text
//!   we ── a thread that lives for this alone ── gives up:  files but those of the machine (Landlock)
//!              │                                           signals to others, abstract sockets (Landlock)
//!              │ spawn                                     capabilities, and ever gaining any
//!              ▼                                           priority, as far as the machine is to be nice
//!            QEMU, and with -sandbox what it gives up itself: starting programs, gaining rights, scheduling
//! ```
//!
//! All of it holds for a thread and what is started from it, so our own other threads keep their rights, and no program
//! stands between us and QEMU. A kernel that knows less of Landlock enforces less of it ([`enforced`] tells).
//!
//! What may be opened:
//! - to read: the system's libraries and QEMU's own data, the kernel and the initramfs, disks that are only read, and the
//!   images below overlays;
//! - to read and write: overlays, disks of its own, the console log; in the folder of its sockets anything;
//! - files in the folder of what is attached while it runs: whoever attaches a file links it there first.
//!
//! A folder of the user's is never among them, nor is the machine's record: a guest that has taken QEMU over cannot have
//! the next start open another file.

use std::path::{Path, PathBuf};
use std::thread;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::error::{Error, Result};
use crate::network::{HostLink, TUN};
use crate::paths::{MachineFolder, Sockets};
use crate::spec::{Boot, DiskAccess, MachineSpec};

/// The newest Landlock that is made use of.
const NEWEST: ABI = ABI::V6;

/// What programs and libraries of the system are read from.
const SYSTEM: [&str; 7] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/nix/store",
    "/opt/homebrew",
];
/// What libraries and the user-mode network read of the system's settings, and QEMU of the computer.
const SETTINGS: [&str; 17] = [
    "/etc/alternatives",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/qemu",
    "/etc/resolv.conf",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys",
    "/sys/devices/system",
    "/sys/module",
];
/// Devices.
const DEVICES: [&str; 5] = [
    "/dev/kvm",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
];

/// What a QEMU may open, and how much it gives way to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Files, and folders with all that is in them, to read.
    pub(crate) read: Vec<PathBuf>,
    /// Files, and folders with all files that are in them, to read and write.
    pub(crate) write: Vec<PathBuf>,
    /// Folders in which it may do as it likes.
    pub(crate) own: Vec<PathBuf>,
    /// How nice its threads are: 0 to 19.
    pub(crate) nice: u8,
}

impl Confinement {
    /// What the QEMU of a machine may open.
    pub(crate) fn of(spec: &MachineSpec, folder: &MachineFolder, sockets: &Sockets) -> Self {
        let mut own = Self {
            read: Vec::new(),
            write: vec![folder.console_log(), folder.attached()],
            own: vec![sockets.path().to_owned()],
            nice: spec.resources.nice,
        };
        if let Boot::Kernel { kernel, initrd, .. } = &spec.boot {
            own.read.push(kernel.clone());
            own.read.extend(initrd.clone());
            own.read.push(folder.initramfs());
        }
        for (index, disk) in spec.disks.iter().enumerate() {
            match spec.access(disk) {
                DiskAccess::ReadOnly => own.read.push(disk.path.clone()),
                DiskAccess::Writable => own.write.push(disk.path.clone()),
                DiskAccess::Overlay => {
                    own.read.push(disk.path.clone());
                    own.write.push(folder.overlay(index));
                }
            }
        }
        let links = spec.networks.iter();
        if links
            .filter_map(|join| HostLink::parse(&join.network))
            .any(|link| matches!(link, HostLink::Tap(_)))
        {
            own.write.push(TUN.into());
        }
        own
    }

    /// Calls `start` on a thread that has given up everything else, and so has what is started there.
    pub(crate) fn start<T: Send>(
        &self,
        program: &Path,
        start: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let confined = || {
            if let Err(error) = self.give_up(program) {
                return Err(Error::Confine {
                    problem: error.to_string(),
                });
            }
            start()
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .name("start qemu".to_owned())
                .spawn_scoped(scope, confined)
                .map_err(Error::io("start", program))?;
            thread.join().map_err(|_| Error::Closed)?
        })
    }

    /// Has the calling thread give up what QEMU does not need.
    fn give_up(&self, program: &Path) -> Result<(), GivingUp> {
        if self.nice > 0 {
            rustix::process::setpriority_process(None, self.nice.into())?;
        }
        self.restrict_files(program)?;
        // What Landlock needs for that as well: no program gains anything.
        rustix::thread::set_no_new_privs(true)?;
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::clear_ambient_capability_set()?;
        set_capabilities(None, none)?;
        Ok(())
    }

    fn restrict_files(&self, program: &Path) -> Result<RulesetStatus, RulesetError> {
        let run = AccessFs::from_read(NEWEST);
        let read = run & !BitFlags::from(AccessFs::Execute);
        // A disk of the user's may be a device.
        let change = read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
        let anything = AccessFs::from_all(NEWEST) & !BitFlags::from(AccessFs::Execute);
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, run))?
            .add_rules(path_beneath_rules(beside(program), run))?
            .add_rules(path_beneath_rules(SETTINGS, read))?
            .add_rules(path_beneath_rules(DEVICES, change))?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.write, change))?
            .add_rules(path_beneath_rules(&self.own, anything))?
            .restrict_self()?;
        Ok(status.ruleset)
    }
}

/// Why something could not be given up.
#[derive(Debug, thiserror::Error)]
enum GivingUp {
    #[error(transparent)]
    Files(#[from] RulesetError),
    #[error(transparent)]
    Rights(#[from] rustix::io::Errno),
}

/// The program itself, and the data and libraries that came with it where it is not the system's.
fn beside(program: &Path) -> Vec<PathBuf> {
    let mut paths = vec![program.to_owned()];
    if let Ok(real) = program.canonicalize() {
        paths.push(real);
    }
    let prefixes = paths.iter().filter_map(|path| path.parent()?.parent());
    let prefixes: Vec<_> = prefixes
        .filter(|prefix| prefix.join("share/qemu").is_dir())
        .map(Path::to_owned)
        .collect();
    for prefix in prefixes {
        for name in ["share/qemu", "lib", "lib64", "libexec"] {
            paths.push(prefix.join(name));
        }
    }
    paths
}

/// How much of it this computer enforces, in words; `None` where it is all of it.
pub(crate) fn missing() -> Option<String> {
    let tried = thread::spawn(|| Confinement::default().restrict_files(Path::new("/")));
    match tried.join().ok()?.ok()? {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => {
            Some("this kernel keeps QEMU from files, but not from all else (Landlock is older than that)".to_owned())
        }
        RulesetStatus::NotEnforced => {
            Some("this kernel cannot keep QEMU from the user's other files (it has no Landlock)".to_owned())
        }
    }
}
