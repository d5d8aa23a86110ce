//! The most that a machine takes of processors and memory, whatever its guest and QEMU beside it do: a control group of the
//! kernel's (cgroups(7)) with QEMU's process alone in it.
//!
//! ```text
//!   systemd is there     its manager makes a scope (the user's own manager, where we are not root), and takes it away
//!   root without it      a folder of our own: cgroup version 2, else version 1; taken away after the machine's end
//!   otherwise            cannot be done, which is said in words
//! ```
//!
//! Whatever made it, the group is asked at the end whether it has the limit: a manager takes properties of controllers that it
//! was not given, and enforces nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::paths::{MachineFolder, short_hash};
use crate::spec::Resources;

/// Where the kernel's control groups are.
const GROUPS: &str = "/sys/fs/cgroup";
/// The time that shares of processors are counted in, in microseconds.
const PERIOD_US: u64 = 100_000;
const MIB: u64 = 1 << 20;

/// The name of a machine's group: its folder is nobody else's.
pub(crate) fn name(folder: &MachineFolder) -> String {
    format!(
        "windlass-{}",
        short_hash(folder.path().as_os_str().as_encoded_bytes())
    )
}

/// Limits a process; says in words what could not be done.
pub(crate) async fn limit(process: i32, name: &str, resources: &Resources) -> Result<(), String> {
    if !is_wanted(resources) {
        return Ok(());
    }
    let is_root = rustix::process::geteuid().is_root();
    if Path::new("/run/systemd/system").exists() {
        by_systemd(process, name, resources, is_root).await?;
        return is_enforced(Path::new(GROUPS), process, resources);
    }
    if !is_root {
        return Err("limits of processors and memory need systemd, or root".to_owned());
    }
    let folders = folders(Path::new(GROUPS), name, resources).ok_or(
        "limits of processors and memory need control groups in /sys/fs/cgroup, and there are none",
    )?;
    for (folder, settings) in folders {
        set(&folder, &settings, process)
            .map_err(|error| format!("{} cannot be set up: {error}", folder.display()))?;
    }
    Ok(())
}

pub(crate) fn is_wanted(resources: &Resources) -> bool {
    resources.cpu_percent > 0 || resources.memory_max_mib > 0
}

/// Takes away what [`limit`] made without systemd, once the process is gone.
pub(crate) fn forget(name: &str) {
    // What it was limited in may have been changed since.
    let any = Resources {
        cpu_percent: 1,
        memory_max_mib: 1,
        ..Resources::default()
    };
    for (folder, _) in folders(Path::new(GROUPS), name, &any).unwrap_or_default() {
        let _not_there = fs::remove_dir(folder);
    }
}

