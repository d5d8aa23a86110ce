//! Snapshots and runs that forget everything.

use std::fs;

use windlass_machine::{DiskAccess, MachineHandle, MachineState, SnapshotTree};

use crate::{Home, IDLE, console_until, guest, host, state_when};

/// Counts the bytes that come from the serial port in a register, and says the number after each.
const COUNT: &[u8] = &[
    0xb3, b'0', // mov bl, '0'
    0xba, 0xfd, 0x03, // wait: mov dx, 0x3fd
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1
    0x74, 0xf8, // jz wait
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xec, // in al, dx
    0xfe, 0xc3, // inc bl
    0x88, 0xd8, // mov al, bl
    0xee, // out dx, al
    0xeb, 0xed, // jmp wait
];

async fn count_to(machine: &MachineHandle, number: &str) {
    let start = fs::metadata(machine.console_log()).unwrap().len();
    machine.console_input(b"x").await.unwrap();
    console_until(&mut machine.follow_console(start).unwrap(), number).await;
}

/// Names, with what each came from and whether it has memory; a star where the machine is.
fn drawn(tree: &SnapshotTree) -> Vec<String> {
    let name = |id: &Option<String>| {
        let found = tree.snapshots.iter().find(|it| Some(&it.id) == id.as_ref());
        found.map_or("-", |it| it.name.as_str()).to_owned()
    };
    let line = |it: &windlass_machine::Snapshot| {
        let memory = if it.has_memory { " +memory" } else { "" };
        let here = if tree.current.as_ref() == Some(&it.id) {
            " *"
        } else {
            ""
        };
        format!("{} <- {}{memory}{here}", it.name, name(&it.parent))
    };
    tree.snapshots.iter().map(line).collect()
}

#[tokio::test]
async fn a_guest_goes_on_where_it_was() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("ready", COUNT));
    spec.disks[0].access = DiskAccess::Overlay;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    console_until(&mut machine.follow_console(0).unwrap(), "ready").await;
    for number in ["1", "2", "3"] {
        count_to(&machine, number).await;
    }
    let three = machine.take_snapshot("three", true).await.unwrap();
    state_when(&machine, MachineState::Running).await;
    count_to(&machine, "4").await;
    machine.take_snapshot("four", true).await.unwrap();
    count_to(&machine, "5").await;

    machine.revert(&three.id, host().await).await.unwrap();
    state_when(&machine, MachineState::Running).await;
    count_to(&machine, "4").await;
    // From a machine that does not run at all, by its name, and again.
    machine.kill().await.unwrap();
    machine.revert("four", host().await).await.unwrap();
    count_to(&machine, "5").await;
    machine.take_snapshot("five", false).await.unwrap();
    machine.revert("three", host().await).await.unwrap();
    insta::assert_debug_snapshot!(drawn(&machine.snapshots().unwrap()), @r#"
    [
        "three <- - +memory *",
        "four <- three +memory",
        "five <- four",
    ]
    "#);
    machine.delete_snapshot("four").await.unwrap();
    insta::assert_debug_snapshot!(drawn(&machine.snapshots().unwrap()), @r#"
    [
        "three <- - +memory *",
        "five <- three",
    ]
    "#);
    machine.delete_snapshot("three").await.unwrap();
    assert_eq!(drawn(&machine.snapshots().unwrap()), ["five <- -"]);
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_machine_that_rests_gets_its_disks_back() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.disks[0].access = DiskAccess::Overlay;
    let machine = machines.create(spec).await.unwrap();
    machine.take_snapshot("new", false).await.unwrap();
    machine.start(host().await).await.unwrap();
    machine.kill().await.unwrap();
    let overlay = machine.details().folder.join("disk0.qcow2");
    let written = fs::read(&overlay).unwrap();
    machine.take_snapshot("ran", false).await.unwrap();
    fs::write(&overlay, b"spoiled").unwrap();

    machine.revert("ran", host().await).await.unwrap();
    assert_eq!(fs::read(&overlay).unwrap(), written);
    machine.revert("new", host().await).await.unwrap();
    assert!(!overlay.exists(), "it had written nothing then");

    let error = machine.take_snapshot("memory", true).await.unwrap_err();
    insta::assert_snapshot!(error, @"snapshot: a guest that does not run has no memory");
    let error = machine.revert("nothing", host().await).await.unwrap_err();
    insta::assert_snapshot!(error, @"snapshot: there is no snapshot `nothing`");
}

#[tokio::test]
async fn memory_is_not_kept_where_a_volume_is_written() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.disks[0].access = DiskAccess::Writable;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let error = machine.take_snapshot("memory", true).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("guest.img, which is in no snapshot")
    );
    machine.take_snapshot("disks", false).await.unwrap();
    assert_eq!(
        state_when(&machine, MachineState::Running)
            .await
            .exit_status,
        None
    );
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_disposable_machine_forgets_what_it_wrote_to_volumes_too() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("hello", IDLE));
    spec.disks[0].access = DiskAccess::Writable;
    spec.disposable = true;
    let machine = machines.create(spec.clone()).await.unwrap();
    machine.start(host().await).await.unwrap();
    console_until(&mut machine.follow_console(0).unwrap(), "hello").await;
    let overlay = machine.details().folder.join("disk0.qcow2");
    assert!(overlay.exists());
    // Another one may run with the same disk meanwhile.
    spec.id = "second".to_owned();
    let second = machines.create(spec).await.unwrap();
    second.start(host().await).await.unwrap();
    for machine in [machine, second] {
        machine.kill().await.unwrap();
        assert!(!machine.details().folder.join("disk0.qcow2").exists());
    }
}
