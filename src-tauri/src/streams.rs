//! Byte streams between the window and a machine: its console and its display.
//!
//! ```text
//!  console log ─read by offset─►┐
//!                               ├─► Channel (raw bytes) ─► xterm.js, noVNC
//!  VNC socket  ─────────────────┘
//!  serial, VNC socket ◄── stream_write (raw body, header "stream")
//! ```
//!
//! A Tauri channel knows no back-pressure. The window therefore acknowledges what xterm has
//! drawn, and a console stream stops reading while more than [`WINDOW_BYTES`] are on the way. A
//! display needs none: its protocol sends a picture only when the window has asked for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tauri::ipc::{Channel, InvokeResponseBody, IpcResponse};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use windlass_workshop::clouds::ServerConsole;
use windlass_workshop::error::{AppError, Result};
use windlass_workshop::machines::{Console, Display};

/// The largest message; larger ones gain nothing (measured: the parser of xterm is the limit).
const CHUNK_BYTES: usize = 64 * 1024;
/// How much of a console may be on its way to the window.
const WINDOW_BYTES: usize = 1024 * 1024;
/// How many writes may wait for a slow guest.
const WRITES_WAITING: usize = 256;

/// Bytes that reach the window as an `ArrayBuffer`.
#[derive(Debug)]
pub struct Bytes(pub Vec<u8>);

impl IpcResponse for Bytes {
    fn body(self) -> tauri::Result<InvokeResponseBody> {
        Ok(InvokeResponseBody::Raw(self.0))
    }
}

impl specta::Type for Bytes {
    fn definition(_: &mut specta::Types) -> specta::datatype::DataType {
        specta_typescript::define("ArrayBuffer").into()
    }
}

/// The open streams.
#[derive(Debug, Default, Clone)]
pub struct Streams {
    open: Arc<Mutex<HashMap<String, Stream>>>,
}

#[derive(Debug, Clone)]
struct Stream {
    cancel: CancellationToken,
    input: mpsc::Sender<Vec<u8>>,
    credit: Arc<Semaphore>,
}

impl Streams {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Stream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Result<Stream> {
        self.lock()
            .get(id)
            .cloned()
            .ok_or_else(|| AppError::not_found("open stream", id))
    }

    fn insert(&self) -> (String, Stream, mpsc::Receiver<Vec<u8>>) {
        let id = windlass_workshop::new_id();
        let (input, receiver) = mpsc::channel(WRITES_WAITING);
        let stream = Stream {
            cancel: CancellationToken::new(),
            input,
            credit: Arc::new(Semaphore::new(WINDOW_BYTES)),
        };
        self.lock().insert(id.clone(), stream.clone());
        (id, stream, receiver)
    }

    /// Streams a machine's console from a byte offset on, and follows it.
    pub fn open_console(&self, mut console: Console, channel: Channel<Bytes>) -> String {
        let (id, stream, mut input) = self.insert();
        let mut keyboard = console.input();
        let writing = stream.cancel.clone();
        tauri::async_runtime::spawn(async move {
            let typing = async {
                while let Some(bytes) = input.recv().await {
                    if let Err(error) = keyboard.write(&bytes).await {
                        tracing::debug!(%error, "console input was not taken");
                    }
                }
            };
            // A guest that does not listen keeps nobody from closing.
            writing.run_until_cancelled(typing).await;
        });
        let streams = self.clone();
        let closing = id.clone();
        tauri::async_runtime::spawn(async move {
            let pump = async {
                let mut buffer = vec![0; CHUNK_BYTES];
                while let Ok(length) = console.read(&mut buffer).await {
                    let permits = u32::try_from(length).unwrap_or(u32::MAX);
                    let Ok(credit) = stream.credit.acquire_many(permits).await else {
                        break;
                    };
                    credit.forget();
                    if channel.send(Bytes(buffer[..length].to_vec())).is_err() {
                        break;
                    }
                }
            };
            tokio::select! { () = pump => {}, () = stream.cancel.cancelled() => {} }
            streams.close(&closing);
        });
        id
    }

