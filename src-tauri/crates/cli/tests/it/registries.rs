//! Registries in a terminal: a folder, and a web server that is slow at first.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::session::Session;

/// A session that asks nobody beyond this computer.
fn at_home() -> Session {
    let session = Session::new();
    for name in ["OSv", "MIKELANGELO"] {
        session.done(&["registry", "disable", name]);
    }
    session
}

/// Puts a package into the folder `registry`.
fn offer(session: &Session, name: &str, version: &str, more: &str) {
    let manifest =
        format!("name: {name}\ntitle: The {name}\nauthor: Jane Doe\nversion: {version}\n{more}");
    session.write(
        &format!("made/{name}-{version}/meta/package.yaml"),
        &manifest,
    );
    session.write(&format!("made/{name}-{version}/opt/{name}"), version);
    session.write(&format!("registry/{version}/{name}.yaml"), &manifest);
    let (from, to) = (
        format!("made/{name}-{version}"),
        format!("registry/{version}/{name}.mpm"),
    );
    session.done(&["package", "build", &from, "--out", &to]);
}

#[test]
fn packages_come_from_a_folder() {
    let session = at_home();
    offer(&session, "libs", "1.0", "");
    offer(&session, "libs", "2.0", "");
    let needs = "require: [libs]\nx-versions: {libs: \"<2\"}\n";
    offer(&session, "tool", "1.4", needs);
    insta::assert_snapshot!(session.transcript(&[
        &["registry", "add", "team", "registry"],
        &["registry", "add", "TEAM", "registry"],
        &["-q", "registry", "refresh"],
        &["registry", "check", "team"],
        &["search"],
        &["package", "search", "tool"],
        &["package", "describe", "tool"],
        &["package", "graph", "tool"],
        &["-q", "package", "pull", "nothing"],
        &["-q", "pull", "tool"],
        &["package", "list"],
        &["package", "update", "--plan"],
        &["-q", "package", "update"],
        &["package", "list"],
        &["package", "graph", "tool"],
        &["package", "remove", "libs", "--version", "1.0"],
        &["package", "remove", "libs", "--version", "1.0"],
        &["-q", "package", "export", "tool", "."],
        &["package", "publish", "tool", "OSv"],
        &["-q", "library", "verify"],
        &["library", "prune", "--plan"],
        &["registry", "remove", "team"],
        &["registry", "list"],
    ]));
    assert!(session.folder().join("tool.mpm").is_file());
    assert!(session.folder().join("tool.yaml").is_file());
}

#[test]
fn an_appliance_is_edited_without_losing_a_comment() {
    let session = at_home();
    offer(&session, "libs", "1.0", "");
    session.done(&["registry", "add", "team", "registry"]);
    session.done(&["pull", "libs"]);
    session.write(
        "app/meta/package.yaml",
        "# mine\nname: app\ntitle: App # shown\nauthor: Jane Doe\n",
    );
    session.write("app/hello", "hello\n");
    session.write("app/opt/libs", "another\n");
    session.done(&["appliance", "add", "app"]);
    insta::assert_snapshot!(session.transcript(&[
        &["runtime", "list"],
        &["runtime", "preview", "-r", "node", "--plain"],
        &[
            "runtime",
            "set",
            "app",
            "greet",
            "bootcmd=/hello",
            "env.WHOM=the world"
        ],
        &["runtime", "set", "app", "bye", "bootcmd=/bye"],
        &["runtime", "rename", "app", "bye", "farewell"],
        &["runtime", "default", "app", "farewell", "greet"],
        &["runtime", "remove", "app", "greet"],
        &["runtime", "set", "app", "farewell", "main=/x"],
        &["appliance", "layers", "app", "--set", "libs >=1, <2"],
        &["package", "collect", "--path", "app", "--conflicts"],
        &["appliance", "lock", "app"],
        &["-q", "appliance", "lock", "app", "--update"],
        &["package", "check", "app"],
        &["appliance", "fix", "app"],
        &["package", "graph", "app"],
    ]));
    insta::assert_snapshot!(
        std::fs::read_to_string(session.folder().join("app/meta/package.yaml")).unwrap(),
        @r#"
    # mine
    name: app
    title: App # shown
    author: Jane Doe
    require:
    - libs
    x-versions:
      libs: ">=1, <2"
    "#
    );
}

#[test]
fn secrets_are_read_from_stdin_and_kept_encrypted() {
    const SECRET: &str = "correct-horse-battery";
    let session = at_home();
    session.done(&[
        "registry",
        "add",
        "private",
        "http://127.0.0.1:9/x",
        "--proxy",
        "none",
    ]);
    let mut login = session.process(&["registry", "login", "private", "--user", "jane"]);
    login
        .env("WINDLASS_SECRETS", "file")
        .env("WINDLASS_PASSPHRASE", "a passphrase")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut child = login.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{SECRET}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(session.json(&["registry", "list"])[2]["needsLogin"], true);
    let mut folders = vec![session.home()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let text = std::fs::read(entry.path()).unwrap();
                let text = String::from_utf8_lossy(&text);
                assert!(!text.contains(SECRET), "{}", entry.path().display());
            }
        }
    }
}

