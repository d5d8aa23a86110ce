//! What OSv tells through its REST API (`modules/httpserver-api`), where its image has that and it was asked for.
//!
//! The API asks nobody who they are: it is reached at 127.0.0.1, and only at a port that this machine was given for it. What
//! it says is a guest's word: read up to limits, with patience, and what is not as it should be is an error in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Client, Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use windlass_compose::osv_rest;
use windlass_machine::MachineHandle;

use super::{
    GuestEntry, GuestEntryKind, GuestEnvironment, GuestFolder, GuestMemory, GuestNow, GuestProcess,
    GuestProcessState, TracePoint,
};
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// The guest may be slow to answer: it is emulated, and busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest list or text that is read.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// The most entries of a folder, and the most threads, that are shown.
const SHOWN_MAX: usize = 10_000;

/// The API of one guest.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: Client,
    base: String,
    pub(super) port: u16,
}

#[derive(Debug, Deserialize)]
struct Threads {
    list: Vec<Thread>,
}

#[derive(Debug, Deserialize)]
struct Thread {
    id: u32,
    #[serde(default)]
    cpu_ms: u64,
    #[serde(default)]
    stack_size: u64,
    #[serde(default)]
    status: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileStatus {
    #[serde(default)]
    path_suffix: String,
    #[serde(default)]
    pub(super) length: u64,
    /// In seconds since 1970.
    #[serde(default)]
    modification_time: i64,
    /// In octal digits.
    #[serde(default)]
    permission: String,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Counts {
    #[serde(default)]
    list: Vec<Count>,
}

#[derive(Debug, Deserialize)]
struct Count {
    name: String,
    count: u64,
}

impl Api {
    /// The API of a machine that runs.
    pub(super) fn of(handle: &MachineHandle) -> Result<Self> {
        let ports = handle.status().borrow().ports.clone();
        let port = ports.iter().find(|port| port.guest == osv_rest::PORT);
        let Some(port) = port else {
            return Err(AppError::new(
                ErrorKind::Conflict,
                "This OSv guest does not tell what is inside: its image has no REST API",
            )
            .hinted("Add the package osv.httpserver-api, and begin the boot command with `/libhttpserver-api.so &!`")
            .hinted("Or run the appliance on Linux"));
        };
        Self::at(port.host)
    }

    fn at(port: u16) -> Result<Self> {
        let client = Client::builder()
            // What is on this computer is on no other, whatever the settings of proxies say.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .build()
            .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
        let base = format!("http://127.0.0.1:{port}");
        Ok(Self { client, base, port })
    }

    /// Its threads and its memory.
    pub(super) async fn now(&self) -> Result<GuestNow> {
        let mut threads: Threads = self.json("/os/threads").await?;
        let is_cut = threads.list.len() > SHOWN_MAX;
        threads.list.truncate(SHOWN_MAX);
        threads.list.sort_by_key(|thread| thread.id);
        let total_bytes = self.json("/os/memory/total").await?;
        let free_bytes = self.json("/os/memory/free").await?;
        Ok(GuestNow {
            processes: threads.list.into_iter().map(GuestProcess::from).collect(),
            is_cut,
            memory: GuestMemory {
                total_bytes,
                free_bytes,
                available_bytes: free_bytes,
                cache_bytes: 0,
            },
        })
    }

    /// One environment is that of all: OSv has one address space.
    pub(super) async fn environment(&self) -> Result<GuestEnvironment> {
        let command_line: String = self.json("/os/cmdline").await?;
        let lines: Vec<String> = self.json("/env/").await?;
        let mut variables: Vec<_> = lines
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        variables.sort();
        Ok(GuestEnvironment {
            command_line: command_line.trim().to_owned(),
            process: None,
            variables,
        })
    }

    /// What its kernel has said.
    pub(super) async fn kernel_log(&self) -> Result<String> {
        self.json("/os/dmesg").await
    }

    /// What is in a folder, folders first.
    pub(super) async fn folder(&self, path: String) -> Result<GuestFolder> {
        let target = format!("/file{}?op=LISTSTATUS", encoded(&path));
        let statuses: Vec<FileStatus> = self.json(&target).await?;
        let mut entries: Vec<GuestEntry> = statuses
            .into_iter()
            .filter(|status| is_name(&status.path_suffix))
            .map(GuestEntry::from)
            .collect();
        let is_folder = |entry: &GuestEntry| entry.kind == GuestEntryKind::Directory;
        entries.sort_by(|one, other| {
            let folders = is_folder(other).cmp(&is_folder(one));
            folders.then_with(|| one.name.cmp(&other.name))
        });
        let is_cut = entries.len() > SHOWN_MAX;
        entries.truncate(SHOWN_MAX);
        Ok(GuestFolder {
            path,
            entries,
            is_cut,
        })
    }

    /// Whether nothing can be written to a folder, as in all of ROFS; whoever tries waits for ever.
    pub(super) async fn is_read_only(&self, folder: &str) -> Result<bool> {
        const WRITE: u32 = 0o222;
        let status = self.status(folder).await?;
        Ok(status.is_some_and(|status| GuestEntry::from(status).mode & WRITE == 0))
    }

    /// What is at a path; `None` for nothing.
    pub(super) async fn status(&self, path: &str) -> Result<Option<FileStatus>> {
        let target = format!("/file{}?op=GETFILESTATUS", encoded(path));
        match self.json(&target).await {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Copies a file into `to`. Gives its length.
    pub(super) async fn read_file(
        &self,
        path: &str,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64> {
        let status = self.status(path).await?;
        let Some(status) = status.filter(|status| status.kind == "FILE") else {
            let message = format!("The guest has no file {path}");
            return Err(AppError::new(ErrorKind::NotFound, message));
        };
        let target = format!("/file{}?op=GET", encoded(path));
        let answer = self.ask(Method::GET, &target).await?;
        let mut pieces = answer.bytes_stream();
        let mut length = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| Self::silent(&error))?;
            length += piece.len() as u64;
            if length > status.length {
                return Err(Self::strange(&format!(
                    "it sends more of {path} than there is"
                )));
            }
            let written = to.write_all(&piece).await;
            written.doing("write what is in", Path::new(path))?;
        }
        if length < status.length {
            let whole = status.length;
            return Err(Self::strange(&format!(
                "it sends {length} bytes of {whole} of {path}"
            )));
        }
        Ok(length)
    }

    /// Where its kernel can tell what happens there, by name, with how often it did since that was asked for.
    pub(super) async fn trace(&self) -> Result<Vec<TracePoint>> {
        // One place may be in the kernel many times.
        let events: Vec<Event> = self.json("/trace/status").await?;
        let events: BTreeMap<String, Event> = events
            .into_iter()
            .map(|event| (event.id.clone(), event))
            .collect();
        let counts: Counts = self.json("/trace/count").await?;
        let counted = |event: &Event| {
            let mut all = counts.list.iter();
            all.find(|count| count.name == event.name || count.name == event.id)
        };
        let mut points: Vec<_> = events
            .values()
            .take(SHOWN_MAX)
            .map(|event| TracePoint {
                id: event.id.clone(),
                name: event.name.clone(),
                count: counted(event).map(|count| count.count),
            })
            .collect();
        points.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(points)
    }

    /// Begins to count what happens at a place, or ends it.
    pub(super) async fn count(&self, id: &str, is_counted: bool) -> Result<()> {
        let target = format!("/trace/count{}?enabled={is_counted}", encoded(id));
        self.ask(Method::POST, &target).await.map(drop)
    }

    async fn ask(&self, method: Method, target: &str) -> Result<Response> {
        let url = format!("{}{target}", self.base);
        let answer = self.client.request(method, url).send().await;
        let answer = answer.map_err(|error| Self::silent(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(self.refused(target, status, answer).await),
        }
    }

    async fn json<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        let answer = self.ask(Method::GET, target).await?;
        let bytes = self.bounded(answer).await?;
        serde_json::from_slice(&bytes).map_err(|error| Self::strange(&format!("{target}: {error}")))
    }

    async fn bounded(&self, answer: Response) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| Self::silent(&error))?);
            if bytes.len() > ANSWER_MAX_BYTES {
                let limit = ANSWER_MAX_BYTES >> 20;
                return Err(Self::strange(&format!(
                    "an answer is longer than {limit} MiB"
                )));
            }
        }
        Ok(bytes)
    }

    async fn refused(&self, target: &str, status: StatusCode, answer: Response) -> AppError {
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        let bytes = self.bounded(answer).await.unwrap_or_default();
        let said = serde_json::from_slice::<Said>(&bytes).map(|said| said.message);
        let said = said.unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned());
        let said: String = said
            .chars()
            .filter(|it| !it.is_control())
            .take(300)
            .collect();
        let kind = if status == StatusCode::NOT_FOUND {
            ErrorKind::NotFound
        } else {
            ErrorKind::Unavailable
        };
        let asked = target.split('?').next().unwrap_or_default();
        AppError::new(
            kind,
            format!("The guest's REST API refuses {asked}: {said} ({status})"),
        )
    }

    fn silent(error: &reqwest::Error) -> AppError {
        let hint = "See on the console that `/libhttpserver-api.so` runs; the boot command has to begin with it";
        let error = AppError::from_error(ErrorKind::Unavailable, error, Some(hint.to_owned()));
        let mut chain = error.chain;
        chain.insert(0, error.message);
        AppError {
            message: "The guest's REST API does not answer".to_owned(),
            chain,
            ..AppError::new(error.kind, "").hinted(hint)
        }
    }

    fn strange(problem: &str) -> AppError {
        let message = "The guest's REST API answers what cannot be understood";
        AppError {
            chain: vec![problem.to_owned()],
            ..AppError::new(ErrorKind::Unavailable, message)
        }
    }
}

