use proptest::prelude::*;

use super::*;

fn path() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec("[a-zäö%. ]{1,12}x", 1..4)
        .prop_map(|names| format!("/{}", names.join("/")).into_bytes())
}

fn request() -> impl Strategy<Value = Request> {
    let mode = || 0..0o10000_u32;
    prop_oneof![
        (any::<u16>(), any::<u64>()).prop_map(|(version, nonce)| Request::Hello { version, nonce }),
        (proptest::collection::vec(path(), 0..20), any::<bool>()).prop_map(
            |(paths, with_digests)| Request::Look {
                paths,
                with_digests
            }
        ),
        (path(), mode(), any::<u64>(), any::<[u8; 32]>()).prop_map(
            |(path, mode, size_bytes, digest)| Request::WriteBegin {
                path,
                mode,
                size_bytes,
                digest
            }
        ),
        proptest::collection::vec(any::<u8>(), 0..3000)
            .prop_map(|bytes| Request::WriteData { bytes }),
        Just(Request::WriteEnd),
        (path(), mode()).prop_map(|(path, mode)| Request::MakeDirectory { path, mode }),
        (path(), proptest::collection::vec(any::<u8>(), 0..100))
            .prop_map(|(path, target)| Request::MakeSymlink { path, target }),
        (path(), mode()).prop_map(|(path, mode)| Request::SetMode { path, mode }),
        path().prop_map(|path| Request::Remove { path }),
        ("[a-z0-9]{0,20}", "[a-z0-9]{0,20}", path())
            .prop_map(|(serial, kind, path)| Request::Mount { serial, kind, path }),
        path().prop_map(|path| Request::Unmount { path }),
        Just(Request::Sync),
        proptest::option::of(".{0,80}").prop_map(|command_line| Request::Restart { command_line }),
        proptest::collection::vec("[^\0]{0,20}", 1..9).prop_map(|words| Request::Run { words }),
        proptest::collection::vec(any::<u8>(), 0..3000).prop_map(|bytes| Request::Input { bytes }),
        Just(Request::InputEnd),
        (path(), proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(path, after)| Request::List { path, after }),
        (path(), any::<u64>(), 1..=61_440_u32).prop_map(|(path, offset, length)| Request::Read {
            path,
            offset,
            length
        }),
        any::<u32>().prop_map(|after| Request::Processes { after }),
        any::<u64>().prop_map(|from| Request::KernelLog { from }),
    ]
}

fn shown() -> impl Strategy<Value = Answer> {
    let entry = (".{0,9}[a-z]", 0..0o10000_u32, any::<u64>(), any::<i64>()).prop_map(
        |(name, mode, size_bytes, modified)| ListedEntry {
            name: name.replace(['/', '\0'], "x").into_bytes(),
            kind: SeenKind::File,
            mode,
            size_bytes,
            modified,
        },
    );
    let process = (
        any::<[u32; 3]>(),
        ".{0,9}",
        any::<u8>(),
        any::<[u64; 2]>(),
        ".{0,50}",
    )
        .prop_map(
            |(numbers, name, state, [cpu_ms, memory_bytes], command)| ProcessSeen {
                pid: numbers[0],
                parent: numbers[1],
                name,
                state,
                threads: numbers[2],
                cpu_ms,
                memory_bytes,
                command,
            },
        );
    prop_oneof![
        (proptest::collection::vec(entry, 0..9), any::<bool>())
            .prop_map(|(entries, is_more)| Answer::Listed { entries, is_more }),
        proptest::collection::vec(any::<u8>(), 0..3000).prop_map(|bytes| Answer::Data { bytes }),
        (proptest::collection::vec(process, 0..9), any::<bool>())
            .prop_map(|(processes, is_more)| Answer::ProcessList { processes, is_more }),
        (".{0,200}", any::<Option<u64>>()).prop_map(|(text, next)| Answer::KernelLines {
            text: text.into_bytes(),
            next
        }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let kinds = prop_oneof![
        Just(SeenKind::Directory),
        Just(SeenKind::File),
        Just(SeenKind::Symlink),
        Just(SeenKind::Special)
    ];
    let seen = (
        kinds,
        0..0o10000_u32,
        any::<u64>(),
        proptest::option::of(any::<[u8; 32]>()),
    )
        .prop_map(|(kind, mode, size_bytes, digest)| Seen {
            kind,
            mode,
            size_bytes,
            digest,
        });
    prop_oneof![
        (any::<u16>(), any::<u64>(), ".{0,20}", any::<bool>()).prop_map(
            |(version, nonce, init, is_writable)| Answer::Hello {
                version,
                nonce,
                init,
                is_writable
            }
        ),
        proptest::collection::vec(proptest::option::of(seen), 0..20)
            .prop_map(|entries| Answer::Looked { entries }),
        Just(Answer::Done),
        any::<u32>().prop_map(|commands| Answer::Restarted { commands }),
        any::<i32>().prop_map(|status| Answer::Exited { status }),
        (
            any::<bool>(),
            proptest::collection::vec(any::<u8>(), 0..3000)
        )
            .prop_map(|(is_error, bytes)| Answer::Output { is_error, bytes }),
        (
            prop_oneof![
                Just(Refusal::NoSpace),
                Just(Refusal::Other),
                Just(Refusal::Ending)
            ],
            ".{0,100}"
        )
            .prop_map(|(reason, message)| Answer::Refused { reason, message }),
        shown(),
    ]
}

fn frames(bytes: &[u8], piece: usize) -> (Vec<Frame>, Vec<WireError>) {
    let mut decoder = Decoder::new();
    let (mut frames, mut errors) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => errors.push(error),
            }
        }
    }
    (frames, errors)
}

