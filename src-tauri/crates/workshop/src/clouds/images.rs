//! Images of this computer, sent to clouds; images of clouds, looked at, fetched, changed and deleted.
//!
//! ```text
//!   build ─► held ─► written as qcow2 (beside, gone with the job) ─► hash ─► there? ─► send ─► verified
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;
use tokio_util::sync::CancellationToken;
use windlass_cloud::images::{self, Filter, Guest, Upload, Uploaded, Watch};
use windlass_image::convert::{self, Format};

use super::{CloudImage, store};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::GuestOs;
use crate::images::{ImageFormat, counting};
use crate::jobs::{Job, JobKind, Reporter, Request, SENT, Unit};

const GIB: u64 = 1 << 30;

/// How an image is sent to a cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct PushOptions {
    /// What it is to be called there; as it is called here, where nothing is said.
    pub name: Option<String>,
    /// Raw or qcow2; what the cloud takes and what is smaller, where nothing is said.
    pub format: Option<ImageFormat>,
    /// Who sees it.
    pub visibility: Option<String>,
    /// Tags, beside our own.
    pub tags: Vec<String>,
    /// The least memory that it runs in, in MiB.
    pub min_memory_mib: Option<u32>,
    /// The smallest disk of a server, in GiB; that of the image, where nothing is said.
    pub min_disk_gib: Option<u32>,
    /// Properties, beside and instead of those for its guest.
    pub properties: BTreeMap<String, String>,
}

/// Which images of a cloud are wanted.
#[derive(Debug, Clone, Default, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct CloudImageFilter {
    /// Those that Windlass made.
    pub ours: bool,
    /// Those that are seen so: `private`, `public`, …
    pub visibility: Option<String>,
    /// Those with this tag.
    pub tag: Option<String>,
}

impl CloudImageFilter {
    fn asked(&self) -> Filter {
        let tag = if self.ours {
            Some(windlass_cloud::LABEL.to_owned())
        } else {
            self.tag.clone()
        };
        Filter {
            visibility: self.visibility.clone(),
            tag,
            ..Filter::default()
        }
    }
}

/// A part of the list of a cloud's images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudImagePage {
    /// The images.
    pub images: Vec<CloudImage>,
    /// From where the next part goes on; nothing after the last.
    pub next: Option<String>,
}

/// Tells a job of an upload or download, and the database of what is about to be made.
struct JobWatch {
    workshop: Arc<Workshop>,
    reporter: Reporter,
    cloud_id: u32,
    name: String,
}

impl Watch for JobWatch {
    fn step(&self, words: &str) {
        self.reporter.step(words);
    }

    fn progress(&self, done: u64, total: u64) {
        self.reporter.progress(done, Some(total), Unit::Bytes);
    }

    fn intent(&self, id: &str) -> windlass_cloud::Result<()> {
        let item = store::Item {
            id: id.to_owned(),
            cloud_id: self.cloud_id,
            deployment: None,
            kind: "image".to_owned(),
            name: self.name.clone(),
            remote_id: Some(id.to_owned()),
        };
        store::intend(&self.workshop.database, &item).map_err(|error| {
            windlass_cloud::Error::Input {
                found: error.message,
                remedy: error.hints.join("; "),
            }
        })
    }

    fn settled(&self, id: &str) {
        if let Err(error) = store::forget(&self.workshop.database, id) {
            tracing::warn!(image = id, %error, "what was made in a cloud could not be written down");
        }
    }

    fn new_id(&self) -> String {
        uuid::Uuid::now_v7().hyphenated().to_string()
    }

    fn cancellation(&self) -> CancellationToken {
        self.reporter.cancellation().clone()
    }
}

/// A file that is sent, and the folder that goes with the job where it was written for it.
struct Prepared {
    path: PathBuf,
    disk_bytes: u64,
    guest: Option<GuestOs>,
    digest: Option<String>,
    _folder: Option<Folder>,
}

