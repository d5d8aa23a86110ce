//! QEMU's machine protocol (QMP): one JSON object per line over a unix socket.
//!
//! ```text
//!   QEMU: {"QMP": {"version": …, "capabilities": […]}}          the greeting
//!   we:   {"execute": "qmp_capabilities", "id": 0}
//!   QEMU: {"return": {}, "id": 0}                               from here on, commands and events
//!   we:   {"execute": "stop", "id": 1}
//!   QEMU: {"event": "STOP", "timestamp": …, "data": …}          at any time, between answers too
//!   QEMU: {"return": {}, "id": 1}  or  {"error": {"class": …, "desc": …}, "id": 1}
//! ```
//!
//! Only what we use is typed, and unknown members, events and values are passed over: QEMU adds to all of them with every
//! release. QEMU may close the connection in the middle of the answer to `quit`; that is an answer too.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// A QEMU that works answers within milliseconds; one on a computer out of memory may take long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A line longer than this is no answer that we ask for.
const LINE_MAX_BYTES: u64 = 8 << 20;
/// Events that wait to be read; a reader that lags behind asks for the state instead.
const EVENTS_MAX: usize = 256;

/// Something that QEMU tells by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QmpEvent {
    /// Its name, in capitals: `SHUTDOWN`.
    pub(crate) name: String,
    /// What belongs to it.
    pub(crate) data: Value,
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) arguments: Value,
}

impl Command {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            arguments: Value::Null,
        }
    }

    pub(crate) fn with(name: &'static str, arguments: Value) -> Self {
        Self { name, arguments }
    }
}

/// A connection to QEMU. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    requests: mpsc::Sender<Pending>,
    /// QEMU's process, as the kernel knows it from the socket.
    pub(crate) pid: Option<i32>,
}

#[derive(Debug)]
struct Pending {
    command: Command,
    /// What goes along with it.
    file: Option<OwnedFd>,
    reply: oneshot::Sender<Answer>,
}

/// What it returns is not looked into here.
type Answer = std::result::Result<Option<Box<RawValue>>, String>;

/// A line from QEMU; which members are there says what it is.
#[derive(Debug, Deserialize)]
struct Line {
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(rename = "return")]
    result: Option<Box<RawValue>>,
    error: Option<Refusal>,
    #[serde(default)]
    id: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    desc: String,
}

impl Qmp {
    /// Connects, and gets as far as the first command. Events are heard from the moment of connection on.
    pub(crate) async fn connect(
        socket: &Path,
    ) -> io::Result<(Self, broadcast::Receiver<QmpEvent>)> {
        let stream = UnixStream::connect(socket).await?;
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        read_line(&mut stream, &mut line).await?;
        let greeting: Value = serde_json::from_slice(&line)?;
        if greeting["QMP"]["version"].is_null() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no greeting of QEMU's",
            ));
        }
        let (events, receiver) = broadcast::channel(EVENTS_MAX);
        let (requests, queue) = mpsc::channel(16);
        tokio::spawn(
            Connection {
                stream,
                events,
                waiting: HashMap::new(),
                next_id: 0,
            }
            .run(queue),
        );
        let qmp = Self { requests, pid };
        qmp.execute(Command::new("qmp_capabilities"))
            .await
            .map_err(io::Error::other)?;
        Ok((qmp, receiver))
    }

    /// Has QEMU carry out a command.
    pub(crate) async fn execute(&self, command: Command) -> Result<Value> {
        self.ask(command, None).await
    }

    /// The same, for an answer of which little is wanted.
    pub(crate) async fn execute_for<T: DeserializeOwned>(&self, command: Command) -> Result<T> {
        self.ask(command, None).await
    }

    /// The same, with an open file that QEMU gets along with it.
    pub(crate) async fn execute_with_file(&self, command: Command, file: OwnedFd) -> Result<Value> {
        self.ask(command, Some(file)).await
    }

    async fn ask<T: DeserializeOwned>(&self, command: Command, file: Option<OwnedFd>) -> Result<T> {
        let name = command.name;
        let no_answer = || Error::NoAnswer {
            what: name.to_owned(),
        };
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Pending {
                command,
                file,
                reply,
            })
            .await
            .map_err(|_| no_answer())?;
        let answer = timeout(ANSWER_TIMEOUT, answer)
            .await
            .map_err(|_| no_answer())?;
        let understand = |text: &str| {
            serde_json::from_str(text).map_err(|error| Error::Qmp {
                command: name.to_owned(),
                message: error.to_string(),
            })
        };
        match answer {
            Ok(Ok(Some(value))) => understand(value.get()),
            Ok(Ok(None)) => understand("null"),
            Ok(Err(message)) => Err(Error::Qmp {
                command: name.to_owned(),
                message,
            }),
            // It did as it was told, and was gone before the answer was out.
            Err(_) if name == "quit" => understand("null"),
            Err(_) => Err(no_answer()),
        }
    }
}

/// The task that owns the connection.
struct Connection {
    stream: BufReader<UnixStream>,
    events: broadcast::Sender<QmpEvent>,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    next_id: u64,
}

