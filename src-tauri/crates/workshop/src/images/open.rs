//! Open images, kept for the next question.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use windlass_image::{FileSystem, Foreign, GuestPath, Image};

use crate::Workshop;
use crate::builds::Build;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// So many stay open.
const KEPT: usize = 6;

/// An image that is open, with those of its file systems that were asked for.
#[derive(Debug)]
pub(crate) struct OpenImage {
    pub(crate) image: Image,
    file_systems: Mutex<HashMap<u32, Arc<dyn FileSystem>>>,
}

impl OpenImage {
    /// The file system of a volume; of the root where none is named.
    pub(crate) fn file_system(&self, volume: Option<u32>) -> Result<Arc<dyn FileSystem>> {
        let volumes = self.image.volumes();
        let found = match volume {
            Some(number) => volumes.iter().find(|it| it.number == number),
            None => self.image.root_volume(),
        };
        let Some(found) = found else {
            return Err(match volume {
                Some(number) => AppError::not_found("volume", &number.to_string())
                    .hinted("`windlassctl image info IMAGE` lists the volumes"),
                None => no_file_system(&self.image),
            });
        };
        let mut open = lock(&self.file_systems);
        if let Some(file_system) = open.get(&found.number) {
            return Ok(Arc::clone(file_system));
        }
        if found.file_system.is_none() {
            return Err(no_file_system(&self.image));
        }
        let file_system: Arc<dyn FileSystem> = Arc::from(self.image.file_system(found)?);
        open.insert(found.number, Arc::clone(&file_system));
        Ok(file_system)
    }
}

fn no_file_system(image: &Image) -> AppError {
    let path = image.path().display();
    let foreign = image.volumes().iter().find_map(|volume| volume.foreign);
    let (message, hint) = match foreign {
        Some(Foreign::Zfs) => (
            format!("`{path}` holds ZFS, which only a guest can read"),
            "What was put into a build of ours is in its list of files: `windlassctl image lists BUILD FOLDER --kind files`",
        ),
        Some(foreign) => (
            format!("`{path}` holds {foreign}, which Windlass does not read"),
            "ROFS, ext4, FAT and ISO 9660 can be read from outside",
        ),
        None => (
            format!("`{path}` has no file system there that Windlass can read"),
            "ROFS, ext4, FAT and ISO 9660 can be read from outside; ZFS only by the guest that has it",
        ),
    };
    AppError::new(ErrorKind::Input, message).hinted(hint)
}

/// Which state of which file an open image is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
}

/// The images that were looked at last, open.
#[derive(Debug, Default)]
pub(crate) struct OpenImages {
    /// The last one used is the last.
    kept: Mutex<Vec<(Stamp, Arc<OpenImage>)>>,
}

impl OpenImages {
    /// Opens an image, or takes it as it is open, unless its file has changed. Blocks.
    pub(crate) fn open(&self, path: &Path) -> Result<Arc<OpenImage>> {
        let stamp = stamp(path)?;
        {
            let mut kept = lock(&self.kept);
            if let Some(place) = kept.iter().position(|(known, _)| *known == stamp) {
                let found = kept.remove(place);
                let image = Arc::clone(&found.1);
                kept.push(found);
                return Ok(image);
            }
        }
        let image = Arc::new(OpenImage {
            image: Image::open(path)?,
            file_systems: Mutex::default(),
        });
        let mut kept = lock(&self.kept);
        kept.retain(|(known, _)| known.path != path);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((stamp, Arc::clone(&image)));
        Ok(image)
    }

    /// Closes the images in a folder, or of a file: their space is free when they are deleted.
    pub(crate) fn forget(&self, place: &Path) {
        lock(&self.kept).retain(|(known, _)| !known.path.starts_with(place));
    }
}

fn stamp(path: &Path) -> Result<Stamp> {
    let metadata = std::fs::metadata(path).doing("read", path)?;
    Ok(Stamp {
        path: path.to_owned(),
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an image's name stands for.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) path: PathBuf,
    pub(crate) build: Option<Build>,
}

impl Workshop {
    /// The file that an image's name stands for: the id of a build, an imported image or a volume, the name of a
    /// composed image, an imported one or a volume, or a path.
    pub(crate) fn named_image(&self, name: &str) -> Result<Named> {
        if name.contains('/') {
            let path = std::path::absolute(name).doing("find", Path::new(name))?;
            let build = self.build_at(&path)?;
            return Ok(Named { path, build });
        }
        let composed = self.images()?.into_iter().find(|it| it.name == name);
        let id = composed.map_or_else(|| name.to_owned(), |image| image.build_id);
        match self.build(&id) {
            Ok(build) => {
                return Ok(Named {
                    path: PathBuf::from(&build.path),
                    build: Some(build),
                });
            }
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let other = match self.imported_path(name)? {
            Some(path) => Some(path),
            None => self.volume_path(name),
        };
        if let Some(path) = other {
            return Ok(Named { path, build: None });
        }
        let path = Path::new(name);
        if path.is_file() {
            let path = std::path::absolute(path).doing("find", path)?;
            return Ok(Named { path, build: None });
        }
        Err(AppError::not_found("image", name)
            .hinted("Name a build by its id, an image or volume by its name, or a file by its path")
            .hinted(
                "`windlassctl images` lists what was built, `windlassctl volume ls` the volumes",
            ))
    }

    /// Does something with an open image off the async threads.
    pub(crate) async fn with_image<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce(&OpenImage) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let workshop = Arc::clone(self);
        let name = name.to_owned();
        crate::blocking(move || {
            let named = workshop.named_image(&name)?;
            let open = workshop.open_images.open(&named.path)?;
            work(&open)
        })
        .await?
    }
}

/// The path in an image that the window, or a user, means.
pub(crate) fn guest_path(text: &str) -> Result<GuestPath> {
    let text = match text.trim_end_matches('/') {
        "" => "/",
        text => text,
    };
    Ok(GuestPath::from_escaped(text)?)
}
