//! Pause, resume, stop, kill, start again, clone, delete, rename.

use std::os::unix::fs::PermissionsExt;

use windlass_machine::{DiskAccess, Error, MachineHandle, MachineState, StopStage};

use crate::{HALT, Home, IDLE, guest, host, state_when, story};

#[tokio::test]
async fn pause_and_resume() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    assert_eq!(machine.status().borrow().state, MachineState::Running);
    // Whoever is answered finds it done.
    for _ in 0..20 {
        machine.pause().await.unwrap();
        assert_eq!(machine.status().borrow().state, MachineState::Paused);
        let error = machine.pause().await.unwrap_err();
        assert_eq!(error.to_string(), "cannot pause a machine that is paused");
        machine.resume().await.unwrap();
        assert_eq!(machine.status().borrow().state, MachineState::Running);
    }
    machine.kill().await.unwrap();
    assert_eq!(machine.status().borrow().state, MachineState::Stopped);
}

#[tokio::test]
async fn a_guest_that_does_not_listen_is_asked_and_then_switched_off() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    machine.pause().await.unwrap();
    state_when(&machine, MachineState::Paused).await;
    machine.stop().await.unwrap();
    insta::assert_snapshot!(story(&machine.status().borrow()), @"Stopping, status None: The guest's power button was pressed.");
    machine.stop().await.unwrap();
    insta::assert_snapshot!(story(&machine.ended().await), @"Stopped, status None: It did not stop by itself in time, and was switched off.");
}

#[tokio::test]
async fn a_stop_says_how_far_it_is_and_when_it_goes_on() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", HALT));
    spec.guest = windlass_guest::GuestOs::Linux;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let mut status = machine.status();
    machine.stop().await.unwrap();
    let mut seen: Vec<(StopStage, String)> = Vec::new();
    loop {
        let now = status.borrow_and_update().clone();
        if let Some(stopping) = now.stopping
            && seen
                .last()
                .is_none_or(|(stage, _)| *stage != stopping.stage)
        {
            assert!(stopping.until > now.started_at.unwrap());
            seen.push((stopping.stage, now.message.unwrap_or_default()));
        }
        if !now.state.is_live() {
            assert_eq!(now.stopping, None);
            break;
        }
        status.changed().await.unwrap();
    }
    insta::assert_debug_snapshot!(seen, @r#"
    [
        (
            Asked,
            "The guest was asked to stop.",
        ),
        (
            PowerButton,
            "The guest's power button was pressed.",
        ),
        (
            PowerCut,
            "The guest did not stop by itself in time; its power is being cut.",
        ),
    ]
    "#);
}

#[tokio::test]
async fn a_machine_starts_again_when_it_has_stopped() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    let first = machine.details().pid;
    machine.restart(host().await).await.unwrap();
    let second = machine.details().pid;
    assert!(first.is_some() && second.is_some() && first != second);
    machine.kill().await.unwrap();
    machine.restart(host().await).await.unwrap();
    state_when(&machine, MachineState::Running).await;
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_clone_has_what_the_guest_wrote_or_begins_anew() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.disks[0].access = DiskAccess::Overlay;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let anew = machines
        .clone_machine(&machine, "anew", "Anew", false)
        .await
        .unwrap();
    let refused = machines.clone_machine(&machine, "same", "Same", true).await;
    insta::assert_snapshot!(refused.unwrap_err(), @"cannot clone the disks of a machine that is running");
    machine.kill().await.unwrap();
    let overlay = |machine: &MachineHandle| machine.details().folder.join("disk0.qcow2");
    // As if the guest had written there.
    let mut written = std::fs::read(overlay(&machine)).unwrap();
    written.extend([7; 4096]);
    std::fs::write(overlay(&machine), &written).unwrap();
    let same = machines
        .clone_machine(&machine, "same", "Same", true)
        .await
        .unwrap();
    assert_eq!(std::fs::read(overlay(&same)).unwrap(), written);
    assert!(!overlay(&anew).exists());
    for clone in [&anew, &same] {
        clone.start(host().await).await.unwrap();
    }
    let spec = same.spec();
    assert_eq!((spec.id.as_str(), spec.name.as_str()), ("same", "Same"));
    machine.delete().await.unwrap();
    for clone in [anew, same] {
        state_when(&clone, MachineState::Running).await;
        clone.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_hung_qemu_is_killed() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    crate::kill(
        machine.details().pid.unwrap(),
        rustix::process::Signal::STOP,
    );
    let started = std::time::Instant::now();
    machine.kill().await.unwrap();
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    insta::assert_snapshot!(story(&machine.ended().await), @"Stopped, status None: It was switched off.");
}

