use std::io::Write;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use windlass_guest::agent::{Seen, SeenKind};

use super::*;

/// The program itself: no first program of a guest is there to wait for it.
fn launch(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).process_group(0);
    command
}

/// A folder in the place of a guest, and a host's end of the wire.
struct Guest {
    root: PathBuf,
    stream: UnixStream,
    decoder: Decoder,
    number: u32,
    wishes: Wishes,
    thread: Option<thread::JoinHandle<()>>,
}

impl Guest {
    fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("windlass-init-agent-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let (stream, end) = UnixStream::pair().unwrap();
        let (sender, wishes) = wishes::pair().unwrap();
        let programs = Programs::new(Box::new(launch), Output::new(end.try_clone().unwrap()));
        let mut agent = Agent::new(Files::new(root.clone()), programs, sender, true);
        let thread = thread::spawn(move || agent.converse(&end).unwrap());
        Self {
            root,
            stream,
            decoder: Decoder::new(),
            number: 0,
            wishes,
            thread: Some(thread),
        }
    }

    fn say(&mut self, request: &Request) {
        self.number += 1;
        self.stream
            .write_all(&request.to_frame(self.number))
            .unwrap();
    }

    fn hear(&mut self) -> Answer {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                assert_eq!(frame.number, self.number);
                return Answer::parse(&frame.body).unwrap();
            }
            let mut buffer = [0; 1000];
            let count = self.stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the agent hung up");
            self.decoder.push(&buffer[..count]);
        }
    }

    fn ask(&mut self, request: &Request) -> Answer {
        self.say(request);
        self.hear()
    }

    fn send(&mut self, path: &str, content: &[u8], digest: blake3::Hash) -> Answer {
        self.say(&Request::WriteBegin {
            path: path.into(),
            mode: 0o750,
            size_bytes: content.len() as u64,
            digest: *digest.as_bytes(),
        });
        for piece in content.chunks(1000) {
            self.say(&Request::WriteData {
                bytes: piece.to_vec(),
            });
        }
        self.ask(&Request::WriteEnd)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.thread.take().unwrap().join();
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn message(answer: Answer) -> (Refusal, String) {
    match answer {
        Answer::Refused { reason, message } => (reason, message),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let mut guest = Guest::new("write");
    let content: Vec<u8> = (0..5000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    let digest = blake3::hash(&content);
    assert_eq!(guest.send("/a/b/file", &content, digest), Answer::Done);
    let file = guest.root.join("a/b/file");
    assert_eq!(fs::read(&file).unwrap(), content);
    assert_eq!(
        file.metadata().unwrap().permissions().mode() & 0o7777,
        0o750
    );

    // Another content under that digest is not taken, and the old one stays.
    let (reason, text) = message(guest.send("/a/b/file", b"other", digest));
    assert_eq!(reason, Refusal::Damaged);
    assert!(text.contains("another digest"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), content);
    assert_eq!(fs::read_dir(guest.root.join("a/b")).unwrap().count(), 1);

    let begin = Request::WriteBegin {
        path: b"/half".to_vec(),
        mode: 0o644,
        size_bytes: 10,
        digest: *digest.as_bytes(),
    };
    guest.say(&begin);
    guest.say(&Request::WriteData {
        bytes: b"more than was said".to_vec(),
    });
    let (reason, _) = message(guest.ask(&Request::WriteEnd));
    assert_eq!(reason, Refusal::Damaged);
    // A file of which not all has come goes with the connection.
    guest.say(&begin);
    guest.ask(&Request::Sync);
    assert_eq!(guest.names(), [".windlass-unfinished", "a"]);
    guest.ask(&Request::Hello {
        version: 1,
        nonce: 2,
    });
    assert_eq!(guest.names(), ["a"]);
    let (reason, _) = message(guest.ask(&Request::WriteEnd));
    assert_eq!(reason, Refusal::Invalid);
}

#[test]
fn all_kinds_are_made_looked_at_and_removed() {
    let mut guest = Guest::new("kinds");
    let done = |answer| assert_eq!(answer, Answer::Done);
    done(guest.ask(&Request::MakeDirectory {
        path: b"/d".to_vec(),
        mode: 0o700,
    }));
    done(guest.send("/d/file", b"text", blake3::hash(b"text")));
    for target in ["file", "elsewhere"] {
        done(guest.ask(&Request::MakeSymlink {
            path: b"/d/link".to_vec(),
            target: target.into(),
        }));
    }
    done(guest.ask(&Request::SetMode {
        path: b"/d/file".to_vec(),
        mode: 0o400,
    }));
    let paths = [&b"/d"[..], b"/d/file", b"/d/link", b"/none"].map(<[u8]>::to_vec);
    let looked = guest.ask(&Request::Look {
        paths: paths.to_vec(),
        with_digests: true,
    });
    let Answer::Looked { entries } = looked else {
        panic!("{looked:?}");
    };
    let file = Seen {
        kind: SeenKind::File,
        mode: 0o400,
        size_bytes: 4,
        digest: Some(*blake3::hash(b"text").as_bytes()),
    };
    assert_eq!(entries[1], Some(file));
    let kinds: Vec<_> = entries
        .iter()
        .map(|seen| seen.map(|seen| seen.kind))
        .collect();
    let (directory, link) = (Some(SeenKind::Directory), Some(SeenKind::Symlink));
    assert_eq!(kinds, [directory, Some(SeenKind::File), link, None]);
    assert_eq!(
        entries[2].unwrap().digest,
        Some(*blake3::hash(b"elsewhere").as_bytes())
    );

    let remove = |path: &str| Request::Remove { path: path.into() };
    let (reason, _) = message(guest.ask(&remove("/d")));
    assert_eq!(reason, Refusal::NotEmpty);
    for path in ["/d/file", "/d/link", "/d", "/d", "/d/file"] {
        done(guest.ask(&remove(path)));
    }
    assert_eq!(guest.names(), [""; 0]);
    done(guest.ask(&Request::Sync));
}

#[test]
fn what_is_not_known_is_refused_and_the_next_is_answered() {
    let mut guest = Guest::new("unknown");
    let mut frame = Request::Sync.to_frame(1);
    *frame.last_mut().unwrap() = 99;
    guest.number = 1;
    guest.stream.write_all(&frame).unwrap();
    assert_eq!(message(guest.hear()).0, Refusal::Unsupported);
    guest.stream.write_all(b"noise").unwrap();
    let hello = guest.ask(&Request::Hello {
        version: 7,
        nonce: 3,
    });
    assert!(
        matches!(
            hello,
            Answer::Hello {
                version: VERSION,
                nonce: 3,
                is_writable: true,
                ..
            }
        ),
        "{hello:?}"
    );
}

#[test]
fn a_restart_is_the_supervisors_to_grant() {
    let mut guest = Guest::new("restart");
    let restart = Request::Restart {
        command_line: Some("/serve".to_owned()),
    };
    guest.say(&restart);
    let wish = loop {
        if let Some(wish) = guest.wishes.take() {
            break wish;
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(wish.command_line.as_deref(), Some("/serve"));
    wish.grant(2);
    assert_eq!(guest.hear(), Answer::Restarted { commands: 2 });
    // A guest that ends takes no more wishes.
    let (_, none) = wishes::pair().unwrap();
    guest.wishes = none;
    assert_eq!(message(guest.ask(&restart)).0, Refusal::Ending);
}

#[test]
fn the_port_is_told_by_its_name() {
    let folder = std::env::temp_dir().join(format!("windlass-init-ports-{}", std::process::id()));
    for (port, name) in [
        ("vport1p1", "org.qemu.guest_agent.0"),
        ("vport1p2", PORT_NAME),
    ] {
        fs::create_dir_all(folder.join(port)).unwrap();
        fs::write(folder.join(port).join("name"), format!("{name}\n")).unwrap();
    }
    assert_eq!(find_port(&folder), Some(PathBuf::from("/dev/vport1p2")));
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(find_port(&folder), None);
}

/// In the place of the supervisor: takes note of what has ended until `is_over`.
fn reap(is_over: &std::sync::atomic::AtomicBool) {
    while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
        programs::reap_own();
        thread::sleep(Duration::from_millis(5));
    }
}

/// Everything that a program wrote, and how it ended.
fn listen(guest: &mut Guest) -> (Vec<u8>, Vec<u8>, i32) {
    let (mut out, mut error) = (Vec::new(), Vec::new());
    loop {
        match guest.hear() {
            Answer::Output { is_error, bytes } => {
                if is_error { &mut error } else { &mut out }.extend(bytes);
            }
            Answer::Exited { status } => return (out, error, status),
            other => panic!("not of a program: {other:?}"),
        }
    }
}

fn shell(script: &str) -> Request {
    Request::Run {
        words: ["sh", "-c", script].map(str::to_owned).to_vec(),
    }
}

#[test]
fn a_program_runs_reads_writes_and_ends_with_its_status_or_its_connection() {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| reap(&is_over));
        let mut guest = Guest::new("run");
        guest.say(&shell("echo out; echo error >&2; exit 7"));
        let said = listen(&mut guest);
        assert_eq!(said, (b"out\n".to_vec(), b"error\n".to_vec(), 7));

        // More than any pipe holds comes whole and in order.
        guest.say(&shell("seq 200000; kill -9 $$"));
        let (out, _, status) = listen(&mut guest);
        assert_eq!(out.split(|byte| *byte == b'\n').count(), 200_001);
        assert!(out.ends_with(b"\n200000\n"));
        assert_eq!(status, 128 + 9);

        // What it reads is answered by itself, under a number of its own.
        guest.say(&shell("wc -c"));
        let running = guest.number;
        for _ in 0..3 {
            let bytes = vec![b'x'; 50_000];
            assert_eq!(guest.ask(&Request::Input { bytes }), Answer::Done);
        }
        let (reason, _) = message(guest.ask(&shell("true")));
        assert_eq!(reason, Refusal::Invalid);
        guest.say(&Request::InputEnd);
        guest.number = running;
        let (out, _, status) = listen(&mut guest);
        assert_eq!(
            (String::from_utf8(out).unwrap().trim(), status),
            ("150000", 0)
        );

        // Whoever comes next finds nothing of it.
        guest.number += 100;
        guest.say(&shell("echo $$; exec sleep 1000"));
        let Answer::Output { bytes, .. } = guest.hear() else {
            panic!("it said nothing");
        };
        let pid = String::from_utf8(bytes).unwrap();
        let hello = Request::Hello {
            version: VERSION,
            nonce: 3,
        };
        assert!(matches!(guest.ask(&hello), Answer::Hello { nonce: 3, .. }));
        assert!(!Path::new("/proc").join(pid.trim()).exists());
        let (reason, _) = message(guest.ask(&Request::Run {
            words: vec!["/gone".to_owned()],
        }));
        assert_eq!(reason, Refusal::Other);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn folders_and_files_are_shown_page_by_page() {
    let mut guest = Guest::new("shown");
    let folder = guest.root.join("many");
    fs::create_dir(&folder).unwrap();
    for number in 0..450 {
        fs::write(folder.join(format!("{number:03}")), "x").unwrap();
    }
    let (mut names, mut after, mut pages) = (Vec::new(), Vec::new(), 0);
    loop {
        let path = b"/many".to_vec();
        let Answer::Listed { entries, is_more } = guest.ask(&Request::List { path, after }) else {
            panic!("a folder is listed");
        };
        pages += 1;
        names.extend(entries.into_iter().map(|entry| entry.name));
        after = names.last().unwrap().clone();
        if !is_more {
            break;
        }
    }
    assert_eq!((names.len(), pages), (450, 3));
    assert!(names.is_sorted());

    fs::write(guest.root.join("file"), [7; 1000]).unwrap();
    let read = |guest: &mut Guest, path: &str, offset, length| {
        let path = path.into();
        guest.ask(&Request::Read {
            path,
            offset,
            length,
        })
    };
    let bytes = |answer| match answer {
        Answer::Data { bytes } => bytes.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes(read(&mut guest, "/file", 0, 600)), 600);
    assert_eq!(bytes(read(&mut guest, "/file", 600, 600)), 400);
    assert_eq!(bytes(read(&mut guest, "/file", 5000, 600)), 0);
    let (reason, text) = message(read(&mut guest, "/many", 0, 1));
    assert!(
        reason == Refusal::Invalid && text.contains("no regular file"),
        "{text}"
    );
    let (_, text) = message(read(&mut guest, "/nothing", 0, 1));
    assert!(text.contains("No such file"), "{text}");
    // A pipe that nobody writes to holds nobody up.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        guest.root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let (reason, _) = message(read(&mut guest, "/pipe", 0, 1));
    assert_eq!(reason, Refusal::Invalid);
}
