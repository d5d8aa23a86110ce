//! Machines, as the window and the command line show them.
//!
//! The truth about a machine is in its folder and in its QEMU (see `windlass-machine`); this module
//! gives it the words of the window, and ties it to the appliance and the build that it runs.

mod console;
mod load;
mod osv;
mod push;
mod remote;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use specta::Type;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use windlass_machine::{MachineHandle, Probe, Qemu, Status};

pub use console::{Console, ConsoleInput};
pub(crate) use load::Measuring;
pub use load::{LoadPoint, Loads, MachineLoad, MachineNow};
pub(crate) use osv::channels as osv_channels;
pub use push::Pushed;

use crate::Workshop;
use crate::appliances::ApplianceSettings;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;
use crate::guests::{GuestOs, Protocol};

/// How long closing the window waits for machines that were asked to stop.
const STOP_ALL_PATIENCE: Duration = Duration::from_secs(30);

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum MachineState {
    /// Never started.
    Created,
    /// QEMU is being started.
    Starting,
    /// The guest runs.
    Running,
    /// The guest stands still, at the user's wish.
    Paused,
    /// On the way out.
    Stopping,
    /// The guest ended by itself with status 0, or was stopped.
    Stopped,
    /// The guest ended with another status, or could not be started.
    Failed,
    /// The guest panicked or halted, or QEMU died under it.
    Crashed,
    /// It went away while nobody was looking.
    Lost,
}

crate::guests::mirror!(
    MachineState,
    windlass_machine::MachineState: Created, Starting, Running, Paused, Stopping, Stopped, Failed,
    Crashed, Lost
);

/// A port of the guest that is reached at 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedPort {
    /// The port on 127.0.0.1.
    pub host: u16,
    /// The port inside the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A machine as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The appliance that it was made from.
    pub appliance_id: Option<String>,
    /// The build that it boots.
    pub build_id: Option<String>,
    /// What boots in it.
    pub guest: GuestOs,
    /// Where it is in its life.
    pub state: MachineState,
    /// The status that the guest's commands ended with.
    pub exit_status: Option<i32>,
    /// What happened or is happening, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Ports that are reached at 127.0.0.1.
    pub ports: Vec<ForwardedPort>,
    /// The guest's own address.
    pub address: Option<String>,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Whether it has a screen.
    pub has_display: bool,
    /// What runs the guest's instructions, in QEMU's word; empty before the first start.
    pub accelerator: String,
    /// When the present or last run began (RFC 3339).
    pub started_at: Option<String>,
    /// When the last run ended (RFC 3339).
    pub ended_at: Option<String>,
    /// Whether another Windlass process drives it.
    pub elsewhere: bool,
    /// Whether its guest's files can be changed while it runs.
    pub allows_changes: bool,
}

/// What a machine was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MachineDetails {
    /// QEMU's command line, word by word.
    pub command: Vec<String>,
    /// QEMU's process, while there is one.
    pub pid: Option<i32>,
    /// The machine's own folder.
    pub folder: String,
    /// The version of the QEMU that runs or ran it.
    pub qemu_version: String,
    /// The file that the console goes to.
    pub console_log: String,
    /// What the guest said that is worth knowing, oldest first.
    pub notices: Vec<String>,
}

/// What ties a machine to where it came from; kept in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Labels {
    pub(crate) appliance_id: Option<String>,
    pub(crate) build_id: Option<String>,
    /// The settings that it was run with, where they are not the folder's.
    pub(crate) settings: Option<ApplianceSettings>,
}

/// A machine's display: the RFB protocol over a unix socket.
#[derive(Debug)]
pub struct Display {
    socket: UnixStream,
}

impl Display {
    /// The two directions, seen from here: what the screen says, what it is told.
    pub fn split(
        self,
    ) -> (
        tokio::net::unix::OwnedReadHalf,
        tokio::net::unix::OwnedWriteHalf,
    ) {
        self.socket.into_split()
    }
}

