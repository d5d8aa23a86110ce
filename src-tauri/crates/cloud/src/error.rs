//! What goes wrong with clouds, and what to do about it. No error holds a secret.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use crate::Service;

/// What operations on clouds return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause that is kept for whoever opens the details.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Where the way to a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its name leads to no address.
    Name,
    /// Nobody listens there, or nobody lets us through.
    Unreachable,
    /// It says nothing.
    Slow,
    /// Its certificate is signed by somebody that this computer does not know.
    UnknownAuthority,
    /// Its certificate is for another host.
    OtherHost,
    /// Its certificate is not valid today.
    Expired,
    /// It does not speak TLS as we do, or at all.
    Tls,
    /// It hung up.
    Cut,
}

/// Why something could not be done with a cloud.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What is said of a cloud does not do.
    #[error("The cloud `{cloud}` {found}")]
    Profile {
        /// The cloud's name.
        cloud: String,
        /// What is wrong with it.
        found: String,
        /// What would be right.
        remedy: String,
    },
    /// A file of clouds that cannot be understood.
    #[error("{what} cannot be understood: {found}")]
    File {
        /// The file.
        what: String,
        /// What is wrong with it, and where. Never a line of the file: it may hold a password.
        found: String,
    },
    /// A file could not be read or written.
    #[error("Cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The way to a server ends before it answers.
    #[error("{}", trouble.words(url))]
    Network {
        /// The server's address.
        url: String,
        /// Where the way ends.
        trouble: Trouble,
        /// What the system said.
        source: Option<Cause>,
    },
    /// What answers at the address is no Keystone.
    #[error("What answers at {url} is no Keystone: {found}")]
    NotKeystone {
        /// The address.
        url: String,
        /// What it said instead.
        found: String,
    },
    /// Keystone does not let us in.
    #[error("Keystone refuses the login: {why}")]
    Login {
        /// What further questions made of it.
        why: String,
        /// What to try.
        remedy: String,
    },
    /// The cloud has no such service.
    #[error("The cloud offers no {service} service{}", region.as_ref().map(|it| format!(" in the region {it}")).unwrap_or_default())]
    NoService {
        /// The service.
        service: Service,
        /// The region that was asked for.
        region: Option<String>,
        /// Regions that have it.
        regions: Vec<String>,
    },
    /// A service says no.
    #[error("{service} refuses to {doing}: {said}")]
    Refused {
        /// The service.
        service: Service,
        /// What was asked for.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        said: String,
        /// What its keeper finds it by in the logs.
        request: Option<String>,
    },
    /// More than the project may have.
    #[error("The project's quota does not allow to {doing}: {said}")]
    Quota {
        /// What was asked for.
        doing: String,
        /// The service's words.
        said: String,
    },
    /// There is nothing of this name.
    #[error("There is no {what} `{name}` in this cloud")]
    NotFound {
        /// What sort of thing.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// There are several of this name.
    #[error("{count} things called `{name}` are {what}s of this cloud")]
    Ambiguous {
        /// What sort of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// An answer that is not as the service's reference says.
    #[error("What {service} answered when asked to {doing} cannot be understood: {found}")]
    Answer {
        /// The service.
        service: Service,
        /// What was asked for.
        doing: String,
        /// What was found.
        found: String,
    },
    /// What the cloud has is not what was sent.
    #[error("The image arrived damaged: it is {there}, and was {here}")]
    Damaged {
        /// Its checksum here.
        here: String,
        /// Its checksum there.
        there: String,
    },
    /// What was made came to a bad end, in the service's words.
    #[error("{what} ended in the state {state}: {fault}")]
    Failed {
        /// What it is.
        what: String,
        /// The state.
        state: String,
        /// The service's words.
        fault: String,
    },
    /// It takes longer than anybody waits.
    #[error("{what} was not ready after {seconds} seconds; it is {state}")]
    Late {
        /// What it is.
        what: String,
        /// The state it was last seen in.
        state: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Something that cannot be asked for.
    #[error("{found}")]
    Input {
        /// What is wrong.
        found: String,
        /// What would be right.
        remedy: String,
    },
    /// It was cancelled.
    #[error("Cancelled")]
    Cancelled,
}

impl Trouble {
    fn words(self, url: &str) -> String {
        match self {
            Self::Name => format!("No address is known for the host of {url}"),
            Self::Unreachable => format!("Nobody answers at {url}"),
            Self::Slow => format!("{url} did not answer in time"),
            Self::UnknownAuthority => {
                format!("The certificate of {url} is signed by an authority that is not known here")
            }
            Self::OtherHost => format!("The certificate of {url} is for another host"),
            Self::Expired => format!("The certificate of {url} is not valid today"),
            Self::Tls => format!("No secure connection to {url} came about"),
            Self::Cut => format!("{url} hung up"),
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Name => {
                "Look for a typo in the address; if the cloud is in a private network, connect to it (VPN) first"
            }
            Self::Unreachable => {
                "Look at the port in the address, at the network, and at whether a proxy or VPN is needed"
            }
            Self::Slow => "Try again; a firewall that swallows packets looks like this, too",
            Self::UnknownAuthority => {
                "Ask the cloud's keeper for the certificate of its authority (PEM), and give it to the profile"
            }
            Self::OtherHost => "Use the host name that the certificate is for",
            Self::Expired => {
                "Look at the clock of this computer; if it is right, the cloud's keeper has to renew the certificate"
            }
            Self::Tls => "Is it https there? Try the address with http, or ask for the right port",
            Self::Cut => "Try again; if it happens again, the service may be restarting",
        }
    }
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Profile { remedy, .. }
            | Self::Login { remedy, .. }
            | Self::Input { remedy, .. } => remedy.clone(),
            Self::File { .. } => "Correct the file, or fill in the form".to_owned(),
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => "Check that you may read and write it",
                std::io::ErrorKind::StorageFull => "Free some disk space, then try again",
                _ => return None,
            }
            .to_owned(),
            Self::Network { trouble, .. } => trouble.hint().to_owned(),
            Self::NotKeystone { .. } => {
                "The address is that of Keystone (Horizon shows it under API Access), such as https://cloud.example.org:5000/v3".to_owned()
            }
            Self::NoService { regions, .. } if !regions.is_empty() => {
                format!("Regions that have it: {}", regions.join(", "))
            }
            Self::NoService { .. } => {
                "Ask the cloud's keeper whether there is one, and for which interface".to_owned()
            }
            Self::Refused { status: 403, .. } => {
                "Your role in this project does not allow it; its keeper can give you another".to_owned()
            }
            Self::Refused { status: 409, .. } => "Something else changes it just now; try again".to_owned(),
            Self::Refused { status: 500.., request: Some(request), .. } => {
                format!("Try again; if it happens again, its keeper finds it as {request}")
            }
            Self::Quota { .. } => {
                "Delete what is not needed (`windlassctl cleanup` lists what Windlass made), or ask for more".to_owned()
            }
            Self::Ambiguous { .. } => "Name it by its id".to_owned(),
            Self::Damaged { .. } => "It was deleted there; try again".to_owned(),
            Self::Late { .. } => "Look at it in a while; large images and busy clouds take longer".to_owned(),
            _ => return None,
        })
    }

    /// Whether trying again may help, with nothing changed.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Network { trouble, .. } => {
                matches!(trouble, Trouble::Slow | Trouble::Cut | Trouble::Unreachable)
            }
            Self::Refused { status, .. } => matches!(status, 429 | 500 | 502..=504),
            _ => false,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn input(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input {
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}
