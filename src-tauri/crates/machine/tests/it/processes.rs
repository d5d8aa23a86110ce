//! Several processes, and those that go away: the owner, QEMU, both.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use windlass_machine::{DiskAccess, MachineState, Machines};

use crate::{Home, IDLE, POWER_OFF, guest, host, kill, state_when, status_when, story};

/// Names the home that a process started by these tests works on.
pub(crate) const HOME: &str = "WINDLASS_TEST_OWNER_HOME";

/// Not a test of its own: the body of the process that the tests below start and kill.
#[tokio::test]
#[ignore = "is started by other tests"]
async fn owner() {
    let Some(home) = std::env::var_os(HOME) else {
        return;
    };
    let home = std::path::PathBuf::from(home);
    let machines = Machines::open(&home.join("machines"), &home.join("run"))
        .await
        .unwrap();
    machines.list()[0].start(host().await).await.unwrap();
    println!("started");
    std::future::pending::<()>().await;
}

/// A process that has started the machine of `home` and drives it.
async fn start_owner(home: &Home) -> Child {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["processes::owner", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("started") {
            return owner;
        }
    }
    panic!("the owner has not started the machine");
}

#[tokio::test]
async fn a_machine_outlives_its_owner_and_is_found_again() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("", IDLE)))
        .await
        .unwrap();
    let mut owner = start_owner(&home).await;
    let status = status_when(&machine, |status| {
        status.elsewhere && status.state == MachineState::Running
    })
    .await;
    assert_eq!(status.state, MachineState::Running);
    let pid = status.pid;

    owner.kill().await.unwrap();
    // At once, when nobody drives it yet.
    machine.pause().await.unwrap();
    let status = machine.status().borrow().clone();
    assert_eq!(
        (status.state, status.pid, status.elsewhere),
        (MachineState::Paused, pid, false)
    );
    machines.close().await;

    let machines = home.open().await;
    let machine = machines.get("guest").unwrap();
    let status = machine.status().borrow().clone();
    assert_eq!(
        (status.state, status.pid, status.elsewhere),
        (MachineState::Paused, pid, false)
    );
    machine.resume().await.unwrap();
    state_when(&machine, MachineState::Running).await;
    machine.kill().await.unwrap();
    insta::assert_snapshot!(story(&machine.ended().await), @"Stopped, status None: It was switched off.");
}

#[tokio::test]
async fn two_owners_see_and_command_the_same_machine() {
    let home = Home::new();
    let (window, terminal) = (home.open().await, home.open().await);
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.display = true;
    let in_window = window.create(spec).await.unwrap();
    terminal.refresh().await;
    let in_terminal = terminal.get("guest").unwrap();
    in_window.start(host().await).await.unwrap();

    assert!(
        state_when(&in_terminal, MachineState::Running)
            .await
            .elsewhere
    );
    for _ in 0..5 {
        in_terminal.pause().await.unwrap();
        let states = [&in_terminal, &in_window].map(|machine| machine.status().borrow().state);
        assert_eq!(states, [MachineState::Paused; 2]);
        in_terminal.resume().await.unwrap();
        let states = [&in_terminal, &in_window].map(|machine| machine.status().borrow().state);
        assert_eq!(states, [MachineState::Running; 2]);
    }
    assert!(!in_window.status().borrow().elsewhere);
    assert_eq!(&in_terminal.screenshot().await.unwrap()[1..4], b"PNG");
    in_terminal.console_input(b"typed elsewhere").await.unwrap();
    in_terminal.start(host().await).await.expect_err("it runs");
    in_terminal.stop().await.unwrap();
    insta::assert_snapshot!(story(&in_window.ended().await), @"Stopped, status None: It did not stop by itself in time, and was switched off.");
    insta::assert_snapshot!(story(&in_terminal.ended().await), @"Stopped, status None: It did not stop by itself in time, and was switched off.");

    // At rest it is nobody's: now the other one starts and drives it.
    in_terminal.start(host().await).await.unwrap();
    assert!(
        state_when(&in_window, MachineState::Running)
            .await
            .elsewhere
    );
    in_window.kill().await.unwrap();
    assert_eq!(in_terminal.ended().await.state, MachineState::Stopped);
    in_terminal.start(host().await).await.unwrap();
    state_when(&in_window, MachineState::Running).await;
    in_window.delete().await.unwrap();
    terminal.refresh().await;
    assert!(terminal.list().is_empty());
}

