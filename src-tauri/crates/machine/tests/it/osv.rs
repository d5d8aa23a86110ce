//! A real OSv, where `WINDLASS_OSV_KERNEL` names its ELF kernel.

use std::path::PathBuf;

use windlass_machine::{Boot, MachineState, Network};

use crate::{Home, host, story};

/// The kernel; says so where there is none.
fn kernel() -> Option<PathBuf> {
    let kernel = std::env::var_os("WINDLASS_OSV_KERNEL").map(PathBuf::from);
    if kernel.is_none() {
        println!("skipped: WINDLASS_OSV_KERNEL names no OSv kernel");
    }
    kernel
}

/// Runs OSv with a command line to its end.
async fn run(command_line: &str, network: bool) -> Option<String> {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("osv", &[]);
    spec.boot = Boot::Kernel {
        kernel: kernel()?,
        initrd: None,
        append: command_line.to_owned(),
        command_line: None,
    };
    spec.memory_mib = 128;
    spec.network = network.then(Network::default);
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let status = crate::status_when(&machine, |status| {
        !status.state.is_live() || (network && status.address.is_some())
    })
    .await;
    if status.state == MachineState::Running {
        // The program that it has not may have ended it already.
        let _too_late = machine.stop().await;
        return Some(story(&machine.ended().await));
    }
    Some(story(&status))
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let Some(story) = run("--nomount /not-there", false).await else {
        return;
    };
    insta::assert_snapshot!(story, @r"
    Failed, status None: /not-there could not be started.
      -> Look in Contents whether the program is in the image, at this path, for this architecture, with its libraries.
    ");
}

#[tokio::test]
async fn an_abort_is_a_crash_though_the_kernel_halts() {
    let Some(story) = run("--console=nonsense /x", false).await else {
        return;
    };
    insta::assert_snapshot!(story, @r"
    Crashed, status None: The guest crashed: Unknown console:nonsense.
      -> The lines above it say where; give the machine more memory, or run the appliance on the other guest kernel.
    ");
}

#[tokio::test]
async fn the_address_is_seen_and_the_power_button_heard() {
    // There is but a moment between its address and its end: several are tried.
    let mut stories = Vec::new();
    for _ in 0..10 {
        let Some(story) = run("--nomount /x", true).await else {
            return;
        };
        if story == "Stopped, status None: It stopped when asked." {
            return;
        }
        stories.push(story);
    }
    panic!("never when asked, but: {stories:?}");
}
