//! Traffic kept as a pcap file.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use tokio::time::{sleep, timeout};
use windlass_machine::{Error, Network, Port, Protocol};

use crate::{Home, IDLE, LIMIT, guest, host};

#[tokio::test]
async fn traffic_is_kept_while_the_machine_runs() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    let port = Port {
        host: None,
        guest: 9,
        protocol: Protocol::Udp,
    };
    spec.network = Some(Network { ports: vec![port] });
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
    // What is to come to the guest has the user mode ask for it.
    let to = ("127.0.0.1", machine.status().borrow().ports[0].host);
    let kept = async {
        while fs::metadata(&first).unwrap().len() <= 24 {
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.send_to(b"hello", to).unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, kept).await.expect("nothing is kept");
    machine.stop_capture().await.unwrap();
    let second = machine.start_capture(None).await.unwrap();
    machine.kill().await.unwrap();
    assert_eq!(
        machine.captures().await.unwrap(),
        (vec![first.clone(), second], false)
    );
    // Another reader of pcap finds Ethernet frames in it: the user mode asks by ARP.
    let mut reader = PcapReader::new(fs::File::open(first).unwrap()).unwrap();
    assert_eq!(reader.header().datalink, DataLink::ETHERNET);
    let frame = reader.next_packet().unwrap().unwrap();
    assert_eq!(frame.data.len(), usize::try_from(frame.orig_len).unwrap());
    assert_eq!(frame.data.get(12..14), Some(&[0x08, 0x06][..]));
}