impl FileStatus {
    pub(super) fn is_folder(&self) -> bool {
        self.kind == "DIRECTORY"
    }
}

impl From<Thread> for GuestProcess {
    fn from(thread: Thread) -> Self {
        Self {
            id: thread.id,
            parent: 0,
            name: thread.name,
            state: match thread.status.as_str() {
                "running" | "queued" => GuestProcessState::Running,
                "terminating" | "terminated" | "joined" => GuestProcessState::Ended,
                "prestarted" | "unstarted" => GuestProcessState::Idle,
                _ => GuestProcessState::Sleeping,
            },
            threads: 1,
            cpu_ms: thread.cpu_ms,
            memory_bytes: thread.stack_size,
            command: String::new(),
        }
    }
}

impl From<FileStatus> for GuestEntry {
    fn from(status: FileStatus) -> Self {
        let kind = match status.kind.as_str() {
            "DIRECTORY" => GuestEntryKind::Directory,
            "FILE" => GuestEntryKind::File,
            "SYMLINK" => GuestEntryKind::Symlink,
            _ => GuestEntryKind::Special,
        };
        Self {
            kind,
            size_bytes: status.length,
            mode: u32::from_str_radix(&status.permission, 8).unwrap_or_default() & 0o7777,
            // Some of its file systems keep no times.
            modified: Some(status.modification_time)
                .filter(|time| *time != 0)
                .and_then(|time| jiff::Timestamp::from_second(time).ok())
                .map(|time| time.to_string()),
            name: status.path_suffix,
        }
    }
}

