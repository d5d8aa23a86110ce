//! The host's end of what is said to the agent in a Linux guest ([`windlass_guest::agent`]).

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};
use windlass_guest::agent::{
    Answer, DATA_MAX_BYTES, Decoder, Digest, FRAME_MAX_BYTES, LOOK_MAX_PATHS, RUN_MAX_WORDS,
    Request, Seen, VERSION,
};

use crate::error::{Error, Result};
use crate::paths::Sockets;

/// A guest that boots gets this long until its agent answers.
const HELLO_TIMEOUT: Duration = Duration::from_mins(1);
/// Writing everything to the disk and ending programs take longest.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// So long is waited for whoever talks to the agent just now: most have done what they want in an instant.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);
const TURN_INTERVAL: Duration = Duration::from_millis(50);
/// The most that is read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// A connection to the agent of a running Linux guest.
#[derive(Debug)]
pub struct Agent {
    stream: UnixStream,
    decoder: Decoder,
    number: u32,
    is_writable: bool,
    /// QEMU takes one connection at a time; whoever holds this has it.
    _lock: File,
}

impl Agent {
    pub(crate) async fn connect(sockets: &Sockets, id: &str) -> Result<Self> {
        let lock = take_turn(&sockets.agent_lock(), id).await?;
        let socket = sockets.agent();
        let stream = UnixStream::connect(&socket)
            .await
            .map_err(Error::io("connect to", socket))?;
        Self::greet(stream, lock).await
    }

