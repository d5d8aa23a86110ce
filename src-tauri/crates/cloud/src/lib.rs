//! OpenStack, from a profile to servers that run.
//!
//! ```text
//!   clouds.yaml, openrc.sh, OS_*, a form ──► Profile + Secrets
//!                                                │ connect
//!       check: DNS, TLS, clock, Keystone … ◄──── Session ──► images, flavors, networks, servers
//!                                                │
//!             openstack_sdk: logs in, keeps the token and the catalogue, logs in again
//! ```
//!
//! The SDK stays inside [`session`]: it logs in by every way that it knows, and re-authenticates. What is asked of the services
//! are calls of our own ([`session::Call`]), with an own loop over pages and own words for refusals: the SDK's loop fails where
//! an endpoint is an IP address or has a path, and its errors hide their causes. Bytes of images go by a plain HTTP client with
//! the session's token.
//!
//! Everything that is made here carries [`LABEL`], so that it is found again and can be taken away.
//!
//! This crate knows no database and no window, and keeps no secret longer than a session lives.

pub mod check;
pub mod compute;
pub mod deploy;
pub mod images;
pub mod leftovers;
pub mod network;
pub mod profile;
pub mod quota;
pub mod session;
pub mod stacks;
pub mod volumes;

mod error;
mod reach;

use std::fmt;

pub use error::{Error, Result, Trouble};
pub use profile::{AuthType, Profile, Secrets};
pub use session::Session;

/// What marks things as made by Windlass: a property of images and servers, a word in the description or the tags of the rest.
pub const LABEL: &str = "windlass";

/// A service of OpenStack, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Keystone.
    Identity,
    /// Glance.
    Image,
    /// Nova.
    Compute,
    /// Neutron.
    Network,
    /// Cinder.
    Volume,
    /// Heat.
    Orchestration,
}

impl Service {
    /// All that Windlass speaks to.
    pub const ALL: [Self; 6] = [
        Self::Identity,
        Self::Image,
        Self::Compute,
        Self::Network,
        Self::Volume,
        Self::Orchestration,
    ];

    /// What catalogues call it; the first is the official name of today.
    pub(crate) fn types(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["identity", "identityv3"],
            Self::Image => &["image"],
            Self::Compute => &["compute"],
            Self::Network => &["network"],
            Self::Volume => &["block-storage", "volumev3", "block-store", "volume"],
            Self::Orchestration => &["orchestration"],
        }
    }

    /// Whether images can be deployed without it.
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Volume | Self::Orchestration)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "Keystone",
            Self::Image => "Glance",
            Self::Compute => "Nova",
            Self::Network => "Neutron",
            Self::Volume => "Cinder",
            Self::Orchestration => "Heat",
        })
    }
}
