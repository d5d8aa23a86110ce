//! Talking to a network's switch: starting it where it is not there, joining, asking who is there.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::host_link::{HostLink, Opened};
use super::members::NetworkMember;
use super::{SWITCH_ARGUMENT, folder, hardware_address, members};
use crate::error::{Error, Result};
use crate::paths::private_folder;
use crate::spec::{MachineSpec, NetworkJoin};

/// A switch is there within milliseconds; on a computer that is out of memory it may take long.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// One that did not come up is started again after this long.
const START_AGAIN: Duration = Duration::from_secs(2);
/// The list of 253 members is far shorter.
pub(super) const LINE_MAX_BYTES: u64 = 1 << 20;

/// What a switch is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Request {
    /// A machine is about to be started on this network.
    #[serde(rename_all = "camelCase")]
    Join {
        id: String,
        names: Vec<String>,
        hardware_address: [u8; 6],
    },
    /// Who is there, or is this one?
    Members { id: Option<String> },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Answer {
    Joined { address: Ipv4Addr, socket: PathBuf },
    Members(Vec<NetworkMember>),
    Refused(String),
}

/// A place on a network, for the next start of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) network: String,
    pub(crate) names: Vec<String>,
    /// Its address; on a network of this computer, whoever gives addresses there tells the guest.
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) hardware_address: [u8; 6],
    pub(crate) wire: Wire,
}

/// What a card's QEMU is connected to.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// A network's switch, where it listens for this machine.
    Switch(PathBuf),
    /// A tap device that is open.
    File(Arc<OwnedFd>),
    /// A tap device that QEMU opens.
    Device(String),
}

/// Joins a machine to one of its networks; starts the network's switch, by running `program`, where there is none.
pub(crate) async fn join(
    runtime: &Path,
    program: &Path,
    spec: &MachineSpec,
    join: &NetworkJoin,
) -> Result<Joined> {
    let hardware_address = hardware_address(&spec.id, &join.network);
    if let Some(link) = HostLink::parse(&join.network) {
        let wire = match link.open().await? {
            Opened::File(file) => Wire::File(Arc::new(file)),
            Opened::Device(name) => Wire::Device(name),
        };
        return Ok(Joined {
            network: join.network.clone(),
            names: Vec::new(),
            address: None,
            hardware_address,
            wire,
        });
    }
    let names = members::names(&spec.name, &join.aliases);
    let request = Request::Join {
        id: spec.id.clone(),
        names: names.clone(),
        hardware_address,
    };
    match ask_or_start(runtime, program, &join.network, &request).await? {
        Answer::Joined { address, socket } => Ok(Joined {
            network: join.network.clone(),
            names,
            address: Some(address),
            hardware_address,
            wire: Wire::Switch(socket),
        }),
        other => Err(refused(&join.network, other)),
    }
}

/// Who is on a network (or whether one machine is); nobody where it has no switch.
pub(crate) async fn who_is_on(
    runtime: &Path,
    network: &str,
    id: Option<&str>,
) -> Result<Vec<NetworkMember>> {
    let folder = folder(runtime, network);
    let id = id.map(str::to_owned);
    match ask(&folder, &Request::Members { id }).await {
        Ok(Answer::Members(members)) => Ok(members),
        Ok(other) => Err(refused(network, other)),
        Err(_) => Ok(Vec::new()),
    }
}

fn refused(network: &str, answer: Answer) -> Error {
    Error::Network {
        network: network.to_owned(),
        problem: match answer {
            Answer::Refused(problem) => problem,
            other => format!("its switch answers {other:?}"),
        },
    }
}

async fn ask_or_start(
    runtime: &Path,
    program: &Path,
    network: &str,
    request: &Request,
) -> Result<Answer> {
    let folder = folder(runtime, network);
    private_folder(runtime)?;
    private_folder(&folder)?;
    let deadline = Instant::now() + START_TIMEOUT;
    let mut started: Option<Instant> = None;
    loop {
        let error = match ask(&folder, request).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            let said = std::fs::read_to_string(log(&folder)).unwrap_or_default();
            let said = said.lines().last().unwrap_or_default();
            return Err(Error::Network {
                network: network.to_owned(),
                problem: format!("its switch does not come up: {error} {said}")
                    .trim_end()
                    .to_owned(),
            });
        }
        if started.is_none_or(|started| started.elapsed() > START_AGAIN) {
            start(&folder, program, network)?;
            started = Some(Instant::now());
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Starts a switch that outlives us. Of several that are started at once, all but one find the lock held and end.
fn start(folder: &Path, program: &Path, network: &str) -> Result<()> {
    let log = log(folder);
    let output = std::fs::File::create(&log).map_err(Error::io("write", &log))?;
    let mut command = tokio::process::Command::new(program);
    command
        .arg(SWITCH_ARGUMENT)
        .arg(folder)
        .arg(network)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .process_group(0);
    // Should it end before we do, the runtime takes note of that.
    command
        .spawn()
        .map_err(Error::io("start the switch of a network by", program))?;
    Ok(())
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

async fn ask(folder: &Path, request: &Request) -> std::io::Result<Answer> {
    let asked = async {
        let mut stream = BufReader::new(UnixStream::connect(folder.join("control")).await?);
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        stream
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut answer)
            .await?;
        Ok(serde_json::from_slice(&answer)?)
    };
    timeout(ANSWER_TIMEOUT, asked).await?
}
