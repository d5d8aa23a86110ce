//! Whoever packs is killed: what it had started ends with it.
//!
//! The tests start this very program once more, as the one that packs and is killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windlass_guest::GuestOs;
use windlass_package::pack::{self, PackOptions, PackSource};

/// What the second of us packs.
const KIND: &str = "WINDLASS_TEST_PACK_KIND";
const WHAT: &str = "WINDLASS_TEST_PACK_WHAT";

/// Not a test of its own: without what the others say, it does nothing.
#[test]
fn packs_until_it_is_killed() {
    let (Ok(kind), Ok(what)) = (std::env::var(KIND), std::env::var(WHAT)) else {
        return;
    };
    let mut options = PackOptions::new(GuestOs::Linux);
    options.observe = true;
    let source = match kind.as_str() {
        "program" => PackSource::Program(what.into()),
        _ => PackSource::Debian(vec![what]),
    };
    let _ = pack::plan(&source, &options, &mut ());
}

fn start(kind: &str, what: &str, path: Option<&Path>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "killed::packs_until_it_is_killed"])
        .env(KIND, kind)
        .env(WHAT, what)
        .stdout(Stdio::null());
    if let Some(path) = path {
        let before = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{before}", path.display()));
    }
    command.spawn().unwrap()
}

/// Waits until something is so; fails where it does not become so.
fn until<T>(what: &str, mut is_so: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = is_so() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that run a program.
fn running(program: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_it = |entry: &fs::DirEntry| {
        fs::read_link(entry.path().join("exe")).is_ok_and(|path| path == program)
    };
    processes.filter(is_it).map(|entry| entry.path()).collect()
}

#[test]
fn an_observed_program_ends_with_whoever_packs() {
    let folder = tempfile::tempdir().unwrap();
    // A program that never ends, under a name that nobody else has.
    let program = folder.path().canonicalize().unwrap().join("endless");
    fs::copy("/usr/bin/yes", &program).unwrap();
    let mut packs = start("program", program.to_str().unwrap(), None);
    until("it is not observed", || running(&program).pop());
    packs.kill().unwrap();
    packs.wait().unwrap();
    until("it goes on", || running(&program).is_empty().then_some(()));
}

#[test]
fn what_apt_started_ends_with_whoever_packs() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let sleeper = folder.path().canonicalize().unwrap().join("sleeper");
    fs::copy("/usr/bin/sleep", &sleeper).unwrap();
    let script = |name: &str, text: &str| {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    script("apt-cache", "echo a");
    // As apt-get has its methods: processes of its own, that take their time.
    script(
        "apt-get",
        &format!("{} 600 & {} 600", sleeper.display(), sleeper.display()),
    );
    let mut packs = start("debian", "a", Some(&bin));
    until("nothing is downloaded", || {
        (running(&sleeper).len() == 2).then_some(())
    });
    packs.kill().unwrap();
    packs.wait().unwrap();
    until("it goes on", || running(&sleeper).is_empty().then_some(()));
}
