//! The console: nothing lost, typing, following.

use crate::{Home, guest};

/// Sends back every byte that it gets: waits for the line status' lowest bit, reads, writes.
const ECHO: &[u8] = &[
    0xba, 0xfd, 0x03, // mov dx, 0x3fd
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1
    0x74, 0xf8, // jz back to mov
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xec, // in al, dx
    0xee, // out dx, al
    0xeb, 0xf1, // jmp back to the first mov
];

#[tokio::test]
async fn what_is_typed_reaches_the_guest_and_what_it_writes_the_log() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("ready\n", ECHO)).await;
    let mut console = machine.follow_console(0).unwrap();
    assert_eq!(
        crate::console_until(&mut console, "ready\n").await,
        "ready\n"
    );
    machine.console_input(b"hello ").await.unwrap();
    machine.console_input(b"guest").await.unwrap();
    crate::console_until(&mut console, "hello guest").await;
    let mut late = machine.follow_console(6).unwrap();
    assert_eq!(
        crate::console_until(&mut late, "guest").await,
        "hello guest"
    );
    machine.delete().await.unwrap();
    assert!(
        console.next().await.unwrap().is_none(),
        "a deleted machine's console ends"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_comes_in_the_order_of_typing() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &guest("ready\n", ECHO)).await;
    let mut console = machine.follow_console(0).unwrap();
    let mut typed = String::from("ready\n");
    for number in 100..300 {
        let word = format!("{number} ");
        machine.console_input(word.as_bytes()).await.unwrap();
        typed.push_str(&word);
    }
    assert_eq!(crate::console_until(&mut console, "299 ").await, typed);
    machine.kill().await.unwrap();
}

#[tokio::test]
async fn a_flood_neither_blocks_nor_loses_a_byte() {
    // Writes the alphabet for ever, as fast as the port says that it is ready.
    let flood = [
        0xb3,
        b'a', // mov bl, 'a'
        0xba,
        0xfd,
        0x03, // mov dx, 0x3fd
        0xec,
        0xa8,
        0x20,
        0x74,
        0xfb, // in al, dx; test al, 0x20; jz back to in
        0xba,
        0xf8,
        0x03, // mov dx, 0x3f8
        0x88,
        0xd8,
        0xee, // mov al, bl; out dx, al
        0xfe,
        0xc3,
        0x80,
        0xfb,
        b'z' + 1,
        0x75,
        0xeb, // inc bl; cmp bl, 'z' + 1; jne to mov dx, 0x3fd
        0xeb,
        0xe7, // jmp to mov bl
    ];
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, &flood).await;
    let mut console = machine.follow_console(0).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 1 << 20 {
        seen.extend(console.next().await.unwrap().unwrap());
    }
    machine.pause().await.unwrap();
    machine.kill().await.unwrap();
    let expected = (b'a'..=b'z').cycle();
    assert!(
        seen.iter()
            .copied()
            .zip(expected)
            .all(|(one, other)| one == other)
    );
}
