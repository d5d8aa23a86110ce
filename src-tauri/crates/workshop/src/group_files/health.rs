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

/// Waits until a machine is healthy.
///
/// # Errors
/// `Unavailable` when its guest ends before, or the time is over.
pub(super) async fn wait(
    workshop: &Workshop,
    handle: &MachineHandle,
    health: &Health,
    reporter: &Reporter,
) -> Result<()> {
    let name = handle.spec().name;
    let failed = |message: String| {
        AppError::new(ErrorKind::Unavailable, message).hinted(format!(
            "`windlassctl machine logs {name}` shows what it said"
        ))
    };
    let deadline = Instant::now() + Duration::from_secs(health.within_seconds.into());
    let mut listener = match &health.check {
        HealthCheck::Console(text) => Some(Listener::new(workshop, handle, text)?),
        _ => None,
    };
    loop {
        reporter.check()?;
        let is_healthy = match &health.check {
            HealthCheck::Tcp(port) => match address(handle, *port) {
                Some(address) => takes_connections(address).await,
                None => false,
            },
            HealthCheck::Http { port, path } => match address(handle, *port) {
                Some(address) => answers(address, path).await,
                None => false,
            },
            HealthCheck::Console(_) => match &mut listener {
                Some(listener) => listener.heard().await?,
                None => false,
            },
        };
        if is_healthy {
            return Ok(());
        }
        if !is_live(handle) {
            let said = handle.status().borrow().message.clone();
            let why = said.map(|said| format!(": {said}")).unwrap_or_default();
            return Err(failed(format!("{name} ended before it was healthy{why}")));
        }
        if Instant::now() >= deadline {
            let seconds = health.within_seconds;
            return Err(failed(format!("{name} was not healthy within {seconds} s")));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Where a port of the guest is reached.
fn address(handle: &MachineHandle, guest: u16) -> Option<SocketAddr> {
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
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_TIMEOUT)
        .build();
    let Ok(client) = client else { return false };
    match client.get(format!("http://{address}{path}")).send().await {
        Ok(answer) => answer.status().as_u16() < 400,
        Err(_) => false,
    }
}

/// Listens to a console for a text.
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
