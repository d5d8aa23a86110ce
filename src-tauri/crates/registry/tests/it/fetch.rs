//! Fetching from servers that fail, lie and stall: nothing wrong ever gets its name.

use std::sync::Arc;
use std::time::Duration;

use windlass_registry::{
    Control, Credentials, Entry, Error, Limits, Registry, RegistryKind, Sha256, TrustFile,
};

use crate::support::{
    Asked, Piece, Reply, Server, config, content, cut, file, head, limits, names, reply, tell,
};

const LENGTH: usize = 3_000_000;
const ETAG: &str = "\"one\"";

type Answer = Box<dyn Fn(&Asked, usize, &str) -> Reply + Send + Sync>;

/// How an entry is told of.
fn told(server: &Server, body: &[u8]) -> Entry {
    Entry {
        size_bytes: Some(body.len() as u64),
        digest: Some(Sha256::of(body)),
        ..server.entry("/packages/hello.mpm")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_server_does_only_what_is_right_gets_its_name() {
    let body = Arc::new(content(LENGTH));
    let with = |answer: fn(&Asked, usize, &[u8]) -> Reply| -> Answer {
        let body = body.clone();
        Box::new(move |asked, count, _| answer(asked, count, &body))
    };
    let cases: Vec<(&str, bool, Answer)> = vec![
        (
            "all is well",
            true,
            with(|asked, _, body| file(asked, ETAG, body)),
        ),
        (
            "the connection is cut twice",
            true,
            with(|asked, count, body| match count {
                0 | 1 => cut(file(asked, ETAG, body), 1_000_000),
                _ => file(asked, ETAG, body),
            }),
        ),
        (
            "it is cut, and the file is another one then",
            false,
            with(|asked, count, body| match count {
                0 => cut(file(asked, ETAG, &content(5_000_000)), 1_000_000),
                _ => file(asked, "\"two\"", body),
            }),
        ),
        (
            "it is cut, and goes on with another file",
            true,
            with(|asked, count, body| {
                let other = vec![0; body.len()];
                match count {
                    0 => cut(file(asked, ETAG, &other), 1_000_000),
                    _ => file(asked, ETAG, body),
                }
            }),
        ),
        (
            "it is cut each time",
            true,
            with(|asked, _, body| cut(file(asked, ETAG, body), 1000)),
        ),
        (
            "it is cut, and knows no ranges",
            true,
            with(|_, count, body| {
                let whole = reply(200, &[], body);
                if count == 0 {
                    cut(whole, 1_500_000)
                } else {
                    whole
                }
            }),
        ),
        (
            "another digest than was told",
            true,
            with(|asked, _, body| file(asked, ETAG, &vec![0; body.len()])),
        ),
        (
            "a length that lies: more than comes",
            false,
            with(|_, _, body| {
                let length = (body.len() + 1000).to_string();
                let head = head(200, &[("content-length", &length)]);
                vec![Piece::Bytes(head), Piece::Bytes(body.to_vec())]
            }),
        ),
        (
            "a length that lies: another than was told",
            true,
            with(|_, _, _| reply(200, &[], "short")),
        ),
        (
            "a length that lies: less than comes",
            true,
            with(|_, _, body| {
                let head = head(200, &[("content-length", "1000")]);
                vec![Piece::Bytes(head), Piece::Bytes(body.to_vec())]
            }),
        ),
        (
            "a part that was not asked for",
            true,
            with(|asked, count, body| match count {
                0 => cut(file(asked, ETAG, body), 1_000_000),
                _ => reply(
                    206,
                    &[("content-range", "bytes 5-9/3000000"), ("etag", ETAG)],
                    "56789",
                ),
            }),
        ),
        (
            "403",
            true,
            with(|_, _, _| reply(403, &[("content-type", "text/plain")], "Not for you.\n")),
        ),
        (
            "404",
            true,
            with(|_, _, _| reply(404, &[], "<html>Not found</html>")),
        ),
        (
            "429 for an hour",
            true,
            with(|_, _, _| reply(429, &[("retry-after", "3600")], "")),
        ),
        (
            "429 for no time, once",
            true,
            with(|asked, count, body| match count {
                0 => reply(429, &[("retry-after", "0")], ""),
                _ => file(asked, ETAG, body),
            }),
        ),
        (
            "500 once, 503 once",
            true,
            with(|asked, count, body| match count {
                0 => reply(500, &[], ""),
                1 => reply(503, &[], ""),
                _ => file(asked, ETAG, body),
            }),
        ),
        ("500 each time", true, with(|_, _, _| reply(500, &[], ""))),
        (
            "redirects without end",
            true,
            with(|_, count, _| reply(302, &[("location", &format!("/again/{count}"))], "")),
        ),
        (
            "a redirect to a file",
            true,
            with(|_, _, _| reply(302, &[("location", "file:///etc/passwd")], "")),
        ),
        (
            "no answer that is HTTP",
            true,
            with(|_, _, _| vec![Piece::Bytes(b"SSH-2.0-hello\r\n".to_vec())]),
        ),
        ("nothing at all", true, with(|_, _, _| vec![])),
    ];
    let mut transcript = String::new();
    for (what, is_told, answer) in cases {
        let server = Server::start(answer).await;
        let registry = server.registry(RegistryKind::Http, "/");
        let folder = tempfile::tempdir().unwrap();
        let trust = TrustFile::open(folder.path().join("trust")).unwrap();
        let into = folder.path().join("into");
        let entry = if is_told {
            told(&server, &body)
        } else {
            server.entry("/packages/hello.mpm")
        };
        let outcome = registry
            .fetch(&entry, &into, &trust, &Control::default(), &())
            .await;
        let outcome = match outcome {
            Ok(fetched) => {
                assert_eq!(std::fs::read(&fetched.path).unwrap(), *body, "{what}");
                assert_eq!(fetched.sha256, Sha256::of(&body));
                "fetched".to_owned()
            }
            Err(error) => tell(&error),
        };
        transcript += &format!(
            "# {what}\n{}\n   {} requests; in the folder: {}\n",
            server.clean(&outcome),
            server.log().len(),
            names(&into)
        );
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_to_nothing_counts_as_cut_and_is_taken_up_again() {
    let body = content(100_000);
    let server = {
        let body = body.clone();
        Server::start(move |asked, count, _| {
            if count > 0 {
                return file(asked, ETAG, &body);
            }
            // A byte each quarter of the patience.
            let mut pieces = cut(file(asked, ETAG, &body), 50_000);
            for _ in 0..100 {
                pieces.push(Piece::Wait(Duration::from_millis(100)));
                pieces.push(Piece::Bytes(vec![0]));
            }
            pieces
        })
        .await
    };
    let limits = Limits {
        stall: Duration::from_millis(400),
        slowest_bytes: 1000,
        ..limits()
    };
    let config = config(RegistryKind::Http, &server.url);
    let registry = Registry::open_with(config, Credentials::None, limits).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let entry = told(&server, &body);
    let fetched = registry
        .fetch(&entry, folder.path(), &trust, &Control::default(), &())
        .await;
    // What dripped in was wrong as well: the whole came in one go at last.
    assert_eq!(std::fs::read(fetched.unwrap().path).unwrap(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_it_waits_and_cancelled_it_is_taken_up_the_next_time() {
    let body = content(LENGTH);
    let server = {
        let body = body.clone();
        Server::start(move |asked, count, _| match count {
            // The rest never comes while somebody waits for it.
            0 | 1 => {
                let mut pieces = cut(file(asked, ETAG, &body), 1_000_000);
                pieces.push(Piece::Wait(Duration::from_mins(10)));
                pieces
            }
            _ => file(asked, ETAG, &body),
        })
        .await
    };
    let registry = server.registry(RegistryKind::Http, "/");
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let entry = told(&server, &body);
    let into = folder.path().join("into");

    let control = Control::default();
    let (held, done) = (
        control.clone(),
        Arc::new(std::sync::atomic::AtomicU64::new(0)),
    );
    let waited = {
        let (done, server_log) = (done.clone(), &server);
        async move {
            let enough = |bytes| done.load(std::sync::atomic::Ordering::Relaxed) >= bytes;
            while !enough(900_000) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            held.pause();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(held.is_paused());
            assert_eq!(
                server_log.log().len(),
                1,
                "nothing is asked while it is held"
            );
            held.resume();
            while server_log.log().len() < 2 || !enough(1_900_000) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            held.cancel();
        }
    };
    let progress = move |bytes, _| done.store(bytes, std::sync::atomic::Ordering::Relaxed);
    let (outcome, ()) = tokio::join!(
        registry.fetch(&entry, &into, &trust, &control, &progress),
        waited
    );
    assert!(matches!(outcome, Err(Error::Cancelled)));
    assert_eq!(names(&into), "(part) (part.json)");

    let fetched = registry
        .fetch(&entry, &into, &trust, &Control::default(), &())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), body);
    assert_eq!(names(&into), "hello.mpm");
    let ranges: Vec<bool> = server
        .log()
        .iter()
        .map(|asked| asked.header("range").is_some())
        .collect();
    assert_eq!(ranges, [false, true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_come_at_once_and_one_that_fails_leaves_the_others() {
    let server = Server::start(move |asked, _, _| match asked.path.as_str() {
        "/3.mpm" => reply(404, &[], ""),
        path => file(asked, ETAG, &content(100_000 + path.len())),
    })
    .await;
    let registry = server.registry(RegistryKind::Http, "/");
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let entries: Vec<Entry> = (0..20)
        .map(|at| server.entry(&format!("/{at}.mpm")))
        .collect();
    let entries: Vec<&Entry> = entries.iter().collect();
    let into = folder.path().join("into");
    let outcomes = registry
        .fetch_all(&entries, &into, &trust, &Control::default(), &())
        .await;
    let failed: Vec<usize> = (0..20).filter(|at| outcomes[*at].is_err()).collect();
    assert_eq!(failed, [3]);
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 19);
    // All were remembered, by one file at once.
    assert_eq!(
        std::fs::read_to_string(folder.path().join("trust"))
            .unwrap()
            .lines()
            .count(),
        19
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_fetch_the_same_do_not_write_into_each_others_part() {
    let server = Server::start(move |asked, _, _| {
        let mut pieces = cut(file(asked, ETAG, &content(LENGTH)), 1000);
        pieces.push(Piece::Wait(Duration::from_mins(10)));
        pieces
    })
    .await;
    let registry = server.registry(RegistryKind::Http, "/");
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let into = folder.path().join("into");
    let entry = server.entry("/hello.mpm");
    let control = Control::default();
    let first = registry.fetch(&entry, &into, &trust, &control, &());
    let second = async {
        while server.log().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let outcome = registry.fetch(&entry, &into, &trust, &control, &()).await;
        control.cancel();
        outcome
    };
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(first, Err(Error::Cancelled)));
    assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
}
