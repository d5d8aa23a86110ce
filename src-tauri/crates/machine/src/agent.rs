//! The host's end of what is said to the agent in a Linux guest ([`windlass_guest::agent`]).

use std::fs::{File, TryLockError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
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
        let lock_path = sockets.agent_lock();
        let lock = File::create(&lock_path).map_err(Error::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::AgentBusy { id: id.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", lock_path)(error)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> File {
        tempfile::tempfile().unwrap()
    }

    /// Reads requests and answers each by `reply`, which gives bytes.
    async fn guest(mut stream: UnixStream, mut reply: impl FnMut(u32, Request) -> Vec<u8>) {
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; 4096];
        loop {
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            decoder.push(&buffer[..count]);
            while let Some(frame) = decoder.next().unwrap() {
                let bytes = reply(frame.number, Request::parse(&frame.body).unwrap());
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    }

    fn hello(number: u32, request: &Request) -> Option<Vec<u8>> {
        let Request::Hello { version, nonce } = *request else {
            return None;
        };
        let answer = |nonce| Answer::Hello {
            version,
            nonce,
            init: "0".to_owned(),
            is_writable: true,
        };
        // Leftovers of another connection come before.
        let mut bytes = Answer::Done.to_frame(number);
        bytes.extend(answer(nonce.wrapping_add(1)).to_frame(number));
        bytes.extend(answer(nonce).to_frame(number));
        Some(bytes)
    }

    #[tokio::test]
    async fn answers_are_told_from_what_was_left_over() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let guest = tokio::spawn(guest(theirs, |number, request| {
            hello(number, &request).unwrap_or_else(|| {
                let answer = match request {
                    Request::Look { paths, .. } => Answer::Looked {
                        entries: vec![None; paths.len()],
                    },
                    Request::Sync => Answer::Done,
                    _ => Answer::Refused {
                        reason: windlass_guest::agent::Refusal::NoSpace,
                        message: "full".to_owned(),
                    },
                };
                answer.to_frame(number)
            })
        }));
        let mut agent = Agent::greet(ours, lock()).await.unwrap();
        assert!(agent.is_writable());
        let paths: Vec<_> = (0..1500)
            .map(|number| format!("/{number}").into())
            .collect();
        assert_eq!(agent.look(&paths, false).await.unwrap().len(), 1500);
        let long = vec![[&b"/"[..], &[b'x'; 4000]].concat(); 40];
        assert_eq!(agent.look(&long, true).await.unwrap().len(), 40);
        agent.done(&Request::Sync).await.unwrap();
        let refused = agent.restart(None).await.unwrap_err();
        assert_eq!(refused.to_string(), "the guest refused: full");
        assert!(refused.hint().unwrap().contains("larger"));
        drop(agent);
        guest.await.unwrap();
    }

    #[tokio::test]
    async fn a_program_is_fed_one_piece_at_a_time_and_its_words_are_told_apart() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut program, mut fed) = (0, 0);
        let guest = tokio::spawn(guest(theirs, move |number, request| {
            let output = |number, is_error, text: &str| {
                let bytes = text.as_bytes().to_vec();
                Answer::Output { is_error, bytes }.to_frame(number)
            };
            match request {
                Request::Run { words } => {
                    program = number;
                    // What was left over of another program comes before.
                    let mut bytes = Answer::Exited { status: 99 }.to_frame(number + 50);
                    bytes.extend(output(number, false, &words.join(" ")));
                    bytes
                }
                Request::Input { bytes } => {
                    fed += bytes.len();
                    Answer::Done.to_frame(number)
                }
                Request::InputEnd => {
                    let mut bytes = output(program, true, &fed.to_string());
                    bytes.extend(Answer::Exited { status: 3 }.to_frame(program));
                    bytes
                }
                request => hello(number, &request).unwrap(),
            }
        }));
        let mut agent = Agent::greet(ours, lock()).await.unwrap();
        let words = ["cat", "-"].map(str::to_owned);
        let (mut out, mut error) = (Vec::new(), Vec::new());
        let input = vec![b'x'; 100_000];
        let status = agent
            .run(&words, &mut input.as_slice(), &mut out, &mut error)
            .await;
        assert_eq!((status.unwrap(), out.as_slice()), (3, &b"cat -"[..]));
        assert_eq!(error, b"100000");
        let words = vec!["x".repeat(99); 2000];
        let refused = agent
            .run(&words, &mut &b""[..], &mut out, &mut error)
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::TooManyWords), "{refused}");
        guest.abort();
    }

    #[tokio::test]
    async fn a_guest_that_ends_or_talks_nonsense_is_told_of() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut is_greeted = false;
        let guest = tokio::spawn(guest(theirs, move |number, request| {
            if std::mem::replace(&mut is_greeted, true) {
                return b"nonsense".to_vec();
            }
            hello(number, &request).unwrap()
        }));
        let mut agent = Agent::greet(ours, lock()).await.unwrap();
        let error = agent.done(&Request::Sync).await.unwrap_err();
        assert!(matches!(error, Error::AgentTalk { .. }), "{error}");
        guest.abort();
        let _ = guest.await;
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let error = Agent::greet(ours, lock()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "QEMU does not answer: the machine ended while it was being changed"
        );
    }
}
