//! How guests end, and what is said about it.

use windlass_machine::MachineState;

use crate::{HALT, Home, IDLE, PANIC, POWER_OFF, RESET, guest, kill, state_when, story};

/// Runs a guest to its end.
async fn ending(code: &[u8]) -> String {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, code).await;
    let status = tokio::time::timeout(crate::LIMIT, machine.ended())
        .await
        .unwrap();
    assert!(
        status.ended_at.is_some() && status.pid.is_none(),
        "{status:?}"
    );
    story(&status)
}

#[tokio::test]
async fn a_guest_that_powers_off_has_stopped() {
    insta::assert_snapshot!(ending(&guest("bye\n", POWER_OFF)).await, @"Stopped, status None: -");
}

#[tokio::test]
async fn a_guest_that_says_its_status_ends_with_it() {
    let text = "[windlass] all ended with status 3\n[windlass] powering off\n";
    insta::assert_snapshot!(ending(&guest(text, POWER_OFF)).await, @"Failed, status Some(3): It ended with status 3.");
}

#[tokio::test]
async fn a_guest_that_panics_has_crashed() {
    insta::assert_snapshot!(ending(&guest("", PANIC)).await, @r"
    Crashed, status None: The guest panicked.
      -> Its console has its last words.
    ");
}

#[tokio::test]
async fn a_guest_that_resets_itself_has_crashed() {
    insta::assert_snapshot!(ending(&guest("", RESET)).await, @r"
    Crashed, status None: The guest reset itself, as it does after a fault.
      -> Its console has its last words.
    ");
}

#[tokio::test]
async fn a_guest_that_says_it_aborted_and_halts_has_crashed_though_qemu_ran_on() {
    insta::assert_snapshot!(ending(&guest("it broke\nHalting.\n", HALT)).await, @r"
    Crashed, status None: The guest crashed: it broke.
      -> The lines above it say where; give the machine more memory, or run the appliance on the other guest kernel.
    ");
}

#[tokio::test]
async fn a_program_that_only_prints_the_words_of_a_panic_goes_on() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home
        .started(&machines, &guest("it broke\nHalting.\n", IDLE))
        .await;
    let status = crate::status_when(&machine, |status| status.message.is_some()).await;
    assert_eq!(status.state, MachineState::Running);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(machine.status().borrow().state, MachineState::Running);
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn qemu_killed_from_outside_is_a_crash_and_the_machine_starts_again() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    kill(
        machine.details().pid.unwrap(),
        rustix::process::Signal::KILL,
    );
    insta::assert_snapshot!(story(&state_when(&machine, MachineState::Crashed).await), @r"
    Crashed, status None: QEMU was ended from outside, by signal 9.
      -> Start it again; if memory is short, give it less.
    ");
    machine.start(crate::host().await).await.unwrap();
    machine.kill().await.unwrap();
    insta::assert_snapshot!(story(&machine.ended().await), @"Stopped, status None: It was switched off.");
}

#[tokio::test]
async fn qemu_ended_by_a_logout_has_stopped() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    kill(
        machine.details().pid.unwrap(),
        rustix::process::Signal::TERM,
    );
    insta::assert_snapshot!(story(&state_when(&machine, MachineState::Stopped).await), @"Stopped, status None: It was ended from outside (say, because this computer was shut down).");
}

#[tokio::test]
async fn a_guest_without_an_address_is_spoken_of_in_time() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("waiting\n", IDLE));
    spec.network = Some(windlass_machine::Network::default());
    let machine = machines.create(spec).await.unwrap();
    machine.start(crate::host().await).await.unwrap();
    let status = crate::status_when(&machine, |status| status.message.is_some()).await;
    insta::assert_snapshot!(story(&status), @r"
    Running, status None: The guest has not got an address, as far as its console tells.
      -> Look at its console. A guest that waits for DHCP for ever is run without a network card, or with an address of its own.
    ");
    machine.kill().await.unwrap();
}
