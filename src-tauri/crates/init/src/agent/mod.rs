//! The agent: changes files while the commands run, has them begin again, and runs programs beside them.
//!
//! It is off unless the kernel's parameters say `windlass.agent=on`, and is reached by a virtio-serial port of its own
//! only ([`windlass_guest::agent`] is what is said there). A thread reads the port, so that nothing of this holds the
//! supervisor up; what concerns the commands goes to the supervisor, which answers.
//!
//! ```text
//!   /dev/vportNpM ──> thread: decode ─> files ─────────────> answer
//!                       ^                ├ Restart ─> Wishes ─> supervisor
//!                       |                └ Run ─> programs ─> threads that answer with what the program writes
//!                       └ nobody at the other end: look again in a moment, forget what was half said
//! ```

mod disks;
mod files;
mod inspect;
pub(crate) mod programs;
mod wishes;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use windlass_guest::agent::{
    Answer, Decoder, Frame, PORT_NAME, Refusal, Request, VERSION, WireError,
};

use self::files::Files;
use self::programs::{Launch, Output, Programs};
use self::wishes::Sender;
pub(crate) use self::wishes::{Wish, Wishes};

/// Where the kernel names its virtio-serial ports.
const PORTS: &str = "/sys/class/virtio-ports";

/// How often it is looked whether somebody is at the other end. The port itself does not wait for that.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How much is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Starts the agent's thread. Gives where its wishes arrive; says why where there can be none.
///
/// `launch` makes the programs that the host wants to run.
pub(crate) fn start(is_writable: bool, launch: Launch) -> Result<Wishes, String> {
    let path = find_port(Path::new(PORTS))
        .ok_or_else(|| format!("the machine has no port {PORT_NAME}"))?;
    let port = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| format!("{} cannot be opened: {error}", path.display()))?;
    let (sender, wishes) = wishes::pair().map_err(|error| error.to_string())?;
    let output = port.try_clone().map_err(|error| error.to_string())?;
    let programs = Programs::new(launch, Output::new(output));
    let files = Files::new(PathBuf::from("/"));
    let mut agent = Agent::new(files, programs, sender, is_writable);
    thread::Builder::new()
        .name("agent".to_owned())
        .spawn(move || {
            loop {
                // An error means the same: nobody is there.
                let _ = agent.converse(&port);
                thread::sleep(LOOK_INTERVAL);
            }
        })
        .map_err(|error| error.to_string())?;
    Ok(wishes)
}

/// The device of the port that bears our name.
fn find_port(ports: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(ports).ok()?.flatten();
    let ours = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT_NAME)
    };
    let port = entries.into_iter().find(ours)?;
    Some(Path::new("/dev").join(port.file_name()))
}

/// One agent, whoever it talks to.
struct Agent {
    files: Files,
    programs: Programs,
    wishes: Sender,
    is_writable: bool,
}

impl Agent {
    fn new(files: Files, programs: Programs, wishes: Sender, is_writable: bool) -> Self {
        Self {
            files,
            programs,
            wishes,
            is_writable,
        }
    }

    /// Answers until the other end is closed.
    fn converse(&mut self, mut input: impl Read) -> io::Result<()> {
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        let result = loop {
            let count = match input.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(error),
            };
            decoder.push(&buffer[..count]);
            if let Err(error) = self.answer_all(&mut decoder) {
                break Err(error);
            }
        };
        self.files.forget();
        self.programs.end();
        result
    }

    fn answer_all(&mut self, decoder: &mut Decoder) -> io::Result<()> {
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    if let Some(answer) = self.answer(&frame) {
                        self.programs.output().say(frame.number, &answer)?;
                    }
                }
                Ok(None) => return Ok(()),
                // What was cut off by the end of an earlier connection; the next frame is looked for.
                Err(_) => {}
            }
        }
    }

    /// The answer to a frame, unless it gets none.
    fn answer(&mut self, frame: &Frame) -> Option<Answer> {
        let request = match Request::parse(&frame.body) {
            Ok(request) => request,
            Err(error) => {
                let reason = match error {
                    WireError::Tag { .. } => Refusal::Unsupported,
                    _ => Refusal::Invalid,
                };
                return Some(Answer::Refused {
                    reason,
                    message: error.to_string(),
                });
            }
        };
        Some(match request {
            Request::Hello { version, nonce } => {
                self.files.forget();
                self.programs.end();
                Answer::Hello {
                    version: version.min(VERSION),
                    nonce,
                    init: crate::VERSION.to_owned(),
                    is_writable: self.is_writable,
                }
            }
            Request::Restart { command_line } => self.wishes.restart(command_line),
            Request::Run { words } => return self.programs.run(frame.number, &words),
            Request::Input { bytes } => return self.programs.input(frame.number, bytes),
            Request::InputEnd => {
                self.programs.end_input();
                return None;
            }
            Request::WriteBegin {
                path,
                mode,
                size_bytes,
                digest,
            } => {
                self.files.begin(&path, mode, size_bytes, digest);
                return None;
            }
            Request::WriteData { bytes } => {
                self.files.write(&bytes);
                return None;
            }
            request => self.files.answer(request),
        })
    }
}

#[cfg(test)]
mod tests;