impl From<windlass_machine::Error> for AppError {
    fn from(error: windlass_machine::Error) -> Self {
        use windlass_machine::Error;
        let kind = match &error {
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::Spec { .. } => ErrorKind::Input,
            Error::WrongState { .. }
            | Error::PortTaken { .. }
            | Error::Exists { .. }
            | Error::NoAgent { .. }
            | Error::AgentBusy { .. } => ErrorKind::Conflict,
            Error::Record { .. } | Error::Closed => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

/// The labels of a machine; none for one that something else made.
pub(crate) fn labels(handle: &MachineHandle) -> Labels {
    serde_json::from_value(handle.spec().labels).unwrap_or_default()
}

fn shown(handle: &MachineHandle) -> Machine {
    let spec = handle.spec();
    let labels = labels(handle);
    let status: Status = handle.status().borrow().clone();
    let allows_changes = spec.agent && !is_read_only(&spec.disks);
    Machine {
        id: spec.id,
        name: spec.name,
        appliance_id: labels.appliance_id,
        build_id: labels.build_id,
        guest: spec.guest.into(),
        state: status.state.into(),
        exit_status: status.exit_status,
        message: status.message,
        remedy: status.remedy,
        ports: status
            .ports
            .iter()
            .map(|port| ForwardedPort {
                host: port.host,
                guest: port.guest,
                protocol: port.protocol.into(),
            })
            .collect(),
        address: status.address,
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        has_display: spec.display,
        accelerator: status.accelerator.unwrap_or_default(),
        started_at: status.started_at.map(|time| time.to_string()),
        ended_at: status.ended_at.map(|time| time.to_string()),
        elsewhere: status.elsewhere,
        allows_changes,
    }
}

/// Whether the root cannot be written, whatever is asked for.
fn is_read_only(disks: &[windlass_machine::Disk]) -> bool {
    disks
        .first()
        .is_some_and(|disk| disk.access == windlass_machine::DiskAccess::ReadOnly)
}

impl Workshop {
    /// All machines, in the order in which they were made.
    ///
    /// # Errors
    /// None today; a list that comes from a cloud will have some.
    pub fn machines(&self) -> Result<Vec<Machine>> {
        Ok(self.machines.list().iter().map(shown).collect())
    }

    /// The machine of this id, or of this name where only one has it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when several have the name.
    pub fn machine(&self, id_or_name: &str) -> Result<Machine> {
        self.machine_handle(id_or_name).map(|handle| shown(&handle))
    }

    pub(crate) fn machine_handle(&self, id_or_name: &str) -> Result<MachineHandle> {
        if let Ok(handle) = self.machines.get(id_or_name) {
            return Ok(handle);
        }
        let mut named = self.machines.list();
        named.retain(|handle| handle.spec().name == id_or_name);
        match named.len() {
            0 => Err(AppError::not_found("machine", id_or_name)
                .hinted("`windlassctl instances` lists them")),
            1 => Ok(named.remove(0)),
            several => Err(AppError::new(
                ErrorKind::Conflict,
                format!("{several} machines are called `{id_or_name}`"),
            )
            .hinted("Name it by its id: `windlassctl instances` shows it")),
        }
    }

    /// How many machines run or are about to.
    pub fn machines_running(&self) -> usize {
        self.machines
            .list()
            .iter()
            .filter(|handle| is_live(handle))
            .count()
    }

    /// How many machines of an appliance run.
    pub(crate) fn machines_of(&self, appliance: &str) -> Vec<MachineHandle> {
        let mut machines = self.machines.list();
        machines.retain(|handle| labels(handle).appliance_id.as_deref() == Some(appliance));
        machines
    }

    /// Starts a machine that does not run.
    ///
    /// # Errors
    /// What kept it from starting, in words.
    pub async fn start_machine(&self, id: &str) -> Result<()> {
        let handle = self.machine_handle(id)?;
        self.check_volumes(&handle.spec())?;
        let probe = self.probe(&CancellationToken::new()).await?;
        Ok(handle.start(&probe).await?)
    }

    /// Halts the guest where it is.
    ///
    /// # Errors
    /// `Conflict` unless it runs.
    pub async fn pause_machine(&self, id: &str) -> Result<()> {
        Ok(self.machine_handle(id)?.pause().await?)
    }

    /// Lets a paused guest go on.
    ///
    /// # Errors
    /// `Conflict` unless it is paused.
    pub async fn resume_machine(&self, id: &str) -> Result<()> {
        Ok(self.machine_handle(id)?.resume().await?)
    }

    /// Asks the guest to end; after a while its power is cut. Returns when it was asked.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn stop_machine(&self, id: &str) -> Result<()> {
        Ok(self.machine_handle(id)?.stop().await?)
    }

    /// Cuts the power, and returns when QEMU is gone.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn kill_machine(&self, id: &str) -> Result<()> {
        Ok(self.machine_handle(id)?.kill().await?)
    }

    /// Waits until a machine has ended, and says how.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub async fn ended_machine(&self, id: &str) -> Result<Machine> {
        let handle = self.machine_handle(id)?;
        handle.ended().await;
        Ok(shown(&handle))
    }

