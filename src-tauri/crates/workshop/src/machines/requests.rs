//! What a machine is asked to do: start, pause, go on, stop, end, go.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_machine::MachineHandle;

use super::{Machine, is_live, shown};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;

/// How long closing the window waits for machines that were asked to stop.
const STOP_ALL_PATIENCE: Duration = Duration::from_secs(30);

impl Workshop {
    /// Starts a machine that does not run.
    ///
    /// # Errors
    /// What kept it from starting, in words.
    pub async fn start_machine(&self, id: &str) -> Result<()> {
        let handle = self.machine_handle(id)?;
        self.check_volumes(&handle.spec())?;
        self.set_patience(&handle).await?;
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

    /// Stops a machine where it runs, waits until it has ended, and starts it.
    ///
    /// # Errors
    /// What kept it from stopping or starting.
    pub async fn restart_machine(&self, id: &str) -> Result<()> {
        let handle = self.machine_handle(id)?;
        let probe = self.probe(&CancellationToken::new()).await?;
        Ok(handle.restart(&probe).await?)
    }

    /// Gives a machine that is about to start the times of a stop that the settings say.
    async fn set_patience(&self, handle: &MachineHandle) -> Result<()> {
        let patience = self.patience()?;
        if handle.spec().patience != patience && !is_live(handle) {
            handle.edit(move |spec| spec.patience = patience).await?;
        }
        Ok(())
    }

    /// Makes a machine that is as another one; with what its guest has written to its own disks, or as if it had never
    /// run. Volumes are not copied: the two share them, one at a time.
    ///
    /// # Errors
    /// `Input` when the name is empty; `Conflict` when the writes of a machine that runs are wanted.
    pub async fn clone_machine(
        &self,
        id: &str,
        name: Option<&str>,
        with_writes: bool,
    ) -> Result<Machine> {
        let handle = self.machine_handle(id)?;
        let wanted = handle.spec().name;
        let name = match name.map(str::trim) {
            Some("") => return Err(AppError::new(ErrorKind::Input, "A machine needs a name")),
            Some(name) => name.to_owned(),
            None => self.free_machine_name(&wanted),
        };
        let clone = self
            .machines
            .clone_machine(&handle, &crate::new_id(), &name, with_writes)
            .await?;
        Ok(shown(&clone))
    }

    /// `wanted-2` and so on: the first that no machine has.
    fn free_machine_name(&self, wanted: &str) -> String {
        let names: Vec<_> = self
            .machines
            .list()
            .iter()
            .map(|handle| handle.spec().name)
            .collect();
        let stem = match wanted.rsplit_once('-') {
            Some((stem, number)) if number.parse::<u32>().is_ok() => stem,
            _ => wanted,
        };
        let mut numbered = (2_u32..).map(|number| format!("{stem}-{number}"));
        numbered
            .find(|name| !names.contains(name))
            .unwrap_or_default()
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
}