    async fn greet(stream: UnixStream, lock: File) -> Result<Self> {
        let mut agent = Self {
            stream,
            decoder: Decoder::new(),
            number: 0,
            is_writable: false,
            _lock: lock,
        };
        // Whoever was here before may have been killed in the middle of a frame: this ends it.
        agent.send(&vec![0; FRAME_MAX_BYTES]).await?;
        let ours = nonce();
        agent
            .say(&Request::Hello {
                version: VERSION,
                nonce: ours,
            })
            .await?;
        let hello = async {
            loop {
                // Answers to whoever was here before come first.
                match agent.hear().await {
                    Ok((
                        _,
                        Answer::Hello {
                            nonce, is_writable, ..
                        },
                    )) if nonce == ours => return Ok(is_writable),
                    Ok(_) | Err(Error::AgentTalk { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        let hello = timeout(HELLO_TIMEOUT, hello).await;
        agent.is_writable = hello.map_err(|_| no_answer("the guest's agent"))??;
        Ok(agent)
    }

    /// Whether the guest's root file system can be written.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Asks one thing and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::NoAnswer`] when the guest does not answer in time or ends; [`Error::AgentTalk`].
    pub async fn ask(&mut self, request: &Request) -> Result<Answer> {
        self.say(request).await?;
        self.answer().await
    }

    /// What is at these paths, however many.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn look(
        &mut self,
        paths: &[Vec<u8>],
        with_digests: bool,
    ) -> Result<Vec<Option<Seen>>> {
        let mut all = Vec::with_capacity(paths.len());
        let mut rest = paths;
        while !rest.is_empty() {
            // A path is 4 KiB at most, so at least one always fits.
            let mut bytes = 0;
            let fits = |path: &&Vec<u8>| {
                bytes += path.len() + 4;
                bytes <= DATA_MAX_BYTES
            };
            let count = rest.iter().take(LOOK_MAX_PATHS).take_while(fits).count();
            let (now, later) = rest.split_at(count.max(1));
            let request = Request::Look {
                paths: now.to_vec(),
                with_digests,
            };
            match self.ask(&request).await? {
                Answer::Looked { entries } if entries.len() == now.len() => all.extend(entries),
                other => return Err(unexpected(&other)),
            }
            rest = later;
        }
        Ok(all)
    }

    /// Sends a file of `size_bytes` bytes; it is in its place when this returns well. `sent` is told of the bytes.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); [`Error::Io`] where the source cannot be read, is shorter than it should be. The
    /// guest has the old file then.
    pub async fn write_file(
        &mut self,
        path: &[u8],
        mode: u32,
        size_bytes: u64,
        digest: Digest,
        source: &mut (impl AsyncRead + Unpin),
        mut sent: impl FnMut(u64),
    ) -> Result<()> {
        self.say(&Request::WriteBegin {
            path: path.to_vec(),
            mode,
            size_bytes,
            digest,
        })
        .await?;
        let mut source = source.take(size_bytes);
        let mut buffer = vec![0; DATA_MAX_BYTES];
        loop {
            let count = source
                .read(&mut buffer)
                .await
                .map_err(Error::io("read", String::from_utf8_lossy(path).as_ref()))?;
            if count == 0 {
                break;
            }
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            self.say(&Request::WriteData { bytes }).await?;
            sent(count as u64);
        }
        self.done(&Request::WriteEnd).await
    }

    /// Asks for something that is answered by its being done.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn done(&mut self, request: &Request) -> Result<()> {
        match self.ask(request).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the programs and has the commands begin again; says how many there are.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn restart(&mut self, command_line: Option<String>) -> Result<u32> {
        match self.ask(&Request::Restart { command_line }).await? {
            Answer::Restarted { commands } => Ok(commands),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs a program beside the guest's commands; carries what it reads and writes, and gives its exit status.
    ///
    /// The program ends with this connection: whoever drops it ends the program.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); [`Error::Io`] where `stdin` cannot be read, or `stdout` or `stderr` not be written;
    /// [`Error::TooManyWords`].
    pub async fn run(
        &mut self,
        words: &[String],
        stdin: &mut (impl AsyncRead + Unpin),
        stdout: &mut (impl AsyncWrite + Unpin),
        stderr: &mut (impl AsyncWrite + Unpin),
    ) -> Result<i32> {
        let bytes: usize = words.iter().map(|word| word.len() + 4).sum();
        if !(1..=RUN_MAX_WORDS).contains(&words.len()) || bytes > DATA_MAX_BYTES {
            return Err(Error::TooManyWords);
        }
        let words = words.to_vec();
        self.say(&Request::Run { words }).await?;
        let program = self.number;
        // One piece of input is on its way at a time: the program may read slowly, or not at all.
        let mut input = None;
        let mut is_reading = true;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let heard = tokio::select! {
                heard = self.hear() => heard?,
                count = stdin.read(&mut buffer), if is_reading && input.is_none() => {
                    let count = count.map_err(Error::io("read", "the standard input"))?;
                    let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                    if bytes.is_empty() {
                        is_reading = false;
                        self.say(&Request::InputEnd).await?;
                    } else {
                        self.say(&Request::Input { bytes }).await?;
                        input = Some(self.number);
                    }
                    continue;
                }
            };
            match heard {
                (number, Answer::Output { is_error, bytes }) if number == program => {
                    if is_error {
                        write(stderr, &bytes).await
                    } else {
                        write(stdout, &bytes).await
                    }
                    .map_err(Error::io("write", "what the program wrote"))?;
                }
                (number, Answer::Exited { status }) if number == program => return Ok(status),
                (number, Answer::Refused { reason, message }) if number == program => {
                    return Err(Error::Refused { reason, message });
                }
                (number, answer) if Some(number) == input => {
                    input = None;
                    // A program that reads no more goes on all the same.
                    is_reading = answer == Answer::Done;
                }
                _ => {}
            }
        }
    }

    async fn say(&mut self, request: &Request) -> Result<()> {
        self.number = self.number.wrapping_add(1);
        let frame = request.to_frame(self.number);
        self.send(&frame).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(ANSWER_TIMEOUT, self.stream.write_all(bytes))
            .await
            .map_err(|_| no_answer("that the guest's agent reads"))?
            .map_err(|_| ended())
    }

    async fn answer(&mut self) -> Result<Answer> {
        let wanted = self.number;
        let answer = async {
            loop {
                let (number, answer) = self.hear().await?;
                if number == wanted {
                    return Ok(answer);
                }
            }
        };
        let answer = timeout(ANSWER_TIMEOUT, answer).await;
        match answer.map_err(|_| no_answer("the guest's agent"))?? {
            Answer::Refused { reason, message } => Err(Error::Refused { reason, message }),
            answer => Ok(answer),
        }
    }

    async fn hear(&mut self) -> Result<(u32, Answer)> {
        let nonsense = |error: windlass_guest::agent::WireError| Error::AgentTalk {
            problem: error.to_string(),
        };
        loop {
            if let Some(frame) = self.decoder.next().map_err(nonsense)? {
                let answer = Answer::parse(&frame.body).map_err(nonsense)?;
                return Ok((frame.number, answer));
            }
            let mut buffer = vec![0; CHUNK_BYTES];
            let count = self.stream.read(&mut buffer).await.map_err(|_| ended())?;
            if count == 0 {
                return Err(ended());
            }
            self.decoder.push(buffer.get(..count).unwrap_or_default());
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

fn no_answer(what: &str) -> Error {
    Error::NoAnswer {
        what: format!("waited for {what}"),
    }
}

fn ended() -> Error {
    Error::NoAnswer {
        what: "the machine ended while it was being changed".to_owned(),
    }
}

pub(crate) fn unexpected(answer: &Answer) -> Error {
    Error::AgentTalk {
        problem: format!("{answer:?} is no answer to what was asked"),
    }
}

/// A number that nobody before us used.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Waits until nobody else talks to the agent, but not for ever.
async fn take_turn(path: &Path, id: &str) -> Result<File> {
    let lock = File::create(path).map_err(Error::io("open", path))?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if began.elapsed() < TURN_TIMEOUT => {
                sleep(TURN_INTERVAL).await;
            }
            Err(TryLockError::WouldBlock) => return Err(Error::AgentBusy { id: id.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests;
