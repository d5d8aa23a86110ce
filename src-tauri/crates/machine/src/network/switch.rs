//! The process that is a network: takes frames from each machine's QEMU and gives them to whom they are for.
//!
//! One thread; a task per machine reads, another one writes. A machine that does not take its frames (one that is paused) is
//! waited for a moment, so that a stream of data is not torn, and then left without: it holds nobody else up for long.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UdpSocket, UnixListener, UnixStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::task::AbortOnDropHandle;

use super::control::{Answer, LINE_MAX_BYTES, Request};
use super::host::{NetworkHost, Peer, Reply};
use super::members::Members;
use super::{Subnet, names};

/// Without a machine, a switch ends after this long: one that restarts finds its network as it was.
const LINGER: Duration = Duration::from_secs(15);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// One that is about to end still holds the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// What QEMU sends at most in one piece (`NET_BUFSIZE`).
const FRAME_MAX_BYTES: usize = 68 << 10;
/// Frames that wait for a machine.
const QUEUE_FRAMES: usize = 512;
/// A machine that takes nothing is waited for this long, once.
const PATIENCE: Duration = Duration::from_millis(100);
/// Hardware addresses beyond the machines' own (bridges inside of them).
const LEARNED_MAX: usize = 1024;
/// Names that are being asked for at one time.
const QUESTIONS_MAX: usize = 64;
/// The C library waits five seconds before it asks again.
const NAME_SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// What a name server answers at most over UDP, by what questions allow.
const ANSWER_MAX_BYTES: usize = 4096;

type HardwareAddress = [u8; 6];

/// Runs until the last machine is gone; gives the exit status.
pub(super) fn run(folder: &Path, network: &str) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    match LocalSet::new().block_on(&runtime, serve(folder, network)) {
        Ok(()) => 0,
        Err(error) => complain(&error),
    }
}

#[expect(clippy::print_stderr, reason = "it is a log file")]
fn complain(error: &io::Error) -> u8 {
    eprintln!("{error}");
    1
}

