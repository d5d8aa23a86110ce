//! One thing that a registry has.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use windlass_package::{Requirement, Version};

use crate::Sha256;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryKind {
    /// A package: an `.mpm`.
    Package,
    /// An OSv loader image, which disks begin with.
    Loader,
    /// An OSv kernel as ELF file, for direct boot.
    Kernel,
    /// A disk image that boots by itself.
    Image,
}

/// Where an entry's file is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Locator {
    /// The place as a person would name it, and as trust is remembered by: a URL, a path below the registry's folder, or
    /// `REPOSITORY:TAG`. It stays when the file there is replaced.
    pub place: String,
    /// What to ask for, where that is something else: an API's URL of an asset, a manifest's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
}

impl Locator {
    /// A place that is asked for itself.
    pub fn at(place: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            ask: None,
        }
    }

    /// What to ask for.
    pub fn target(&self) -> &str {
        self.ask.as_deref().unwrap_or(&self.place)
    }
}

/// One thing that a registry has: one version of a package or kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What a person reads, where it says more than the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its version, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it is.
    pub kind: EntryKind,
    /// The machine it is for, such as `x86_64`, where it is for one alone and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The bytes of its file, as it is transferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Where its file is.
    pub locator: Locator,
    /// Where the signature of its file is, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Locator>,
    /// The digest of its file, where the registry says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256>,
    /// The packages that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Requirement>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The runtime that it needs, such as `node`, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// When it was made, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// On what it was made, or for what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What the registry says of the state of the file's description (an `ETag`, an asset's id), so that it is not read
    /// again while that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
}

impl Entry {
    /// An entry of which nothing more is known.
    pub fn new(kind: EntryKind, name: impl Into<String>, locator: Locator) -> Self {
        Self {
            name: name.into(),
            title: None,
            version: None,
            kind,
            architecture: None,
            size_bytes: None,
            locator,
            signature: None,
            digest: None,
            require: Vec::new(),
            description: None,
            author: None,
            runtime: None,
            created: None,
            platform: None,
            stamp: None,
        }
    }

    /// What its digest is remembered by: its place, and its version where it has one.
    pub fn trust_key(&self) -> String {
        match &self.version {
            Some(version) => format!("{}@{version}", self.locator.place),
            None => self.locator.place.clone(),
        }
    }

    /// Its version as what orders; `None` when it has none, or one that is none.
    pub fn parsed_version(&self) -> Option<Version> {
        Version::parse(self.version.as_deref()?).ok()
    }

    /// The name of its file, without `.gz` unless that is part of the format: what a fetch puts into a folder. A name that
    /// cannot lead anywhere else.
    pub fn file_name(&self) -> String {
        let place = self.locator.place.trim_end_matches('/');
        let place = place.split(['?', '#']).next().unwrap_or(place);
        let last = place.rsplit(['/', '\\']).next().unwrap_or(place);
        let last = last.strip_suffix(".gz").unwrap_or(last);
        let name: String = last
            .chars()
            .map(|sign| match sign {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '+' => sign,
                _ => '_',
            })
            .take(200)
            .collect();
        let name = name.trim_start_matches('.');
        let name = if name.is_empty() {
            windlass_package::name_from(&self.name)
        } else {
            name.to_owned()
        };
        // A tag of an OCI registry says nothing of what is behind it.
        if self.kind == EntryKind::Package && !name.contains(".mpm") {
            return format!("{name}.mpm");
        }
        name
    }

    /// Whether its file is compressed, and is unpacked when it was fetched and verified.
    pub fn is_gzipped(&self) -> bool {
        let unpacked = self.locator.place.strip_suffix(".gz");
        // A tar is an archive by itself, and unpacked as one.
        unpacked.is_some_and(|name| name.strip_suffix(".tar").is_none())
    }

    /// By name; of one name the newest version first, and those without one last.
    pub(crate) fn order(left: &Self, right: &Self) -> Ordering {
        left.name
            .cmp(&right.name)
            .then_with(|| left.kind.cmp(&right.kind))
            .then_with(|| right.parsed_version().cmp(&left.parsed_version()))
            .then_with(|| right.version.cmp(&left.version))
            .then_with(|| left.architecture.cmp(&right.architecture))
    }
}
