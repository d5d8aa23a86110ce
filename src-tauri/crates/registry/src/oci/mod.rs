//! Registries of the Open Container Initiative: a package as an artifact, and container images to pack from.
//!
//! ```text
//!   https://HOST/NAMESPACE ─┬─ NAME:VERSION ──> manifest ─┬─ config  package.yaml
//!                           ├─ NAME:VERSION …             ├─ layer   NAME.mpm
//!                           └─ OTHER:VERSION …            └─ layer   NAME.mpm.minisig
//! ```
//!
//! `reference` has the names, `manifest` what they stand for, `session` the protocol and its login, `list` and `push` what is
//! done with it. `image` fetches what is no package.
//!
//! The protocol is spoken by ourselves, over the same client as all other registries: `oci-client` 0.18 would bring a client
//! of its own that reads answers of any length, does not wait when it is told to (429), knows no SOCKS proxy and not
//! "no proxy", and neither pauses nor notices a connection that only trickles.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>

pub(crate) mod challenge;
mod image;
pub(crate) mod list;
pub(crate) mod manifest;
mod push;
mod reference;
mod session;

pub use image::{FetchedImage, ImageAccess, fetch_image};
pub use reference::ImageReference;

use url::Url;

use self::manifest::{Manifest, Parts, Tagged};
use self::push::Content;
use self::reference::{is_repository, repository_of, tag_of};
use self::session::{Scope, Session};
use crate::kinds::{Known, Listing, Opened, Resume, Source};
use crate::publish::Ready;
use crate::{
    Control, Credentials, Error, Limits, Locator, Progress, Publication, Published, RegistryConfig,
    Sha256,
};

/// An OCI registry.
#[derive(Debug)]
pub(crate) struct Oci {
    session: Session,
    /// The registry's name, for errors.
    name: String,
    host: String,
    /// What the repositories lie below; empty for all.
    namespace: String,
    prefix: String,
}

impl Oci {
    /// Opens it.
    pub(crate) fn open(
        config: &RegistryConfig,
        credentials: Credentials,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let wrong = |found: &str, remedy: &str| Error::Config {
            registry: config.name.clone(),
            found: found.to_owned(),
            remedy: remedy.to_owned(),
        };
        let text = config.url.trim();
        let text = match text.split_once("://") {
            Some(("oci", rest)) => format!("https://{rest}"),
            Some(_) => text.to_owned(),
            None => format!("https://{text}"),
        };
        let base = Url::parse(&text).ok().filter(Url::has_host);
        let base = base.filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| wrong("its URL is none", "Write https://HOST/NAMESPACE."))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong(
                "its URL has a name or password in it",
                "Give them as the registry's login, where they are kept secret.",
            ));
        }
        let namespace = base.path().trim_matches('/').to_owned();
        if !namespace.is_empty() && !is_repository(&namespace) {
            return Err(wrong(
                "its URL names no namespace of an OCI registry",
                "Write https://HOST/NAMESPACE, the namespace in lower case.",
            ));
        }
        let host = base.host_str().unwrap_or_default();
        Ok(Self {
            name: config.name.clone(),
            host: base
                .port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
            namespace,
            prefix: config.prefix.clone().unwrap_or_default(),
            session: Session::open(config, base, credentials, limits)?,
        })
    }

    /// Puts a package there: blobs first, and the manifest that makes them a package last.
    async fn push(
        &self,
        ready: &Ready,
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Published, Error> {
        let described = &ready.manifest;
        let repository = self.repository_for(&described.name);
        let tag = tag_of(described.version.as_deref());
        let place = format!("{}/{repository}:{tag}", self.host);
        let of = |text: &str| (Sha256::of(text.as_bytes()), text.len() as u64);
        let manifest = Manifest::of_package(&Parts {
            manifest: described,
            description: of(&publication.manifest),
            archive: (ready.sha256, ready.size_bytes),
            signature: publication.signature.as_deref().map(of),
        });
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|error| Error::malformed(&place, error.to_string()))?;
        let digest = Sha256::of(&bytes);
        let published = Published {
            places: vec![
                place.clone(),
                format!("{}/{repository}@sha256:{digest}", self.host),
            ],
            sha256: ready.sha256,
            size_bytes: ready.size_bytes,
        };

        let scope = Scope::Push(&repository);
        if let Some(there) = self
            .session
            .manifest(&repository, &tag, scope, control)
            .await?
        {
            if there.digest == digest {
                progress.at(ready.size_bytes, Some(ready.size_bytes));
                return Ok(published);
            }
            let same_archive = matches!(&there.tagged, Tagged::Manifest(there)
                if there.archive().is_some_and(|archive| archive.digest == ready.sha256));
            if !same_archive && !publication.replace {
                return Err(Error::Exists { place });
            }
        }
        progress.step(&format!("Publishing {place}"));
        let texts = [
            Some(publication.manifest.as_str()),
            publication.signature.as_deref(),
        ];
        for text in texts.into_iter().flatten() {
            let content = Content::Bytes(text.to_owned().into());
            let digest = Sha256::of(text.as_bytes());
            self.session
                .push_blob(&repository, digest, &content, control, &|_| ())
                .await?;
        }
        let archive = Content::File {
            path: &publication.archive,
            size_bytes: ready.size_bytes,
        };
        let sent = |bytes: u64| progress.at(bytes, Some(ready.size_bytes));
        self.session
            .push_blob(&repository, ready.sha256, &archive, control, &sent)
            .await?;
        control.pass().await?;
        self.session
            .push_manifest(&repository, &tag, bytes, control)
            .await?;
        Ok(published)
    }

    /// The repository that a package goes to: below the namespace, or the namespace where that is the package's already.
    fn repository_for(&self, package: &str) -> String {
        let last = repository_of("", package);
        match self.namespace.rsplit_once('/') {
            Some((_, name)) if name == last => self.namespace.clone(),
            _ => repository_of(&self.namespace, package),
        }
    }
}

impl Source for Oci {
    async fn list(
        &self,
        known: &Known<'_>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Listing, Error> {
        progress.step(&format!("Listing {}", self.name));
        let known = known
            .previous
            .map_or(&[][..], |catalogue| &catalogue.entries);
        Ok(Listing::Entries(
            self.entries(known, control, progress).await?,
        ))
    }

    async fn open(
        &self,
        locator: &Locator,
        resume: Option<&Resume>,
        control: &Control,
    ) -> Result<Opened, Error> {
        let target = locator.target();
        let blob = target
            .split_once("@sha256:")
            .and_then(|(repository, digest)| {
                let digest = digest.parse().ok()?;
                is_repository(repository).then_some((repository, digest))
            });
        let (repository, digest) =
            blob.ok_or_else(|| Error::malformed(target, "it is no blob of an OCI registry"))?;
        let digest: Sha256 = digest;
        // A part of another blob is of no use.
        let same = digest.to_string();
        let start =
            resume.filter(|resume| resume.validator.as_ref().is_none_or(|known| *known == same));
        let start = start.map_or(0, |resume| resume.start);
        self.session
            .open_blob(repository, digest, start, control)
            .await
    }

    async fn publish(
        &self,
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Published, Error> {
        let ready = Ready::of(publication, control, progress).await?;
        self.push(&ready, publication, control, progress).await
    }
}