/// A web server with one folder. While it is slow, it sends half of each archive and then nothing.
struct Server {
    url: String,
    slow: Arc<AtomicBool>,
    /// The first byte of each archive that was asked for.
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Server {
    fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let slow = Arc::new(AtomicBool::new(true));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (is_slow, log) = (Arc::clone(&slow), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, slow, log) = (folder.clone(), Arc::clone(&is_slow), Arc::clone(&log));
                std::thread::spawn(move || answer(stream, &folder, &slow, &log));
            }
        });
        Self { url, slow, asked }
    }
}

fn answer(
    mut stream: TcpStream,
    folder: &std::path::Path,
    slow: &AtomicBool,
    log: &Mutex<Vec<u64>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let mut from = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            from = range.split('-').next()?.parse().ok()?;
        }
    }
    let body = if path.is_empty() {
        let links = std::fs::read_dir(folder).ok()?.flatten().map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            format!("<a href=\"{name}\">{name}</a>\n")
        });
        format!("<html><body>\n{}</body></html>", links.collect::<String>()).into_bytes()
    } else {
        let Ok(mut file) = std::fs::File::open(folder.join(&path)) else {
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            return None;
        };
        let mut body = Vec::new();
        file.read_to_end(&mut body).ok()?;
        body
    };
    let kind = if path.is_empty() {
        "text/html"
    } else {
        "application/octet-stream"
    };
    let total = body.len();
    let part = body.get(usize::try_from(from).ok()?..)?;
    let status = if from > 0 {
        format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}",
            total - 1
        )
    } else {
        "200 OK".to_owned()
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nETag: \"one\"\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        part.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    if line.starts_with("HEAD") {
        return None;
    }
    if std::path::Path::new(&path).extension() == Some("mpm".as_ref()) {
        log.lock().ok()?.push(from);
        if slow.load(Ordering::SeqCst) {
            stream.write_all(&part[..part.len() / 2]).ok()?;
            std::thread::sleep(Duration::from_mins(1));
            return None;
        }
    }
    stream.write_all(part).ok()
}

#[test]
fn a_pull_that_was_killed_goes_on_where_it_was() {
    let session = at_home();
    session.write(
        "big/meta/package.yaml",
        "name: big\ntitle: Big\nauthor: Jane Doe\nversion: 1.0\n",
    );
    // Does not get smaller by being compressed.
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..8 << 20)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect();
    std::fs::write(session.folder().join("big/data"), &bytes).unwrap();
    session.write(
        "served/big.yaml",
        "name: big\ntitle: Big\nauthor: Jane Doe\nversion: 1.0\n",
    );
    session.done(&["package", "build", "big", "--out", "served/big.mpm"]);
    let server = Server::start(session.folder().join("served"));
    session.done(&["registry", "add", "web", &server.url, "--proxy", "none"]);
    session.done(&["registry", "refresh", "web"]);

    let mut child = session
        .process(&["package", "pull", "big"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while on_disk(&session.home().join("downloads")) < 2 << 20 {
        assert!(begun.elapsed() < Duration::from_mins(1), "nothing arrives");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(session.json(&["package", "list"]), serde_json::json!([]));

    server.slow.store(false, Ordering::SeqCst);
    session.done(&["package", "pull", "big"]);
    assert_eq!(session.json(&["package", "list"])[0]["name"], "big");
    let asked = server.asked.lock().unwrap().clone();
    assert!(asked.last().is_some_and(|from| *from > 0), "{asked:?}");
    session.done(&["library", "verify"]);
}

fn on_disk(folder: &std::path::Path) -> u64 {
    let mut size = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let metadata = entry.metadata().unwrap();
        size += if metadata.is_dir() {
            on_disk(&entry.path())
        } else {
            metadata.len()
        };
    }
    size
}

#[test]
fn a_replaced_package_is_accepted_on_purpose_only() {
    let session = at_home();
    offer(&session, "libs", "1.0", "");
    session.done(&["registry", "add", "team", "registry"]);
    session.done(&["-q", "pull", "libs"]);
    session.write("made/libs-1.0/opt/libs", "another under the same version");
    session.done(&[
        "package",
        "build",
        "made/libs-1.0",
        "--out",
        "registry/1.0/libs.mpm",
    ]);
    session.done(&["package", "remove", "libs"]);
    session.done(&["-q", "registry", "refresh"]);
    insta::assert_snapshot!(session.transcript(&[
        &["-q", "pull", "libs"],
        &["registry", "accept", "team", "tool"],
        &["registry", "accept", "team", "libs"],
        &["-q", "pull", "libs"],
        &["registry", "accept", "team", "libs"],
    ]));
}

#[test]
fn of_a_registry_that_never_answered_nothing_is_claimed() {
    let session = Session::new();
    session.transcript(&[
        &["registry", "remove", "osv"],
        &["registry", "remove", "mikelangelo"],
    ]);
    // Nobody listens there.
    insta::assert_snapshot!(session.transcript(&[
        &["registry", "add", "gone", "http://127.0.0.1:1/"],
        &["-q", "search"],
    ]));
}
