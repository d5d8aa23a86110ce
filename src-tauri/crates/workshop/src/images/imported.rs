//! Images that came from elsewhere.
//!
//! ```text
//!   imported/<id>/NAME.img     the disk, raw
//!   imported/<id>/image.json   what it is called and where it came from; written last: without it there is no image
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_image::import::{self, ImportOptions};

use super::browse::format_of;
use super::convert::in_use;
use super::model::ImportedImage;
use super::work::counting;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;
use crate::jobs::{Job, JobKind, Request};

const CARD: &str = "image.json";

/// What is kept beside an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    name: String,
    file: String,
    source: String,
    imported_at: String,
}

impl Workshop {
    /// The images that came from elsewhere, newest first.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub async fn imported_images(self: &Arc<Self>) -> Result<Vec<ImportedImage>> {
        let workshop = Arc::clone(self);
        crate::blocking(move || {
            let mut images: Vec<_> = workshop
                .cards()?
                .into_iter()
                .filter_map(|(folder, card)| workshop.shown_import(&folder, card).ok())
                .collect();
            images.sort_by(|a, b| b.id.cmp(&a.id));
            Ok(images)
        })
        .await?
    }

    fn cards(&self) -> Result<Vec<(PathBuf, Card)>> {
        let folder = self.home.imported();
        let entries = fs::read_dir(&folder).doing("list the folder", &folder)?;
        let mut cards = Vec::new();
        for entry in entries {
            let folder = entry.doing("list the folder", &folder)?.path();
            let card = fs::read(folder.join(CARD)).ok();
            // What is being imported, or was when a process was killed, has none.
            if let Some(card) = card.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                cards.push((folder, card));
            }
        }
        Ok(cards)
    }

    fn shown_import(&self, folder: &Path, card: Card) -> Result<ImportedImage> {
        let path = folder.join(&card.file);
        let file = fs::metadata(&path).doing("read", &path)?;
        let open = self.open_images.open(&path)?;
        Ok(ImportedImage {
            id: name_of(folder),
            name: card.name,
            path: path.display().to_string(),
            format: format_of(&open.image),
            size_bytes: open.image.size_bytes(),
            allocated_bytes: file.blocks().saturating_mul(512),
            source: card.source,
            imported_at: card.imported_at,
        })
    }

    /// The file of an imported image, by its id or its name.
    pub(super) fn imported_path(&self, name: &str) -> Result<Option<PathBuf>> {
        let found = self
            .cards()?
            .into_iter()
            .find(|(folder, card)| name_of(folder) == name || card.name == name);
        Ok(found.map(|(folder, card)| folder.join(card.file)))
    }

    /// Takes an image of any format into the library, as a job that ends with its id.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn start_image_import(self: &Arc<Self>, path: &Path) -> Result<Job> {
        let path = fs::canonicalize(path).doing("find", path)?;
        if !path.is_file() {
            return Err(AppError::new(
                ErrorKind::Input,
                format!("`{}` is no file", path.display()),
            ));
        }
        let name = name_for(&path);
        self.start_blocking(
            JobKind::ImportImage,
            format!("Import {name}"),
            None,
            &Request::ImportImage { path: path.clone() },
            move |workshop, reporter| {
                workshop.sweep_imports();
                let id = reporter.job_id();
                let folder = workshop.home.imported().join(&id);
                fs::create_dir_all(&folder).doing("create the folder", &folder)?;
                let import = || -> Result<()> {
                    reporter.step("Reading the image");
                    let card = Card {
                        file: format!("{name}.img"),
                        source: path.display().to_string(),
                        imported_at: crate::now(),
                        name,
                    };
                    let to = folder.join(&card.file);
                    let mut watch = counting(reporter, import::total_bytes(&path)?);
                    let options = ImportOptions::default();
                    let done = import::import(&path, &to, &options, &mut watch)?;
                    reporter.log(&format!("A disk of {} bytes", done.size_bytes));
                    let bytes = serde_json::to_vec(&card)
                        .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
                    crate::disk::write_whole(&folder.join(CARD), &bytes)
                };
                import().inspect_err(|_| {
                    let _ = fs::remove_dir_all(&folder);
                })?;
                workshop.events.send(Event::ImagesChanged);
                Ok(Some(id))
            },
        )
    }

    /// Removes what killed imports left.
    fn sweep_imports(&self) {
        let Ok(entries) = fs::read_dir(self.home.imported()) else {
            return;
        };
        for folder in entries.flatten().map(|entry| entry.path()) {
            let is_left = !folder.join(CARD).exists()
                && self.job(&name_of(&folder)).is_ok_and(|job| job.is_over());
            if is_left && let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(path = %folder.display(), %error, "could not sweep");
            }
        }
    }

    /// Deletes an image that came from elsewhere.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses it.
    pub async fn delete_imported_image(self: &Arc<Self>, id: &str) -> Result<()> {
        self.machines.refresh().await;
        let path = self
            .imported_path(id)?
            .ok_or_else(|| AppError::not_found("imported image", id))?;
        if let Some(machine) = self.image_user(&path) {
            return Err(in_use(&machine));
        }
        self.open_images.forget(&path);
        let folder = path.parent().unwrap_or(&path);
        // The card first: from here on there is no image.
        let card = folder.join(CARD);
        fs::remove_file(&card).doing("delete", &card)?;
        fs::remove_dir_all(folder).doing("remove the folder", folder)?;
        self.events.send(Event::ImagesChanged);
        Ok(())
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What an image is called that comes from a file: its name without what tells the format.
fn name_for(path: &Path) -> String {
    const SUFFIXES: [&str; 11] = [
        "gz", "xz", "zst", "img", "raw", "qcow2", "vmdk", "vdi", "vhdx", "iso", "bin",
    ];
    let mut name = name_of(path);
    while let Some((stem, suffix)) = name.rsplit_once('.') {
        let known = SUFFIXES.contains(&suffix.to_ascii_lowercase().as_str());
        if !known || stem.is_empty() {
            break;
        }
        name.truncate(stem.len());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_as_its_file() {
        let name = |path: &str| name_for(Path::new(path));
        assert_eq!(name("/tmp/debian-12.img.xz"), "debian-12");
        assert_eq!(name("usr.QCOW2"), "usr");
        assert_eq!(name("v1.2"), "v1.2");
        assert_eq!(name(".img"), ".img");
    }
}
