//! What a program opens while it runs: libraries that are in no table.
//!
//! ```text
//!   LD_DEBUG=files PROGRAM      in an empty folder, in a group of its own, for some seconds
//!     ├ LD_DEBUG_OUTPUT         every library that the linker opens, even for a moment
//!     └ /proc/PID/maps          every file that it has mapped when we look, data among them
//! ```
//!
//! It is started without arguments, input, or a display, and killed with all that it started when
//! the time is over. Where this computer lets anybody have process numbers of their own, that goes
//! for daemons too, which leave the group.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::closure::Elf;
use crate::error::IoContext;
use crate::helper::{self, Group};
use crate::watch::advance;
use crate::{Error, Finding, Watch};

/// A service has opened its plugins after that time.
const TIMEOUT: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);
/// The linker writes a line or two for each library.
const LOG_MAX_BYTES: u64 = 16 << 20;
const LOGS_MAX: usize = 64;
const MAPS_MAX_BYTES: u64 = 4 << 20;
const PROCESSES_MAX: usize = 64;

const SHELL: &str = "/bin/sh";
/// Gives a program process numbers of its own, as the first of them: all that it starts end with it.
const APART: &str = "/usr/bin/unshare";
const APART_SWITCHES: [&str; 5] = [
    "--user",
    "--map-current-user",
    "--pid",
    "--kill-child=KILL",
    "--",
];

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Libraries, sorted.
    pub libraries: Vec<PathBuf>,
    /// Other files of the system, such as locale archives, sorted.
    pub files: Vec<PathBuf>,
    /// How it went.
    pub findings: Vec<Finding>,
}

/// Runs a program for some seconds.
pub(super) fn observe(
    program: &Path,
    scratch: &Path,
    watch: &mut dyn Watch,
) -> Result<Seen, Error> {
    let program = std::path::absolute(program).context("find", program)?;
    let home = scratch.join("home");
    let logs = scratch.join("logs");
    for folder in [&home, &logs] {
        fs::create_dir_all(folder).context("create", folder)?;
    }
    let mut command = Command::new(if can_be_apart() { APART } else { SHELL });
    if can_be_apart() {
        command.args(APART_SWITCHES).arg(SHELL);
    }
    // Set by the shell: what is started before it need not tell what it loads.
    let script = "export LD_DEBUG=files LD_DEBUG_OUTPUT=\"$1\"; exec \"$2\"";
    command
        .args(["-c", script, SHELL])
        .arg(logs.join("log"))
        .arg(&program)
        .current_dir(&home)
        .env("HOME", &home)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut seen = Seen::default();
    let mut group = Group::start(&mut command).map_err(|failure| failure.of(SHELL, ""))?;
    let starters = [APART, SHELL].map(|path| fs::canonicalize(path).unwrap_or_default());
    let mut files = BTreeSet::new();
    let deadline = Instant::now() + TIMEOUT;
    while !group.has_ended() && Instant::now() < deadline && log_bytes(&logs) < LOG_MAX_BYTES {
        advance(watch, 0)?;
        for process in group_members(group.id()) {
            if !is_one_of(process, &starters) {
                mapped(process, &mut files);
            }
        }
        std::thread::sleep(POLL);
    }
    let is_over = group.has_ended();
    let status = group.end().context("run", &program)?;
    // As shells say it.
    if matches!(status.code(), Some(126 | 127)) {
        seen.findings.push(
            Finding::note("it could not be started here, so that libraries which it opens by name are not known")
                .remedy("Add them by hand, if there are any."),
        );
        return Ok(seen);
    }
    logged(&logs, &mut files);
    if !is_over {
        seen.findings.push(Finding::note(format!(
            "it ran for {} seconds without arguments to see what it opens; what it opens later is not known",
            TIMEOUT.as_secs()
        )));
    }
    files.remove(&program);
    for file in files {
        match Elf::open(&file) {
            // libc can be started as well, and has a name that others need it by.
            Ok(elf) if !elf.is_program || elf.soname.is_some() => seen.libraries.push(file),
            Err(_) if file.starts_with("/usr") => seen.files.push(file),
            // Programs that it started, and files of whoever packs.
            _ => {}
        }
    }
    Ok(seen)
}

/// Whether this computer lets us give a program process numbers of its own.
fn can_be_apart() -> bool {
    static CAN: LazyLock<bool> = LazyLock::new(|| {
        let mut command = Command::new(APART);
        command.args(APART_SWITCHES).args([SHELL, "-c", ":"]);
        helper::run(&mut command, Some(TIMEOUT), &mut ())
            .is_ok_and(|output| output.status.success())
    });
    *CAN
}

/// Whether a process runs one of these programs, or has ended.
fn is_one_of(process: u32, programs: &[PathBuf]) -> bool {
    fs::read_link(format!("/proc/{process}/exe")).map_or(true, |path| programs.contains(&path))
}

