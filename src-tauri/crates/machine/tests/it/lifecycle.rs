//! Pause, resume, stop, kill, delete, rename.

use windlass_machine::{Error, MachineState};

use crate::{Home, IDLE, guest, host, state_when, story};

#[tokio::test]
async fn pause_and_resume() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    assert_eq!(machine.status().borrow().state, MachineState::Running);
    machine.pause().await.unwrap();
    state_when(&machine, MachineState::Paused).await;
    let error = machine.pause().await.unwrap_err();
    insta::assert_snapshot!(error, @"cannot pause a machine that is paused");
    machine.resume().await.unwrap();
    state_when(&machine, MachineState::Running).await;
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
    insta::assert_snapshot!(story(&machine.status().borrow()), @"Stopping, status None: The guest was asked to stop.");
    machine.stop().await.unwrap();
    insta::assert_snapshot!(story(&machine.ended().await), @"Stopped, status None: It did not stop by itself in time, and was switched off.");
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
