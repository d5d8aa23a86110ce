//! Programs that the host runs beside the commands, one for each connection.
//!
//! The supervisor waits for every process, so it takes note of how a program ended ([`reaped`]); threads carry what it
//! reads and writes, so that none of it holds the agent up.
//!
//! ```text
//!   Run ──> /proc/self/exe as "windlass-exec" PROGRAM ARGUMENTS ── begins a session ──> becomes the program
//!             stdout, stderr ──> a thread each ──> Output …
//!             its end ──> supervisor ──> a thread ──> Exited, when all output was told
//! ```

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitStatus, kill_process_group, setsid};
use windlass_guest::agent::{Answer, Refusal};

/// The name under which this executable becomes a program.
pub(crate) const HELPER_NAME: &str = "windlass-exec";

/// What a shell gives for a program that is not there, and for one that cannot be run.
const STATUS_NOT_FOUND: u8 = 127;
const STATUS_NOT_EXECUTABLE: u8 = 126;

/// The most of a program's output in one answer.
const CHUNK_BYTES: usize = 32 << 10;

/// What a program has left behind in the background may hold its pipes: silent for so long, it is not waited for.
const OUTPUT_LINGER: Duration = Duration::from_secs(1);

/// A killed program is gone after this time at the latest.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Makes a program from its words; the process leads a group of its own.
pub(crate) type Launch = Box<dyn Fn(&[String]) -> Command + Send>;

/// The programs that run, by process number, and where their end is told.
static PROGRAMS: Mutex<BTreeMap<i32, mpsc::Sender<i32>>> = Mutex::new(BTreeMap::new());

fn programs() -> MutexGuard<'static, BTreeMap<i32, mpsc::Sender<i32>>> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process has ended; perhaps it is one of ours.
pub(crate) fn reaped(pid: Pid, status: WaitStatus) {
    if let Some(told) = programs().remove(&pid.as_raw_nonzero().get()) {
        let signal = status.terminating_signal().map(|signal| 128 + signal);
        let _ = told.send(status.exit_status().or(signal).unwrap_or(1));
    }
}

/// Waits for our own programs alone.
#[cfg(test)]
pub(super) fn reap_own() {
    let ours: Vec<i32> = programs().keys().copied().collect();
    for pid in ours.into_iter().filter_map(Pid::from_raw) {
        let ended = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        if let Ok(Some((pid, status))) = ended {
            reaped(pid, status);
        }
    }
}

/// The launch of real guests: this same executable becomes the program.
pub(crate) fn launch(environment: impl IntoIterator<Item = (String, String)>) -> Launch {
    let environment: Vec<_> = environment.into_iter().collect();
    Box::new(move |words| {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(HELPER_NAME)
            .args(words)
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)));
        command
    })
}

/// Becomes the program; says on standard error why it cannot.
pub(crate) fn helper(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let name = arguments.next().unwrap_or_default();
    let _ = rustix::thread::set_name(c"windlass-exec");
    let _ = setsid();
    let error = Command::new(&name).args(arguments).exec();
    let text = format!("{}: {error}\n", name.to_string_lossy());
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(match error.kind() {
        ErrorKind::NotFound => STATUS_NOT_FOUND,
        _ => STATUS_NOT_EXECUTABLE,
    })
}

/// The way to the host, frame by frame.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Box<dyn Write + Send>>>);

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

impl Output {
    pub(super) fn new(stream: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(stream))))
    }

    pub(super) fn say(&self, number: u32, answer: &Answer) -> io::Result<()> {
        self.say_if(None, number, answer)
    }

    /// Says nothing more of a program that nobody waits for.
    fn say_if(&self, wanted: Option<&AtomicBool>, number: u32, answer: &Answer) -> io::Result<()> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.is_some_and(|wanted| !wanted.load(Ordering::Acquire)) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        stream.write_all(&answer.to_frame(number))
    }
}

/// Runs a program at a time.
pub(super) struct Programs {
    launch: Launch,
    output: Output,
    running: Option<Running>,
}

/// A program that runs, or has ended.
struct Running {
    group: Option<Pid>,
    is_wanted: Arc<AtomicBool>,
    /// Where input goes, until there is no more.
    input: Option<mpsc::Sender<(u32, Vec<u8>)>>,
    /// Closed when the program has ended.
    ended: mpsc::Receiver<()>,
}

impl Running {
    fn has_ended(&self) -> bool {
        matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Disconnected))
    }
}

fn refused(reason: Refusal, message: &str) -> Answer {
    Answer::Refused {
        reason,
        message: message.to_owned(),
    }
}

