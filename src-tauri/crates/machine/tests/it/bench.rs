//! How long the press of Run takes, against the same QEMU started bare. Ignored in a test run; `./dev bench` calls it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Home, IDLE, POWER_OFF, guest, host};

const ROUNDS: u32 = 20;

#[tokio::test]
#[ignore = "measures"]
async fn press_of_run_to_first_line() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = machines
        .create(home.spec("guest", &guest("first line\n", POWER_OFF)))
        .await
        .unwrap();
    let probe = host().await;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let at = std::fs::metadata(machine.console_log()).unwrap().len();
        let mut console = machine.follow_console(at).unwrap();
        let starting = machine.clone();
        let start = tokio::spawn(async move { starting.start(host().await).await });
        crate::console_until(&mut console, "first line").await;
        ours.push(begun.elapsed());
        start.await.unwrap().unwrap();
        machine.ended().await;

        std::fs::create_dir_all(home.runtime()).unwrap();
        let disk = home.path().join("guest.img");
        let begun = Instant::now();
        let output = Command::new(&probe.qemu.path)
            .args([
                "-nodefaults",
                "-machine",
                "pc",
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-m",
                "32",
            ])
            .args(["-display", "none", "-serial", "stdio", "-drive"])
            .arg(format!(
                "file={},format=raw,if=virtio,readonly=on",
                disk.display()
            ))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.stdout.starts_with(b"first line"));
        bare.push(begun.elapsed());
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    println!("press of Run to first line: {ours:.1?}; bare QEMU to its end: {bare:.1?}");
}

/// What it costs to watch forty machines that do nothing, once a second, as a share of one processor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn forty_idle_machines_watched() {
    const MACHINES: usize = 40;
    const SECONDS: u64 = 20;
    let home = Home::new();
    let machines = home.open().await;
    let mut handles = Vec::new();
    for number in 0..MACHINES {
        let spec = home.spec(&format!("guest{number}"), &guest("idle\n", IDLE));
        let machine = machines.create(spec).await.unwrap();
        machine.start(host().await).await.unwrap();
        handles.push(machine);
    }
    let cpu = || {
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::try_from(clock).unwrap()
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let unwatched = cpu();
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let unwatched = cpu().checked_sub(unwatched).unwrap();
    let watched = cpu();
    for _ in 0..SECONDS {
        for machine in &handles {
            assert!(machine.usage().await.unwrap().is_some());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let watched = cpu().checked_sub(watched).unwrap();
    for machine in &handles {
        machine.kill().await.unwrap();
    }
    let share =
        |spent: Duration| 100.0 * spent.as_secs_f64() / Duration::from_secs(SECONDS).as_secs_f64();
    println!(
        "{MACHINES} idle machines: {:.2} % of a processor to drive, {:.2} % to watch each second",
        share(unwatched),
        share(watched)
    );
}
