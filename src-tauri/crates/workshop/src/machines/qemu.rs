//! QEMU as it is on this computer.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use windlass_machine::{Probe, Qemu};

use crate::Workshop;
use crate::error::Result;

impl Workshop {
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
}
