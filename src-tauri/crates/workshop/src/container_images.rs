//! Container images that are not on this computer: fetched as a layout, to be packed from there.
//!
//! ```text
//!   debian:12 ──fetch──► downloads/image-DIGEST/ ──plan──► preview
//!                              └─────────────────plan──► package, and the layout goes
//! ```
//!
//! What a preview fetched, the package is made from; what was cut is resumed. A layout that nobody comes back for is among
//! the unfinished downloads that are cleaned up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_package::Version;
use windlass_registry::oci::{ImageAccess, ImageReference, fetch_image};
use windlass_registry::{Control, Credentials, Progress, RegistryKind};

use crate::Workshop;
use crate::error::{IoContext, Result};
use crate::jobs::{Job, JobKind};
use crate::packing::{PackKind, PackOptions, PackSource};

impl PackSource {
    /// The image that is to be fetched; `None` where it is here already, or is none.
    ///
    /// # Errors
    /// `Input` when it is neither a file of this computer nor the name of an image.
    pub fn remote_image(&self) -> Result<Option<ImageReference>> {
        let value = self.value.trim();
        if self.kind != PackKind::Oci || value.is_empty() || Path::new(value).exists() {
            return Ok(None);
        }
        let named = ["oci://", "docker://", "oci:", "docker:"]
            .iter()
            .find_map(|prefix| value.strip_prefix(prefix));
        let is_path = value.starts_with(['/', '.', '~'])
            || Path::new(value)
                .extension()
                .is_some_and(|it| it.eq_ignore_ascii_case("tar"));
        match named {
            None if is_path => Ok(None),
            _ => Ok(Some(ImageReference::parse(named.unwrap_or(value))?)),
        }
    }
}

/// What a package of an image is called where nothing is said: its repository's last part, and its tag as the version.
pub(crate) fn named_after(reference: &ImageReference, mut options: PackOptions) -> PackOptions {
    let unsaid = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
    if unsaid(&options.name) {
        options.name = reference.repository.rsplit('/').next().map(str::to_owned);
    }
    if unsaid(&options.version) && Version::parse(&reference.tag).is_ok() {
        options.version = Some(reference.tag.clone());
    }
    options
}

/// The host of an address, with its port, and whether it is asked by http.
fn host(url: &str) -> (&str, bool) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    (
        rest.split('/').next().unwrap_or(rest),
        scheme.eq_ignore_ascii_case("http"),
    )
}

impl Workshop {
    /// Fetches an image that is not here, as a job: a preview and a package are made of it at once then. `None` where
    /// nothing is to be fetched.
    ///
    /// # Errors
    /// `Input` as [`PackSource::remote_image`].
    pub fn start_fetch_image(self: &Arc<Self>, source: &PackSource) -> Result<Option<Job>> {
        let Some(reference) = source.remote_image()? else {
            return Ok(None);
        };
        let workshop = Arc::clone(self);
        let title = format!("Fetch {reference}");
        let job = self.start_job(JobKind::Pull, title, None, None, async move |reporter| {
            reporter.set_pausable(true);
            let (control, progress) = (reporter.control(), reporter.bytes());
            workshop.image_layout(&reference, control, progress).await?;
            Ok(None)
        })?;
        Ok(Some(job))
    }

    /// Fetches an image, or what is missing of it; the folder of its layout.
    pub(crate) async fn image_layout(
        &self,
        reference: &ImageReference,
        control: Control,
        progress: impl Progress + 'static,
    ) -> Result<PathBuf> {
        let access = self.image_access(reference).await?;
        let name = reference.to_string();
        let digest = blake3::hash(name.as_bytes()).to_hex();
        let layout = self
            .library
            .downloads_folder()
            .join(format!("image-{}", &digest[..16]));
        std::fs::create_dir_all(&layout).doing("create the folder", &layout)?;
        fetch_image(reference, access, &layout, &control, &progress).await?;
        Ok(layout)
    }

    /// How the registry of an image is reached: as the configured one with the same host.
    async fn image_access(&self, reference: &ImageReference) -> Result<ImageAccess> {
        let records = self.enabled_registries()?;
        let known = records.iter().find(|record| {
            record.config.kind == RegistryKind::Oci
                && host(&record.config.url)
                    .0
                    .eq_ignore_ascii_case(&reference.host)
        });
        let Some(record) = known else {
            return Ok(ImageAccess::default());
        };
        let credentials = if record.has_login {
            self.login(record.id).await?
        } else {
            Credentials::None
        };
        Ok(ImageAccess {
            credentials,
            ca_file: record.config.ca_file.clone(),
            proxy: record.config.proxy.clone(),
            insecure: host(&record.config.url).1,
            ..ImageAccess::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::GuestOs;

    fn remote(value: &str) -> Option<String> {
        let source = PackSource {
            kind: PackKind::Oci,
            value: value.to_owned(),
            guest: GuestOs::Linux,
        };
        source.remote_image().unwrap().map(|it| it.to_string())
    }

    #[test]
    fn images_are_told_from_paths() {
        let debian = Some("docker.io/library/debian:12".to_owned());
        for value in [
            "debian:12",
            " debian:12",
            "docker:debian:12",
            "oci://debian:12",
        ] {
            assert_eq!(remote(value), debian, "{value}");
        }
        assert_eq!(
            remote("localhost:5000/x:tag").unwrap(),
            "localhost:5000/x:tag"
        );
        for path in ["/no/such/image", "./image", "image.tar", "~/image", ""] {
            assert_eq!(remote(path), None, "{path}");
        }
    }

    #[test]
    fn hosts_are_read_with_their_ports() {
        assert_eq!(host("http://localhost:5000/team"), ("localhost:5000", true));
        assert_eq!(host("https://ghcr.io"), ("ghcr.io", false));
        assert_eq!(host("ghcr.io/owner"), ("ghcr.io", false));
    }
}
