//! What each kind of registry does its own way.

pub(crate) mod folder;
pub(crate) mod github;
pub(crate) mod index;
pub(crate) mod layout;
pub(crate) mod listing;
mod place;
pub(crate) mod s3;
pub(crate) mod web;

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use self::folder::Folder;
use self::github::GitHub;
use self::s3::Bucket;
use self::web::Web;
use crate::oci::Oci;
use crate::{
    Catalogue, Control, Credentials, Entry, Error, Limits, Locator, Progress, Publication,
    Published, RegistryConfig, RegistryKind, Sha256,
};

pub(crate) use self::place::{folder_prefix, open, parse_url, root_url};

/// What a registry has to be able to do.
pub(crate) trait Source {
    /// What it has: files, to be made sense of by Capstan's layout, or entries where it knows them itself.
    async fn list(
        &self,
        known: &Known<'_>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Listing, Error>;

    /// Opens a file, at the place where an earlier try stopped if the file is still the same. Retries, redirects and
    /// credentials are its own affair; what comes after the first byte is not.
    async fn open(
        &self,
        locator: &Locator,
        resume: Option<&Resume>,
        control: &Control,
    ) -> Result<Opened, Error>;

    /// Publishes a package.
    async fn publish(
        &self,
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Published, Error>;
}

/// What is known from an earlier listing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known<'a> {
    /// The catalogue; descriptions with an unchanged stamp are taken from it.
    pub(crate) previous: Option<&'a Catalogue>,
    /// A folder to keep answers with an `ETag` in.
    pub(crate) answers: Option<PathBuf>,
}

/// What a registry has.
#[derive(Debug)]
pub(crate) enum Listing {
    /// Files, with names that mean something.
    Files(Vec<RemoteFile>),
    /// Entries.
    Entries(Vec<Entry>),
    /// Entries that are described, and files that are not.
    Both(Vec<Entry>, Vec<RemoteFile>),
}

/// A file of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Its path below the registry's root; of a release's asset `TAG/NAME`.
    pub(crate) path: String,
    /// Where it is.
    pub(crate) locator: Locator,
    /// Its bytes.
    pub(crate) size_bytes: Option<u64>,
    /// Its digest, where the registry says one.
    pub(crate) digest: Option<Sha256>,
    /// Changes when the file does.
    pub(crate) stamp: Option<String>,
    /// The version of what it belongs to, such as a release's tag, where its description says none.
    pub(crate) version: Option<String>,
    /// When it was published.
    pub(crate) created: Option<String>,
}

/// Where an earlier try stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resume {
    /// How many bytes there are already.
    pub(crate) start: u64,
    /// What the server said the file was then, an `ETag` or a date; none where the digest will tell.
    pub(crate) validator: Option<String>,
}

/// A file that is open.
pub(crate) struct Opened {
    /// Where the body begins: what was asked for, or 0 if the file is another one now or cannot be opened there.
    pub(crate) start: u64,
    /// The bytes of the whole file, where the server says.
    pub(crate) total: Option<u64>,
    /// What to [resume](Resume) by.
    pub(crate) validator: Option<String>,
    /// The digest that the server says with the file.
    pub(crate) digest: Option<Sha256>,
    /// What comes.
    pub(crate) body: BoxStream<'static, Result<Bytes, Error>>,
}

/// The one of the kinds that a registry is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A bucket.
    S3(Bucket),
    /// The releases of a repository.
    GitHub(GitHub),
    /// A web server's folder.
    Http(Web),
    /// A folder.
    Folder(Folder),
    /// An OCI registry.
    Oci(Oci),
}

impl Kind {
    pub(crate) fn open(
        config: &RegistryConfig,
        credentials: Credentials,
        limits: &Limits,
    ) -> Result<Self, Error> {
        Ok(match config.kind {
            RegistryKind::S3 => Self::S3(Bucket::open(config, credentials, limits)?),
            RegistryKind::GitHub => Self::GitHub(GitHub::open(config, credentials, limits)?),
            RegistryKind::Http => Self::Http(Web::open(config, credentials, limits)?),
            RegistryKind::Folder => Self::Folder(Folder::open(config, limits)?),
            RegistryKind::Oci => Self::Oci(Oci::open(config, credentials, limits)?),
        })
    }
}

impl Source for Kind {
    async fn list(
        &self,
        known: &Known<'_>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Listing, Error> {
        match self {
            Self::S3(bucket) => bucket.list(known, control, progress).await,
            Self::GitHub(releases) => releases.list(known, control, progress).await,
            Self::Http(web) => web.list(known, control, progress).await,
            Self::Folder(folder) => folder.list(known, control, progress).await,
            Self::Oci(oci) => oci.list(known, control, progress).await,
        }
    }

    async fn open(
        &self,
        locator: &Locator,
        resume: Option<&Resume>,
        control: &Control,
    ) -> Result<Opened, Error> {
        match self {
            Self::S3(bucket) => bucket.open(locator, resume, control).await,
            Self::GitHub(releases) => releases.open(locator, resume, control).await,
            Self::Http(web) => web.open(locator, resume, control).await,
            Self::Folder(folder) => folder.open(locator, resume, control).await,
            Self::Oci(oci) => oci.open(locator, resume, control).await,
        }
    }

    async fn publish(
        &self,
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Published, Error> {
        match self {
            Self::S3(bucket) => bucket.publish(publication, control, progress).await,
            Self::GitHub(releases) => releases.publish(publication, control, progress).await,
            Self::Http(web) => web.publish(publication, control, progress).await,
            Self::Folder(folder) => folder.publish(publication, control, progress).await,
            Self::Oci(oci) => oci.publish(publication, control, progress).await,
        }
    }
}