impl Connection {
    async fn run(mut self, mut queue: mpsc::Receiver<Pending>) {
        let mut line = Vec::new();
        loop {
            tokio::select! {
                // Bytes that were read stay in `line` when the other branch is taken.
                read = read_line(&mut self.stream, &mut line) => {
                    if let Err(error) = read {
                        tracing::debug!(%error, "QMP connection ended");
                        return;
                    }
                    self.take(&line);
                    line.clear();
                }
                pending = queue.recv() => {
                    let Some(pending) = pending else { return };
                    if let Err(error) = self.send(pending).await {
                        tracing::debug!(%error, "QMP command not sent");
                    }
                }
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        match serde_json::from_slice::<Line>(line) {
            Ok(Line {
                event: Some(name),
                data,
                ..
            }) => {
                tracing::debug!(event = name, %data, "QMP");
                let _nobody_listens = self.events.send(QmpEvent { name, data });
            }
            Ok(Line {
                id: Some(id),
                result,
                error,
                ..
            }) => {
                let answer = match error {
                    Some(Refusal { desc }) => Err(desc),
                    None => Ok(result),
                };
                if let Some(reply) = self.waiting.remove(&id) {
                    let _gave_up_waiting = reply.send(answer);
                }
            }
            Ok(_) => tracing::debug!("QMP line that is neither event nor answer"),
            Err(error) => tracing::warn!(%error, "QMP line that does not parse"),
        }
    }

    async fn send(
        &mut self,
        Pending {
            command,
            file,
            reply,
        }: Pending,
    ) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = json!({ "execute": command.name, "id": id });
        if !command.arguments.is_null() {
            request["arguments"] = command.arguments;
        }
        self.waiting.retain(|_, reply| !reply.is_closed());
        self.waiting.insert(id, reply);
        let text = format!("{request}\n");
        let sent = match file {
            Some(file) => send_file(self.stream.get_ref(), text.as_bytes(), &file).await?,
            None => 0,
        };
        let rest = text.as_bytes().get(sent..).unwrap_or_default();
        self.stream.write_all(rest).await
    }
}

/// Sends the beginning of `bytes` with an open file beside it (`SCM_RIGHTS`); says how much of them went.
async fn send_file(stream: &UnixStream, bytes: &[u8], file: &OwnedFd) -> io::Result<usize> {
    stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            let files = [file.as_fd()];
            beside.push(SendAncillaryMessage::ScmRights(&files));
            let bytes = [io::IoSlice::new(bytes)];
            let sent = sendmsg(stream, &bytes, &mut beside, SendFlags::NOSIGNAL)?;
            Ok(sent)
        })
        .await
}

/// Appends to `line` up to and with the next newline; may be dropped and called again with the same `line`.
async fn read_line(stream: &mut BufReader<UnixStream>, line: &mut Vec<u8>) -> io::Result<()> {
    let limit = LINE_MAX_BYTES.saturating_sub(line.len() as u64);
    stream.take(limit).read_until(b'\n', line).await?;
    if line.last() == Some(&b'\n') {
        return Ok(());
    }
    Err(if line.len() as u64 >= LINE_MAX_BYTES {
        io::Error::new(io::ErrorKind::InvalidData, "a line without end")
    } else {
        io::ErrorKind::UnexpectedEof.into()
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// A QEMU that sends `lines` after the greeting and the capabilities, whatever it is asked, and hangs up.
    async fn qemu_that_says(
        lines: &'static str,
    ) -> (tempfile::TempDir, Qmp, broadcast::Receiver<QmpEvent>) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let greeting =
                "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 99}}, \"capabilities\": []}}\r\n";
            stream.write_all(greeting.as_bytes()).await.unwrap();
            let mut asked = Vec::new();
            read_line(&mut stream, &mut asked).await.unwrap();
            stream
                .write_all(b"{\"return\": {}, \"id\": 0}\r\n")
                .await
                .unwrap();
            read_line(&mut stream, &mut asked).await.unwrap();
            stream.write_all(lines.as_bytes()).await.unwrap();
        });
        let (qmp, events) = Qmp::connect(&socket).await.unwrap();
        (folder, qmp, events)
    }

    #[tokio::test]
    async fn answers_are_matched_by_id_among_events_and_what_nobody_knows() {
        let (_folder, qmp, mut events) = qemu_that_says(concat!(
            "{\"event\": \"NEWER_THAN_WE_ARE\", \"data\": {\"a\": [1]}, \"timestamp\": {}}\r\n",
            "{\"return\": \"of somebody else\", \"id\": 77}\r\n",
            "{\"something\": \"else\"}\r\n",
            "no JSON at all\r\n",
            "{\"event\": \"STOP\"}\r\n",
            "{\"return\": {\"running\": false}, \"id\": 1}\r\n",
        ))
        .await;
        let answer = qmp.execute(Command::new("query-status")).await.unwrap();
        assert_eq!(answer, json!({ "running": false }));
        let mut names = Vec::new();
        while let Ok(event) = events.recv().await {
            names.push(event.name);
        }
        assert_eq!(
            names,
            ["NEWER_THAN_WE_ARE", "STOP"],
            "and the connection's end is heard"
        );
    }

    #[tokio::test]
    async fn a_refusal_carries_qemus_words() {
        let (_folder, qmp, _events) = qemu_that_says(
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": 1}\r\n",
        )
        .await;
        let error = qmp.execute(Command::new("stop")).await.unwrap_err();
        insta::assert_snapshot!(error, @"QEMU refused stop: no such thing");
    }

    #[tokio::test]
    async fn hanging_up_answers_quit_and_nothing_else() {
        let (_folder, qmp, _events) = qemu_that_says("").await;
        assert!(qmp.execute(Command::new("quit")).await.is_ok());
        let (_folder, qmp, _events) = qemu_that_says("{\"return\"").await;
        let error = qmp.execute(Command::new("stop")).await.unwrap_err();
        insta::assert_snapshot!(error, @"QEMU does not answer: stop");
    }
}
