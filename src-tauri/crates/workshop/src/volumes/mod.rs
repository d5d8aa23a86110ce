//! Volumes: disks that outlive the machines that use them.
//!
//! ```text
//!   volumes/NAME.img, NAME.qcow2      the file's name is the volume's, and all that is known of it
//!     └─ attached to a machine        as a virtio disk whose serial number is the name
//!          └─ --mount-fs=ext,/dev/vblkN,/path   what the guest is told, OSv and Linux alike
//! ```
//!
//! A volume is made beside its place and renamed there. One machine at a time may run with it; it is deleted only when no
//! machine has it any more.

mod attach;
mod folders;
mod make;

pub use attach::VolumeMount;
pub(crate) use attach::volumes_of;
pub use folders::SharedFolder;
pub(crate) use folders::{share_folders, shares_of};

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_image::resize::{self, ResizeOptions};

use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;
use crate::images::counting;
use crate::jobs::{Job, JobKind, Request};
use crate::machines::is_live;

/// The format of a volume's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum VolumeFormat {
    /// The bytes of the disk, with holes.
    Raw,
    /// QEMU's own format, which grows as it is written.
    Qcow2,
}

/// What a new volume holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum VolumeContent {
    /// Zeros; a guest makes a file system in it.
    Empty,
    /// An ext4 file system without files.
    Ext4,
    /// An ext4 file system with the files of a folder.
    Folder {
        /// The folder.
        path: PathBuf,
    },
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct NewVolume {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The format of its file.
    pub format: VolumeFormat,
    /// How large the disk is; none: what the folder needs, and some room.
    pub size_bytes: Option<u64>,
    /// What it holds.
    pub content: VolumeContent,
}

/// A disk that outlives the machines that use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its file.
    pub path: String,
    /// The format of its file.
    pub format: VolumeFormat,
    /// The size of the disk.
    pub size_bytes: u64,
    /// What its file takes of this computer's disk.
    pub allocated_bytes: u64,
    /// The file system on it, where it is one that can be read.
    pub file_system: Option<String>,
    /// The names of the machines that have it, whether they run or not.
    pub used_by: Vec<String>,
    /// The name of the machine that runs with it.
    pub in_use_by: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

impl VolumeFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Raw => "img",
            Self::Qcow2 => "qcow2",
        }
    }

    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "img" => Some(Self::Raw),
            "qcow2" => Some(Self::Qcow2),
            _ => None,
        }
    }
}

impl Workshop {
    /// The volumes, by name.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub async fn volumes(self: &Arc<Self>) -> Result<Vec<Volume>> {
        let workshop = Arc::clone(self);
        crate::blocking(move || {
            let mut volumes = Vec::new();
            for path in workshop.volume_files()? {
                match workshop.shown_volume(&path) {
                    Ok(volume) => volumes.push(volume),
                    // Deleted meanwhile.
                    Err(error) if error.kind == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            volumes.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(volumes)
        })
        .await?
    }

    /// One volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        let path = self.existing_volume(name)?;
        self.shown_volume(&path)
    }

