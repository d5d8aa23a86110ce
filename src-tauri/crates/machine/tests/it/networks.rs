//! Private networks: the switch that QEMU's cards are connected to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use windlass_machine::{Error, MachineState, Machines, NetworkJoin, NetworkMember};

use crate::{Home, IDLE, LIMIT, guest, host, kill, state_when};

async fn open(home: &Home) -> Machines {
    let switch = Path::new(env!("CARGO_BIN_EXE_windlass-switch"));
    Machines::open_with_switch(&home.machines_folder(), &home.runtime(), switch)
        .await
        .unwrap()
}

fn join(network: &str, aliases: &[&str]) -> NetworkJoin {
    NetworkJoin {
        network: network.to_owned(),
        aliases: aliases.iter().map(ToString::to_string).collect(),
    }
}

async fn members_when(
    machines: &Machines,
    fits: impl Fn(&[NetworkMember]) -> bool,
) -> Vec<NetworkMember> {
    let look = async {
        loop {
            let members = machines.network_members("lab").await.unwrap();
            if fits(&members) {
                return members;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, look).await.expect("the network is not so")
}

/// The process that is the network: whoever holds its lock.
fn switch_of(home: &Home) -> (PathBuf, i32) {
    let entries = std::fs::read_dir(home.runtime()).unwrap().flatten();
    let folder = entries
        .map(|entry| entry.path())
        .find(|path| path.join("members").exists())
        .unwrap();
    let mark = folder.to_string_lossy().into_owned();
    let pid = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok())
        .find(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            words.contains("network-switch") && words.contains(&mark)
        });
    (folder, pid.unwrap())
}

#[tokio::test]
async fn machines_of_one_network_are_on_one_switch_with_names_and_addresses() {
    let home = Home::new();
    let machines = open(&home).await;
    for id in ["web", "db"] {
        let mut spec = home.spec(id, &guest("", IDLE));
        spec.name = format!("{id} server");
        spec.networks = vec![join("lab", &[id])];
        let machine = machines.create(spec).await.unwrap();
        machine.start(host().await).await.unwrap();
        let status = machine.status().borrow().clone();
        assert_eq!(
            status.networks[0].names,
            [format!("{id}-server"), id.to_owned()]
        );
    }
    let connected = |members: &[NetworkMember]| members.iter().filter(|it| it.is_connected).count();
    let members = members_when(&machines, |members| connected(members) == 2).await;
    assert_ne!(members[0].address, members[1].address);
    assert_ne!(members[0].hardware_address, members[1].hardware_address);

    // A machine that is started again has the address that it had.
    let web = machines.get("web").unwrap();
    web.kill().await.unwrap();
    members_when(&machines, |members| connected(members) == 1).await;
    web.start(host().await).await.unwrap();
    let again = web.status().borrow().networks[0].address;
    assert!(
        members
            .iter()
            .any(|it| it.id == "web" && Some(it.address) == again)
    );
    let usage = web.usage().await.unwrap().unwrap();
    assert_eq!((usage.received_bytes, usage.sent_bytes), (Some(0), Some(0)));

    // A switch that is killed harms no machine, and the next start brings another one up.
    let (_, pid) = switch_of(&home);
    kill(pid, rustix::process::Signal::KILL);
    web.kill().await.unwrap();
    web.start(host().await).await.unwrap();
    members_when(&machines, |members| {
        members.iter().any(|it| it.id == "web" && it.is_connected)
    })
    .await;
    assert_eq!(web.status().borrow().networks[0].address, again);
    for machine in machines.list() {
        machine.kill().await.unwrap();
        state_when(&machine, MachineState::Stopped).await;
    }
    let (_, pid) = switch_of(&home);
    kill(pid, rustix::process::Signal::TERM);
}

#[tokio::test]
async fn slow_a_network_ends_after_its_last_machine() {
    let home = Home::new();
    let machines = open(&home).await;
    let mut spec = home.spec("web", &guest("", IDLE));
    spec.networks = vec![join("lab", &[])];
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let (folder, pid) = switch_of(&home);
    machine.kill().await.unwrap();
    let gone = async {
        while Path::new(&format!("/proc/{pid}/fd/0")).exists() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, gone).await.expect("it goes on");
    assert!(!folder.join("control").exists());
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let home = Home::new();
    let machines = open(&home).await;
    let refusal = async |joins| {
        let mut spec = home.spec("web", &guest("", IDLE));
        spec.networks = joins;
        let error = machines.create(spec).await.unwrap_err();
        assert!(matches!(
            error,
            Error::Spec {
                field: "networks",
                ..
            }
        ));
        error.to_string()
    };
    insta::assert_snapshot!(refusal(vec![join("../x", &[])]).await, @"machine's networks: `../x` is no name of a network: 1 to 40 letters, digits, `-`, `_` and `.`; or `bridge:NAME`, `tap:NAME`");
    insta::assert_snapshot!(refusal(vec![join("lab", &["A b"])]).await, @"machine's networks: `A b` is no host name: small letters, digits and `-`");
    insta::assert_snapshot!(refusal(vec![join("lab", &[]), join("lab", &[])]).await, @"machine's networks: `lab` and `lab` have the same addresses; one machine cannot be on both");
}
