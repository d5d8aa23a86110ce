//! The screen: VNC and screenshots.

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use windlass_machine::Error;

use crate::{Home, IDLE, guest, host};

#[tokio::test]
async fn the_screen_is_served_and_photographed() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.display = true;
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let mut banner = [0; 12];
    let mut vnc = UnixStream::connect(machine.vnc_socket().unwrap())
        .await
        .unwrap();
    vnc.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"RFB 003.008\n");
    let png = machine.screenshot().await.unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    machine.kill().await.unwrap();
    assert!(matches!(
        machine.vnc_socket(),
        Err(Error::WrongState { .. })
    ));
}

#[tokio::test]
async fn a_machine_without_a_screen_says_so() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    insta::assert_snapshot!(machine.screenshot().await.unwrap_err(), @"machine guest has no display");
    machine.kill().await.unwrap();
}
