use super::*;

fn lock() -> File {
    tempfile::tempfile().unwrap()
}

#[tokio::test]
async fn whoever_talks_to_the_agent_for_a_moment_is_waited_for_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = take_turn(&path, "one").await.unwrap();
    let mut next = Box::pin(take_turn(&path, "one"));
    assert!(timeout(TURN_INTERVAL, &mut next).await.is_err());
    drop(held);
    let held = next.await.unwrap();
    let refused = take_turn(&path, "one").await.unwrap_err();
    insta::assert_snapshot!(refused, @"the guest is busy with somebody else who talks to it");
    drop(held);
    take_turn(&path, "one").await.unwrap();
}

/// Reads requests and answers each by `reply`, which gives bytes.
async fn guest(mut stream: UnixStream, mut reply: impl FnMut(u32, Request) -> Vec<u8>) {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        decoder.push(&buffer[..count]);
        while let Some(frame) = decoder.next().unwrap() {
            let bytes = reply(frame.number, Request::parse(&frame.body).unwrap());
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}

fn hello(number: u32, request: &Request) -> Option<Vec<u8>> {
    let Request::Hello { version, nonce } = *request else {
        return None;
    };
    let answer = |nonce| Answer::Hello {
        version,
        nonce,
        init: "0".to_owned(),
        is_writable: true,
    };
    // Leftovers of another connection come before.
    let mut bytes = Answer::Done.to_frame(number);
    bytes.extend(answer(nonce.wrapping_add(1)).to_frame(number));
    bytes.extend(answer(nonce).to_frame(number));
    Some(bytes)
}

#[tokio::test]
async fn answers_are_told_from_what_was_left_over() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let guest = tokio::spawn(guest(theirs, |number, request| {
        hello(number, &request).unwrap_or_else(|| {
            let answer = match request {
                Request::Look { paths, .. } => Answer::Looked {
                    entries: vec![None; paths.len()],
                },
                Request::Sync => Answer::Done,
                _ => Answer::Refused {
                    reason: windlass_guest::agent::Refusal::NoSpace,
                    message: "full".to_owned(),
                },
            };
            answer.to_frame(number)
        })
    }));
    let mut agent = Agent::greet(ours, lock()).await.unwrap();
    assert!(agent.is_writable());
    let paths: Vec<_> = (0..1500)
        .map(|number| format!("/{number}").into())
        .collect();
    assert_eq!(agent.look(&paths, false).await.unwrap().len(), 1500);
    let long = vec![[&b"/"[..], &[b'x'; 4000]].concat(); 40];
    assert_eq!(agent.look(&long, true).await.unwrap().len(), 40);
    agent.done(&Request::Sync).await.unwrap();
    let refused = agent.restart(None).await.unwrap_err();
    assert_eq!(refused.to_string(), "the guest refused: full");
    assert!(refused.hint().unwrap().contains("larger"));
    drop(agent);
    guest.await.unwrap();
}

#[tokio::test]
async fn a_program_is_fed_one_piece_at_a_time_and_its_words_are_told_apart() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut program, mut fed) = (0, 0);
    let guest = tokio::spawn(guest(theirs, move |number, request| {
        let output = |number, is_error, text: &str| {
            let bytes = text.as_bytes().to_vec();
            Answer::Output { is_error, bytes }.to_frame(number)
        };
        match request {
            Request::Run { words } => {
                program = number;
                // What was left over of another program comes before.
                let mut bytes = Answer::Exited { status: 99 }.to_frame(number + 50);
                bytes.extend(output(number, false, &words.join(" ")));
                bytes
            }
            Request::Input { bytes } => {
                fed += bytes.len();
                Answer::Done.to_frame(number)
            }
            Request::InputEnd => {
                let mut bytes = output(program, true, &fed.to_string());
                bytes.extend(Answer::Exited { status: 3 }.to_frame(program));
                bytes
            }
            request => hello(number, &request).unwrap(),
        }
    }));
    let mut agent = Agent::greet(ours, lock()).await.unwrap();
    let words = ["cat", "-"].map(str::to_owned);
    let (mut out, mut error) = (Vec::new(), Vec::new());
    let input = vec![b'x'; 100_000];
    let status = agent
        .run(&words, &mut input.as_slice(), &mut out, &mut error)
        .await;
    assert_eq!((status.unwrap(), out.as_slice()), (3, &b"cat -"[..]));
    assert_eq!(error, b"100000");
    let words = vec!["x".repeat(99); 2000];
    let refused = agent
        .run(&words, &mut &b""[..], &mut out, &mut error)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::TooManyWords), "{refused}");
    guest.abort();
}

#[tokio::test]
async fn a_guest_that_ends_or_talks_nonsense_is_told_of() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut is_greeted = false;
    let guest = tokio::spawn(guest(theirs, move |number, request| {
        if std::mem::replace(&mut is_greeted, true) {
            return b"nonsense".to_vec();
        }
        hello(number, &request).unwrap()
    }));
    let mut agent = Agent::greet(ours, lock()).await.unwrap();
    let error = agent.done(&Request::Sync).await.unwrap_err();
    assert!(matches!(error, Error::AgentTalk { .. }), "{error}");
    guest.abort();
    let _ = guest.await;
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let error = Agent::greet(ours, lock()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "QEMU does not answer: the machine ended while it was being changed"
    );
}
