//! Consoles of servers: the display and the serial line, by the websockets of Nova's proxies; and the log, followed.
//!
//! ```text
//!   remote-consoles ─► URL with a token ─► HTTP upgrade (by the profile's own TLS) ─► frames ◄─► bytes
//! ```
//!
//! A token opens one server's console for some minutes to whoever has it. It stays in here: what leaves is a pipe of bytes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use url::Url;

use super::console_log;
use crate::error::{Error, Result};
use crate::session::{Call, words};
use crate::{Profile, Service, Session, reach};

/// What is on its way between a proxy and whoever reads.
const PIPE_BYTES: usize = 256 << 10;
/// No frame of a console is larger.
const FRAME_BYTES: usize = 16 << 20;
/// A log is asked for that often while it grows, and that rarely while it does not.
const OFTEN: Duration = Duration::from_secs(2);
const RARELY: Duration = Duration::from_secs(15);
/// Lines that are asked for again.
const LINES: u32 = 400;

/// A way to a server's console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// What it shows, by VNC.
    Display,
    /// Its serial line.
    Serial,
}

#[derive(Deserialize)]
struct Remote {
    url: String,
}

/// Opens a server's console: what is read is what it says, what is written is typed.
///
/// # Errors
/// As Nova refuses: a cloud that offers no such console, a server that does not run; when its proxy cannot be reached.
pub async fn console(session: &Session, id: &str, console: Console) -> Result<DuplexStream> {
    let (protocol, kind, doing) = match console {
        Console::Display => ("vnc", "novnc", "open the server's display"),
        Console::Serial => ("serial", "serial", "open the server's serial console"),
    };
    let body = json!({ "remote_console": { "protocol": protocol, "type": kind } });
    let path = format!("/servers/{id}/remote-consoles");
    let call = Call::post(Service::Compute, path, body, doing).at("2.6");
    let remote: Remote = session.fetch(call, "remote_console").await?;
    dial(session.profile(), &remote.url).await
}

/// The websocket behind the page that Nova gives the address of.
fn socket(page: &str) -> Option<Url> {
    let mut url = Url::parse(page).ok()?;
    match url.scheme() {
        "http" | "https" => {}
        // The HTTP below it is the same.
        "ws" | "wss" => {
            let secure = url.scheme() == "wss";
            let rest = page.split_once("://")?.1;
            url = Url::parse(&format!("http{}://{rest}", if secure { "s" } else { "" })).ok()?;
        }
        _ => return None,
    }
    url.host_str()?;
    // noVNC's page takes the socket's path from its own parameters.
    let path = url
        .query_pairs()
        .find(|(key, _)| key == "path")
        .map(|(_, value)| value.into_owned());
    if let Some(path) = path {
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        url.set_path(&path);
        url.set_query((!query.is_empty()).then_some(query.as_str()));
    } else if url.path().contains(".html") {
        // An older page: the token is its own parameter, and the socket is at `/websockify`.
        url.set_path("/websockify");
    }
    url.set_fragment(None);
    Some(url)
}

/// Opens the websocket of a console's page.
///
/// # Errors
/// When its proxy cannot be reached or does not let us in.
pub async fn dial(profile: &Profile, page: &str) -> Result<DuplexStream> {
    let doing = || "open the console".to_owned();
    let odd = |found: &str| Error::Answer {
        service: Service::Compute,
        doing: doing(),
        found: found.to_owned(),
    };
    let url = socket(page).ok_or_else(|| odd("its address is none of HTTP"))?;
    let origin = url.origin().ascii_serialization();
    let key = generate_key();
    let answer = reach::upgrading(profile)?
        .get(url)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", &key)
        .header("sec-websocket-protocol", "binary")
        .send()
        .await
        .map_err(|it| reach::network(&origin, it))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = answer.status().as_u16();
        let said = words(&answer.bytes().await.unwrap_or_default());
        return Err(Error::Refused {
            service: Service::Compute,
            doing: doing(),
            status,
            said: if said.is_empty() {
                format!("the proxy at {origin} answers {status}")
            } else {
                said
            },
            request: None,
        });
    }
    let accepted = answer.headers().get("sec-websocket-accept");
    if accepted.is_none_or(|it| it.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(odd("it does not speak as a websocket does"));
    }
    let upgraded = answer
        .upgrade()
        .await
        .map_err(|it| reach::network(&origin, it))?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES))
        .max_frame_size(Some(FRAME_BYTES));
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await;
    let (near, far) = duplex(PIPE_BYTES);
    tokio::spawn(bridge(socket, far));
    Ok(near)
}

/// Carries bytes both ways until either side ends.
async fn bridge(socket: WebSocketStream<reqwest::Upgraded>, pipe: DuplexStream) {
    let (mut sink, mut stream) = socket.split();
    let (mut read, mut write): (ReadHalf<_>, WriteHalf<_>) = split(pipe);
    let inward = async {
        while let Some(Ok(message)) = stream.next().await {
            let bytes = match &message {
                Message::Binary(bytes) => bytes.as_ref(),
                Message::Text(text) => text.as_bytes(),
                Message::Close(_) => break,
                _ => continue,
            };
            if write.write_all(bytes).await.is_err() {
                break;
            }
        }
    };
    let outward = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length) = read.read(&mut buffer).await {
            let piece = buffer[..length].to_vec();
            if length == 0 || sink.send(Message::binary(piece)).await.is_err() {
                break;
            }
        }
        sink.close().await.ok();
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}