async fn serve(folder: &Path, network: &str) -> io::Result<()> {
    let lock = File::create(folder.join("lock"))?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    while lock.try_lock().is_err() {
        // There is one already, or it is about to end.
        if Instant::now() >= deadline {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let control_path = folder.join("control");
    let _none_left = fs::remove_file(&control_path);
    let switch = Switch::new(folder, network);
    switch.restore();
    let control = UnixListener::bind(&control_path)?;
    let mut idle_since = Instant::now();
    loop {
        tokio::select! {
            accepted = control.accept() => {
                if let Ok((stream, _)) = accepted {
                    idle_since = Instant::now();
                    let switch = Rc::clone(&switch);
                    spawn_local(async move {
                        if let Err(error) = converse(&switch, stream).await {
                            tracing::debug!(%error, "a conversation ended");
                        }
                    });
                }
            }
            () = sleep(LOOK_INTERVAL) => {
                if switch.has_machines() {
                    idle_since = Instant::now();
                } else if idle_since.elapsed() > LINGER {
                    break;
                }
            }
        }
    }
    // Nobody is let in any more; whoever comes now starts another one, which waits for the lock.
    drop(control);
    for file in fs::read_dir(folder)?.flatten() {
        if file.file_name() != "lock" {
            let _gone = fs::remove_file(file.path());
        }
    }
    Ok(())
}

async fn converse(switch: &Rc<Switch>, stream: UnixStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    (&mut stream)
        .take(LINE_MAX_BYTES)
        .read_until(b'\n', &mut line)
        .await?;
    let answer = match serde_json::from_slice(&line) {
        Ok(Request::Join {
            id,
            names,
            hardware_address,
        }) => switch.join(&id, names, hardware_address),
        Ok(Request::Members { id }) => {
            let mut members = switch.state.borrow().members.all.clone();
            members.retain(|member| id.as_ref().is_none_or(|id| member.id == *id));
            Answer::Members(members)
        }
        Err(error) => Answer::Refused(error.to_string()),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

struct Switch {
    network: String,
    subnet: Subnet,
    folder: PathBuf,
    host: NetworkHost,
    questions: Arc<Semaphore>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    members: Members,
    ports: HashMap<String, Port>,
    /// Behind which port a hardware address is.
    learned: HashMap<HardwareAddress, String>,
}

/// Where a machine is connected, or is waited for.
struct Port {
    queue: Option<mpsc::Sender<Bytes>>,
    /// It was waited for in vain, and is not until it takes frames again.
    is_stalled: bool,
    _task: AbortOnDropHandle<()>,
}

impl Switch {
    fn new(folder: &Path, network: &str) -> Rc<Self> {
        Rc::new(Self {
            network: network.to_owned(),
            subnet: Subnet::of(network),
            folder: folder.to_owned(),
            host: NetworkHost::new(network),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            state: RefCell::default(),
        })
    }

    fn has_machines(&self) -> bool {
        let state = self.state.borrow();
        state.ports.values().any(|port| port.queue.is_some())
    }

    /// Goes on where a switch was killed: QEMUs that connect again find their places.
    fn restore(self: &Rc<Self>) {
        let Ok(text) = fs::read(self.folder.join("members")) else {
            return;
        };
        let Ok(mut members) = serde_json::from_slice::<Members>(&text) else {
            return;
        };
        for member in &mut members.all {
            member.is_connected = false;
        }
        let ids: Vec<_> = members.all.iter().map(|it| it.id.clone()).collect();
        self.state.borrow_mut().members = members;
        for id in ids {
            if let Err(error) = self.open_port(&id) {
                tracing::debug!(%error, "a place was not opened again");
            }
        }
    }

    fn join(
        self: &Rc<Self>,
        id: &str,
        names: Vec<String>,
        hardware_address: HardwareAddress,
    ) -> Answer {
        let refused = |error: &dyn std::fmt::Display| Answer::Refused(error.to_string());
        let mut state = self.state.borrow_mut();
        // The machine's earlier run, if there was one, is over.
        state.ports.remove(id);
        let joined = state
            .members
            .join(self.subnet, &self.network, id, names, hardware_address);
        let member = match joined {
            Ok(member) => member,
            Err(error) => return refused(&error),
        };
        let left: Vec<_> = state
            .ports
            .keys()
            .filter(|port| state.members.all.iter().all(|member| member.id != **port))
            .cloned()
            .collect();
        for id in left {
            state.ports.remove(&id);
        }
        let kept = serde_json::to_vec(&state.members);
        drop(state);
        if let Ok(kept) = kept
            && let Err(error) = fs::write(self.folder.join("members"), kept)
        {
            return refused(&error);
        }
        match self.open_port(id) {
            Ok(socket) => Answer::Joined {
                address: member.address,
                socket,
            },
            Err(error) => refused(&error),
        }
    }

    /// Waits for a machine's QEMU, and for the next one when that is gone.
    fn open_port(self: &Rc<Self>, id: &str) -> io::Result<PathBuf> {
        let mut state = self.state.borrow_mut();
        let number = state
            .members
            .get_mut(id)
            .and_then(|member| self.subnet.number(member.address))
            .ok_or(io::ErrorKind::NotFound)?;
        let path = self.folder.join(format!("p{number}"));
        let _none_left = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let (switch, machine) = (Rc::clone(self), id.to_owned());
        let task = spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => switch.serve_machine(&machine, stream).await,
                    Err(_) => sleep(LOOK_INTERVAL).await,
                }
            }
        });
        let port = Port {
            queue: None,
            is_stalled: false,
            _task: AbortOnDropHandle::new(task),
        };
        state.ports.insert(id.to_owned(), port);
        Ok(path)
    }

    async fn serve_machine(self: &Rc<Self>, id: &str, stream: UnixStream) {
        let (input, output) = stream.into_split();
        let codec = || {
            LengthDelimitedCodec::builder()
                .max_frame_length(FRAME_MAX_BYTES)
                .new_codec()
        };
        let (queue, mut waiting) = mpsc::channel::<Bytes>(QUEUE_FRAMES);
        self.set_queue(id, Some(queue));
        let mut output = FramedWrite::new(output, codec());
        let writer = AbortOnDropHandle::new(spawn_local(async move {
            while let Some(frame) = waiting.recv().await {
                let fed = output.feed(frame).await;
                // What waits already goes out with it.
                let sent = match (fed, waiting.is_empty()) {
                    (Ok(()), true) => SinkExt::<Bytes>::flush(&mut output).await,
                    (fed, _) => fed,
                };
                if sent.is_err() {
                    return;
                }
            }
        }));
        let mut frames = FramedRead::new(input, codec());
        while let Some(Ok(frame)) = frames.next().await {
            self.forward(id, frame.freeze()).await;
        }
        drop(writer);
        self.set_queue(id, None);
    }

    fn set_queue(&self, id: &str, queue: Option<mpsc::Sender<Bytes>>) {
        let mut state = self.state.borrow_mut();
        if let Some(member) = state.members.get_mut(id) {
            member.is_connected = queue.is_some();
        }
        if queue.is_none() {
            state.learned.retain(|_, behind| behind != id);
        }
        if let Some(port) = state.ports.get_mut(id) {
            port.queue = queue;
            port.is_stalled = false;
        }
    }

    async fn forward(self: &Rc<Self>, from: &str, frame: Bytes) {
        let Some((&to, rest)) = frame.split_first_chunk::<6>() else {
            return;
        };
        let Some(&source) = rest.first_chunk::<6>() else {
            return;
        };
        let is_for_many = to[0] & 1 == 1;
        let mut reply = None;
        let receivers = {
            let mut state = self.state.borrow_mut();
            if let Some(member) = state.members.get_mut(from) {
                member.sent_bytes += frame.len() as u64;
            }
            if source[0] & 1 == 0
                && (state.learned.len() < LEARNED_MAX || state.learned.contains_key(&source))
                && state.learned.get(&source).is_none_or(|known| known != from)
            {
                state.learned.insert(source, from.to_owned());
            }
            if is_for_many || to == self.host.hardware_address() {
                reply = self.host.receive(&frame, &state.members);
            }
            if to == self.host.hardware_address() {
                Vec::new()
            } else if let Some(id) = state.learned.get(&to).filter(|_| !is_for_many) {
                vec![id.clone()]
            } else {
                state.ports.keys().cloned().collect()
            }
        };
        match reply {
            Some(Reply::Frame(bytes)) => self.give(from, bytes.into(), false).await,
            Some(Reply::Ask { question, back }) => self.ask(from.to_owned(), question, back),
            None => {}
        }
        let only = receivers.len() == 1 && !is_for_many;
        for id in receivers.iter().filter(|id| *id != from) {
            self.give(id, frame.clone(), only).await;
        }
    }

    /// Puts a frame into a machine's queue; waits a moment for room there if `patiently`.
    async fn give(&self, id: &str, frame: Bytes, patiently: bool) {
        let length = frame.len() as u64;
        let (queue, is_stalled) = {
            let state = self.state.borrow();
            let Some(port) = state.ports.get(id) else {
                return;
            };
            let Some(queue) = port.queue.clone() else {
                return;
            };
            (queue, port.is_stalled)
        };
        let given = match queue.try_send(frame) {
            Ok(()) => true,
            Err(TrySendError::Full(frame)) if patiently && !is_stalled => {
                matches!(timeout(PATIENCE, queue.send(frame)).await, Ok(Ok(())))
            }
            Err(_) => false,
        };
        let mut state = self.state.borrow_mut();
        if let Some(port) = state.ports.get_mut(id) {
            port.is_stalled = !given;
        }
        if given && let Some(member) = state.members.get_mut(id) {
            member.received_bytes += length;
        }
    }

    /// Asks this computer's name servers, and gives their answer to the machine.
    fn ask(self: &Rc<Self>, machine: String, question: Vec<u8>, back: Peer) {
        // Whoever asks too much at once asks again.
        let Ok(permit) = Arc::clone(&self.questions).try_acquire_owned() else {
            return;
        };
        let switch = Rc::clone(self);
        spawn_local(async move {
            let answer = match name_servers_answer(&question).await {
                Some(answer) => Some(answer),
                None => names::server_failure(&question),
            };
            if let Some(answer) = answer {
                let frame = switch.host.datagram(back, &answer);
                switch.give(&machine, frame.into(), false).await;
            }
            drop(permit);
        });
    }
}

async fn name_servers_answer(question: &[u8]) -> Option<Vec<u8>> {
    for server in name_servers().into_iter().take(2) {
        if let Ok(Ok(answer)) =
            timeout(NAME_SERVER_TIMEOUT, ask_name_server(server, question)).await
        {
            return Some(answer);
        }
    }
    None
}

async fn ask_name_server(server: IpAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        IpAddr::V4(_) => ([0; 4], 0).into(),
        IpAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect((server, 53)).await?;
    socket.send(question).await?;
    let mut answer = vec![0; ANSWER_MAX_BYTES];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

/// This computer's name servers, as the C library finds them.
fn name_servers() -> Vec<IpAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|server| server.trim().parse().ok())
        .collect()
}
