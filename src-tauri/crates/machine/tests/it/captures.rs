//! Traffic kept as a pcap file.

use std::fs;

use windlass_machine::{Error, Network};

use crate::{Home, IDLE, guest, host};

#[tokio::test]
async fn traffic_is_kept_while_the_machine_runs() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.network = Some(Network::default());
    let machine = machines.create(spec).await.unwrap();
    let error = machine.start_capture(None).await.unwrap_err();
    assert!(matches!(error, Error::WrongState { .. }), "{error}");
    machine.start(host().await).await.unwrap();
    let first = machine.start_capture(None).await.unwrap();
    let again = machine.start_capture(None).await.unwrap_err();
    insta::assert_snapshot!(again, @"the network of this computer: its traffic is being kept already");
    assert_eq!(
        machine.captures().await.unwrap(),
        (vec![first.clone()], true)
    );
    machine.stop_capture().await.unwrap();
    let second = machine.start_capture(None).await.unwrap();
    machine.kill().await.unwrap();
    assert_eq!(
        machine.captures().await.unwrap(),
        (vec![first.clone(), second], false)
    );
    // The file's header: magic number, version 2.4, link type 1 (Ethernet).
    let header = fs::read(first).unwrap();
    assert_eq!(
        header.get(..8),
        Some(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0][..])
    );
    assert_eq!(header.get(20..24), Some(&[1, 0, 0, 0][..]));
}
