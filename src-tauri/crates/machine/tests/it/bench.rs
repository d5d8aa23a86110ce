//! How long the press of Run takes, against the same QEMU started bare. Ignored in a test run; `./dev bench` calls it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Home, POWER_OFF, guest, host};

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
