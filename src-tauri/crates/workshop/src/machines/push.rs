//! Changes to the files of a guest that runs.
//!
//! ```text
//!   what the machine holds                    what its appliance has now
//!     machines/<id>/pushed.json, else           composed as for a build, but nothing is built
//!     the list of files of its image
//!            └───────────────┬──────────────────────┘
//!                         compare ─> remove, write, … ─> all of it on the guest's disk ─> the commands begin again
//! ```
//!
//! A Linux guest is changed through its agent. OSv is changed through its REST API or cpiod, where the image has one of
//! them and its port is forwarded ([`osv`]); its commands begin again when the machine does.
//!
//! Before anything is changed, `pushed.json` says of every path that is going to be that nobody knows what is there; after all
//! is on the disk, what there is. Killed in between, the next push does the rest and all of it again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;
use windlass_compose::{Change, DigestCache, Held, Push};
use windlass_guest::agent::{Refusal, Request};
use windlass_image::{GuestPath, Source};
use windlass_machine::{Agent, Boot, MachineHandle};

use super::{labels, osv};
use crate::Workshop;
use crate::appliances::{ApplianceSettings, Composition};
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, JobKind, Reporter, Unit};

/// What the guest holds, in the machine's folder.
const HELD: &str = "pushed.json";
/// What the last push did, in the machine's folder.
const LAST: &str = "last-push.json";

/// What a push did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// How many files and symlinks are new.
    pub added: u64,
    /// How many have other content, another mode, or are of another kind.
    pub changed: u64,
    /// How many are no more.
    pub removed: u64,
    /// The bytes of the files that were sent.
    pub bytes: u64,
    /// Whether the commands began again.
    pub restarted: bool,
}

impl Pushed {
    fn of(push: &Push) -> Self {
        Self {
            added: push.added as u64,
            changed: push.changed as u64,
            removed: push.removed as u64,
            bytes: push.bytes,
            restarted: false,
        }
    }
}

/// A machine, and what is to be done in it.
pub(super) struct Prepared {
    pub(super) composition: Arc<Composition>,
    before: Held,
    pub(super) push: Push,
    held_path: PathBuf,
}

