//! A server that does as it is told, also what no server should.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use windlass_registry::{
    Credentials, Entry, EntryKind, Error, Limits, Locator, Registry, RegistryConfig, RegistryKind,
};

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// With its query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is sent, and when.
#[derive(Debug, Clone)]
pub enum Piece {
    Bytes(Vec<u8>),
    Wait(Duration),
}

/// An answer; the connection ends after it.
pub type Reply = Vec<Piece>;

/// An answer as it should be.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    headers.push(("content-length", &length));
    vec![Piece::Bytes(
        [head(status, &headers).as_slice(), body].concat(),
    )]
}

/// Status and headers.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "\r\n").into_bytes()
}

/// A file, as a server that knows ranges gives it.
pub fn file(asked: &Asked, etag: &str, body: &[u8]) -> Reply {
    let range = asked
        .header("range")
        .filter(|_| {
            asked
                .header("if-range")
                .is_none_or(|condition| condition == etag)
        })
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
    match range {
        Some(start) if start < body.len() => {
            let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
            reply(
                206,
                &[("etag", etag), ("content-range", &range)],
                &body[start..],
            )
        }
        Some(_) => reply(416, &[], ""),
        None => reply(200, &[("etag", etag), ("accept-ranges", "bytes")], body),
    }
}

/// Only the first bytes of an answer; then the connection ends.
pub fn cut(reply: Reply, after_body_bytes: usize) -> Reply {
    let bytes: Vec<u8> = reply
        .into_iter()
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Wait(_) => Vec::new(),
        })
        .collect();
    let body = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let end = (body + after_body_bytes).min(bytes.len());
    // What is flushed has arrived before the end does.
    vec![
        Piece::Bytes(bytes[..end].to_vec()),
        Piece::Wait(Duration::from_millis(20)),
    ]
}

/// A server on a port of its own, until it is dropped.
pub struct Server {
    pub url: String,
    log: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers by a function, which also hears how many requests there were before, and the server's URL.
    pub async fn start(
        answer: impl Fn(&Asked, usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, answer).await
    }

    /// The same, over TLS.
    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Asked, usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = match tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let log = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let task = {
            let (url, log) = (url.clone(), log.clone());
            tokio::spawn(async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let (url, log, answer, tls) =
                        (url.clone(), log.clone(), answer.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            Some(tls) => {
                                if let Ok(socket) = tls.accept(socket).await {
                                    serve(socket, &url, &log, &*answer).await;
                                }
                            }
                            None => serve(socket, &url, &log, &*answer).await,
                        }
                    });
                }
            })
        };
        Self { url, log, task }
    }

    /// What was asked so far.
    pub fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// A text without the server's port.
    pub fn clean(&self, text: &str) -> String {
        text.replace(&self.url, "http://server")
    }

    /// A registry of this server.
    pub fn registry(&self, kind: RegistryKind, path: &str) -> Registry {
        open(config(kind, &format!("{}{path}", self.url)))
    }

    /// An entry at this path.
    pub fn entry(&self, path: &str) -> Entry {
        let place = Locator::at(format!("{}{path}", self.url));
        Entry::new(EntryKind::Package, "hello", place)
    }
}

async fn serve(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    url: &str,
    log: &Mutex<Vec<Asked>>,
    answer: &(impl Fn(&Asked, usize, &str) -> Reply + ?Sized),
) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
        // The hello of TLS, where we speak none.
        if !bytes[0].is_ascii_uppercase() {
            return;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let asked = Asked {
        path: words.nth(1).unwrap().to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
    };
    let count = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    for piece in answer(&asked, count, url) {
        match piece {
            Piece::Bytes(bytes) => {
                if socket.write_all(&bytes).await.is_err() || socket.flush().await.is_err() {
                    return;
                }
            }
            Piece::Wait(span) => tokio::time::sleep(span).await,
        }
    }
    let _ = socket.shutdown().await;
}

pub fn config(kind: RegistryKind, url: &str) -> RegistryConfig {
    RegistryConfig {
        // Whatever proxy this computer goes through, not here.
        proxy: Some("none".to_owned()),
        ..RegistryConfig::new(kind, "test", url)
    }
}

/// Limits of those who do not want to wait.
pub fn limits() -> Limits {
    Limits {
        retries: 3,
        backoff: Duration::from_millis(1),
        longest_wait: Duration::from_secs(2),
        ..Limits::default()
    }
}

pub fn open(config: RegistryConfig) -> Registry {
    Registry::open_with(config, Credentials::None, limits()).unwrap()
}

/// An error as a person reads it: what, why, and what to do next.
pub fn tell(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(hint) = error.hint() {
        text += &format!("\n   hint: {hint}");
    }
    text
}

/// What is in a folder: what was fetched by its names, unfinished things by their kind.
pub fn names(folder: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .map(|name| match name.strip_prefix(".windlass-") {
                    Some(rest) => rest
                        .split_once('.')
                        .map_or("unfinished".to_owned(), |(_, end)| format!("({end})")),
                    None if name.starts_with("fetched-") => names(&folder.join(name)),
                    None => name,
                })
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.join(" ")
}

/// Bytes that repeat at no length that a mistake might have.
pub fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap())
        .collect()
}
