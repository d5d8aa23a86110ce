//! OSv's REST API, played by a loopback end that counts and parses as `modules/httpserver-api/connection.cc` does.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_util::sync::CancellationToken;
use windlass_compose::osv_rest::OsvRest;
use windlass_image::{GuestPath, Source};

type Files = Arc<Mutex<BTreeMap<String, (u32, Vec<u8>)>>>;

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn line(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

/// Answers one request; status and body.
fn answer(stream: &mut TcpStream, files: &Files) -> (u16, String) {
    let request = line(stream);
    let mut headers = BTreeMap::new();
    loop {
        let text = line(stream);
        let Some((name, value)) = text.split_once(": ") else {
            break;
        };
        headers.insert(name.to_owned(), value.to_owned());
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path == "/os/version" {
        return (200, "\"v0.57.0\"".to_owned());
    }
    let path = decoded(path.strip_prefix("/file").unwrap());
    let query: BTreeMap<&str, &str> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let mut files = files.lock().unwrap();
    let permission = || u32::from_str_radix(query["permission"], 8).unwrap();
    match (method, query.get("op").copied()) {
        ("POST", None) => {
            let boundary = headers["Content-Type"].split_once("boundary=").unwrap().1;
            let length: usize = headers["Content-Length"].parse().unwrap();
            // As the guest counts: everything but the last boundary, less what came before the content.
            let mut before = 0;
            loop {
                let text = line(stream);
                before += text.len() + 2;
                if text.is_empty() {
                    break;
                }
            }
            let mut content = vec![0; length - boundary.len() - 8 - before];
            if stream.read_exact(&mut content).is_err() {
                // The sender gave up; so does the guest.
                return (400, String::new());
            }
            let mut end = vec![0; boundary.len() + 8];
            stream.read_exact(&mut end).unwrap();
            assert_eq!(end, format!("\r\n--{boundary}--\r\n").into_bytes());
            if path.starts_with("/rofs") {
                return (
                    400,
                    r#"{"message": "Failed renaming Read-only file system", "code": 400}"#
                        .to_owned(),
                );
            }
            let kept = if path.ends_with("cut") {
                3
            } else {
                content.len()
            };
            content.truncate(kept);
            files.insert(path, (0o777, content));
        }
        ("PUT", Some("RENAME")) => {
            assert_eq!(decoded(query["destination"]), path);
            files.get_mut(&path).unwrap().0 = permission();
        }
        ("PUT", Some("MKDIRS")) => {
            files.insert(format!("{path}/"), (permission(), Vec::new()));
        }
        ("DELETE", Some("DELETE")) => {
            if files.remove(&path).is_none() {
                return (404, r#"{"message": "Not found", "code": 404}"#.to_owned());
            }
        }
        ("GET", Some("GETFILESTATUS")) => {
            let length = files[&path].1.len();
            return (200, format!(r#"{{"pathSuffix": "x", "length": {length}}}"#));
        }
        other => panic!("{other:?}"),
    }
    (200, String::new())
}

#[test]
fn files_are_written_whole_and_removed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let files = Files::default();
    let kept = Arc::clone(&files);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (status, body) = answer(&mut stream, &kept);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    let guest = OsvRest::new("127.0.0.1", port);
    assert_eq!(guest.version().unwrap(), "v0.57.0");
    let path = |text: &str| GuestPath::new(text).unwrap();
    let cancel = CancellationToken::new();
    let mut sent = 0;
    let content: Vec<u8> = (0..700_000_u32)
        .map(|number| number.to_le_bytes()[1])
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, &content).unwrap();
    let mut write = |at: &str, size: u64, source| {
        guest.write_file(
            &path(at),
            0o750,
            size,
            &source,
            &mut |bytes| sent += bytes,
            &cancel,
        )
    };
    write("app/größe 100%", 700_000, Source::Path(file.clone())).unwrap();
    write("app/empty", 0, Source::Bytes(Arc::from([]))).unwrap();
    guest.make_directory(&path("data"), 0o700).unwrap();
    assert_eq!(
        *files.lock().unwrap(),
        BTreeMap::from([
            ("/app/größe 100%".to_owned(), (0o750, content)),
            ("/app/empty".to_owned(), (0o750, Vec::new())),
            ("/data/".to_owned(), (0o700, Vec::new())),
        ])
    );

    // What the guest keeps of it is looked at, and its own words are passed on.
    let error = write("app/cut", 5, Source::Bytes(Arc::from(*b"bytes"))).unwrap_err();
    assert!(
        error.to_string().contains("3 bytes there instead of 5"),
        "{error}"
    );
    let error = write("rofs/file", 1, Source::Bytes(Arc::from(*b"x"))).unwrap_err();
    assert!(error.to_string().contains("Read-only"), "{error}");
    let error = write("app/short", 900_000, Source::Path(file)).unwrap_err();
    assert!(error.to_string().contains("200000 bytes less"), "{error}");
    assert_eq!(sent, 700_000 * 2 + 6);
    for _ in 0..2 {
        guest.remove(&path("app/empty")).unwrap();
    }
    guest.set_mode(&path("app/cut"), 0o644).unwrap();
    assert_eq!(files.lock().unwrap()["/app/cut"].0, 0o644);
}