    fn volume_files(&self) -> Result<Vec<PathBuf>> {
        let folder = self.home.volumes();
        let entries = std::fs::read_dir(&folder).doing("list the folder", &folder)?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.doing("list the folder", &folder)?.path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !hidden && VolumeFormat::of(&path).is_some() {
                files.push(path);
            }
        }
        Ok(files)
    }

    fn shown_volume(&self, path: &Path) -> Result<Volume> {
        let file = std::fs::metadata(path).doing("read", path)?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let open = self.open_images.open(path);
        let users: Vec<_> = self
            .machines
            .list()
            .into_iter()
            .filter(|handle| handle.spec().disks.iter().any(|disk| disk.path == path))
            .collect();
        let created = file.created().or_else(|_| file.modified());
        let created = created
            .ok()
            .and_then(|time| jiff::Timestamp::try_from(time).ok());
        let disk_bytes = match &open {
            Ok(open) => Some(open.image.size_bytes()),
            // Empty ones hold nothing that is known.
            Err(_) => windlass_image::disk::open(path)
                .ok()
                .map(|(_, disk)| disk.size_bytes()),
        };
        Ok(Volume {
            id: name.clone(),
            name,
            path: path.display().to_string(),
            format: VolumeFormat::of(path).unwrap_or(VolumeFormat::Raw),
            size_bytes: disk_bytes.unwrap_or(file.len()),
            allocated_bytes: file.blocks().saturating_mul(512),
            file_system: open.ok().and_then(|open| {
                let mut volumes = open.image.volumes().iter();
                volumes.find_map(|it| it.file_system.map(|kind| kind.to_string()))
            }),
            in_use_by: users
                .iter()
                .find(|handle| is_live(handle))
                .map(|handle| handle.spec().name),
            used_by: users.iter().map(|handle| handle.spec().name).collect(),
            created_at: created.map(|time| time.to_string()).unwrap_or_default(),
        })
    }

    /// The file of a volume, by its name.
    pub(crate) fn volume_path(&self, name: &str) -> Option<PathBuf> {
        make::check_name(name).ok()?;
        [VolumeFormat::Raw, VolumeFormat::Qcow2]
            .map(|format| {
                self.home
                    .volumes()
                    .join(format!("{name}.{}", format.extension()))
            })
            .into_iter()
            .find(|path| path.is_file())
    }

    fn existing_volume(&self, name: &str) -> Result<PathBuf> {
        self.volume_path(name).ok_or_else(|| {
            AppError::not_found("volume", name).hinted("`windlassctl volume ls` lists them")
        })
    }

    /// Gives a volume another size, and the file system on it, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine runs with it.
    pub fn start_volume_resize(self: &Arc<Self>, volume: &str, size_bytes: u64) -> Result<Job> {
        let path = self.existing_volume(volume)?;
        self.refuse_running(volume, &path)?;
        let request = Request::ResizeVolume {
            volume: volume.to_owned(),
            size_bytes,
        };
        let name = volume.to_owned();
        self.start_blocking(
            JobKind::ResizeImage,
            format!("Resize the volume {volume}"),
            None,
            &request,
            move |workshop, reporter| {
                workshop.refuse_running(&name, &path)?;
                reporter.step("Resizing");
                let mut watch = counting(reporter, 0);
                let options = ResizeOptions::default();
                let done = resize::resize(&path, size_bytes, &options, &mut watch)?;
                reporter.log(&format!(
                    "{} bytes before, {} now",
                    done.old_bytes, done.new_bytes
                ));
                workshop.open_images.forget(&path);
                workshop.events.send(Event::VolumesChanged);
                Ok(Some(name))
            },
        )
    }

    /// Deletes a volume with all that is on it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine has it.
    pub async fn delete_volume(self: &Arc<Self>, volume: &str) -> Result<()> {
        self.machines.refresh().await;
        let path = self.existing_volume(volume)?;
        if let Some(machine) = self.image_user(&path) {
            return Err(AppError::new(
                ErrorKind::Conflict,
                format!("The machine `{machine}` has the volume `{volume}`"),
            )
            .hinted("Delete the machine first; the volume stays"));
        }
        self.open_images.forget(&path);
        std::fs::remove_file(&path).doing("delete", &path)?;
        self.events.send(Event::VolumesChanged);
        Ok(())
    }

    /// Refuses a volume that a machine runs with.
    fn refuse_running(&self, name: &str, path: &Path) -> Result<()> {
        let running = self.machines.list().into_iter().find(|handle| {
            is_live(handle) && handle.spec().disks.iter().any(|disk| disk.path == path)
        });
        match running {
            Some(handle) => Err(AppError::new(
                ErrorKind::Conflict,
                format!(
                    "The machine `{}` runs with the volume `{name}`",
                    handle.spec().name
                ),
            )
            .hinted("Stop the machine first")),
            None => Ok(()),
        }
    }
}