impl Programs {
    pub(super) fn new(launch: Launch, output: Output) -> Self {
        Self {
            launch,
            output,
            running: None,
        }
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Starts a program; the answers come from its threads, unless it cannot start.
    pub(super) fn run(&mut self, number: u32, words: &[String]) -> Option<Answer> {
        if self.running.as_ref().is_some_and(|old| !old.has_ended()) {
            return Some(refused(Refusal::Invalid, "a program runs already"));
        }
        match self.start(number, words) {
            Ok(running) => {
                self.running = Some(running);
                None
            }
            Err(error) => {
                let message = format!("it cannot be started: {error}");
                Some(refused(Refusal::Other, &message))
            }
        }
    }

    fn start(&self, number: u32, words: &[String]) -> io::Result<Running> {
        let mut command = (self.launch)(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (told, status) = mpsc::channel();
        // Nobody is told of its end before it is known.
        let mut known = programs();
        let mut child = command.spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            known.insert(group.as_raw_nonzero().get(), told);
        }
        drop(known);
        let is_wanted = Arc::new(AtomicBool::new(true));
        let (input, inputs) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        let voice = Voice {
            output: self.output.clone(),
            is_wanted: Arc::clone(&is_wanted),
            number,
            said: <[Arc<AtomicU64>; 2]>::default(),
        };
        voice.follow(&mut child, inputs, status, ending);
        Ok(Running {
            group,
            is_wanted,
            input: Some(input),
            ended,
        })
    }

    /// What the program reads next; answered when it was taken.
    pub(super) fn input(&mut self, number: u32, bytes: Vec<u8>) -> Option<Answer> {
        let input = self.running.as_ref().and_then(|it| it.input.as_ref());
        match input.map(|input| input.send((number, bytes))) {
            Some(Ok(())) => None,
            _ => Some(refused(Refusal::Ending, "no program reads it")),
        }
    }

    pub(super) fn end_input(&mut self) {
        if let Some(running) = &mut self.running {
            running.input = None;
        }
    }

    /// Ends the program; nothing is heard of it any more.
    pub(super) fn end(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.is_wanted.store(false, Ordering::Release);
        // While it is in the list, its number is nobody else's.
        let known = programs();
        if let Some(group) = running.group
            && known.contains_key(&group.as_raw_nonzero().get())
        {
            // Before it leads a group of its own there is none of this number, but itself.
            let _ = kill_process_group(group, Signal::KILL)
                .or_else(|_| rustix::process::kill_process(group, Signal::KILL));
        }
        drop(known);
        let _ = running.ended.recv_timeout(END_LIMIT);
    }
}

/// Tells the host of one program.
#[derive(Clone)]
struct Voice {
    output: Output,
    is_wanted: Arc<AtomicBool>,
    number: u32,
    /// Goes up by two for every piece of output: one before it is said, one after.
    said: [Arc<AtomicU64>; 2],
}

impl Voice {
    fn say(&self, number: u32, answer: &Answer) -> io::Result<()> {
        self.output.say_if(Some(&self.is_wanted), number, answer)
    }

    /// Starts the threads of a program.
    fn follow(
        self,
        child: &mut Child,
        inputs: mpsc::Receiver<(u32, Vec<u8>)>,
        status: mpsc::Receiver<i32>,
        ending: mpsc::Sender<()>,
    ) {
        let (carried, all_carried) = mpsc::channel::<()>();
        if let Some(pipe) = child.stdout.take() {
            let (voice, carried) = (self.clone(), carried.clone());
            thread::spawn(move || (voice.carry(pipe, false), drop(carried)));
        }
        if let Some(pipe) = child.stderr.take() {
            let (voice, carried) = (self.clone(), carried.clone());
            thread::spawn(move || (voice.carry(pipe, true), drop(carried)));
        }
        drop(carried);
        if let Some(pipe) = child.stdin.take() {
            let voice = self.clone();
            thread::spawn(move || voice.feed(pipe, &inputs));
        }
        thread::spawn(move || {
            let status = status.recv().unwrap_or(1);
            let mut before = self.said();
            while let Err(mpsc::RecvTimeoutError::Timeout) = all_carried.recv_timeout(OUTPUT_LINGER)
            {
                let now = self.said();
                // A host that reads slowly is waited for.
                let is_saying = now.iter().any(|count| count % 2 == 1);
                if now == before && !is_saying {
                    break;
                }
                before = now;
            }
            drop(ending);
            let _ = self.say(self.number, &Answer::Exited { status });
            self.is_wanted.store(false, Ordering::Release);
        });
    }

    fn said(&self) -> [u64; 2] {
        [0, 1].map(|index: usize| self.said[index].load(Ordering::Acquire))
    }

    fn carry(&self, mut pipe: impl Read, is_error: bool) {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let bytes = match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => buffer[..count].to_vec(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let said = &self.said[usize::from(is_error)];
            said.fetch_add(1, Ordering::AcqRel);
            let result = self.say(self.number, &Answer::Output { is_error, bytes });
            said.fetch_add(1, Ordering::AcqRel);
            if result.is_err() {
                return;
            }
        }
    }

    fn feed(&self, mut pipe: ChildStdin, inputs: &mpsc::Receiver<(u32, Vec<u8>)>) {
        while let Ok((number, bytes)) = inputs.recv() {
            let answer = match pipe.write_all(&bytes) {
                Ok(()) => Answer::Done,
                Err(_) => refused(Refusal::Ending, "the program reads no more"),
            };
            if self.say(number, &answer).is_err() {
                return;
            }
        }
    }
}
