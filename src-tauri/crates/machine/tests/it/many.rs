//! Many machines, many rounds, and deaths at any moment: nothing is left over, and what is told is true.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use windlass_machine::MachineState;

use crate::processes::HOME;
use crate::{HALT, Home, IDLE, LIMIT, guest, host, kill, state_when};

/// The QEMUs of a home that are alive.
fn qemus(home: &Home) -> Vec<i32> {
    let mark = home.path().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        if words.contains("qemu-system") && words.contains(&mark) {
            found.push(pid);
        }
    }
    found
}

/// The files that this process has open in a home.
fn open_files(home: &Home) -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let files = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    files
        .filter(|file| file.starts_with(home.path()))
        .map(|file| file.display().to_string())
        .collect()
}

/// Waits until there is none of something: what has ended may still be on its way out.
async fn none_left(what: &str, look: impl Fn() -> Vec<String>) {
    let none = async {
        while !look().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = timeout(LIMIT, none).await;
    assert!(outcome.is_ok(), "{what}: {:?}", look());
}

/// What is in a folder.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_forty_machines_at_once_leave_nothing_behind() {
    const MACHINES: usize = 40;
    let home = Home::new();
    let machines = home.open().await;
    let mut handles = Vec::new();
    for number in 0..MACHINES {
        let spec = home.spec(&format!("guest{number}"), &guest("idle\n", HALT));
        handles.push(machines.create(spec).await.unwrap());
    }
    let probe = host().await;
    let starts: Vec<_> = handles
        .iter()
        .cloned()
        .map(|machine| tokio::spawn(async move { machine.start(probe).await }))
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    assert_eq!(machines.list().len(), MACHINES);
    assert_eq!(qemus(&home).len(), MACHINES);
    for machine in &handles {
        state_when(machine, MachineState::Running).await;
        let first = machine.usage().await.unwrap().unwrap();
        let second = machine.usage().await.unwrap().unwrap();
        assert!(
            second
                .since(&first)
                .is_some_and(|load| load.memory_bytes > 0)
        );
    }
    for machine in &handles {
        machine.stop().await.unwrap();
    }
    for machine in &handles {
        let status = timeout(LIMIT, machine.ended()).await.unwrap();
        assert_eq!(status.state, MachineState::Stopped, "{status:?}");
    }
    assert!(qemus(&home).is_empty());
    none_left("sockets", || names(&home.runtime())).await;
    none_left("open files", || open_files(&home)).await;
    for machine in &handles {
        machine.delete().await.unwrap();
    }
    assert_eq!(names(&home.machines_folder()), [""; 0]);
}

/// `WINDLASS_ROUNDS` has it go on for longer.
#[tokio::test]
async fn slow_rounds_of_start_and_stop_leak_nothing() {
    let rounds = Command::new(std::env::current_exe().unwrap())
        .args(["many::rounds", "--exact", "--ignored", "--nocapture"])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&rounds.stdout);
    let why = String::from_utf8_lossy(&rounds.stderr);
    assert!(rounds.status.success(), "{said}{why}");
    assert!(said.contains("1 passed"), "{said}{why}");
}

#[tokio::test]
#[ignore = "counts what its process has open, which is nobody else's then"]
async fn rounds() {
    let rounds = std::env::var("WINDLASS_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("idle\n", IDLE)))
        .await
        .unwrap();
    let folder = machine.details().folder;
    let mut settled = None;
    for round in 0..rounds {
        machine.start(host().await).await.unwrap();
        assert!(machine.usage().await.unwrap().is_some());
        machine.kill().await.unwrap();
        none_left("open files", || open_files(&home)).await;
        none_left("sockets", || names(&home.runtime())).await;
        let threads = names(std::path::Path::new("/proc/self/task")).len();
        let now = (names(std::path::Path::new("/proc/self/fd")).len(), threads);
        let files = names(&folder).len();
        // Threads and files of the runtime's own come with the first rounds.
        if round == 8 {
            settled = Some((now, files, resident_kib()));
        }
        if let Some(((descriptors, threads), then, _)) = settled {
            assert!(now.0 <= descriptors + 2, "descriptors: {now:?}");
            assert!(now.1 <= threads + 4, "threads: {now:?}");
            assert_eq!(files, then, "{:?}", names(&folder));
        }
    }
    assert!(qemus(&home).is_empty());
    let (_, _, kib) = settled.unwrap();
    let grown = resident_kib().saturating_sub(kib);
    println!("{rounds} rounds: {grown} KiB more than after the eighth");
    assert!(grown < 4096, "{grown} KiB in {rounds} rounds");
}

/// A process that starts the machine of `home` and drives it, or was killed before.
fn start_owner(home: &Home) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["processes::owner", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn slow_whoever_dies_at_whatever_moment_the_machine_is_found_as_it_is() {
    let rounds = std::env::var("WINDLASS_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap());
    let home = Home::new();
    let machines = home.open().await;
    machines
        .create(home.spec("guest", &guest("idle\n", IDLE)))
        .await
        .unwrap();
    machines.close().await;
    host().await;
    let mut seen = Vec::new();
    for round in 0..rounds {
        let chance = RandomState::new().hash_one(round);
        let (owner_dies, qemu_dies) = [(true, false), (true, true), (false, true)][round % 3];
        let mut owner = start_owner(&home);
        sleep(Duration::from_millis(100 + chance % 1100)).await;
        if qemu_dies {
            for pid in qemus(&home) {
                kill(pid, Signal::KILL);
            }
        }
        if owner_dies {
            owner.kill().await.unwrap();
        }
        // The next one to look, while the owner lives or not.
        let machines = home.open().await;
        let machine = machines.get("guest").unwrap();
        if !owner_dies {
            // It may be about to start it; then it is its to end.
            sleep(Duration::from_millis(chance % 300)).await;
            owner.kill().await.unwrap();
        }
        // A process that is not driven any more is looked at within a moment.
        machines.refresh().await;
        let alive = qemus(&home);
        let status = if alive.is_empty() {
            timeout(LIMIT, machine.ended()).await.expect("it has ended")
        } else {
            let mut status = machine.status();
            let driven = status.wait_for(|status| {
                status.state == MachineState::Running && !status.elsewhere && status.pid.is_some()
            });
            timeout(LIMIT, driven)
                .await
                .expect("it is driven")
                .unwrap()
                .clone()
        };
        if status.state.is_live() {
            assert_eq!(
                status.pid.into_iter().collect::<Vec<_>>(),
                alive,
                "{status:?}"
            );
            machine.kill().await.unwrap();
        } else {
            assert!(qemus(&home).is_empty(), "{status:?}");
            // Where it ended by an accident, it says so.
            assert!(
                status.state == MachineState::Created || status.message.is_some(),
                "{status:?}"
            );
        }
        seen.push(status.state);
        machine.start(host().await).await.unwrap();
        state_when(&machine, MachineState::Running).await;
        machine.kill().await.unwrap();
        machines.close().await;
        assert!(qemus(&home).is_empty(), "round {round}");
        assert_eq!(names(&home.runtime()), [""; 0], "round {round}");
    }
    println!("found: {seen:?}");
}
