//! Whether a service does what it is for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use windlass_machine::MachineHandle;
use windlass_package::group_file::{Health, HealthCheck};

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::Reporter;
use crate::machines::is_live;

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long one question may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// QEMU takes a connection before the guest does, and closes it when the guest does not: one that is open after this long
/// was taken.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// How much of a console's end a failure quotes.
const QUOTED_BYTES: u64 = 8 << 10;
const QUOTED_LINES: usize = 5;
/// What every Linux guest says last, and tells nobody anything.
const FAREWELLS: [&str; 3] = [
    "[windlass] all ended with status",
    "[windlass] powering off",
    "reboot: Power down",
];

/// Looks at one machine again and again.
#[derive(Debug)]
pub(super) struct Looking {
    check: HealthCheck,
    listener: Option<Listener>,
}

impl Looking {
    pub(super) fn new(
        workshop: &Workshop,
        handle: &MachineHandle,
        check: &HealthCheck,
    ) -> Result<Self> {
        let listener = match check {
            HealthCheck::Console(text) => Some(Listener::new(workshop, handle, text)?),
            _ => None,
        };
        Ok(Self {
            check: check.clone(),
            listener,
        })
    }

    pub(super) async fn is_healthy(&mut self, handle: &MachineHandle) -> Result<bool> {
        match &self.check {
            HealthCheck::Tcp(port) => match address(handle, *port) {
                Some(address) => Ok(takes_connections(address).await),
                None => Ok(false),
            },
            HealthCheck::Http { port, path } => match address(handle, *port) {
                Some(address) => Ok(answers(address, path).await),
                None => Ok(false),
            },
            HealthCheck::Console(_) => match &mut self.listener {
                Some(listener) => listener.heard().await,
                None => Ok(false),
            },
        }
    }
}

/// Waits until a machine is healthy.
///
/// # Errors
/// `Unavailable` when its guest ends before, or the time is over; with what it said last.
pub(super) async fn wait(
    workshop: &Workshop,
    handle: &MachineHandle,
    health: &Health,
    reporter: &Reporter,
) -> Result<()> {
    let name = handle.spec().name;
    let failed = |message: String| {
        let mut error = AppError::new(ErrorKind::Unavailable, message);
        let said = last_lines(handle);
        if !said.is_empty() {
            error
                .chain
                .push(format!("It said last:\n{}", said.join("\n")));
        }
        error.hinted(format!(
            "`windlassctl machine logs {name}` shows what it said"
        ))
    };
    let deadline = Instant::now() + Duration::from_secs(health.within_seconds.into());
    let mut looking = Looking::new(workshop, handle, &health.check)?;
    loop {
        reporter.check()?;
        if looking.is_healthy(handle).await? {
            return Ok(());
        }
        if !is_live(handle) {
            let said = handle.status().borrow().message.clone();
            let why = said.map(|said| format!(": {said}")).unwrap_or_default();
            return Err(failed(format!("{name} ended before it was healthy{why}")));
        }
        if Instant::now() >= deadline {
            let seconds = health.within_seconds;
            let within = format!("{name} was not healthy within {seconds} s");
            return Err(failed(within)
                .hinted("Give it more time in the group's file: `within: 600`, in seconds"));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// The last lines of a machine's console, without what a terminal is told beside them.
fn last_lines(handle: &MachineHandle) -> Vec<String> {
    let details = handle.details();
    let text =
        crate::machines::end_of_console(&details.console_log, details.console_start, QUOTED_BYTES);
    let says = |line: &String| !line.is_empty() && !FAREWELLS.iter().any(|it| line.contains(it));
    let lines = text.lines().map(plain_line).filter(says);
    let lines: Vec<_> = lines.collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].to_vec()
}

/// A line without escape sequences and control characters.
fn plain_line(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            if characters.next() == Some('[') {
                while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else if !c.is_control() {
            plain.push(c);
        }
    }
    plain.trim().chars().take(300).collect()
}

/// Where a port of the guest is reached.
pub(super) fn address(handle: &MachineHandle, guest: u16) -> Option<SocketAddr> {
    let status = handle.status();
    let status = status.borrow();
    let port = status
        .ports
        .iter()
        .find(|port| port.guest == guest && port.protocol == windlass_machine::Protocol::Tcp)?;
    Some((Ipv4Addr::LOCALHOST, port.host).into())
}

async fn takes_connections(address: SocketAddr) -> bool {
    let Ok(Ok(mut stream)) = timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await else {
        return false;
    };
    match timeout(REFUSAL_TIMEOUT, stream.read(&mut [0])).await {
        // It was closed, or reset.
        Ok(Ok(0) | Err(_)) => false,
        // It speaks first, or waits for us to.
        Ok(Ok(_)) | Err(_) => true,
    }
}

async fn answers(address: SocketAddr, path: &str) -> bool {
    let answer = get(address, path).await;
    answer.is_some_and(|answer| answer.status().as_u16() < 400)
}

/// The answer to a GET, if there is one.
pub(super) async fn get(address: SocketAddr, path: &str) -> Option<reqwest::Response> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_TIMEOUT)
        .build()
        .ok()?;
    client
        .get(format!("http://{address}{path}"))
        .send()
        .await
        .ok()
}

/// Listens to a console for a text.
#[derive(Debug)]
struct Listener {
    console: crate::machines::Console,
    wanted: Vec<u8>,
    /// The last of what was heard, which may be the beginning of what is wanted.
    heard: Vec<u8>,
}

impl Listener {
    fn new(workshop: &Workshop, handle: &MachineHandle, wanted: &str) -> Result<Self> {
        Ok(Self {
            console: workshop.console(handle.id(), 0)?,
            wanted: wanted.as_bytes().to_vec(),
            heard: Vec::new(),
        })
    }

    async fn heard(&mut self) -> Result<bool> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = self
                .console
                .read_available(&mut buffer)
                .await
                .map_err(|error| AppError::from_error(ErrorKind::Unavailable, &error, None))?;
            if count == 0 {
                return Ok(false);
            }
            self.heard.extend_from_slice(&buffer[..count]);
            if self
                .heard
                .windows(self.wanted.len())
                .any(|it| it == self.wanted)
            {
                return Ok(true);
            }
            let spare = self.heard.len().saturating_sub(self.wanted.len() - 1);
            self.heard.drain(..spare);
        }
    }
}
