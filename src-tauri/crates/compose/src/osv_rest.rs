//! Files for an OSv guest that serves its REST API (`modules/httpserver-api`, port 8000).
//!
//! ```text
//!   POST   /file/PATH                        multipart, as curl sends it: written beside and renamed
//!   PUT    /file/PATH?op=RENAME&destination=PATH&permission=755      onto itself: only the mode changes
//!   PUT    /file/PATH?op=MKDIRS&permission=755
//!   DELETE /file/PATH?op=DELETE&recursive=false
//!   GET    /file/PATH?op=GETFILESTATUS       {"length": …, …}
//! ```
//!
//! The API knows no symlinks. It asks nobody who they are: whoever reaches the port can do all of this.
//! One request a connection. What the guest says is bounded, and read with patience.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_image::{GuestPath, Source};

use crate::error::{Error, IoContext};

/// The port that the API is served on unless it is told otherwise.
pub const PORT: u16 = 8000;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer that is read.
const ANSWER_MAX_BYTES: u64 = 1 << 20;
const CHUNK_BYTES: usize = 256 << 10;
/// Between the parts of a message, and in no file that we are likely to send at the beginning of a line.
const BOUNDARY: &str = "------------------------windlass0file0boundary";

/// The REST API of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsvRest {
    host: String,
    port: u16,
}

/// What the guest answered.
struct Answer {
    status: u16,
    body: String,
}