    /// Deletes a machine with its console log and all that its guest wrote.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub async fn delete_machine(&self, id: &str) -> Result<()> {
        let handle = self.machine_handle(id)?;
        handle.delete().await?;
        Ok(())
    }

    /// Gives a machine another name.
    ///
    /// # Errors
    /// `Input` when it is empty.
    pub async fn rename_machine(&self, id: &str, name: &str) -> Result<()> {
        let name = name.trim();
        if name.is_empty() {
            return Err(AppError::new(ErrorKind::Input, "A machine needs a name"));
        }
        let handle = self.machine_handle(id)?;
        handle.rename(name).await?;
        self.events
            .send(Event::MachineChanged(Box::new(shown(&handle))));
        Ok(())
    }

    /// Asks every running machine to stop and waits a while for them.
    pub async fn stop_all_machines(&self) {
        let live: Vec<_> = self.machines.list().into_iter().filter(is_live).collect();
        for handle in &live {
            if let Err(error) = handle.stop().await {
                tracing::warn!(machine = handle.id(), %error, "a machine could not be stopped");
            }
        }
        let all_ended = async {
            for handle in &live {
                handle.ended().await;
            }
        };
        if tokio::time::timeout(STOP_ALL_PATIENCE, all_ended)
            .await
            .is_err()
        {
            tracing::warn!("some machines did not stop in time");
        }
    }

    /// The exact QEMU command, and where things are.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub fn machine_details(&self, id: &str) -> Result<MachineDetails> {
        let handle = self.machine_handle(id)?;
        let details = handle.details();
        let notices = handle.status().borrow().notices.clone();
        Ok(MachineDetails {
            command: details.command,
            pid: details.pid,
            folder: details.folder.display().to_string(),
            qemu_version: details.qemu_version.unwrap_or_default(),
            console_log: details.console_log.display().to_string(),
            notices,
        })
    }

    /// What the display shows now, as PNG.
    ///
    /// # Errors
    /// `Conflict` unless it runs; `Unavailable` without a display.
    pub async fn machine_screenshot(&self, id: &str) -> Result<Vec<u8>> {
        Ok(self.machine_handle(id)?.screenshot().await?)
    }

    /// Saves what the display shows now as a PNG file.
    ///
    /// # Errors
    /// As [`machine_screenshot`](Self::machine_screenshot); when the file cannot be written, nothing of it
    /// is left.
    pub async fn save_screenshot(&self, id: &str, path: &Path) -> Result<()> {
        let picture = self.machine_screenshot(id).await?;
        let path = path.to_path_buf();
        crate::blocking(move || crate::disk::write_whole(&path, &picture)).await?
    }

    /// Opens a forwarded port in the browser.
    ///
    /// # Errors
    /// `NotFound` when the port is not forwarded now.
    pub fn open_port(&self, id: &str, guest_port: u16) -> Result<()> {
        let machine = self.machine(id)?;
        let port = machine
            .ports
            .iter()
            .find(|port| port.guest == guest_port && port.protocol == Protocol::Tcp)
            .ok_or_else(|| AppError::not_found("forwarded port", &guest_port.to_string()))?;
        let address = format!("http://127.0.0.1:{}/", port.host);
        open::that_detached(&address).map_err(|error| {
            AppError::from_error(
                ErrorKind::Unavailable,
                &error,
                Some(format!("Open {address}")),
            )
        })
    }

    /// The console of a machine, from a byte of its present run on.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub fn console(&self, id: &str, from_byte: u64) -> Result<Console> {
        Ok(Console::new(self.machine_handle(id)?, from_byte))
    }

    /// Saves the console of the present or last run as a file.
    ///
    /// # Errors
    /// When it cannot be read or written; nothing half-written is left.
    pub async fn save_console(&self, id: &str, path: &Path) -> Result<()> {
        let console = self.console(id, 0)?;
        let path = path.to_path_buf();
        crate::blocking(move || console.save(&path)).await?
    }

    /// Connects to a machine's display.
    ///
    /// # Errors
    /// `Conflict` unless it runs; `Unavailable` without a display.
    pub async fn display(&self, id: &str) -> Result<Display> {
        let path = self.machine_handle(id)?.vnc_socket()?;
        let socket = UnixStream::connect(&path)
            .await
            .doing("connect to the display", &path)?;
        Ok(Display { socket })
    }

    /// QEMU as it is on this computer, tried out once and remembered as long as it stays the same.
    ///
    /// # Errors
    /// `Unavailable` when there is no QEMU, or none that runs a guest.
    pub async fn probe(&self, cancel: &CancellationToken) -> Result<Probe> {
        let chosen: Option<PathBuf> = self.settings()?.qemu_path;
        let qemu = Qemu::find(chosen.as_deref()).await?;
        if let Some(probe) = self
            .remembered::<Probe>("probe")?
            .filter(|probe| probe.fits(&qemu))
        {
            return Ok(probe);
        }
        // One at a time: two probes at once would only slow each other down.
        let _probing = self.probing.lock().await;
        if let Some(probe) = self
            .remembered::<Probe>("probe")?
            .filter(|probe| probe.fits(&qemu))
        {
            return Ok(probe);
        }
        let probe = windlass_machine::probe(&qemu, cancel).await?;
        self.remember("probe", &probe)?;
        Ok(probe)
    }

    /// Tells listeners of every machine's changes, as long as the workshop lives.
    pub(crate) fn watch_machines(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let mut ids = self.machines.watch();
        tokio::spawn(async move {
            let mut watched = std::collections::HashSet::<String>::new();
            loop {
                let present = ids.borrow_and_update().clone();
                let Some(workshop) = weak.upgrade() else {
                    return;
                };
                for id in &present {
                    if watched.insert(id.clone())
                        && let Ok(handle) = workshop.machines.get(id)
                    {
                        tokio::spawn(tell(Arc::downgrade(&workshop), handle));
                    }
                }
                for gone in watched
                    .extract_if(|id| !present.contains(id))
                    .collect::<Vec<_>>()
                {
                    workshop.events.send(Event::MachineGone(gone));
                    workshop.tell_appliances();
                }
                drop(workshop);
                if ids.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Tells listeners of one machine's changes until it is gone.
async fn tell(weak: std::sync::Weak<Workshop>, handle: MachineHandle) {
    let mut status = handle.status();
    let mut was_live = false;
    loop {
        status.borrow_and_update();
        let Some(workshop) = weak.upgrade() else {
            return;
        };
        workshop
            .events
            .send(Event::MachineChanged(Box::new(shown(&handle))));
        if is_live(&handle) != was_live {
            was_live = !was_live;
            if let Some(appliance) = labels(&handle).appliance_id {
                workshop.tell_appliance(&appliance);
            }
        }
        drop(workshop);
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                return;
            },
            () = handle.gone() => return,
        }
    }
}

pub(crate) fn is_live(handle: &MachineHandle) -> bool {
    handle.status().borrow().state.is_live()
}