    /// Streams a machine's display: the RFB protocol, both ways.
    pub fn open_display(&self, display: Display, channel: Channel<Bytes>) -> String {
        let (reader, writer) = display.split();
        self.open_pipe(reader, writer, false, channel)
    }

    /// Streams a server's console or display. A console's bytes are to be acknowledged.
    pub fn open_server(
        &self,
        console: ServerConsole,
        acknowledged: bool,
        channel: Channel<Bytes>,
    ) -> String {
        let (reader, writer) = tokio::io::split(console);
        self.open_pipe(reader, writer, acknowledged, channel)
    }

    fn open_pipe(
        &self,
        mut reader: impl AsyncRead + Unpin + Send + 'static,
        mut writer: impl AsyncWrite + Unpin + Send + 'static,
        acknowledged: bool,
        channel: Channel<Bytes>,
    ) -> String {
        let (id, stream, mut input) = self.insert();
        let streams = self.clone();
        let closing = id.clone();
        tauri::async_runtime::spawn(async move {
            let outward = async {
                let mut buffer = vec![0; CHUNK_BYTES];
                while let Ok(length) = reader.read(&mut buffer).await {
                    if acknowledged {
                        let permits = u32::try_from(length).unwrap_or(u32::MAX);
                        let Ok(credit) = stream.credit.acquire_many(permits).await else {
                            break;
                        };
                        credit.forget();
                    }
                    if length == 0 || channel.send(Bytes(buffer[..length].to_vec())).is_err() {
                        break;
                    }
                }
            };
            let inward = async {
                while let Some(bytes) = input.recv().await {
                    if writer.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                () = outward => {},
                () = inward => {},
                () = stream.cancel.cancelled() => {},
            }
            // An empty message says that the stream has ended.
            let _ = channel.send(Bytes(Vec::new()));
            streams.close(&closing);
        });
        id
    }

    /// Sends what the user typed.
    ///
    /// # Errors
    /// `NotFound` when the stream is closed.
    pub async fn write(&self, id: &str, bytes: Vec<u8>) -> Result<()> {
        let stream = self.get(id)?;
        stream
            .input
            .send(bytes)
            .await
            .map_err(|_| AppError::not_found("open stream", id))
    }

    /// Takes note that the window has drawn so many bytes.
    ///
    /// # Errors
    /// `NotFound` when the stream is closed.
    pub fn acknowledge(&self, id: &str, bytes: usize) -> Result<()> {
        let stream = self.get(id)?;
        // The window cannot earn itself more credit than there is.
        let missing = WINDOW_BYTES.saturating_sub(stream.credit.available_permits());
        stream.credit.add_permits(bytes.min(missing));
        Ok(())
    }

    /// Closes all streams: the page that read them is gone, and nobody will acknowledge what they say.
    pub fn close_all(&self) {
        for (_, stream) in self.lock().drain() {
            stream.cancel.cancel();
        }
    }

    /// Closes a stream; closing one that is closed is no error.
    pub fn close(&self, id: &str) {
        if let Some(stream) = self.lock().remove(id) {
            stream.cancel.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_that_is_gone_leaves_no_stream() {
        let streams = Streams::default();
        let (id, stream, _input) = streams.insert();
        let (_, other, _input) = streams.insert();
        streams.close_all();
        assert!(stream.cancel.is_cancelled() && other.cancel.is_cancelled());
        assert!(streams.write(&id, b"x".to_vec()).await.is_err());
        streams.close(&id);
    }

    #[test]
    fn the_window_earns_no_more_credit_than_there_is() {
        let streams = Streams::default();
        let (id, stream, _input) = streams.insert();
        stream.credit.try_acquire_many(10).unwrap().forget();
        streams.acknowledge(&id, 4).unwrap();
        assert_eq!(stream.credit.available_permits(), WINDOW_BYTES - 6);
        streams.acknowledge(&id, usize::MAX).unwrap();
        assert_eq!(stream.credit.available_permits(), WINDOW_BYTES);
    }
}
