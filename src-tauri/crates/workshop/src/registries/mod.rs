//! Registries: the places that packages and guest kernels come from, in the order in which they are
//! asked.
//!
//! ```text
//!   database: name, kind, address, order …       secret store: credentials
//!        └────────────────┬──────────────────────────┘
//!                    registry ──refresh (a job)──► registries/<id>.catalogue
//!                                                      │
//!                                  search, details ◄───┘  what was listed last; works offline
//! ```
//!
//! What a registry needs to be logged in to never gets into the database, a log or an error.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;

use crate::Workshop;
use crate::error::{AppError, Result};
use crate::jobs::Job;

/// How a registry is laid out and spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum RegistryKind {
    /// An S3 bucket that may be listed.
    S3,
    /// The releases of a GitHub repository.
    GitHub,
    /// A directory of a web server.
    Http,
    /// A folder of this computer.
    Folder,
    /// A repository of an OCI registry.
    Oci,
}

/// What is known of a registry just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum RegistryState {
    /// It was never asked what it has.
    Never,
    /// What it has is known.
    Fresh,
    /// It is being asked just now.
    Refreshing,
    /// It did not answer; what it had before is still known.
    Offline,
    /// It answered, and not as it should.
    Failed,
}

/// A registry as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a box or a mark of the list, and independent of the others"
)]
pub struct Registry {
    /// Its name for programs.
    pub id: u32,
    /// Its name for people.
    pub name: String,
    /// How it is laid out.
    pub kind: RegistryKind,
    /// Its address, or its folder.
    pub url: String,
    /// Where in it packages begin, where that is not its root.
    pub prefix: Option<String>,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Whether it was there from the start.
    pub built_in: bool,
    /// Its place; those before it win.
    pub order: u32,
    /// Whether credentials are kept for it.
    pub needs_login: bool,
    /// Certificates that it is trusted by, beside the system's.
    pub ca_file: Option<String>,
    /// The proxy that it is reached by, where it is not the system's.
    pub proxy: Option<String>,
    /// The minisign key that its packages are signed with.
    pub minisign_key: Option<String>,
    /// Whether packages can be published to a registry of this kind.
    pub publishable: bool,
    /// What is known of it just now.
    pub state: RegistryState,
    /// When it was last asked with success (RFC 3339).
    pub refreshed: Option<String>,
    /// How many packages and kernels it has.
    pub packages: u32,
    /// Why it is offline or failed.
    pub problem: Option<AppError>,
}

/// How a registry is to be logged in to. Only ever on its way into the secret store.
#[derive(Clone, PartialEq, Eq, Deserialize, Type)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum CredentialsForm {
    /// What is kept stays.
    Keep,
    /// Without a login; what is kept is forgotten.
    None,
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Bearer {
        /// The token.
        token: String,
    },
    /// Keys of an S3 service.
    S3 {
        /// The key's name.
        access_key: String,
        /// The key.
        secret_key: String,
        /// The region that requests are signed for.
        region: String,
    },
}

/// Names the kind; never what is secret.
impl std::fmt::Debug for CredentialsForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::None => "None",
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer { .. } => "Bearer(…)",
            Self::S3 { .. } => "S3(…)",
        })
    }
}

/// What the user says of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RegistryForm {
    /// Its name for people.
    pub name: String,
    /// How it is laid out.
    pub kind: RegistryKind,
    /// Its address, or its folder.
    pub url: String,
    /// Where in it packages begin, where that is not its root.
    pub prefix: Option<String>,
    /// Certificates that it is trusted by, beside the system's.
    pub ca_file: Option<String>,
    /// The proxy that it is reached by, where it is not the system's.
    pub proxy: Option<String>,
    /// The minisign key that its packages are signed with.
    pub minisign_key: Option<String>,
    /// How it is to be logged in to.
    pub credentials: CredentialsForm,
}

/// One thing that was tried of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCheckStep {
    /// What was tried.
    pub what: String,
    /// Whether it did.
    pub ok: bool,
    /// What came back, in words.
    pub said: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Whether a registry answers as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCheck {
    /// Whether all of it did.
    pub ok: bool,
    /// What was tried, in order, up to what failed.
    pub steps: Vec<RegistryCheckStep>,
}

impl Workshop {
    /// All registries, in the order in which they are asked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn registries(&self) -> Result<Vec<Registry>> {
        Err(AppError::not_there_yet("Registries"))
    }

    /// Adds a registry, as the last one.
    ///
    /// # Errors
    /// `Input` when the name is taken or the address makes no sense.
    pub async fn add_registry(&self, _form: RegistryForm) -> Result<Registry> {
        Err(AppError::not_there_yet("Registries"))
    }

    /// Changes a registry.
    ///
    /// # Errors
    /// `NotFound`; `Input` as in [`add_registry`](Self::add_registry).
    pub async fn update_registry(&self, _id: u32, _form: RegistryForm) -> Result<Registry> {
        Err(AppError::not_there_yet("Registries"))
    }

    /// Forgets a registry, its credentials and what it had. What was fetched from it stays.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_registry(&self, _id: u32) -> Result<()> {
        Err(AppError::not_there_yet("Registries"))
    }

    /// Puts the registries into a new order.
    ///
    /// # Errors
    /// `Conflict` when not just the registries that there are are named.
    pub fn reorder_registries(&self, _ids: &[u32]) -> Result<()> {
        Err(AppError::not_there_yet("Registries"))
    }

    /// Asks a registry from now on, or does not.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn enable_registry(&self, _id: u32, _enabled: bool) -> Result<()> {
        Err(AppError::not_there_yet("Registries"))
    }

    /// Tries a registry step by step.
    ///
    /// # Errors
    /// `NotFound`. What is wrong with the registry is the answer, and no error.
    pub async fn check_registry(&self, _id: u32) -> Result<RegistryCheck> {
        Err(AppError::not_there_yet("Registries"))
    }

    /// Asks one registry, or all that are enabled, what they have, as a job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_refresh(self: &Arc<Self>, _id: Option<u32>) -> Result<Job> {
        Err(AppError::not_there_yet("Registries"))
    }
}
