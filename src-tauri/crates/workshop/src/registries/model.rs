//! Registries as the window and the command line show them.

use serde::{Deserialize, Serialize};
use specta::Type;

use crate::error::AppError;

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

crate::guests::mirror!(RegistryKind, windlass_registry::RegistryKind: S3, GitHub, Http, Folder, Oci);