/// A name that leads nowhere else.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// A path as it is in a URL, with a slash before it.
fn encoded(path: &str) -> String {
    let mut text = String::from("/");
    let path = match path.trim_start_matches('/') {
        // The API takes no path for a question about something else.
        "" => "/",
        path => path,
    };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// A guest that answers every question the same.
    async fn guest(answer: impl Into<Vec<u8>>) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = answer.into();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 1024];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(&answer).await;
            }
        });
        Api::at(port).unwrap()
    }

    fn ok(body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n{body}"
        )
    }

    #[tokio::test]
    async fn a_folder_is_what_the_guest_lists_without_what_leads_elsewhere() {
        let status = |name: &str, kind: &str, permission: &str| {
            format!(
                r#"{{"accessTime": 0, "blockSize": 512, "group": "osv", "length": 30, "modificationTime": 0, "owner": "osv", "pathSuffix": "{name}", "permission": "{permission}", "replication": 0, "type": "{kind}"}}"#
            )
        };
        let body = [
            status(".", "DIRECTORY", "555"),
            status("..", "DIRECTORY", "555"),
            status("hosts", "FILE", "644"),
            status("a/../../b", "FILE", "644"),
            status("init", "DIRECTORY", "755"),
        ];
        let api = guest(ok(&format!("[{}]", body.join(",")))).await;
        let folder = api.folder("/etc".to_owned()).await.unwrap();
        let shown: Vec<_> = folder
            .entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.mode, entry.modified.is_none()))
            .collect();
        assert_eq!(shown, [("init", 0o755, true), ("hosts", 0o644, true)]);
    }

    #[tokio::test]
    async fn what_a_guest_should_not_say_is_an_error_in_words() {
        let said = async |answer: Vec<u8>| {
            let api = guest(answer).await;
            let error = api.kernel_log().await.unwrap_err();
            format!("{error} {:?}", error.chain)
        };
        let endless = ok(&format!("\"{}\"", "x".repeat(ANSWER_MAX_BYTES + 1)));
        let message = r#"{"message": "Not found: '/nothing'", "code": 404}"#;
        let gone = ok(message).replace("200 OK", "404 Not Found");
        let cut = "HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n\"x";
        let all = [
            said(endless.into()).await,
            said(ok("{").into()).await,
            said(gone.into()).await,
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        The guest's REST API answers what cannot be understood ["an answer is longer than 8 MiB"]
        The guest's REST API answers what cannot be understood ["/os/dmesg: invalid type: map, expected a string at line 1 column 0"]
        The guest's REST API refuses /os/dmesg: Not found: '/nothing' (404 Not Found) []
        "#);
        assert!(said(cut.into()).await.contains("does not answer"));
        assert!(
            said(b"SSH-2.0\r\n".to_vec())
                .await
                .contains("does not answer")
        );
        let moved =
            "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        assert!(said(moved.into()).await.contains("302"));
    }

    #[test]
    fn paths_are_as_the_api_takes_them() {
        assert_eq!(encoded("/"), "//");
        assert_eq!(encoded("/etc/a b?op=DELETE"), "/etc/a%20b%3Fop%3DDELETE");
    }
}