proptest! {
    #[test]
    fn what_is_written_reads_back_in_pieces_of_any_size(
        requests in proptest::collection::vec((any::<u32>(), request()), 0..6),
        answers in proptest::collection::vec((any::<u32>(), answer()), 0..6),
        zeros in 0_usize..9,
        piece in 1_usize..5000,
    ) {
        let mut bytes = Vec::new();
        for (number, request) in &requests {
            bytes.resize(bytes.len() + zeros, 0);
            bytes.extend(request.to_frame(*number));
        }
        for (number, answer) in &answers {
            bytes.extend(answer.to_frame(*number));
        }
        let (found, errors) = frames(&bytes, piece);
        prop_assert_eq!(errors, Vec::new());
        let (asked, answered) = found.split_at(requests.len());
        let asked: Vec<_> = asked.iter().map(|frame| (frame.number, Request::parse(&frame.body).unwrap())).collect();
        prop_assert_eq!(asked, requests);
        let answered: Vec<_> = answered.iter().map(|frame| (frame.number, Answer::parse(&frame.body).unwrap())).collect();
        prop_assert_eq!(answered, answers);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1_usize..500) {
        for frame in frames(&bytes, piece).0 {
            let _ = (Request::parse(&frame.body), Answer::parse(&frame.body));
        }
        let _ = (Request::parse(&bytes), Answer::parse(&bytes));
    }

    #[test]
    fn zeros_flush_what_was_cut_off(request in request(), cut in 0_usize..4000) {
        let mut bytes = Request::WriteData { bytes: vec![7; 5000] }.to_frame(1);
        bytes.truncate(cut);
        bytes.resize(bytes.len() + FRAME_MAX_BYTES + 16, 0);
        bytes.extend(request.to_frame(2));
        let (found, _) = frames(&bytes, 3000);
        prop_assert_eq!(Request::parse(&found.last().unwrap().body), Ok(request));
    }
}

#[test]
fn refusals_say_where() {
    let refused = |body: &[u8]| Request::parse(body).unwrap_err().to_string();
    let mut bytes = Request::Remove {
        path: b"/a/b".to_vec(),
    }
    .to_frame(9);
    let body = bytes.split_off(9);
    insta::assert_snapshot!(refused(&body[..6]), @"byte 5 of the body: the path is cut off");
    insta::assert_snapshot!(refused(&[200]), @"byte 0 of the body: 200 is the tag of nothing that is known here");
    let with = |path: &[u8]| {
        let frame = Request::Remove {
            path: path.to_vec(),
        };
        refused(&frame.to_frame(0)[9..])
    };
    insta::assert_snapshot!(with(b"a"), @"byte 6 of the body: the path does not begin with a slash");
    insta::assert_snapshot!(with(b"/a/../b"), @"byte 12 of the body: the path has an empty name, `.` or `..` in it");
    insta::assert_snapshot!(with(&[b'/'; 4096]), @"byte 5 of the body: the path is too long");
    let (_, errors) = frames(&[0, 0, 1, super::wire::MARKER, 255, 255, 255, 255], 3);
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_debug_snapshot!(errors[..2], @r#"
    [
        "byte 2: a frame begins with 0xa7, not with 0x01",
        "byte 3: a frame of 4294967295 bytes; they have between 5 and 65536",
    ]
    "#);
}

#[test]
fn a_long_message_is_cut_between_two_letters() {
    let long = Answer::Refused {
        reason: Refusal::Other,
        message: "ä".repeat(600),
    };
    let Answer::Refused { message, .. } = Answer::parse(&long.to_frame(0)[9..]).unwrap() else {
        panic!("a refusal is one");
    };
    assert_eq!(message, "ä".repeat(500));
}

#[test]
fn names_that_lead_elsewhere_are_no_names() {
    for name in [
        &b""[..],
        b".",
        b"..",
        b"a/b",
        b"/etc",
        b"a\0b",
        &[b'x'; 256],
    ] {
        let listed = Answer::Listed {
            entries: vec![ListedEntry {
                name: name.to_vec(),
                kind: SeenKind::File,
                mode: 0o644,
                size_bytes: 0,
                modified: 0,
            }],
            is_more: false,
        };
        let error = Answer::parse(&listed.to_frame(0)[9..]).unwrap_err();
        assert!(error.to_string().contains("the name"), "{name:?}: {error}");
    }
}

#[test]
fn the_fullest_pages_fit_in_a_frame() {
    let entry = ListedEntry {
        name: vec![b'x'; NAME_MAX_BYTES],
        kind: SeenKind::Special,
        mode: 0,
        size_bytes: 0,
        modified: 0,
    };
    let listed = Answer::Listed {
        entries: vec![entry; LIST_MAX],
        is_more: true,
    };
    assert!(listed.to_frame(0).len() <= FRAME_MAX_BYTES);
    let process = ProcessSeen {
        pid: 1,
        parent: 0,
        name: "x".repeat(64),
        state: b'S',
        threads: 1,
        cpu_ms: 0,
        memory_bytes: 0,
        command: "x".repeat(10_000),
    };
    let list = Answer::ProcessList {
        processes: vec![process; PROCESSES_MAX],
        is_more: true,
    };
    let frame = list.to_frame(0);
    assert!(frame.len() <= FRAME_MAX_BYTES);
    assert!(Answer::parse(&frame[9..]).is_ok());
}
