//! Files for cpiod, received by a loopback end that reads as OSv's `tools/cpiod/cpio.cc` does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use tokio_util::sync::CancellationToken;
use windlass_compose::Error;
use windlass_compose::cpiod::{self, Member, MemberContent, members_of};
use windlass_guest::{GuestOs, RootFs};
use windlass_image::{GuestPath, Source};

use crate::support::Workshop;

pub(crate) type Received = BTreeMap<String, (u32, Vec<u8>)>;

/// Takes one connection: header, name and content, each filled up to four bytes, until the trailer.
pub(crate) fn receive(mut stream: TcpStream, prefix: &str) -> io::Result<Received> {
    let mut received = Received::new();
    loop {
        let mut header = [0; 110];
        stream.read_exact(&mut header)?;
        let field = |index: usize| {
            let text = std::str::from_utf8(&header[6 + index * 8..14 + index * 8]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        assert_eq!(&header[..6], b"070701");
        let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
        let mut name = vec![0; (110 + name_size).next_multiple_of(4) - 110];
        stream.read_exact(&mut name)?;
        let name = String::from_utf8(name[..name_size - 1].to_vec()).unwrap();
        if name == "TRAILER!!!" {
            let rest = io::copy(&mut stream, &mut io::sink())?;
            assert_eq!(rest, 0, "the sender closes its half");
            return Ok(received);
        }
        let mut content = vec![0; size.next_multiple_of(4)];
        stream.read_exact(&mut content)?;
        content.truncate(size);
        let name = format!("{prefix}{name}").replace("//", "/");
        received.insert(name, (mode, content));
    }
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn send(port: u16, members: &[Member], cancel: &CancellationToken) -> Result<u64, Error> {
    cpiod::send("127.0.0.1", port, members, &mut |_| (), cancel)
}

#[test]
fn a_guest_receives_what_packages_and_appliance_have() {
    let mut workshop = Workshop::new();
    workshop.layer("base", &["usr/lib/lib.so = library !", "etc/hosts = mine"]);
    workshop.layer(
        "service",
        &[
            "app/größe = a text of odd length",
            "app/empty = ",
            "app/link -> größe",
        ],
    );
    let plan = workshop.plan(GuestOs::Osv, RootFs::Ext4).unwrap();
    let members = members_of(&plan);
    for prefix in ["/", "/zfs/", "/zfs/zfs/", "/zfs"] {
        let (listener, port) = listener();
        let guest = thread::spawn(move || receive(listener.accept().unwrap().0, prefix).unwrap());
        let sent = send(port, &members, &CancellationToken::new()).unwrap();
        let received = guest.join().unwrap();
        assert_eq!(sent % 4, 0);
        let at = |path: &str| {
            let path = format!("{prefix}/{path}").replace("//", "/");
            let (mode, content) = &received[&path];
            format!("{mode:o} {}", String::from_utf8_lossy(content))
        };
        assert_eq!(at("usr/lib/lib.so"), "100755 library");
        assert_eq!(at("etc/hosts"), "100644 mine");
        assert_eq!(at("app/größe"), "100644 a text of odd length");
        assert_eq!(at("app/empty"), "100644 ");
        assert_eq!(at("app/link"), "120777 größe");
        assert_eq!(at("app"), "40755 ");
        // What an image needs of ours is the guest's own already.
        assert_eq!(received.len(), 9, "{:?}", received.keys());
    }
}

#[test]
fn what_goes_wrong_is_said() {
    let (listener, port) = listener();
    let file = |name: &str, size_bytes, source| Member {
        path: GuestPath::new(name).unwrap(),
        content: MemberContent::File {
            mode: 0o644,
            size_bytes,
            source,
        },
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "short").unwrap();

    // A guest that hangs up in the middle.
    let guest = thread::spawn(move || {
        for keep in [true, false] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut start = [0; 10];
            stream.read_exact(&mut start).unwrap();
            if keep {
                drop(stream);
            } else {
                // Takes everything, and never says that it wrote it.
                io::copy(&mut stream, &mut io::sink()).unwrap();
                thread::park();
            }
        }
    });
    let large = file(
        "large",
        64 << 20,
        Source::Bytes(Arc::from(vec![0; 64 << 20])),
    );
    let error = send(
        port,
        std::slice::from_ref(&large),
        &CancellationToken::new(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("gave up"), "{error}");
    assert!(error.hint().unwrap().contains("cpiod.so"));

    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    let waiting = thread::spawn(move || {
        let mut told = |_| canceller.cancel();
        let small = file("small", 4, Source::Bytes(Arc::from(*b"text")));
        cpiod::send("127.0.0.1", port, &[small], &mut told, &cancel)
    });
    let error = waiting.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    guest.thread().unpark();
    guest.join().unwrap();

    // Files that are not what was said, and what no stream can say.
    let (listener, port) = self::listener();
    let sink = thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let _ = io::copy(&mut stream.unwrap(), &mut io::sink());
        }
    });
    let members = [file("file", 100, Source::Path(path.clone()))];
    let error = send(port, &members, &CancellationToken::new()).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    let members = [file("file", 1 << 32, Source::Path(path))];
    let error = send(port, &members, &CancellationToken::new()).unwrap_err();
    assert!(error.to_string().contains("4 GiB"), "{error}");
    sink.join().unwrap();

    // Nobody listens there any more.
    let error = send(port, &[], &CancellationToken::new()).unwrap_err();
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port}")),
        "{error}"
    );
}
