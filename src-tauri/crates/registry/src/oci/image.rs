//! An ordinary container image, fetched into a folder in the OCI image layout, to be packed from there.
//!
//! ```text
//! FOLDER/
//! ├── oci-layout              {"imageLayoutVersion":"1.0.0"}
//! ├── index.json              the one image; written last
//! └── blobs/sha256/DIGEST     manifest, configuration, layers as they are (gzip, zstd or plain)
//! ```
//!
//! Of an image for several platforms the one for Linux on x86-64 is taken. All blobs are what their digests say, from
//! the manifest's own on; what is there already is not fetched again, and what was cut is resumed.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use url::{Host, Url};

use super::Oci;
use super::manifest::{Manifest, OCI_MANIFEST, Tagged};
use super::reference::ImageReference;
use super::session::{Manifested, Scope, Session};
use crate::fetch::{self, file};
use crate::kinds::Kind;
use crate::publish::digest_of;
use crate::{
    Control, Credentials, Entry, EntryKind, Error, Limits, Locator, Progress, RegistryConfig,
    RegistryKind, Sha256, Trust,
};

/// A configuration is some kilobytes.
const CONFIGURATION_MAX_BYTES: u64 = 8 << 20;

/// How the registry of an image is reached.
#[derive(Debug, Clone, Default)]
pub struct ImageAccess {
    /// How to get in; most images are for anyone.
    pub credentials: Credentials,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy, as [`RegistryConfig::proxy`].
    pub proxy: Option<String>,
    /// By http instead of https. A registry on this computer without a `ca_file` is asked so anyway.
    pub insecure: bool,
    /// How long is waited and how much is taken.
    pub limits: Limits,
}

/// An image that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedImage {
    /// The folder in OCI image layout.
    pub layout: PathBuf,
    /// The digest of the manifest: with it the very same image can be had again.
    pub manifest: Sha256,
    /// The files of its layers, the lowest first.
    pub layers: Vec<PathBuf>,
    /// The file of its configuration.
    pub configuration: PathBuf,
    /// The bytes of all blobs.
    pub size_bytes: u64,
}

/// Fetches an image for Linux on x86-64 into a folder, which is made, or has such a layout already. Progress is in bytes
/// of its blobs.
///
/// # Errors
///
/// When it cannot be had, is for other platforms only, or a blob is not what its digest says; when it was cancelled.
/// `index.json` names the image only when all is there.
pub async fn fetch_image(
    reference: &ImageReference,
    access: ImageAccess,
    layout: &Path,
    control: &Control,
    progress: &dyn Progress,
) -> Result<FetchedImage, Error> {
    let (oci, config) = open(reference, access)?;
    let limits = oci.session.limits().clone();
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(|source| Error::io("create", &blobs, source))?;

    progress.step(&format!("Asking for {reference}"));
    let (manifested, manifest) = choose(&oci.session, reference, control).await?;
    let configuration = oci
        .session
        .blob(
            &reference.repository,
            &manifest.config,
            CONFIGURATION_MAX_BYTES,
            control,
        )
        .await?;
    check_platform(reference, &configuration)?;

    progress.step(&format!("Fetching {reference}"));
    let total = manifest
        .layers
        .iter()
        .try_fold(0_u64, |sum, layer| sum.checked_add(layer.size));
    let total = total
        .filter(|total| *total <= limits.file_bytes)
        .ok_or_else(|| Error::TooLarge {
            place: reference.to_string(),
            limit_bytes: limits.file_bytes,
        })?;
    let kind = Kind::Oci(oci);
    let layers = Layers {
        kind: &kind,
        config: &config,
        limits: &limits,
        repository: &reference.repository,
        blobs: &blobs,
        control,
    };
    layers
        .fetch(&manifest, &|done| progress.at(done.min(total), Some(total)))
        .await?;

    let at = |digest: &Sha256| blobs.join(digest.to_string());
    file::write_whole(&at(&manifest.config.digest), &configuration)?;
    file::write_whole(&at(&manifested.digest), &manifested.bytes)?;
    file::write_whole(
        &layout.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let index = index(reference, &manifested)
        .map_err(|source| Error::io("write", &layout.join("index.json"), source.into()))?;
    control.pass().await?;
    file::write_whole(&layout.join("index.json"), &index)?;
    Ok(FetchedImage {
        layout: layout.to_path_buf(),
        manifest: manifested.digest,
        layers: manifest
            .layers
            .iter()
            .map(|layer| at(&layer.digest))
            .collect(),
        configuration: at(&manifest.config.digest),
        size_bytes: total + manifest.config.size + manifested.bytes.len() as u64,
    })
}

fn open(reference: &ImageReference, access: ImageAccess) -> Result<(Oci, RegistryConfig), Error> {
    let url = |scheme: &str| format!("{scheme}://{}/", reference.server());
    let here = match Url::parse(&url("https")).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain = access.insecure || (here && access.ca_file.is_none());
    let url = url(if plain { "http" } else { "https" });
    let config = RegistryConfig {
        ca_file: access.ca_file,
        proxy: access.proxy,
        ..RegistryConfig::new(RegistryKind::Oci, reference.host.clone(), url)
    };
    let oci = Oci::open(&config, access.credentials, &access.limits)?;
    Ok((oci, config))
}

/// The manifest of the image itself, through the index where there is one.
async fn choose(
    session: &Session,
    reference: &ImageReference,
    control: &Control,
) -> Result<(Manifested, Manifest), Error> {
    let malformed = |found: &str| Error::malformed(reference.to_string(), found);
    let mut target = reference.target();
    // An index may name another; a chain of them is nobody's.
    for _ in 0..2 {
        let scope = Scope::Pull(&reference.repository);
        let manifested = session
            .manifest(&reference.repository, &target, scope, control)
            .await?;
        let Some(manifested) = manifested else {
            return Err(Error::Status {
                url: reference.to_string(),
                status: 404,
                message: None,
                with_credentials: false,
            });
        };
        match &manifested.tagged {
            Tagged::Manifest(manifest) => {
                let manifest = (**manifest).clone();
                return Ok((manifested, manifest));
            }
            Tagged::Index(index) => {
                let chosen = index
                    .linux_amd64()
                    .ok_or_else(|| other_platform(reference, &index.platforms()))?;
                target = format!("sha256:{}", chosen.digest);
            }
        }
    }
    Err(malformed("its list of platforms leads to another list"))
}

fn other_platform(reference: &ImageReference, platforms: &str) -> Error {
    Error::Image {
        image: reference.to_string(),
        found: format!("it is for {platforms}, and not for linux/amd64"),
        remedy: "Choose an image or tag that is for linux/amd64.".to_owned(),
    }
}

fn check_platform(reference: &ImageReference, configuration: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Configuration {
        os: Option<String>,
        architecture: Option<String>,
    }
    let found: Configuration = serde_json::from_slice(configuration).map_err(|_| {
        Error::malformed(
            reference.to_string(),
            "its configuration is not that of an image",
        )
    })?;
    match (found.os.as_deref(), found.architecture.as_deref()) {
        (Some("linux"), Some("amd64")) => Ok(()),
        (os, architecture) => {
            let platform = format!("{}/{}", os.unwrap_or("?"), architecture.unwrap_or("?"));
            Err(other_platform(reference, &platform))
        }
    }
}

/// Layers on their way into the folder of blobs.
struct Layers<'a> {
    kind: &'a Kind,
    config: &'a RegistryConfig,
    limits: &'a Limits,
    repository: &'a str,
    blobs: &'a Path,
    control: &'a Control,
}

