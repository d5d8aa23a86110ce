//! The verbs, a noun each.

pub(crate) mod appliance;
pub(crate) mod capture;
pub(crate) mod cloud;
pub(crate) mod collect;
pub(crate) mod compose;
pub(crate) mod config;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod fetch;
pub(crate) mod graph;
pub(crate) mod group;
mod guest;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod job;
pub(crate) mod kernel;
pub(crate) mod layers;
pub(crate) mod library;
pub(crate) mod machine;
pub(crate) mod manifest;
pub(crate) mod network;
pub(crate) mod pack;
pub(crate) mod package;
pub(crate) mod packages;
pub(crate) mod recipe;
pub(crate) mod registry;
pub(crate) mod remote;
pub(crate) mod resources;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod sample;
pub(crate) mod search;
pub(crate) mod server;
pub(crate) mod settings;
pub(crate) mod snapshot;
pub(crate) mod stack;
pub(crate) mod stats;
pub(crate) mod study;
pub(crate) mod volume;

mod findings;
mod target;

use windlass_workshop::secrets::BackendKind;

use crate::context::Context;
use crate::failure::Failure;

/// The environment variable with the passphrase of the file of secrets.
pub(crate) const PASSPHRASE_VARIABLE: &str = "WINDLASS_PASSPHRASE";

/// Opens the file of secrets, where secrets are in one: with what the environment says, else with what is typed.
pub(crate) async fn unlock(context: &Context) -> Result<(), Failure> {
    let backend = context.workshop.secrets_backend().await?;
    if backend.kind != BackendKind::File || !backend.locked {
        return Ok(());
    }
    let passphrase = match std::env::var(PASSPHRASE_VARIABLE) {
        Ok(passphrase) if !passphrase.is_empty() => passphrase,
        _ => registry::secret("Passphrase")?,
    };
    context.workshop.unlock_secrets(passphrase).await?;
    Ok(())
}
