//! Files for an OSv guest in which `cpiod` listens.
//!
//! `tools/cpiod` of OSv takes one connection, on TCP port 10000 unless it is told otherwise, and reads a cpio stream from it
//! (`newc`: a header of hexadecimal numbers, the name and the content, each filled up to four bytes, `TRAILER!!!` at the
//! end). We close our half then; it writes everything to the disk and closes its own: only that says that all arrived.
//!
//! It puts its `--prefix` before each name, so names begin with a slash here, which is right for a prefix with and without
//! one at its end. It makes what is missing of a path, writes over files, and gives up at a symlink that is there already.
//! It removes nothing. Whoever reaches the port can write anything: it belongs on a network that is trusted.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use windlass_image::{GuestPath, Source};

use crate::error::Error;
use crate::plan::{EntryKind, Origin, Plan};

/// The port that cpiod listens on unless it is told otherwise.
pub const PORT: u16 = 10_000;

const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
/// cpiod takes these of a mode.
const PERMISSIONS: u32 = 0o777;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often one looks whether it is cancelled while the guest takes nothing.
const TICK: Duration = Duration::from_millis(200);
/// How long the guest may take nothing, or write to its disk.
const PATIENCE: Duration = Duration::from_mins(2);
const CHUNK_BYTES: usize = 256 << 10;

/// One thing that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it will be.
    pub path: GuestPath,
    /// What it is.
    pub content: MemberContent,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberContent {
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Its length; less than 4 GiB.
        size_bytes: u64,
        /// Where its bytes are.
        source: Source,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
}

/// All that a plan's packages and appliance have; what we add for a new image is left out.
pub fn members_of(plan: &Plan) -> Vec<Member> {
    members_from(plan, 1)
}

/// All that a plan has: for a disk of its own.
pub fn everything(plan: &Plan) -> Vec<Member> {
    members_from(plan, 0)
}

fn members_from(plan: &Plan, lowest_layer: usize) -> Vec<Member> {
    let ours = plan
        .entries()
        .filter(|(_, entry)| entry.layer >= lowest_layer);
    let member = |(path, entry): (GuestPath, crate::plan::Entry)| {
        let content = match (&entry.kind, &entry.origin) {
            (EntryKind::Directory, _) => MemberContent::Directory { mode: entry.mode },
            (EntryKind::Symlink { target }, _) => MemberContent::Symlink {
                target: target.clone(),
            },
            (EntryKind::File, origin) => MemberContent::File {
                mode: entry.mode,
                size_bytes: entry.size_bytes,
                source: match origin {
                    Origin::Host { folder, .. } => Source::Below(folder.clone()),
                    Origin::Made(bytes) => Source::Bytes(bytes.clone()),
                    Origin::None => return None,
                },
            },
        };
        Some(Member { path, content })
    };
    ours.filter_map(member).collect()
}