impl OsvRest {
    /// The API at this address. Nothing is asked yet.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self { host, port }
    }

    /// The version of OSv, which also says whether anybody is there.
    ///
    /// # Errors
    /// [`Error::Rest`].
    pub fn version(&self) -> Result<String, Error> {
        let answer = self.ask("GET", "/os/version")?;
        Ok(answer.body.trim().trim_matches('"').to_owned())
    }

    /// Writes a file, and looks whether all of it is there. `sent` is told of bytes.
    ///
    /// # Errors
    /// [`Error::Rest`]; [`Error::Changed`], [`Error::Io`] for the source; [`Error::Cancelled`].
    pub fn write_file(
        &self,
        path: &GuestPath,
        mode: u32,
        size_bytes: u64,
        source: &Source,
        sent: &mut dyn FnMut(u64),
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let place = encoded(path.as_bytes());
        let before = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let after = format!("\r\n--{BOUNDARY}--\r\n");
        let length = before.len() as u64 + size_bytes + after.len() as u64;
        let mut stream = self.connect()?;
        let head = format!(
            "POST /file{place} HTTP/1.1\r\nHost: {}:{}\r\nContent-Length: {length}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n{before}",
            self.host, self.port
        );
        let failed = |error: io::Error| self.failed(error.to_string());
        stream.write_all(head.as_bytes()).map_err(failed)?;
        if let Source::Bytes(bytes) = source {
            stream.write_all(bytes).map_err(failed)?;
            sent(bytes.len() as u64);
        } else if let Some(path) = source.file(path) {
            let file = std::fs::File::open(&path).context("open", &path)?;
            let mut file = file.take(size_bytes);
            let mut buffer = vec![0; CHUNK_BYTES];
            let mut rest = size_bytes;
            while rest > 0 {
                if cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                let count = file.read(&mut buffer).context("read", &path)?;
                if count == 0 {
                    return Err(Error::Changed {
                        path: path.into_owned(),
                        what: format!("it has {rest} bytes less"),
                    });
                }
                let bytes = buffer.get(..count).unwrap_or_default();
                stream.write_all(bytes).map_err(failed)?;
                rest -= count as u64;
                sent(count as u64);
            }
        }
        stream.write_all(after.as_bytes()).map_err(failed)?;
        self.accepted(path, self.answer(&mut stream)?)?;
        let status = self.ask("GET", &format!("/file{place}?op=GETFILESTATUS"))?;
        let status: serde_json::Value = serde_json::from_str(&status.body)
            .map_err(|error| self.failed(format!("the status of {path} is no JSON: {error}")))?;
        if status.get("length").and_then(serde_json::Value::as_u64) != Some(size_bytes) {
            let found = status.get("length").unwrap_or(&serde_json::Value::Null);
            return Err(self.failed(format!(
                "{path} has {found} bytes there instead of {size_bytes}"
            )));
        }
        self.set_mode(path, mode)
    }

    /// Gives a file other permission bits.
    ///
    /// # Errors
    /// [`Error::Rest`].
    pub fn set_mode(&self, path: &GuestPath, mode: u32) -> Result<(), Error> {
        let place = encoded(path.as_bytes());
        let asked = format!("/file{place}?op=RENAME&destination={place}&permission={mode:o}");
        self.ask("PUT", &asked).map(drop)
    }

    /// Makes a directory with all that leads to it.
    ///
    /// # Errors
    /// [`Error::Rest`].
    pub fn make_directory(&self, path: &GuestPath, mode: u32) -> Result<(), Error> {
        let place = encoded(path.as_bytes());
        let asked = format!("/file{place}?op=MKDIRS&permission={mode:o}");
        self.ask("PUT", &asked).map(drop)
    }

    /// Removes a file or an empty directory. What is not there is gone already.
    ///
    /// # Errors
    /// [`Error::Rest`].
    pub fn remove(&self, path: &GuestPath) -> Result<(), Error> {
        let place = encoded(path.as_bytes());
        let mut stream = self.connect()?;
        let asked = format!("/file{place}?op=DELETE&recursive=false");
        self.say(&mut stream, "DELETE", &asked)?;
        let answer = self.answer(&mut stream)?;
        if answer.status == 404 {
            return Ok(());
        }
        self.accepted(path, answer).map(drop)
    }

    fn ask(&self, method: &str, target: &str) -> Result<Answer, Error> {
        let mut stream = self.connect()?;
        self.say(&mut stream, method, target)?;
        let answer = self.answer(&mut stream)?;
        self.accepted(target, answer)
    }

    fn say(&self, stream: &mut TcpStream, method: &str, target: &str) -> Result<(), Error> {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}:{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.host, self.port
        );
        let said = stream.write_all(head.as_bytes());
        said.map_err(|error| self.failed(error.to_string()))
    }

    fn accepted(&self, what: impl std::fmt::Display, answer: Answer) -> Result<Answer, Error> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let said: String = answer.body.chars().take(300).collect();
        Err(self.failed(format!("{what}: status {}: {said}", answer.status)))
    }

    fn connect(&self) -> Result<TcpStream, Error> {
        let failed = |error: io::Error| self.failed(error.to_string());
        let addresses = (self.host.as_str(), self.port).to_socket_addrs();
        let mut problem = self.failed("the name has no address".to_owned());
        for address in addresses.map_err(failed)? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream
                        .set_read_timeout(Some(ANSWER_TIMEOUT))
                        .map_err(failed)?;
                    stream
                        .set_write_timeout(Some(ANSWER_TIMEOUT))
                        .map_err(failed)?;
                    return Ok(stream);
                }
                Err(error) => problem = failed(error),
            }
        }
        Err(problem)
    }

    /// Reads status, headers and as much of a body as they announce.
    fn answer(&self, stream: &mut TcpStream) -> Result<Answer, Error> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Some(answer) = complete(&bytes) {
                return Ok(answer);
            }
            let count = match stream.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    let seconds = ANSWER_TIMEOUT.as_secs();
                    return Err(self.failed(format!("no answer within {seconds} seconds")));
                }
                Err(error) => return Err(self.failed(error.to_string())),
            };
            if count == 0 || bytes.len() as u64 > ANSWER_MAX_BYTES {
                let length = bytes.len();
                let problem =
                    format!("its answer of {length} bytes is none of HTTP, or is cut off");
                return Err(self.failed(problem));
            }
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }

    fn failed(&self, problem: String) -> Error {
        Error::Rest {
            address: format!("{}:{}", self.host, self.port),
            problem,
        }
    }
}

/// The answer, if all of it is there.
fn complete(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?);
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.trim().parse::<usize>().ok())?;
    let start = end + 4;
    let body = bytes.get(start..start.checked_add(length)?)?;
    Some(Answer {
        status,
        body: String::from_utf8_lossy(body).into_owned(),
    })
}

/// An absolute path as it is in a URL.
fn encoded(path: &[u8]) -> String {
    let mut text = String::from("/");
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let whole = b"HTTP/1.1 404 Not Found\r\nServer: x\r\ncontent-length: 5\r\n\r\nerror";
        for length in 0..whole.len() {
            assert!(complete(&whole[..length]).is_none(), "{length}");
        }
        let answer = complete(whole).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "error"));
        assert!(
            complete(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n").is_none()
        );
        assert_eq!(
            encoded("app/größe 100%".as_bytes()),
            "/app/gr%C3%B6%C3%9Fe%20100%25"
        );
    }
}