/// The processes of a group, without its guard, which is the first.
fn group_members(group: u32) -> Vec<u32> {
    let mut members = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name before it may hold anything, and ends with the last bracket.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if process != group && fields.split_whitespace().nth(2) == Some(&group.to_string()) {
            members.push(process);
        }
        if members.len() >= PROCESSES_MAX {
            break;
        }
    }
    members
}

/// The files that a process has mapped.
fn mapped(process: u32, files: &mut BTreeSet<PathBuf>) {
    let mut text = Vec::new();
    let Ok(maps) = File::open(format!("/proc/{process}/maps")) else {
        return;
    };
    // It ended meanwhile, where it cannot be read.
    let _ = maps.take(MAPS_MAX_BYTES).read_to_end(&mut text);
    for line in String::from_utf8_lossy(&text).lines() {
        if let Some(at) = line.find('/') {
            take(line.get(at..).unwrap_or_default(), files);
        }
    }
}

/// The libraries that the linker says it has opened.
fn logged(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    let logs = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in logs.take(LOGS_MAX) {
        let mut text = Vec::new();
        if let Ok(log) = File::open(entry.path()) {
            // What was read until an error counts.
            let _ = log.take(LOG_MAX_BYTES).read_to_end(&mut text);
        }
        for line in String::from_utf8_lossy(&text).lines() {
            // `    123:	calling init: /lib/x86_64-linux-gnu/libz.so.1`
            if let Some((_, path)) = line.split_once("calling init: ") {
                take(path, files);
            }
        }
    }
}

fn take(path: &str, files: &mut BTreeSet<PathBuf>) {
    let path = Path::new(path.trim());
    let of_the_kernel = ["/dev", "/proc", "/sys", "/memfd:"];
    let is_of_the_kernel = of_the_kernel.iter().any(|start| path.starts_with(start));
    if path.is_absolute() && !is_of_the_kernel && path.is_file() {
        files.insert(path.to_path_buf());
    }
}

fn log_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok());
    sizes.map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_at_once_is_seen_by_what_the_linker_says() {
        let scratch = tempfile::tempdir().unwrap();
        let seen = observe(Path::new("/bin/true"), scratch.path(), &mut ()).unwrap();
        let is_libc = |path: &PathBuf| path.ends_with("libc.so.6");
        assert!(seen.libraries.iter().any(is_libc), "{seen:?}");
        assert_eq!(seen.findings, []);
    }

    /// Observes a script, in which `SLEEPER` is a program that nobody else runs; fails when that goes on.
    fn observe_script(text: &str) -> Seen {
        let scratch = tempfile::tempdir().unwrap();
        let sleeper = scratch.path().canonicalize().unwrap().join("sleeper");
        fs::copy("/usr/bin/sleep", &sleeper).unwrap();
        let script = scratch.path().join("service");
        let text = text.replace("SLEEPER", sleeper.to_str().unwrap());
        fs::write(&script, format!("#!/bin/sh\n{text}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, mode).unwrap();
        let seen = observe(&script, scratch.path(), &mut ()).unwrap();
        let goes_on = || {
            let mut processes = fs::read_dir("/proc").unwrap().flatten();
            processes.any(|entry| {
                fs::read_link(entry.path().join("exe")).is_ok_and(|path| path == sleeper)
            })
        };
        let start = Instant::now();
        while goes_on() {
            assert!(start.elapsed() < Duration::from_mins(1), "it goes on");
            std::thread::sleep(POLL);
        }
        seen
    }

    #[test]
    fn what_does_not_end_is_ended_with_all_that_it_started() {
        let seen = observe_script("SLEEPER 600 &\nwait");
        assert_eq!(seen.findings.len(), 1, "{seen:?}");
    }

    #[test]
    fn a_daemon_ends_too() {
        if !can_be_apart() {
            println!("skipped: nobody may have process numbers of their own here");
            return;
        }
        // It leaves the group, and who started it ends.
        observe_script("setsid SLEEPER 600 &\nsleep 1");
    }

    #[test]
    fn what_cannot_be_started_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("program");
        fs::write(&program, b"\x7fELF of another machine").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, mode).unwrap();
        let seen = observe(&program, scratch.path(), &mut ()).unwrap();
        assert_eq!(seen.findings.len(), 1, "{seen:?}");
        assert!(seen.findings[0].message.contains("could not be started"));
    }

    #[test]
    fn cancelling_ends_it() {
        let scratch = tempfile::tempdir().unwrap();
        let mut cancel = |_: u64| std::ops::ControlFlow::Break(());
        let ended = observe(Path::new("/bin/cat"), scratch.path(), &mut cancel);
        assert!(matches!(ended, Err(Error::Cancelled)) || ended.is_ok());
    }
}
