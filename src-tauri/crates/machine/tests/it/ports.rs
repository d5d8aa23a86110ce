//! Forwarded ports.

use std::net::{Ipv4Addr, TcpListener};

use tokio::net::TcpStream;
use windlass_machine::{Error, Network, Port, Protocol};

use crate::{Home, IDLE, guest, host};

fn network(host: Option<u16>) -> Network {
    let port = |protocol, guest| Port {
        host,
        guest,
        protocol,
    };
    Network {
        ports: vec![port(Protocol::Tcp, 80), port(Protocol::Udp, 53)],
    }
}

#[tokio::test]
async fn free_ports_are_chosen_and_open_on_this_computer_alone() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.network = Some(network(None));
    let machine = machines.create(spec).await.unwrap();
    machine.start(host().await).await.unwrap();
    let ports = machine.status().borrow().ports.clone();
    assert_eq!(
        ports.iter().map(|port| port.guest).collect::<Vec<_>>(),
        [80, 53]
    );
    TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0].host))
        .await
        .unwrap();
    let listening = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = format!("0100007F:{:04X}", ports[0].host);
    assert!(listening.contains(&line), "bound to 127.0.0.1");
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_found_before_the_start_with_its_holder() {
    let home = Home::new();
    let machines = home.open().await;
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut spec = home.spec("first", &guest("", IDLE));
    spec.network = Some(network(Some(free)));
    let first = machines.create(spec.clone()).await.unwrap();
    first.start(host().await).await.unwrap();
    spec.id = "second".to_owned();
    let second = machines.create(spec).await.unwrap();
    let error = second.start(host().await).await.unwrap_err();
    let Error::PortTaken {
        port,
        holder: Some(holder),
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((port, holder.as_str()), (free, "machine first of a test"));
    first.kill().await.unwrap();
    second.start(host().await).await.unwrap();
    second.kill().await.unwrap();
}
