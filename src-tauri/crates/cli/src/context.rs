//! What every verb is given.

use std::sync::Arc;
use std::time::Duration;

use windlass_workshop::Workshop;
use windlass_workshop::home::Home;

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::Output;

/// How long letting go of machines may take before we end all the same.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The workshop, and where to say things.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) output: Output,
}

impl Context {
    /// Opens the workshop of `WINDLASS_HOME`.
    pub(crate) async fn open(global: &Global) -> Result<Self, Failure> {
        let workshop = Workshop::open(Home::from_environment()?).await?;
        Ok(Self {
            workshop,
            output: Output::new(*global),
        })
    }

    /// Waits until all that is known of machines is written down, within reason.
    pub(crate) async fn close(&self) {
        if tokio::time::timeout(CLOSE_PATIENCE, self.workshop.close())
            .await
            .is_err()
        {
            tracing::warn!("machines were not let go of in time");
        }
    }
}