#[tokio::test]
async fn a_machine_that_ended_while_nobody_looked_is_lost_or_known_by_its_last_words() {
    let home = Home::new();
    let mut endings = Vec::new();
    for (id, code) in [
        ("silent", guest("working\n", IDLE)),
        (
            "telling",
            guest("[windlass] all ended with status 0\n", IDLE),
        ),
    ] {
        let machines = home.open().await;
        let machine = machines.create(home.spec(id, &code)).await.unwrap();
        machine.start(host().await).await.unwrap();
        crate::console_until(&mut machine.follow_console(0).unwrap(), "\n").await;
        let pid = machine.details().pid.unwrap();
        machines.close().await;
        kill(pid, rustix::process::Signal::KILL);
        until_gone(pid).await;
        let machines = home.open().await;
        endings.push(story(&machines.get(id).unwrap().ended().await));
    }
    insta::assert_snapshot!(endings.join("\n"), @r"
    Lost, status None: It ended while nobody was looking.
      -> Start it again; its console has what it said until then.
    Stopped, status Some(0): -
    ");
}

/// Waits until a process is dead.
async fn until_gone(pid: i32) {
    while std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_machine_that_was_asked_to_stop_has_stopped_whoever_finds_it() {
    let home = Home::new();
    let machines = home.open().await;
    let text = "[windlass] all ended with status 143\n";
    let mut spec = home.spec("guest", &guest(text, IDLE));
    spec.patience.stop_ms = 60_000;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    crate::console_until(&mut machine.follow_console(0).unwrap(), "\n").await;
    let pid = machine.details().pid.unwrap();
    machine.stop().await.unwrap();
    machines.close().await;
    kill(pid, rustix::process::Signal::KILL);
    until_gone(pid).await;
    let machines = home.open().await;
    let status = machines.get("guest").unwrap().ended().await;
    insta::assert_snapshot!(story(&status), @"Stopped, status Some(143): It stopped when asked.");
}

#[tokio::test]
async fn a_guest_that_halts_while_nobody_looks_is_found_dead() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home
        .started(&machines, &guest("it broke\nHalting.\n", crate::HALT))
        .await;
    crate::console_until(&mut machine.follow_console(0).unwrap(), "Halting.\n").await;
    machines.close().await;
    let machines = home.open().await;
    let status = state_when(&machines.get("guest").unwrap(), MachineState::Crashed).await;
    insta::assert_snapshot!(story(&status), @r"
    Crashed, status None: The guest crashed: it broke.
      -> The lines above it say where; give the machine more memory, or run the appliance on the other guest kernel.
    ");
}

#[tokio::test]
async fn deleting_a_machine_with_a_broken_record_leaves_no_qemu() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    let details = machine.details();
    machines.close().await;
    std::fs::write(details.folder.join("machine.json"), b"{").unwrap();
    let machines = home.open().await;
    machines.get("guest").unwrap().delete().await.unwrap();
    tokio::time::timeout(crate::LIMIT, until_gone(details.pid.unwrap()))
        .await
        .expect("QEMU is gone");
}

#[tokio::test]
async fn a_machine_that_another_process_runs_to_its_end_is_seen_to_end() {
    let home = Home::new();
    let (window, terminal) = (home.open().await, home.open().await);
    let spec = home.spec(
        "guest",
        &guest("[windlass] all ended with status 7\n", POWER_OFF),
    );
    let machine = terminal.create(spec).await.unwrap();
    let mut ids = window.watch();
    ids.wait_for(|ids| !ids.is_empty()).await.unwrap();
    machine.start(host().await).await.unwrap();
    let status = state_when(&window.get("guest").unwrap(), MachineState::Failed).await;
    insta::assert_snapshot!(story(&status), @"Failed, status Some(7): It ended with status 7.");
}

#[tokio::test]
async fn a_broken_record_is_shown_and_can_be_deleted() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("", IDLE)))
        .await
        .unwrap();
    std::fs::write(
        machine.details().folder.join("machine.json"),
        b"{\"version\": 1,",
    )
    .unwrap();
    let status = state_when(&machine, MachineState::Failed).await;
    insta::assert_snapshot!(story(&status).replace(home.path().to_str().unwrap(), "HOME"), @r"
    Failed, status None: HOME/machines/guest/machine.json is not a machine's record: EOF while parsing a value at line 1 column 14
      -> Delete the machine and run its appliance again.
    ");
    machine.delete().await.unwrap();
    machines.refresh().await;
    assert!(machines.list().is_empty());
}

