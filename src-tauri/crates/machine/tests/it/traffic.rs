//! What machines move is counted: over the card behind this computer's address, whose user mode has no counters, and by disks.

use std::net::UdpSocket;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use windlass_machine::{Network, Port, Protocol};

use crate::{Home, IDLE, LIMIT, guest, host};

#[tokio::test]
async fn what_comes_to_a_guest_is_counted_by_each_who_asks() {
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
    machine.start(host().await).await.unwrap();
    let moved = async || {
        let usage = machine.usage().await.unwrap().unwrap();
        (usage.received_bytes.unwrap(), usage.sent_bytes.unwrap())
    };
    assert_eq!(moved().await, (0, 0));

    // The user mode asks for the hardware address of a guest that has something to come; this one has no driver and is silent.
    let to = ("127.0.0.1", machine.status().borrow().ports[0].host);
    let say = || {
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .send_to(b"hello", to)
    };
    let heard = async {
        loop {
            say().unwrap();
            if let (received @ 1.., sent) = moved().await {
                return (received, sent);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (received, sent) = timeout(LIMIT, heard).await.expect("nothing is counted");
    assert!(received >= 42 && sent == 0, "{received} {sent}");

    // Somebody else begins at nothing, and takes nothing away.
    let others = home.open().await;
    let other = others.get("guest").unwrap();
    let usage = other.usage().await.unwrap().unwrap();
    assert_eq!((usage.received_bytes, usage.sent_bytes), (Some(0), Some(0)));
    assert!(moved().await.0 >= received);

    // A capture is none of theirs.
    assert!(!machine.captures().await.unwrap().1);
    machine.kill().await.unwrap();
    assert!(machine.usage().await.unwrap().is_none());
}

#[tokio::test]
async fn without_a_card_nothing_moves() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", IDLE)).await;
    let usage = machine.usage().await.unwrap().unwrap();
    assert_eq!((usage.received_bytes, usage.sent_bytes), (Some(0), Some(0)));
    machine.kill().await.unwrap();
}

/// Reads its second sector at each tick of the clock, for ever.
const READ: &[u8] = &[
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // mov ds, es, ss, ax
    0xbc, 0x00, 0x7c, // mov sp, 0x7c00
    0xb8, 0x01, 0x02, // mov ax, 0x0201: read one sector
    0xbb, 0x00, 0x80, // mov bx, 0x8000
    0xb9, 0x02, 0x00, // mov cx, 2
    0xba, 0x80, 0x00, // mov dx, 0x80
    0xcd, 0x13, // int 0x13
    0xfb, 0xf4, 0xeb, 0xee, // sti; hlt; jmp to `mov ax`
];

#[tokio::test]
async fn what_disks_move_is_seen_although_qemu_is_asked_only_when_it_matters() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("", READ)).await;
    let read = async || machine.usage().await.unwrap().unwrap().read_bytes;
    for _ in 0..3 {
        let before = read().await;
        let more = async {
            while read().await < before + 512 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, more).await.expect("it reads");
    }
    machine.pause().await.unwrap();
    let (first, second) = (read().await, read().await);
    assert_eq!(first, second, "a guest that stands reads nothing");
    machine.kill().await.unwrap();
}
