//! Registries of the Open Container Initiative: a package as an artifact.

use crate::http::Client;
use crate::kinds::{Known, Listing, Opened, Resume, Source};
use crate::{
    Control, Credentials, Error, Limits, Locator, Progress, Publication, Published, RegistryConfig,
    RegistryKind,
};

/// An OCI registry.
#[derive(Debug)]
pub(crate) struct Oci {
    _client: Client,
}

impl Oci {
    /// Opens it.
    pub(crate) fn open(
        config: &RegistryConfig,
        credentials: Credentials,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let _ = credentials;
        Ok(Self {
            _client: Client::new(config, limits)?,
        })
    }
}

impl Source for Oci {
    async fn list(
        &self,
        _known: &Known<'_>,
        _control: &Control,
        _progress: &dyn Progress,
    ) -> Result<Listing, Error> {
        Err(unsupported("listing"))
    }

    async fn open(
        &self,
        _locator: &Locator,
        _resume: Option<&Resume>,
        _control: &Control,
    ) -> Result<Opened, Error> {
        Err(unsupported("fetching"))
    }

    async fn publish(
        &self,
        _publication: &Publication,
        _control: &Control,
        _progress: &dyn Progress,
    ) -> Result<Published, Error> {
        Err(unsupported("publishing"))
    }
}

fn unsupported(doing: &'static str) -> Error {
    Error::Unsupported {
        doing,
        kind: RegistryKind::Oci,
    }
}