#[tokio::test]
async fn a_qemu_that_does_not_answer_is_found_all_the_same_and_comes_back() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    let pid = machine.details().pid.unwrap();
    machines.close().await;
    kill(pid, rustix::process::Signal::STOP);
    // Not even the record knows its process, as if its owner had died in the middle of the start.
    let record = machine.details().folder.join("machine.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let mut record_value: serde_json::Value = serde_json::from_str(&text).unwrap();
    record_value["run"]["process"] = serde_json::Value::Null;
    std::fs::write(&record, record_value.to_string()).unwrap();

    let machines = home.open().await;
    let machine = machines.get("guest").unwrap();
    let status = machine.status().borrow().clone();
    assert_eq!(status.pid, Some(pid));
    insta::assert_snapshot!(story(&status), @r"
    Running, status None: QEMU runs, but does not answer.
      -> Switch the machine off and start it again.
    ");
    kill(pid, rustix::process::Signal::CONT);
    status_when(&machine, |status| status.message.is_none()).await;
    machine.pause().await.unwrap();
    state_when(&machine, MachineState::Paused).await;
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_machine_that_ran_when_the_computer_was_restarted_is_lost_and_starts_again() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    let details = machine.details();
    machines.close().await;
    kill(details.pid.unwrap(), rustix::process::Signal::KILL);
    until_gone(details.pid.unwrap()).await;
    // What a restart leaves: no sockets, and a record of another boot, whose process id is somebody else's by now.
    std::fs::remove_dir_all(home.runtime()).unwrap();
    let path = details.folder.join("machine.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["run"]["process"]["bootId"] = "another".into();
    record["run"]["process"]["pid"] = std::process::id().into();
    std::fs::write(&path, record.to_string()).unwrap();

    let machines = home.open().await;
    let machine = machines.get("guest").unwrap();
    insta::assert_snapshot!(story(&machine.ended().await), @r"
    Lost, status None: It ended while nobody was looking.
      -> Start it again; its console has what it said until then.
    ");
    machine.start(host().await).await.unwrap();
    state_when(&machine, MachineState::Running).await;
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_machine_whose_disk_was_unplugged_says_so_and_starts_again_when_it_is_back() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    machine.kill().await.unwrap();
    let disk = machine.spec().disks[0].path.clone();
    let away = home.path().join("away.img");
    std::fs::rename(&disk, &away).unwrap();
    machine.start(host().await).await.unwrap_err();
    let status = state_when(&machine, MachineState::Failed).await;
    insta::assert_snapshot!(story(&status).replace(home.path().to_str().unwrap(), "HOME"), @r"
    Failed, status None: The disk image is not there: HOME/guest.img.
      -> Build the appliance again.
    ");
    std::fs::rename(&away, &disk).unwrap();
    machine.start(host().await).await.unwrap();
    state_when(&machine, MachineState::Running).await;
    machine.kill().await.unwrap();
}

/// Reads far into its disk at each tick of the clock, for ever.
const READ_FAR: &[u8] = &[
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // mov ds, es, ss, ax
    0xbc, 0x00, 0x7c, // mov sp, 0x7c00
    0xbe, 0x1c, 0x7c, // mov si, 0x7c1c: what is to be read
    0xb4, 0x42, // mov ah, 0x42: read
    0xb2, 0x80, // mov dl, 0x80
    0xcd, 0x13, // int 0x13
    0xfb, 0xf4, 0xeb, 0xf3, // sti; hlt; jmp to `mov si`
    0x10, 0x00, 0x01, 0x00, 0x00, 0x80, 0x00, 0x00, // one sector, to 0x8000
    0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // the 512th: 256 KiB into the disk
];

#[tokio::test]
async fn a_disk_that_fails_while_the_guest_runs_pauses_it_and_is_said() {
    const CLUSTER_BYTES: usize = 64 << 10;
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", READ_FAR));
    spec.disks[0].access = DiskAccess::Overlay;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    machine.kill().await.unwrap();
    // Its layer says of the fifth cluster that it is where none can be.
    let overlay = machine.details().folder.join("disk0.qcow2");
    let sound = std::fs::read(&overlay).unwrap();
    let mut broken = sound.clone();
    broken.resize(5 * CLUSTER_BYTES, 0);
    let at = |entry: u64| (entry | 1 << 63).to_be_bytes();
    broken[3 * CLUSTER_BYTES..][..8].copy_from_slice(&at(4 << 16));
    broken[4 * CLUSTER_BYTES + 32..][..8].copy_from_slice(&at(0x6_0200));
    std::fs::write(&overlay, broken).unwrap();
    machine.start(host().await).await.unwrap();
    let status = status_when(&machine, |status| {
        status.state == MachineState::Paused && status.message.is_some()
    })
    .await;
    insta::assert_snapshot!(story(&status), @r"
    Paused, status None: The guest was paused because one of its disks does not work any more: Input/output error.
      -> See to it that what the disk is on is there and sound, then resume it. Where it was taken away and has come back, stop the machine and start it again.
    ");
    machine.kill().await.unwrap();
    std::fs::write(&overlay, sound).unwrap();
    machine.start(host().await).await.unwrap();
    assert_eq!(
        state_when(&machine, MachineState::Running).await.message,
        None
    );
    machine.kill().await.unwrap();
}