/// Has the manager put the process into a scope of its own.
async fn by_systemd(
    process: i32,
    name: &str,
    resources: &Resources,
    is_root: bool,
) -> Result<(), String> {
    let mut command = Command::new("busctl");
    if !is_root {
        command.arg("--user");
    }
    let scope = format!("{name}-{process}.scope");
    let mut properties = vec![
        ["PIDs", "au", "1", &process.to_string()]
            .map(str::to_owned)
            .to_vec(),
    ];
    if resources.cpu_percent > 0 {
        let each_second = u64::from(resources.cpu_percent) * 10_000;
        properties.push(
            ["CPUQuotaPerSecUSec", "t", &each_second.to_string()]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    if resources.memory_max_mib > 0 {
        let bytes = u64::from(resources.memory_max_mib) * MIB;
        properties.push(
            ["MemoryMax", "t", &bytes.to_string()]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    let manager = "org.freedesktop.systemd1";
    let call = ["call", manager, "/org/freedesktop/systemd1"];
    let method = "org.freedesktop.systemd1.Manager";
    let asked = command
        .args(call)
        .args([method, "StartTransientUnit", "ssa(sv)a(sa(sv))"])
        .args([scope.as_str(), "fail", &properties.len().to_string()])
        .args(properties.concat())
        .arg("0")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| {
            format!("busctl, which asks systemd for limits, does not start: {error}")
        })?;
    if asked.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&asked.stderr);
    Err(format!("systemd gives no limits: {}", why.trim()))
}

/// Whether the group of a process has its limits (version 2).
fn is_enforced(groups: &Path, process: i32, resources: &Resources) -> Result<(), String> {
    let own = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let folder = groups.join(path.unwrap_or_default());
    let has = |file: &str| {
        let value = fs::read_to_string(folder.join(file)).unwrap_or_default();
        !value.is_empty() && !value.starts_with("max")
    };
    let lacks = |what: &str, controller: &str| {
        Err(format!(
            "{what} cannot be limited: systemd does not let this user (`Delegate={controller}` in user@.service does)"
        ))
    };
    if resources.cpu_percent > 0 && !has("cpu.max") {
        return lacks("processors", "cpu");
    }
    if resources.memory_max_mib > 0 && !has("memory.max") {
        return lacks("memory", "memory");
    }
    Ok(())
}

type Settings = Vec<(&'static str, String)>;

/// The folders of a machine's groups, and what is written there; `None` where there are no groups.
fn folders(groups: &Path, name: &str, resources: &Resources) -> Option<Vec<(PathBuf, Settings)>> {
    let quota = u64::from(resources.cpu_percent) * PERIOD_US / 100;
    let bytes = u64::from(resources.memory_max_mib) * MIB;
    let (cpu, memory) = (quota > 0, bytes > 0);
    if groups.join("cgroup.controllers").exists() {
        let mut settings = Vec::new();
        if cpu {
            settings.push(("cpu.max", format!("{quota} {PERIOD_US}")));
        }
        if memory {
            settings.push(("memory.max", bytes.to_string()));
        }
        return Some(vec![(groups.join(name), settings)]);
    }
    let mut folders = Vec::new();
    for (wanted, controller, settings) in [
        (
            cpu,
            "cpu",
            vec![
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ],
        ),
        (
            memory,
            "memory",
            vec![("memory.limit_in_bytes", bytes.to_string())],
        ),
    ] {
        if wanted && !groups.join(controller).is_dir() {
            return None;
        }
        if wanted {
            folders.push((groups.join(controller).join(name), settings));
        }
    }
    Some(folders)
}

fn set(folder: &Path, settings: &Settings, process: i32) -> io::Result<()> {
    // Version 2: the group above hands on what it has; version 1 does so by itself.
    if let Some(above) = folder
        .parent()
        .map(|above| above.join("cgroup.subtree_control"))
        && above.exists()
    {
        fs::write(above, "+cpu +memory")?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for (file, value) in settings {
        fs::write(folder.join(file), value)?;
    }
    fs::write(folder.join("cgroup.procs"), process.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Resources = Resources {
        nice: 0,
        pinned: Vec::new(),
        disk_bytes: 0,
        disk_requests: 0,
        cpu_percent: 50,
        memory_max_mib: 256,
    };

    fn written(groups: &Path) -> Option<String> {
        let found = folders(groups, "windlass-1", &HALF)?;
        let lines = found.iter().flat_map(|(folder, settings)| {
            let folder = folder.strip_prefix(groups).unwrap().display().to_string();
            settings
                .iter()
                .map(move |(file, value)| format!("{folder}/{file}: {value}\n"))
        });
        Some(lines.collect())
    }

    #[test]
    fn each_kind_of_control_groups_is_told_in_its_own_words() {
        let groups = tempfile::tempdir().unwrap();
        assert_eq!(written(groups.path()), None);
        for controller in ["cpu", "memory"] {
            fs::create_dir(groups.path().join(controller)).unwrap();
        }
        insta::assert_snapshot!(written(groups.path()).unwrap(), @r"
        cpu/windlass-1/cpu.cfs_period_us: 100000
        cpu/windlass-1/cpu.cfs_quota_us: 50000
        memory/windlass-1/memory.limit_in_bytes: 268435456
        ");
        fs::write(groups.path().join("cgroup.controllers"), "cpu memory").unwrap();
        insta::assert_snapshot!(written(groups.path()).unwrap(), @r"
        windlass-1/cpu.max: 50000 100000
        windlass-1/memory.max: 268435456
        ");
    }

    #[test]
    fn a_group_that_has_no_limit_is_found_out() {
        let groups = tempfile::tempdir().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let words = is_enforced(groups.path(), own, &HALF).unwrap_err();
        insta::assert_snapshot!(words, @"processors cannot be limited: systemd does not let this user (`Delegate=cpu` in user@.service does)");
    }
}