/// A server's console log from its beginning, and what comes after; until the reader is dropped.
pub fn follow(session: Arc<Session>, id: String) -> DuplexStream {
    let (near, mut far) = duplex(PIPE_BYTES);
    tokio::spawn(async move {
        let mut known = String::new();
        let mut pause = OFTEN;
        let mut lines = None;
        loop {
            let grew = match console_log(&session, &id, lines).await {
                Ok(now) => {
                    let mut news = news(&known, &now);
                    if news.is_none() && lines.is_some() {
                        // More came than was asked for.
                        lines = None;
                        continue;
                    }
                    let lost = news.is_none();
                    let text = news.take().unwrap_or(&now);
                    let grew = !text.is_empty();
                    if lost && !known.is_empty() && far.write_all(LOST).await.is_err() {
                        return;
                    }
                    if far.write_all(&drawn(text)).await.is_err() {
                        return;
                    }
                    known = now;
                    lines = Some(LINES);
                    grew
                }
                Err(error) => {
                    tracing::debug!(%error, server = id, "no console log just now");
                    false
                }
            };
            pause = if grew {
                OFTEN
            } else {
                (pause * 5 / 4).min(RARELY)
            };
            // A reader that is gone is noticed without writing, too.
            let mut byte = [0];
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                read = far.read(&mut byte) => if !matches!(read, Ok(1..)) { return },
            }
        }
    });
    near
}

const LOST: &[u8] = b"\r\n\x1b[2m[...]\x1b[0m\r\n";

/// What a log has that was not known yet; nothing when it begins anew, or goes on elsewhere.
fn news<'a>(known: &str, now: &'a str) -> Option<&'a str> {
    if known.is_empty() {
        return Some(now);
    }
    // Nova gives the end of the log: what is known is at its beginning, or a part of it is.
    if let Some(rest) = now.strip_prefix(known) {
        return Some(rest);
    }
    let mut start = known.len().saturating_sub(OVERLAP);
    while !known.is_char_boundary(start) {
        start += 1;
    }
    let end = &known[start..];
    if let Some(at) = now.rfind(end) {
        return Some(&now[at + end.len()..]);
    }
    // What came now may be shorter than the overlap: all of it is known.
    known.ends_with(now).then_some("")
}

/// So much of what is known must be found again.
const OVERLAP: usize = 2048;

/// Ends of lines as a terminal wants them.
fn drawn(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + text.len() / 32);
    let mut before = 0;
    for byte in text.bytes() {
        if byte == b'\n' && before != b'\r' {
            bytes.push(b'\r');
        }
        bytes.push(byte);
        before = byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_socket_is_found_behind_every_page() {
        let found = |page: &str| socket(page).map(|it| it.to_string());
        let told = [
            "http://10.0.0.1:6080/vnc_lite.html?path=%3Ftoken%3Dabc",
            "https://cloud.example/novnc/vnc.html?path=novnc%2Fwebsockify%3Ftoken%3Dabc",
            "http://10.0.0.1:6080/vnc_auto.html?token=abc",
            "ws://10.0.0.1:6083/?token=abc",
            "wss://cloud.example/serial?token=abc",
            "spice://10.0.0.1/",
            "file:///etc/passwd",
            "",
        ]
        .map(|page| format!("{page} -> {}", found(page).as_deref().unwrap_or("-")));
        insta::assert_snapshot!(told.join("\n"), @r"
        http://10.0.0.1:6080/vnc_lite.html?path=%3Ftoken%3Dabc -> http://10.0.0.1:6080/?token=abc
        https://cloud.example/novnc/vnc.html?path=novnc%2Fwebsockify%3Ftoken%3Dabc -> https://cloud.example/novnc/websockify?token=abc
        http://10.0.0.1:6080/vnc_auto.html?token=abc -> http://10.0.0.1:6080/websockify?token=abc
        ws://10.0.0.1:6083/?token=abc -> http://10.0.0.1:6083/?token=abc
        wss://cloud.example/serial?token=abc -> https://cloud.example/serial?token=abc
        spice://10.0.0.1/ -> -
        file:///etc/passwd -> -
         -> -
        ");
    }

    #[test]
    fn a_log_goes_on_where_it_was() {
        assert_eq!(news("", "a\nb\n"), Some("a\nb\n"));
        assert_eq!(news("a\nb\n", "a\nb\nc\n"), Some("c\n"));
        assert_eq!(news("a\nb\n", "a\nb\n"), Some(""));
        assert_eq!(news("a\nb\n", "b\n"), Some(""));
        let lines = |range: std::ops::Range<u32>| {
            let lines: Vec<_> = range.map(|it| format!("line {it}\n")).collect();
            lines.concat()
        };
        let (long, later) = (lines(0..500), lines(200..600));
        assert_eq!(news(&long, &later).unwrap().lines().count(), 100);
        assert_eq!(news(&long, "SeaBIOS\n"), None);
        assert_eq!(drawn("a\nb\r\nc"), b"a\r\nb\r\nc");
    }

    proptest! {
        #[test]
        fn what_is_appended_is_the_news(
            known in "[a-zäß\n]{1,400}", more in "[0-9\n]{0,80}", cut in 0_usize..100,
        ) {
            let all = format!("{known}{more}");
            prop_assert_eq!(news(&known, &all), Some(more.as_str()));
            // Nova cuts the beginning at lines; anywhere will do.
            let mut cut = cut.min(known.len().saturating_sub(OVERLAP));
            while !all.is_char_boundary(cut) { cut += 1; }
            prop_assert!(news(&known, &all[cut..]).is_some());
        }

        #[test]
        fn any_address_is_taken_or_refused(page in ".{0,80}") {
            let _ = socket(&page);
        }
    }
}
