//! QEMU kept from what is not its own.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use windlass_machine::{DiskAccess, MachineHandle};

use crate::{Home, IDLE, guest, host};

/// Asks QEMU through its second monitor, as whoever has taken QEMU over could.
struct Monitor(BufReader<UnixStream>);

impl Monitor {
    async fn of(machine: &MachineHandle) -> Self {
        let command = machine.details().command;
        let path = command
            .iter()
            .find_map(|word| word.strip_prefix("socket,id=control,server=on,wait=off,path="))
            .unwrap();
        let mut monitor = Self(BufReader::new(UnixStream::connect(path).await.unwrap()));
        monitor.line().await;
        monitor.ask("qmp_capabilities", json!({})).await.unwrap();
        monitor
    }

    async fn line(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The answer, or what was refused.
    async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
        loop {
            let said = self.line().await;
            if let Some(error) = said.get("error") {
                return Err(error["desc"].as_str().unwrap().to_owned());
            }
            if let Some(value) = said.get("return") {
                return Ok(value.clone());
            }
        }
    }

    async fn open(&mut self, node: &str, path: &Path, read_only: bool) -> Result<Value, String> {
        let file = json!({
            "driver": "file", "node-name": node, "filename": path, "read-only": read_only,
        });
        self.ask("blockdev-add", file).await
    }
}

#[tokio::test]
async fn qemu_can_open_its_own_files_and_no_other() {
    if host().await.unconfined.is_some() {
        println!("not tried: this kernel has no Landlock, or an old one");
        return;
    }
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.disks[0].access = DiskAccess::Overlay;
    let base = spec.disks[0].path.clone();
    let machine = machines.create(spec).await.unwrap();
    let folder = machine.details().folder;
    let secret = home.path().join("secret");
    fs::write(&secret, vec![1; 4096]).unwrap();
    machine.start(host().await).await.unwrap();
    let mut monitor = Monitor::of(&machine).await;

    // Its own: the image below the overlay, to read; what was linked where attached files go, to write, too.
    monitor.open("base", &base, true).await.unwrap();
    let attached = folder.join("attached/volume");
    fs::hard_link(&secret, &attached).unwrap();
    monitor.open("volume", &attached, false).await.unwrap();
    monitor
        .ask("blockdev-del", json!({ "node-name": "volume" }))
        .await
        .unwrap();

    // Not its own.
    for (node, path, read_only) in [
        ("a", secret.as_path(), true),
        ("b", base.as_path(), false),
        ("c", &folder.join("machine.json"), true),
        ("d", Path::new("/etc/passwd"), true),
        ("e", Path::new("/proc/1/environ"), true),
    ] {
        let refused = monitor.open(node, path, read_only).await.unwrap_err();
        assert!(
            refused.contains("Permission denied"),
            "{}: {refused}",
            path.display()
        );
    }
    // Nor can it make one beside them, or write through the monitor.
    let made = monitor
        .ask(
            "pmemsave",
            json!({ "val": 0, "size": 16, "filename": folder.join("made") }),
        )
        .await;
    assert!(made.unwrap_err().contains("Could not open"), "made");
    let written = monitor
        .ask(
            "pmemsave",
            json!({ "val": 0, "size": 16, "filename": secret }),
        )
        .await;
    assert!(written.is_err());
    assert_eq!(fs::read(&secret).unwrap(), vec![1; 4096]);

    // Nor has it rights, or may it get any.
    let pid = machine.details().pid.unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().to_owned()
    };
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(name), "0000000000000000", "{name}");
    }
    assert_eq!(
        (field("NoNewPrivs:"), field("Seccomp:")),
        ("1".into(), "2".into())
    );
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_nice_machine_gives_way_and_a_pinned_one_stays_where_it_is() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.vcpus = 2;
    spec.resources.nice = 10;
    spec.resources.pinned = vec![0];
    spec.resources.disk_bytes = 10 << 20;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let pid = machine.details().pid.unwrap();
    let mut processors = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread = thread.unwrap().path();
        let name = fs::read_to_string(thread.join("comm")).unwrap();
        let stat = fs::read_to_string(thread.join("stat")).unwrap();
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_ascii_whitespace()
            .collect();
        assert_eq!(fields[16], "10", "{name}");
        if name.starts_with("CPU ") {
            let status = fs::read_to_string(thread.join("status")).unwrap();
            assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
            processors += 1;
        }
    }
    assert_eq!(processors, 2);
    let mut monitor = Monitor::of(&machine).await;
    let disks = monitor.ask("query-block", json!({})).await.unwrap();
    assert_eq!(machine.status().borrow().notices, [""; 0]);
    assert_eq!(disks[0]["inserted"]["bps"], 10 << 20, "{disks}");
    machine.kill().await.unwrap();
}

/// Turns round for ever.
const BUSY: &[u8] = &[0xeb, 0xfe];

#[tokio::test]
async fn a_machine_takes_no_more_than_its_limit() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", BUSY));
    spec.resources.cpu_percent = 30;
    spec.resources.memory_max_mib = 512;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let notices = machine.status().borrow().notices.clone();
    if let [why] = &notices[..] {
        println!("skipped: {why}");
        assert!(why.contains("limit"), "{why}");
        machine.kill().await.unwrap();
        return;
    }
    let first = machine.usage().await.unwrap().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let second = machine.usage().await.unwrap().unwrap();
    let load = second.since(&first).unwrap();
    // A period's share, and a tick of the clock, more than that in a second.
    assert!(load.cpus < 0.45, "{load:?}");
    let pid = machine.details().pid.unwrap();
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = groups
        .lines()
        .find_map(|line| line.split_once("/windlass-"));
    let own = format!("windlass-{}", own.unwrap().1);
    machine.kill().await.unwrap();
    for controller in ["", "cpu", "memory"] {
        let group = std::path::Path::new("/sys/fs/cgroup").join(controller);
        assert!(!group.join(&own).exists(), "{own}");
    }

    let little = machine
        .edit(|spec| spec.resources.memory_max_mib = 64)
        .await;
    insta::assert_snapshot!(little.unwrap_err(), @"machine's memory limit: 64 MiB are less than its guest's 32 MiB and the 128 MiB that QEMU itself needs");
}