/// Layers have their digests; nothing has to be remembered of them.
struct Unremembered;

impl Trust for Unremembered {
    fn known(&self, _registry: &str, _place: &str) -> Option<Sha256> {
        None
    }

    fn record(&self, _registry: &str, _place: &str, _digest: Sha256) -> Result<(), Error> {
        Ok(())
    }

    fn forget(&self, _registry: &str, _place: &str) -> Result<(), Error> {
        Ok(())
    }
}

impl Layers<'_> {
    /// Fetches all, several at once. `at` is told how many bytes there are.
    async fn fetch(&self, manifest: &Manifest, at: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        // An image may have one layer twice.
        let layers: BTreeMap<Sha256, u64> = manifest
            .layers
            .iter()
            .map(|layer| (layer.digest, layer.size))
            .collect();
        let had: Mutex<BTreeMap<Sha256, u64>> = Mutex::default();
        let had = &had;
        stream::iter(layers)
            .map(|(digest, size_bytes)| async move {
                let told = |bytes: u64, _total: Option<u64>| {
                    let mut had = had.lock().unwrap_or_else(PoisonError::into_inner);
                    had.insert(digest, bytes);
                    at(had.values().sum());
                };
                self.layer(digest, size_bytes, &told).await
            })
            .buffer_unordered(self.limits.parallel.max(1))
            .try_collect::<()>()
            .await
    }

    /// Fetches one, unless it is there and whole.
    async fn layer(
        &self,
        digest: Sha256,
        size_bytes: u64,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let there = self
            .control
            .until(digest_of(&self.blobs.join(digest.to_string())))
            .await??;
        if there.is_some_and(|(there, _)| there == digest) {
            progress.at(size_bytes, Some(size_bytes));
            return Ok(());
        }
        let locator = Locator {
            // The last part is what the file is called.
            place: format!("{}/{digest}", self.repository),
            ask: Some(format!("{}@sha256:{digest}", self.repository)),
        };
        let entry = Entry {
            size_bytes: Some(size_bytes),
            digest: Some(digest),
            ..Entry::new(EntryKind::Image, digest.to_string(), locator)
        };
        let job = fetch::Job {
            kind: self.kind,
            config: self.config,
            limits: self.limits,
            entry: &entry,
            apart: false,
            control: self.control,
            progress,
        };
        job.run(self.blobs, &Unremembered).await.map(drop)
    }
}

/// The text of `index.json`.
fn index(reference: &ImageReference, manifested: &Manifested) -> serde_json::Result<Vec<u8>> {
    let media_type = manifested.media_type.as_deref().unwrap_or(OCI_MANIFEST);
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": super::manifest::OCI_INDEX,
        "manifests": [{
            "mediaType": media_type.split(';').next().unwrap_or(media_type).trim(),
            "digest": format!("sha256:{}", manifested.digest),
            "size": manifested.bytes.len(),
            "platform": { "os": "linux", "architecture": "amd64" },
            "annotations": { "org.opencontainers.image.ref.name": reference.to_string() },
        }],
    }))
}
