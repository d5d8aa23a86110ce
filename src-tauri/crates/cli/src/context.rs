//! What every verb is given.

use std::sync::Arc;

use windlass_workshop::Workshop;
use windlass_workshop::home::Home;

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::Output;

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
}