impl Workshop {
    /// Brings a running machine's files to what its appliance has now, as a job; its commands begin again then.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it does not run or may not be changed.
    pub fn start_push(self: &Arc<Self>, machine: &str) -> Result<Job> {
        let handle = self.machine_handle(machine)?;
        let name = handle.spec().name;
        let subject = labels(&handle).appliance_id;
        may_be_changed(&handle)?;
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Push,
            format!("Push changes to {name}"),
            subject,
            None,
            async move |reporter| {
                let id = handle.id().to_owned();
                workshop.push(&handle, &reporter).await?;
                Ok(Some(id))
            },
        )
    }

    /// What a push would do now. Nothing is changed.
    ///
    /// # Errors
    /// As [`start_push`](Self::start_push); when the appliance cannot be composed.
    pub async fn push_preview(self: &Arc<Self>, machine: &str) -> Result<Pushed> {
        let handle = self.machine_handle(machine)?;
        may_be_changed(&handle)?;
        let prepared = self
            .prepare_push(&handle, &CancellationToken::new())
            .await?;
        Ok(Pushed {
            restarted: !prepared.push.is_empty(),
            ..Pushed::of(&prepared.push)
        })
    }

    /// What the last push to a machine did.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine.
    pub fn last_push(&self, machine: &str) -> Result<Option<Pushed>> {
        let handle = self.machine_handle(machine)?;
        let kept = std::fs::read(handle.details().folder.join(LAST)).ok();
        Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Composes the machine's appliance and compares it with what the machine holds.
    async fn prepare_push(
        self: &Arc<Self>,
        handle: &MachineHandle,
        cancel: &CancellationToken,
    ) -> Result<Prepared> {
        let labels = labels(handle);
        let (Some(appliance), Some(build)) = (labels.appliance_id, labels.build_id) else {
            return Err(AppError::new(
                ErrorKind::Conflict,
                "This machine was not made from an appliance",
            ));
        };
        let record = self.appliance_record(&appliance)?;
        let image = PathBuf::from(self.build(&build)?.path);
        let settings = labels
            .settings
            .as_ref()
            .map(ApplianceSettings::to_build_settings);
        let held_path = handle.details().folder.join(HELD);
        let guest = handle.spec().guest;
        let workshop = Arc::clone(self);
        let cancel = cancel.clone();
        crate::blocking(move || {
            let composition = workshop.compose(&record, settings.as_ref(), &cancel)?;
            if windlass_guest::GuestOs::from(composition.guest) != guest {
                return Err(AppError::new(
                    ErrorKind::Conflict,
                    format!("The appliance is for {} now", composition.guest.title()),
                )
                .hinted("Run it again: another guest needs another machine"));
            }
            let before = match Held::read(&held_path)? {
                Some(held) => held,
                None => Held::of_image(&image)?,
            };
            let digests = DigestCache::open(workshop.home.digests());
            let push = windlass_compose::push(
                &composition.plan,
                &composition.command_line,
                &before,
                &digests,
                &cancel,
            )?;
            if let Err(error) = digests.save() {
                tracing::warn!(%error, "the digests of files could not be kept");
            }
            Ok(Prepared {
                composition,
                before,
                push,
                held_path,
            })
        })
        .await?
    }

    async fn push(self: &Arc<Self>, handle: &MachineHandle, reporter: &Reporter) -> Result<Pushed> {
        reporter.step("Comparing the appliance with the machine");
        let prepared = self.prepare_push(handle, reporter.cancellation()).await?;
        let mut pushed = Pushed::of(&prepared.push);
        if prepared.push.is_empty() {
            reporter.log("The machine has all of it already");
        } else {
            reporter.check()?;
            if handle.spec().guest == windlass_guest::GuestOs::Osv {
                self.push_to_osv(handle, &prepared, reporter).await?;
            } else {
                push_to_linux(handle, &prepared, reporter).await?;
            }
            pushed.restarted = true;
        }
        reporter.log(&format!(
            "{} added, {} changed, {} removed, {} bytes sent",
            pushed.added, pushed.changed, pushed.removed, pushed.bytes
        ));
        let last = handle.details().folder.join(LAST);
        let bytes = serde_json::to_vec(&pushed)
            .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
        crate::blocking(move || crate::disk::write_whole(&last, &bytes)).await??;
        Ok(pushed)
    }

    /// Brings the files of an OSv guest to what they should be, and starts its machine again.
    async fn push_to_osv(
        self: &Arc<Self>,
        handle: &MachineHandle,
        prepared: &Prepared,
        reporter: &Reporter,
    ) -> Result<()> {
        let channel = osv::channel(handle, prepared)?;
        let push = &prepared.push;
        keep(push.during(&prepared.before), &prepared.held_path).await?;
        reporter.step("Sending what changed");
        osv::send(channel, push, reporter).await?;
        keep(push.after.clone(), &prepared.held_path).await?;
        // OSv has no way to end one program and start it anew.
        reporter.step("Starting the machine again");
        let probe = self.probe(reporter.cancellation()).await?;
        match handle.stop().await {
            // cpiod has ended, and with it a guest whose last command it was.
            Ok(()) | Err(windlass_machine::Error::WrongState { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        handle.ended().await;
        handle.start(&probe).await?;
        if push.command_line.is_some() {
            reporter.log("The boot command changed as well: run the appliance again to have it");
        }
        Ok(())
    }
}

/// Brings the files of a Linux guest to what they should be, and has its commands begin again.
async fn push_to_linux(
    handle: &MachineHandle,
    prepared: &Prepared,
    reporter: &Reporter,
) -> Result<()> {
    let mut agent = handle.agent().await?;
    if !agent.is_writable() {
        return Err(AppError::new(
            ErrorKind::Conflict,
            "The machine's root file system is read-only",
        )
        .hinted("Run the appliance again"));
    }
    let push = &prepared.push;
    keep(push.during(&prepared.before), &prepared.held_path).await?;
    send(&mut agent, push, reporter).await?;
    agent.done(&Request::Sync).await?;
    keep(push.after.clone(), &prepared.held_path).await?;
    reporter.step("Starting the commands again");
    let line = machine_command_line(handle, prepared);
    let commands = agent.restart(Some(line)).await?;
    reporter.log(&format!("{commands} command(s) began again"));
    Ok(())
}

/// The boot command line that the guest is to follow from now on: the appliance's, whole.
fn machine_command_line(handle: &MachineHandle, prepared: &Prepared) -> String {
    let composition = &prepared.composition;
    let line = windlass_compose::image_command_line(
        composition.guest.into(),
        composition.root_fs.into(),
        &composition.command_line,
    )
    .to_string();
    if let Boot::Kernel {
        command_line: Some(old),
        ..
    } = handle.spec().boot
        && old != line
    {
        tracing::info!(machine = handle.id(), "the boot command changed as well");
    }
    line
}

pub(super) fn may_be_changed(handle: &MachineHandle) -> Result<()> {
    if !handle.spec().agent {
        let id = handle.id().to_owned();
        return Err(windlass_machine::Error::NoAgent { id }.into());
    }
    let state = handle.status().borrow().state;
    if state != windlass_machine::MachineState::Running {
        let request = "change";
        return Err(windlass_machine::Error::WrongState { request, state }.into());
    }
    Ok(())
}

async fn keep(held: Held, path: &Path) -> Result<()> {
    let path = path.to_path_buf();
    Ok(crate::blocking(move || held.write(&path)).await??)
}

/// Does the changes one after the other.
async fn send(agent: &mut Agent, push: &Push, reporter: &Reporter) -> Result<()> {
    reporter.step("Sending what changed");
    let mut sent = 0;
    for change in &push.changes {
        reporter.check()?;
        let done = match change {
            Change::File {
                path,
                mode,
                size_bytes,
                digest,
                source,
            } => {
                let mut reader = open(source, path).await?;
                let told = |bytes: u64| {
                    sent += bytes;
                    reporter.progress(sent, Some(push.bytes), Unit::Bytes);
                };
                let place = in_guest(path);
                agent
                    .write_file(
                        &place,
                        *mode,
                        *size_bytes,
                        *digest.as_bytes(),
                        &mut reader,
                        told,
                    )
                    .await
            }
            Change::Remove { path, is_replaced } => {
                let path = in_guest(path);
                match agent.done(&Request::Remove { path }).await {
                    // The guest has put files of its own there.
                    Err(windlass_machine::Error::Refused {
                        reason: Refusal::NotEmpty,
                        ..
                    }) if !is_replaced => {
                        let path = change.path();
                        reporter.log(&format!("{path} stays: it holds files of the guest's own"));
                        Ok(())
                    }
                    done => done,
                }
            }
            Change::Directory { path, mode } => {
                let (path, mode) = (in_guest(path), *mode);
                agent.done(&Request::MakeDirectory { path, mode }).await
            }
            Change::Symlink { path, target } => {
                let (path, target) = (in_guest(path), target.clone());
                agent.done(&Request::MakeSymlink { path, target }).await
            }
            Change::Mode { path, mode } => {
                let (path, mode) = (in_guest(path), *mode);
                agent.done(&Request::SetMode { path, mode }).await
            }
        };
        done.map_err(|error| in_words(error, change))?;
    }
    Ok(())
}

/// What the guest saw of a file that changed under our hands, as what it is.
fn in_words(error: windlass_machine::Error, change: &Change) -> AppError {
    match error {
        windlass_machine::Error::Refused {
            reason: Refusal::Damaged,
            ..
        } => AppError::new(
            ErrorKind::Conflict,
            format!("{} changed while it was sent", change.path()),
        )
        .hinted("Push again when nothing writes to it"),
        error => error.into(),
    }
}

async fn open(source: &Source, node: &GuestPath) -> Result<Box<dyn AsyncRead + Send + Unpin>> {
    if let Source::Bytes(bytes) = source {
        return Ok(Box::new(std::io::Cursor::new(bytes.to_vec())));
    }
    let path = source.file(node).unwrap_or_default();
    let file = tokio::fs::File::open(&path).await;
    Ok(Box::new(file.doing("open the file", &path)?))
}

fn in_guest(path: &GuestPath) -> Vec<u8> {
    [b"/", path.as_bytes()].concat()
}
