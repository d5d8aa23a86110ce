//! Consoles by websocket, of a proxy that the test plays.

use std::net::SocketAddr;
use std::path::PathBuf;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use windlass_cloud::compute::consoles::dial;
use windlass_cloud::{Error, Profile};

use crate::way;

/// A proxy that lets in whoever has the token, greets, and sends back what it hears in capitals.
async fn proxy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                #[expect(clippy::result_large_err, reason = "it is tungstenite's own")]
                let look = |request: &Request, mut response: Response| {
                    let header = |name: &str| request.headers().get(name).cloned();
                    // Nova's proxies ask for these, and refuse a page from elsewhere.
                    let right = request.uri().query() == Some("token=secret")
                        && header("origin").is_none()
                        && header("sec-websocket-protocol").is_some_and(|it| it == "binary");
                    if !right {
                        let mut refusal =
                            http::Response::new(Some("The token has expired".to_owned()));
                        *refusal.status_mut() = http::StatusCode::FORBIDDEN;
                        return Err(refusal);
                    }
                    let headers = response.headers_mut();
                    headers.insert("sec-websocket-protocol", "binary".parse().unwrap());
                    Ok(response)
                };
                let Ok(mut socket) = accept_hdr_async(stream, look).await else {
                    return;
                };
                socket
                    .send(Message::binary(b"RFB 003.008\n".to_vec()))
                    .await
                    .unwrap();
                socket.send(Message::Ping(Vec::new().into())).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Binary(bytes) = message else {
                        continue;
                    };
                    if bytes.as_ref() == b"leave" {
                        socket.close(None).await.ok();
                        return;
                    }
                    let answer = bytes.to_ascii_uppercase();
                    socket.send(Message::binary(answer)).await.unwrap();
                }
            });
        }
    });
    address
}

async fn spoken(profile: &Profile, page: &str) {
    let mut console = dial(profile, page).await.unwrap();
    let mut said = vec![0; 12];
    console.read_exact(&mut said).await.unwrap();
    assert_eq!(said, b"RFB 003.008\n");
    // More than a pipe holds, in both directions at once.
    let typed = vec![b'a'; 3 << 20];
    let (mut read, mut write) = tokio::io::split(console);
    let writing = tokio::spawn(async move {
        write.write_all(&typed).await.unwrap();
        write
    });
    let mut heard = vec![0; 3 << 20];
    read.read_exact(&mut heard).await.unwrap();
    assert!(heard.iter().all(|it| *it == b'A'));
    let mut write = writing.await.unwrap();
    write.write_all(b"leave").await.unwrap();
    // Where the proxy ends, the console ends.
    assert_eq!(read.read(&mut heard).await.unwrap(), 0);
}

#[tokio::test]
async fn a_console_is_a_pipe_of_bytes() {
    let address = proxy().await;
    let page = format!("http://{address}/vnc_lite.html?path=%3Ftoken%3Dsecret");
    spoken(&Profile::default(), &page).await;
    spoken(
        &Profile::default(),
        &format!("ws://{address}/?token=secret"),
    )
    .await;
}

#[tokio::test]
async fn a_console_behind_tls_is_trusted_as_the_cloud_is() {
    let (address, authority) = way::tls(proxy().await, "localhost").await;
    let page = format!("wss://localhost:{}/?token=secret", address.port());
    let unknown = dial(&Profile::default(), &page).await.unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("an authority that is not known"),
        "{unknown}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("ca.pem");
    std::fs::write(&path, authority).unwrap();
    let profile = Profile {
        ca_file: Some(path),
        ..Profile::default()
    };
    spoken(&profile, &page).await;
}

#[tokio::test]
async fn a_proxy_that_refuses_says_why_and_no_error_has_the_token() {
    let address = proxy().await;
    let profile = Profile::default();
    let mut text = String::new();
    for page in [
        format!("http://{address}/?token=stale"),
        format!("http://{}/?token=secret", way::nobody().await),
        "gopher://x/?token=secret".to_owned(),
    ] {
        let error = dial(&profile, &page).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Refused { .. } | Error::Network { .. } | Error::Answer { .. }
            ),
            "{error:?}"
        );
        let all = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
        assert!(!all.contains("secret") && !all.contains("stale"), "{all}");
        text += &format!("{error}\n");
    }
    assert!(text.contains("The token has expired"), "{text}");
}