/// Removed when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // The next start sweeps what is left.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Workshop {
    /// The images of a cloud, by name.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_images(
        &self,
        id: u32,
        filter: &CloudImageFilter,
    ) -> Result<Vec<CloudImage>> {
        let session = self.cloud_session(id).await?;
        let found = images::list(&session, &filter.asked()).await?;
        Ok(found.iter().map(CloudImage::of).collect())
    }

    /// A part of the list of a cloud's images, after `marker`. One call.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_image_page(
        &self,
        id: u32,
        filter: &CloudImageFilter,
        marker: Option<&str>,
    ) -> Result<CloudImagePage> {
        let session = self.cloud_session(id).await?;
        let part = images::page(&session, &filter.asked(), marker).await?;
        Ok(CloudImagePage {
            images: part.items.iter().map(CloudImage::of).collect(),
            next: part.next,
        })
    }

    /// Changes who sees an image of a cloud, its name, or its tags.
    ///
    /// # Errors
    /// `NotFound`; when the cloud refuses.
    pub async fn change_cloud_image(
        &self,
        id: u32,
        image: &str,
        name: Option<String>,
        visibility: Option<String>,
        tags: Option<Vec<String>>,
    ) -> Result<CloudImage> {
        let session = self.cloud_session(id).await?;
        let image = images::find(&session, image).await?;
        let mut changes = BTreeMap::new();
        if let Some(name) = name {
            changes.insert("name".to_owned(), name.into());
        }
        if let Some(visibility) = visibility {
            changes.insert("visibility".to_owned(), visibility.into());
        }
        if let Some(mut tags) = tags {
            if image.is_ours() {
                tags.push(windlass_cloud::LABEL.to_owned());
            }
            tags.sort();
            tags.dedup();
            changes.insert("tags".to_owned(), tags.into());
        }
        let after = images::change(&session, &image, &changes).await?;
        Ok(CloudImage::of(&after))
    }

    /// Deletes an image of a cloud.
    ///
    /// # Errors
    /// `NotFound`; when the cloud refuses.
    pub async fn delete_cloud_image(&self, id: u32, image: &str) -> Result<()> {
        let session = self.cloud_session(id).await?;
        let image = images::find(&session, image).await?;
        images::delete(&session, &image.id).await?;
        store::forget(&self.database, &image.id)
    }

    /// Fetches an image of a cloud into a file, as a job.
    ///
    /// # Errors
    /// `NotFound` for the cloud.
    pub fn start_cloud_image_fetch(
        self: &Arc<Self>,
        id: u32,
        image: &str,
        path: &Path,
    ) -> Result<Job> {
        let cloud = store::get(&self.database, id)?.profile.name;
        let path = std::path::absolute(path).doing("find the folder of", path)?;
        let (workshop, image) = (Arc::clone(self), image.to_owned());
        let title = format!("Fetch {image} from {cloud}");
        self.start_job(
            JobKind::FetchImage,
            title,
            None,
            None,
            async move |reporter| {
                reporter.step(&format!("Logging in to {cloud}"));
                let session = workshop.cloud_session(id).await?;
                let found = images::find(&session, &image).await?;
                let watch = JobWatch {
                    workshop: Arc::clone(&workshop),
                    reporter,
                    cloud_id: id,
                    name: image,
                };
                images::download(&session, &found, &path, &watch).await?;
                Ok(Some(path.display().to_string()))
            },
        )
    }

    /// Sends an image to a cloud, as a job that ends with the image's id there. Bytes that are there are not sent again.
    ///
    /// # Errors
    /// `NotFound` for the cloud or the image.
    pub fn start_push_image(
        self: &Arc<Self>,
        id: u32,
        image: &str,
        options: PushOptions,
    ) -> Result<Job> {
        let cloud = store::get(&self.database, id)?.profile.name;
        let named = self.named_image(image)?;
        let name = self.shown_name(image, &named);
        let subject = named.build.as_ref().map(|it| it.appliance_id.clone());
        let title = format!("Send {name} to {cloud}");
        let request = Request::PushImage {
            cloud: id,
            image: Self::lasting_name(image, &named),
            options: options.clone(),
        };
        let (workshop, image) = (Arc::clone(self), image.to_owned());
        self.start_job(
            JobKind::PushImage,
            title,
            subject,
            Some(&request),
            async move |reporter| {
                let image = workshop.push_image(id, &image, &options, &reporter).await?;
                Ok(Some(image))
            },
        )
    }

    /// Sends an image; its id in the cloud.
    pub(crate) async fn push_image(
        self: &Arc<Self>,
        id: u32,
        image: &str,
        options: &PushOptions,
        reporter: &Reporter,
    ) -> Result<String> {
        let named = self.named_image(image)?;
        let name = options
            .name
            .clone()
            .unwrap_or_else(|| self.shown_name(image, &named));
        reporter.step("Logging in");
        let session = self.cloud_session(id).await?;
        let format = match options.format {
            Some(format) => format,
            None if images::formats(&session)
                .await?
                .iter()
                .any(|it| it == "qcow2") =>
            {
                ImageFormat::Qcow2
            }
            None => ImageFormat::Raw,
        };
        let (workshop, voice) = (Arc::clone(self), reporter.clone());
        let image = image.to_owned();
        let prepared =
            crate::blocking(move || workshop.prepare_cloud_image(&image, format, &voice)).await??;
        let mut properties = prepared
            .guest
            .map(|guest| {
                images::for_guest(match guest {
                    GuestOs::Osv => Guest::Osv,
                    GuestOs::Linux => Guest::Linux,
                })
            })
            .unwrap_or_default();
        if let Some(digest) = &prepared.digest {
            properties.insert("windlass_digest".to_owned(), digest.clone());
        }
        properties.extend(options.properties.clone());
        let upload = Upload {
            path: prepared.path.clone(),
            name: name.clone(),
            disk_format: word(format)?.to_owned(),
            min_disk_gib: prepared
                .disk_bytes
                .div_ceil(GIB)
                .max(options.min_disk_gib.unwrap_or(0).into()),
            min_ram_mib: options.min_memory_mib.unwrap_or(0).into(),
            visibility: options.visibility.clone(),
            tags: options.tags.clone(),
            properties,
        };
        let watch = JobWatch {
            workshop: Arc::clone(self),
            reporter: reporter.clone(),
            cloud_id: id,
            name,
        };
        let begun = std::time::Instant::now();
        let uploaded = images::upload(&session, &upload, &watch).await?;
        match &uploaded {
            Uploaded::Sent(image) => reporter.log(&format!(
                "Sent {} bytes in {} ms as {}",
                image.size.unwrap_or(0),
                begun.elapsed().as_millis(),
                image.id
            )),
            Uploaded::There(image) => reporter.log(&format!(
                "Nothing was sent: {} has the same bytes",
                image.id
            )),
        }
        Ok(uploaded.image().id.clone())
    }

    /// Blocks while an image is written in the format that is wanted.
    fn prepare_cloud_image(
        &self,
        image: &str,
        format: ImageFormat,
        reporter: &Reporter,
    ) -> Result<Prepared> {
        let named = self.named_image(image)?;
        let (open, _lease) = self.hold(&named)?;
        let info = self.info(&named, &open)?;
        if !info.boots_by_bios {
            return Err(AppError::new(
                ErrorKind::Input,
                "This image does not boot by itself, which a cloud needs",
            )
            .hinted(
                "Build the appliance as a disk that boots by BIOS (`--bootable`), and send that",
            ));
        }
        let guest = match (&named.build, &info.osv) {
            (Some(build), _) => Some(build.guest),
            (None, Some(_)) => Some(GuestOs::Osv),
            (None, None) => None,
        };
        let digest = named.build.as_ref().map(|it| it.digest.clone());
        if info.format == word(format)? && named.build.is_none() {
            return Ok(Prepared {
                path: named.path,
                disk_bytes: info.size_bytes,
                guest,
                digest,
                _folder: None,
            });
        }
        // A build may be updated in its place as soon as it is let go: what is sent is a copy, and holes stay holes.
        let name = format!("{}{SENT}", reporter.job_id());
        let folder = self.home.images().join(name);
        std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
        let keep = Folder(folder.clone());
        let path = folder.join(format!("image.{}", word(format)?));
        reporter.step(&format!("Writing the image as {}", word(format)?));
        let format = match format {
            ImageFormat::Raw => Format::Raw,
            _ => Format::Qcow2,
        };
        let options = convert::ConvertOptions::default();
        let total = convert::total_bytes(&named.path, format, &options)?;
        let mut watch = counting(reporter, total);
        convert::convert(&named.path, &path, format, &options, &mut watch)?;
        Ok(Prepared {
            path,
            disk_bytes: info.size_bytes,
            guest,
            digest,
            _folder: Some(keep),
        })
    }
}

fn word(format: ImageFormat) -> Result<&'static str> {
    match format {
        ImageFormat::Raw => Ok("raw"),
        ImageFormat::Qcow2 => Ok("qcow2"),
        _ => Err(AppError::new(
            ErrorKind::Input,
            "Images are sent to clouds as raw or qcow2",
        )),
    }
}