/// Connects to a cpiod, sends, and waits until the guest has all of it on its disk. `progress` is told of bytes.
///
/// # Errors
/// [`Error::Cpiod`] where the guest cannot be reached or does not take it; [`Error::Changed`] where a file is not what it was;
/// [`Error::Io`] where one cannot be read; [`Error::Cancelled`]. The guest may have some of it then.
pub fn send(
    host: &str,
    port: u16,
    members: &[Member],
    progress: &mut dyn FnMut(u64),
    cancel: &CancellationToken,
) -> Result<u64, Error> {
    let address = format!("{host}:{port}");
    let refused = |problem: String| Error::Cpiod {
        address: address.clone(),
        problem,
    };
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| refused(error.to_string()))?;
    let mut problem = "the name has no address".to_owned();
    for socket in found {
        match TcpStream::connect_timeout(&socket, CONNECT_TIMEOUT) {
            Ok(stream) => return send_to(&stream, &address, members, progress, cancel),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(refused(problem))
}

/// As [`send`], over a connection that is there.
///
/// # Errors
/// As [`send`].
pub fn send_to(
    stream: &TcpStream,
    address: &str,
    members: &[Member],
    progress: &mut dyn FnMut(u64),
    cancel: &CancellationToken,
) -> Result<u64, Error> {
    let refused = |problem: String| Error::Cpiod {
        address: address.to_owned(),
        problem,
    };
    let failed = |error: io::Error| refused(in_words(&error));
    for timeout in [
        stream.set_read_timeout(Some(TICK)),
        stream.set_write_timeout(Some(TICK)),
    ] {
        timeout.map_err(failed)?;
    }
    let mut wire = Wire {
        stream,
        address,
        cancel,
        sent: 0,
    };
    for member in members {
        wire.member(member)?;
        progress(wire.sent);
    }
    wire.entry(TRAILER, 0, 0)?;
    stream.shutdown(Shutdown::Write).map_err(failed)?;
    let began = Instant::now();
    let mut stream = stream;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match stream.read(&mut [0; 64]) {
            Ok(0) => return Ok(wire.sent),
            Ok(_) => {}
            Err(error) if is_tick(&error) && began.elapsed() < PATIENCE => {}
            Err(error) if is_tick(&error) => {
                return Err(refused(
                    "it took everything, but does not say that it has written it".to_owned(),
                ));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// The connection as what is written to it.
struct Wire<'a> {
    stream: &'a TcpStream,
    address: &'a str,
    cancel: &'a CancellationToken,
    sent: u64,
}

impl Wire<'_> {
    fn member(&mut self, member: &Member) -> Result<(), Error> {
        let name = [b"/", member.path.as_bytes()].concat();
        match &member.content {
            MemberContent::Directory { mode } => {
                self.entry(&name, DIRECTORY | mode & PERMISSIONS, 0)
            }
            MemberContent::Symlink { target } => {
                self.entry(&name, SYMLINK | PERMISSIONS, target.len() as u64)?;
                self.write(target)?;
                self.pad(target.len() as u64)
            }
            MemberContent::File {
                mode,
                size_bytes,
                source,
            } => {
                self.entry(&name, FILE | mode & PERMISSIONS, *size_bytes)?;
                match source {
                    Source::Bytes(bytes) => self.write(bytes)?,
                    Source::Path(path) => self.file(path, *size_bytes)?,
                    Source::Below(folder) => {
                        self.file(&member.path.below(folder), *size_bytes)?;
                    }
                }
                self.pad(*size_bytes)
            }
        }
    }

    fn file(&mut self, path: &std::path::Path, size_bytes: u64) -> Result<(), Error> {
        use crate::error::IoContext;
        let mut file = std::fs::File::open(path).context("open", path)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut rest = size_bytes;
        while rest > 0 {
            let wanted = usize::try_from(rest).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
            let chunk = buffer.get_mut(..wanted).unwrap_or_default();
            let count = file.read(chunk).context("read", path)?;
            if count == 0 {
                return Err(Error::Changed {
                    path: path.to_path_buf(),
                    what: format!("it has {rest} bytes less"),
                });
            }
            self.write(chunk.get(..count).unwrap_or_default())?;
            rest -= count as u64;
        }
        Ok(())
    }

    /// A header and a name, filled up.
    fn entry(&mut self, name: &[u8], mode: u32, size_bytes: u64) -> Result<(), Error> {
        let Ok(size) = u32::try_from(size_bytes) else {
            let name = String::from_utf8_lossy(name);
            return Err(Error::Cpiod {
                address: self.address.to_owned(),
                problem: format!("{name} is larger than a cpio stream can say, which is 4 GiB"),
            });
        };
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let mut bytes = MAGIC.to_vec();
        // inode, mode, owner, group, links, time, size, two devices of two numbers, length of the name, checksum
        for number in [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            bytes.extend(format!("{number:08x}").into_bytes());
        }
        bytes.extend(name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.write(&bytes)
    }

    fn pad(&mut self, size_bytes: u64) -> Result<(), Error> {
        let count = size_bytes.next_multiple_of(4) - size_bytes;
        let zeros = [0; 4];
        self.write(
            zeros
                .get(..usize::try_from(count).unwrap_or(0))
                .unwrap_or_default(),
        )
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let mut waiting_since = Instant::now();
        while !bytes.is_empty() {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let problem = match self.stream.write(bytes) {
                Ok(count) if count > 0 => {
                    self.sent += count as u64;
                    bytes = bytes.get(count..).unwrap_or_default();
                    waiting_since = Instant::now();
                    continue;
                }
                Ok(_) => "it takes nothing".to_owned(),
                Err(error) if is_tick(&error) && waiting_since.elapsed() < PATIENCE => continue,
                Err(error) if is_tick(&error) => "it takes nothing any more".to_owned(),
                Err(error) => in_words(&error),
            };
            return Err(Error::Cpiod {
                address: self.address.to_owned(),
                problem,
            });
        }
        Ok(())
    }
}

fn is_tick(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the guest closed the connection: cpiod does not listen, or gave up".to_owned()
        }
        _ => error.to_string(),
    }
}
