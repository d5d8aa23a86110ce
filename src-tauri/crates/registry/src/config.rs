//! What a person says of a registry: where it is, and how to get in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Secret;

/// What kind of place a registry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RegistryKind {
    /// A bucket of S3 or of what speaks its protocol, in Capstan's layout.
    S3,
    /// The releases of a GitHub repository.
    GitHub,
    /// A folder on a web server.
    Http,
    /// A folder on this computer, or one that is mounted.
    Folder,
    /// A registry of the Open Container Initiative, with packages as artifacts.
    Oci,
}

impl fmt::Display for RegistryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "S3 bucket",
            Self::GitHub => "GitHub releases",
            Self::Http => "web server",
            Self::Folder => "folder",
            Self::Oci => "OCI registry",
        })
    }
}

/// Where a registry is and how it is reached. No secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryConfig {
    /// What a person calls it.
    pub name: String,
    /// What kind of place it is.
    pub kind: RegistryKind,
    /// Where it is:
    ///
    /// - S3: the bucket, `https://BUCKET.s3.amazonaws.com/` or `https://HOST/BUCKET`;
    /// - GitHub: `https://github.com/OWNER/REPOSITORY`, or the repository at an API of one's own,
    ///   `https://HOST/api/v3/repos/OWNER/REPOSITORY`;
    /// - HTTP: the folder; folder: its path, or a `file:` URL;
    /// - OCI: the registry's host and the repository, `https://HOST/NAMESPACE`.
    pub url: String,
    /// A part of it only. S3, HTTP and folder: what lies below this folder. GitHub: the release with this
    /// tag, or `latest`. OCI: repositories whose names begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The proxy to go through, `http://HOST:PORT` or `socks5://…`; `none` for no proxy at all. Where nothing is
    /// said, the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The minisign public key (its base64 line) that everything here has to be signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minisign_key: Option<String>,
    /// Whether anyone may read it, so that nobody has to be asked for a login.
    #[serde(default)]
    pub public: bool,
}

impl RegistryConfig {
    /// A registry of this kind at this place, and nothing special about it.
    pub fn new(kind: RegistryKind, name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            url: url.into(),
            prefix: None,
            ca_file: None,
            proxy: None,
            minisign_key: None,
            public: false,
        }
    }

    /// What the registry is remembered by, also when it gets another name: kind and place.
    pub fn identity(&self) -> String {
        let kind = match self.kind {
            RegistryKind::S3 => "s3",
            RegistryKind::GitHub => "github",
            RegistryKind::Http => "http",
            RegistryKind::Folder => "folder",
            RegistryKind::Oci => "oci",
        };
        format!("{kind} {}", self.url.trim_end_matches('/'))
    }
}

/// The public registries that are there from the start: OSv's releases, and the packages of MIKELANGELO.
pub fn built_in() -> Vec<RegistryConfig> {
    let public = |kind, name: &str, url: &str| RegistryConfig {
        public: true,
        ..RegistryConfig::new(kind, name, url)
    };
    vec![
        public(
            RegistryKind::GitHub,
            "OSv",
            "https://github.com/cloudius-systems/osv",
        ),
        public(
            RegistryKind::S3,
            "MIKELANGELO",
            "https://mikelangelo-capstan.s3.amazonaws.com/",
        ),
    ]
}

/// How to get in. Sent to the registry's own host only.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all: as anyone.
    #[default]
    None,
    /// With a name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password, or a token in its place.
        password: Secret,
    },
    /// With a token.
    Bearer(Secret),
    /// With the keys of an S3 account; requests are signed (version 4), the secret key is never sent.
    S3 {
        /// The access key.
        access_key: String,
        /// The secret key.
        secret_key: Secret,
        /// The region, such as `eu-west-1`.
        region: String,
    },
}

/// How long is waited and how much is taken. The defaults suit a person who waits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// How long a transfer may bring next to nothing (see `slowest_bytes`) until it counts as cut.
    pub stall: Duration,
    /// What has to come in each `stall`.
    pub slowest_bytes: u64,
    /// How often a request is tried again after a failure that may pass.
    pub retries: u32,
    /// How long to wait before the first of these; doubled for each further one.
    pub backoff: Duration,
    /// The longest wait that a server may ask for before it is an error.
    pub longest_wait: Duration,
    /// The longest answer to a listing or description.
    pub metadata_bytes: u64,
    /// The largest file, as it comes and as it is unpacked from `.gz`.
    pub file_bytes: u64,
    /// The most entries of a registry.
    pub entries: usize,
    /// How many small requests and how many files at once.
    pub parallel: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            slowest_bytes: 4 << 10,
            retries: 4,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_mins(1),
            metadata_bytes: 16 << 20,
            file_bytes: 64 << 30,
            entries: 1_000_000,
            parallel: 6,
        }
    }
}
