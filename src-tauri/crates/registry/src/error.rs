//! What can go wrong with a registry.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{RegistryKind, Sha256};

/// Why a registry could not be asked, or something of it could not be had or published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A registry is described wrongly.
    #[error("the registry {registry} cannot be used: {found}")]
    Config {
        /// Its name.
        registry: String,
        /// What is wrong, as a sentence's end.
        found: String,
        /// What to write instead.
        remedy: String,
    },

    /// A container image cannot be had by its name, or is none that can be packed from.
    #[error("the image {image} cannot be fetched: {found}")]
    Image {
        /// Its name.
        image: String,
        /// What is wrong, as a sentence's end.
        found: String,
        /// What to write instead.
        remedy: String,
    },

    /// A server was not reached, or the connection did not last.
    #[error("{url}: {problem}")]
    Network {
        /// What was asked for, without secrets.
        url: String,
        /// What happened.
        problem: Network,
        /// What the network said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },

    /// A server answered, and refused.
    #[error("{url}: the server answered {status}{}", said(message.as_ref()))]
    Status {
        /// What was asked for, without secrets.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said, its beginning.
        message: Option<String>,
        /// Whether credentials were sent.
        with_credentials: bool,
    },

    /// A server wants to be left alone for a while.
    #[error("{url}: the server takes no more requests for {}", span(*wait))]
    RateLimited {
        /// What was asked for, without secrets.
        url: String,
        /// How long.
        wait: Duration,
        /// Whether credentials were sent; more is often allowed with them.
        with_credentials: bool,
    },

    /// A server sends one on and on, or to where it must not.
    #[error("{url}: {found}")]
    Redirect {
        /// What was asked for, without secrets.
        url: String,
        /// What is wrong with the redirects.
        found: String,
    },

    /// What a server said cannot be understood.
    #[error("{place}: {found}")]
    Malformed {
        /// The URL or file.
        place: String,
        /// What is wrong with it.
        found: String,
    },

    /// An answer or file is larger than may be.
    #[error("{place} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The URL or file.
        place: String,
        /// What may be.
        limit_bytes: u64,
    },

    /// A file has not the length that the registry says.
    #[error("{place} has {found} bytes, and the registry says {expected}")]
    Length {
        /// The URL or file.
        place: String,
        /// What the registry says.
        expected: u64,
        /// What came.
        found: u64,
    },

    /// A file has not the digest that the registry says.
    #[error("{place} is not what the registry says: its digest is {found}, not {expected}")]
    Digest {
        /// The URL or file.
        place: String,
        /// What the registry says.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },

    /// A file is another one than that seen first at this place.
    #[error(
        "{place} was replaced: its digest is {found}, and was {known} when it was first fetched"
    )]
    Replaced {
        /// The registry's identity, to [forget](crate::Trust::forget) by.
        registry: String,
        /// The place, with its version.
        place: String,
        /// The digest at first sight.
        known: Sha256,
        /// The digest now.
        found: Sha256,
    },

    /// A file has no signature, and the registry's have one.
    #[error("{place} is not signed")]
    Unsigned {
        /// The URL or file.
        place: String,
    },

    /// A file's signature is not by the registry's key, or not of this file.
    #[error("the signature of {place} does not hold: {found}")]
    Signature {
        /// The URL or file.
        place: String,
        /// What is wrong.
        found: String,
    },

    /// A `.gz` cannot be unpacked.
    #[error("{place} cannot be unpacked")]
    Gzip {
        /// The URL or file.
        place: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },

    /// Somebody else is at it.
    #[error("{} is being written by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },

    /// A file of our own cannot be understood.
    #[error("{} is damaged at line {line}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },

    /// Something a kind of registry cannot do.
    #[error("{doing} is not possible with a {kind}")]
    Unsupported {
        /// What it cannot, such as `publishing`.
        doing: &'static str,
        /// The kind.
        kind: RegistryKind,
    },

    /// What was to be published cannot be.
    #[error("{what} cannot be published")]
    Package {
        /// The package.
        what: String,
        /// Why.
        #[source]
        source: Box<windlass_package::Error>,
    },

    /// Another archive was published with this version, or a newer version is there.
    #[error("{place} is there already, and is another one")]
    Exists {
        /// Where.
        place: String,
    },

    /// A file or folder of this computer.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was done, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// What a network did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The host's name has no address.
    Name,
    /// Nobody answers there.
    Unreachable,
    /// There is no secure connection.
    Tls,
    /// The certificate is by nobody that is trusted.
    UnknownIssuer,
    /// The certificate is of another host.
    WrongHost,
    /// The certificate is no longer, or not yet, valid.
    Expired,
    /// The proxy does not let through.
    Proxy,
    /// It took too long.
    Slow,
    /// The connection ended early.
    Cut,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the host is not known",
            Self::Unreachable => "the host does not answer",
            Self::Tls => "there is no secure connection",
            Self::UnknownIssuer => {
                "the server's certificate is by an authority that is not trusted"
            }
            Self::WrongHost => "the server's certificate is of another host",
            Self::Expired => "the server's certificate is not valid now",
            Self::Proxy => "the proxy cannot be used",
            Self::Slow => "next to nothing came for too long",
            Self::Cut => "the connection ended before everything had come",
        })
    }
}