#[tokio::test]
async fn a_start_that_is_switched_off_has_failed() {
    let home = Home::new();
    let machines = home.open().await;
    let silent = home.path().join("silent-qemu");
    std::fs::write(&silent, "#!/bin/sh\nexec sleep 7200\n").unwrap();
    std::fs::set_permissions(&silent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut probe = host().await.clone();
    probe.qemu.path = silent;
    let machine = machines
        .create(home.spec("guest", &guest("", IDLE)))
        .await
        .unwrap();
    let starting = tokio::spawn({
        let machine = machine.clone();
        async move { machine.start(&probe).await }
    });
    state_when(&machine, MachineState::Starting).await;
    machine.kill().await.unwrap();
    let error = starting.await.unwrap().unwrap_err();
    insta::assert_snapshot!(error, @"QEMU did not start: it was switched off before");
    insta::assert_snapshot!(story(&machine.ended().await), @"Stopped, status None: It was switched off.");
}

#[tokio::test]
async fn who_deletes_and_who_waits_for_the_end_all_hear_of_it() {
    let home = Home::new();
    let (window, terminal) = (home.open().await, home.open().await);
    let machine = home.started(&window, &guest("", IDLE)).await;
    terminal.refresh().await;
    let watched = terminal.get("guest").unwrap();
    assert!(watched.status().borrow().state.is_live());
    let waiting = tokio::spawn({
        let watched = watched.clone();
        async move { watched.ended().await }
    });
    let (one, other) = tokio::join!(machine.delete(), machine.delete());
    one.unwrap();
    assert!(window.list().is_empty() && window.get("guest").is_err());
    other.unwrap();
    let status = tokio::time::timeout(crate::LIMIT, waiting).await;
    assert_eq!(status.unwrap().unwrap().state, MachineState::Stopped);
    watched.gone().await;
    assert!(matches!(machine.stop().await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn an_end_is_written_down_before_it_is_told() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home
        .started(&machines, &guest("bye\n", crate::POWER_OFF))
        .await;
    machine.ended().await;
    let record = std::fs::read_to_string(machine.details().folder.join("machine.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["status"]["state"], "stopped");
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_goes_at_the_next_start() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("bye\n", crate::POWER_OFF)))
        .await
        .unwrap();
    let left_over = machine.details().folder.join(".new-x7");
    std::fs::write(&left_over, b"half").unwrap();
    machine.start(host().await).await.unwrap();
    assert!(!left_over.exists());
    machine.ended().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("", IDLE)))
        .await
        .unwrap();
    for refused in [
        machine.pause().await,
        machine.stop().await,
        machine.kill().await,
    ] {
        assert!(matches!(
            refused,
            Err(Error::WrongState {
                state: MachineState::Created,
                ..
            })
        ));
    }
    machine.start(host().await).await.unwrap();
    let twice = machine.start(host().await).await.unwrap_err();
    insta::assert_snapshot!(twice, @"cannot start a machine that is running");
    let same = machines.create(machine.spec()).await.unwrap_err();
    insta::assert_snapshot!(same, @"there is a machine guest already");
    machine.rename("other name").await.unwrap();
    assert_eq!(machine.spec().name, "other name");
    machine.delete().await.unwrap();
    machines.refresh().await;
    assert!(machines.list().is_empty());
    assert!(
        std::fs::read_dir(home.machines_folder())
            .unwrap()
            .next()
            .is_none(),
        "nothing is left"
    );
    assert!(
        std::fs::read_dir(home.runtime()).unwrap().next().is_none(),
        "no socket is left"
    );
    assert!(matches!(
        machine.start(host().await).await,
        Err(Error::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_machine_runs_again_and_its_console_goes_on_in_the_same_file() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("once more\n", crate::POWER_OFF)))
        .await
        .unwrap();
    for round in 1..=3 {
        machine.start(host().await).await.unwrap();
        machine.ended().await;
        let log = std::fs::read_to_string(machine.console_log()).unwrap();
        assert_eq!(log.matches("once more").count(), round, "{log:?}");
    }
    let start = usize::try_from(machine.details().console_start).unwrap();
    assert_eq!(start, 2 * "once more\n".len());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hears_that_it_starts_finds_the_console_of_this_run() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("once more\n", crate::POWER_OFF)))
        .await
        .unwrap();
    for round in 0..5 {
        let waiting = tokio::spawn({
            let machine = machine.clone();
            async move {
                state_when(&machine, MachineState::Starting).await;
                machine.details().console_start
            }
        });
        tokio::task::yield_now().await;
        machine.start(host().await).await.unwrap();
        assert_eq!(waiting.await.unwrap(), round * "once more\n".len() as u64);
        machine.ended().await;
    }
}
