//! A real OCI registry on this computer, and bad weather in front of any server.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{Piece, Reply};

/// The only user of the registry that wants a login, and the password.
pub const USER: (&str, &str) = ("windlass", "correct horse");
/// The same for the server: bcrypt.
const HTPASSWD: &str = "windlass:$2b$04$.r3VNEBMUEZ0sGvvXgwg1.chdsNQil.c9Xq2AJpBXnM9siF0NbOoG\n";

/// The program of the distribution's package `docker-registry`.
fn program() -> PathBuf {
    let unpacked = std::env::var_os("WINDLASS_TEST_OCI_REGISTRY").map(PathBuf::from);
    let path = unpacked.unwrap_or_else(|| "/usr/bin/docker-registry".into());
    assert!(
        path.is_file(),
        "{} is not there: ./dev test unpacks it; without ./dev, name it in WINDLASS_TEST_OCI_REGISTRY",
        path.display()
    );
    path
}

/// A registry with a folder and a port of its own, until it is dropped.
pub struct DockerRegistry {
    pub url: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl DockerRegistry {
    /// One that lets anyone do anything.
    pub fn open_to_all() -> Self {
        Self::start(false, None)
    }

    /// One that wants [`USER`]'s password.
    pub fn with_login() -> Self {
        Self::start(true, None)
    }

    /// One over TLS, with these files of a certificate for `localhost` and its key.
    pub fn secure(certificate: &Path, key: &Path) -> Self {
        Self::start(false, Some((certificate, key)))
    }

    fn start(login: bool, tls: Option<(&Path, &Path)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut text = format!(
            "version: 0.1\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            at("data")
        );
        if let Some((certificate, key)) = tls {
            text += &format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                certificate.display(),
                key.display()
            );
        }
        if login {
            std::fs::write(at("htpasswd"), HTPASSWD).unwrap();
            text += &format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                at("htpasswd")
            );
        }
        std::fs::write(at("config.yml"), text).unwrap();
        let mut child = Command::new(program())
            .args(["serve", &at("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines = String::new();
        let port = loop {
            let line = said
                .next()
                .unwrap_or_else(|| panic!("it did not start: {lines}"))
                .unwrap();
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let digits = rest
                    .find(|sign: char| !sign.is_ascii_digit())
                    .unwrap_or(rest.len());
                break rest[..digits].to_owned();
            }
            lines += &line;
        };
        // Its log is read to the end, or it would stop when the pipe is full.
        std::thread::spawn(move || said.for_each(drop));
        let url = match tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        Self {
            url,
            child,
            _folder: folder,
        }
    }
}

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What happens to a request on its way.
pub enum Deed {
    /// Nothing.
    Pass,
    /// The server does not hear of it; this is the answer.
    Answer(Reply),
    /// The server hears only the first bytes of the body, and then neither hears of the other.
    CutRequest(usize),
    /// The server does it all, and the client does not hear of it.
    Silence,
    /// Of the answer's body only the first bytes come.
    CutAnswer(usize),
    /// The answer's body is another one of the same length.
    Spoil,
    /// The request's body is.
    SpoilRequest,
    /// The server takes the client for this one.
    As(&'static str),
}

type Rule = dyn Fn(&Asked, usize) -> Deed + Send + Sync;

/// A way to a server, with its own weather.
pub struct Weather {
    pub url: String,
    log: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Weather {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Weather {
    /// Before the server at this URL. The rule hears of each request, and how many of the same method there were before.
    pub async fn before(
        server: &str,
        rule: impl Fn(&Asked, usize) -> Deed + Send + Sync + 'static,
    ) -> Self {
        let server = server
            .strip_prefix("http://")
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Rule> = Arc::new(rule);
        let task = tokio::spawn({
            let log = log.clone();
            async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let (server, log, rule) = (server.clone(), log.clone(), rule.clone());
                    tokio::spawn(async move {
                        // Whoever cuts first is as it is.
                        let _ = carry(socket, &server, &log, &*rule).await;
                    });
                }
            }
        });
        Self { url, log, task }
    }

    /// Methods and paths that were asked for, in order; digests and uploads by their kind.
    pub fn asked(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }

    /// What was sent with a header.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter_map(|asked| asked.header(name).map(str::to_owned))
            .collect()
    }
}

async fn carry(
    mut client: TcpStream,
    server: &str,
    log: &Mutex<Vec<Asked>>,
    rule: &Rule,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let first = lines.next().unwrap().to_owned();
    let mut words = first.split(' ');
    let asked = Asked {
        method: words.next().unwrap().to_owned(),
        path: words.next().unwrap().to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
    };
    let before = {
        let mut log = log.lock().unwrap();
        let before = log
            .iter()
            .filter(|other| other.method == asked.method)
            .count();
        log.push(asked.clone());
        before
    };
    let deed = rule(&asked, before);
    let mut head = format!("{first}\r\nconnection: close\r\n");
    for (name, value) in &asked.headers {
        match (name.as_str(), &deed) {
            ("connection", _) | ("authorization", Deed::As(_)) => {}
            _ => head += &format!("{name}: {value}\r\n"),
        }
    }
    if let Deed::As(authorization) = deed
        && !authorization.is_empty()
    {
        head += &format!("authorization: {authorization}\r\n");
    }
    head += "\r\n";
    let length: usize = asked
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(end);
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    if let Deed::Answer(reply) = deed {
        for piece in reply {
            match piece {
                Piece::Bytes(bytes) => client.write_all(&bytes).await?,
                Piece::Wait(span) => tokio::time::sleep(span).await,
            }
        }
        return client.shutdown().await;
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(head.as_bytes()).await?;
    if let Deed::CutRequest(count) = deed {
        upstream.write_all(&body[..count.min(body.len())]).await?;
        upstream.flush().await?;
        // What is on its way arrives before the end does.
        tokio::time::sleep(Duration::from_millis(50)).await;
        return Ok(());
    }
    if matches!(deed, Deed::SpoilRequest) {
        for byte in &mut body {
            *byte ^= 1;
        }
    }
    upstream.write_all(&body).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    let start = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap()
        + 4;
    match deed {
        Deed::Silence => return Ok(()),
        Deed::CutAnswer(count) => {
            let end = (start + count).min(answer.len());
            client.write_all(&answer[..end]).await?;
            client.flush().await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Deed::Spoil => {
            for byte in &mut answer[start..] {
                *byte ^= 1;
            }
            client.write_all(&answer).await?;
        }
        _ => client.write_all(&answer).await?,
    }
    client.shutdown().await
}

/// A text without what is another one each time: digests, and the names of uploads.
pub fn clean(text: &str) -> String {
    let is_long = |word: &&str| {
        let hexadecimal = word
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        hexadecimal && matches!(word.len(), 36 | 64)
    };
    let mut words: Vec<&str> = text
        .split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '-')
        .filter(is_long)
        .collect();
    words.sort_unstable();
    words.dedup();
    words.iter().fold(text.to_owned(), |text, word| {
        text.replace(word, if word.len() == 36 { "UPLOAD" } else { "DIGEST" })
    })
}