impl Error {
    /// Whether the registry could not be asked at all, as when the computer is offline.
    pub fn is_offline(&self) -> bool {
        matches!(
            self,
            Self::Network {
                problem: Network::Name | Network::Unreachable | Network::Slow | Network::Proxy,
                ..
            }
        )
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Config { remedy, .. } | Self::Image { remedy, .. } => {
                return Some(remedy.clone());
            }
            Self::Network { problem, .. } => network_hint(*problem),
            Self::Status {
                status,
                with_credentials,
                ..
            } => status_hint(*status, *with_credentials)?,
            Self::RateLimited {
                with_credentials: false,
                ..
            } => "Wait, or give the registry a login: many servers allow more with one.",
            Self::RateLimited { .. } => "Wait, and try again.",
            Self::Redirect { .. } => "Check the registry's URL; its server may be set up wrongly.",
            Self::Malformed { .. } => "Check that the registry's URL and kind are right.",
            Self::TooLarge { .. } => {
                "Check the registry's URL. If the file is as it should be, fetch it by hand."
            }
            Self::Length { .. } | Self::Digest { .. } => {
                "Refresh the registry and try again. If it stays, tell who keeps the registry; nothing was kept of the file."
            }
            Self::Replaced { .. } => {
                "Ask who keeps the registry whether the change is meant. Only then accept the new digest."
            }
            Self::Unsigned { .. } => {
                "Ask who keeps the registry for a signature, or take the key out of the registry's settings."
            }
            Self::Signature { .. } => {
                "Check the registry's key with who keeps it. Nothing was kept of the file."
            }
            Self::Gzip { .. } => "Tell who keeps the registry: the file was published damaged.",
            Self::Busy { .. } => "Wait until the other process has finished.",
            Self::Damaged { .. } => "Repair that line, or remove the file if it may be forgotten.",
            Self::Unsupported { .. } => {
                "Choose a registry of another kind: a folder, an S3 bucket or an OCI registry."
            }
            Self::Exists { .. } => {
                "Give the package a new version. Replace what is there only if nobody uses it yet."
            }
            Self::Package { source, .. } => return source.hint(),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => "Make room on the disk.",
                io::ErrorKind::PermissionDenied => "Check who may read and write there.",
                io::ErrorKind::NotFound => "Check that it is there.",
                _ => return None,
            },
            Self::Cancelled => return None,
        };
        Some(text.to_owned())
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn malformed(place: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Malformed {
            place: place.into(),
            found: found.into(),
        }
    }
}

fn network_hint(problem: Network) -> &'static str {
    match problem {
        Network::Name => "Check the spelling of the host, and that this computer is online.",
        Network::Unreachable => {
            "Check that this computer is online, and the port in the registry's URL."
        }
        Network::Tls => "Check that the registry's URL should begin with https, and its port.",
        Network::UnknownIssuer => {
            "If the server is your organisation's, give its certificate authority as the registry's CA file."
        }
        Network::WrongHost => "Check the host in the registry's URL.",
        Network::Expired => {
            "Check this computer's clock. If it is right, tell who keeps the server."
        }
        Network::Proxy => "Check the proxy in the registry's settings, or the system's.",
        Network::Slow | Network::Cut => "Try again: it goes on where it stopped.",
    }
}

fn status_hint(status: u16, with_credentials: bool) -> Option<&'static str> {
    Some(match status {
        300..=399 => {
            "Check the registry's URL: the server says that what is asked for is elsewhere."
        }
        401 | 403 if with_credentials => {
            "Check the login of the registry, and that it may do this."
        }
        401 | 403 => "Give the registry a login. If it has none, check its URL.",
        404 | 410 => {
            "Check the registry's URL. If it is right, refresh: the file may have been taken away."
        }
        407 => "The proxy wants a login: put it into the proxy's URL.",
        429 | 500..=599 => "The server has trouble of its own; try again later.",
        _ => return None,
    })
}

fn said(message: Option<&String>) -> String {
    message.map_or_else(String::new, |message| format!(": {message}"))
}

fn span(wait: Duration) -> String {
    let seconds = wait.as_secs().max(1);
    match seconds {
        1 => "1 second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3600),
    }
}
