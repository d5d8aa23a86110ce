//! The console: nothing lost, typing, following.

use windlass_machine::{ConsoleLog, MachineSpec, Piece};

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

/// Writes the alphabet for ever, as fast as the port says that it is ready.
const FLOOD: &[u8] = &[
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

#[tokio::test]
async fn a_flood_neither_blocks_nor_loses_a_byte() {
    let home = Home::new();
    let machines = home.open().await;
    let machine = home.started(&machines, FLOOD).await;
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

#[tokio::test]
async fn of_a_console_without_end_the_first_and_the_last_are_kept() {
    let home = Home::new();
    let machines = home.open().await;
    let spec = MachineSpec {
        console_max_mib: 1,
        ..home.spec("guest", FLOOD)
    };
    let machine = machines.create(spec).await.unwrap();
    machine.start(crate::host().await).await.unwrap();
    let mut console = machine.follow_console(0).unwrap();
    while console.offset() < 4 << 20 {
        console.next().await.unwrap();
    }
    machine.kill().await.unwrap();

    let log = ConsoleLog::open(&machine.console_log()).unwrap();
    let end = log.end().unwrap();
    let (mut offset, mut kept, mut left_out) = (0, 0, Vec::new());
    let mut buffer = vec![0; 10_000];
    while offset < end {
        match log.read_at(offset, &mut buffer).unwrap() {
            Piece::LeftOut(bytes) => {
                left_out.push(offset);
                offset += bytes;
            }
            Piece::Bytes(count) => {
                let start = usize::try_from(offset % 26).unwrap();
                let expected = (b'a'..=b'z').cycle().skip(start);
                assert!(
                    buffer[..count]
                        .iter()
                        .copied()
                        .zip(expected)
                        .all(|(one, other)| one == other)
                );
                offset += count as u64;
                kept += count;
            }
        }
    }
    assert_eq!(left_out, [128 << 10], "an eighth is kept of the beginning");
    assert!((1 << 19..2 << 20).contains(&kept), "{kept}");
}
