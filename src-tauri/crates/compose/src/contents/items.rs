//! The items of one side, in the order of paths.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_image::file_system::walk;
use windlass_image::{FileSystem, FileSystemKind, GuestPath, Stat, StatKind};

use crate::build::{FileKind, FileList, is_as_built};
use crate::error::{Error, IoContext};

/// One side of a comparison.
#[derive(Debug, Clone)]
pub enum Side {
    /// What is in an image, with the list of its files where that holds.
    Image {
        /// Its file, for errors.
        path: PathBuf,
        /// The file system that is looked at.
        file_system: Arc<dyn FileSystem>,
        /// Its list of files, from [`valid_list`].
        list: Option<Arc<FileList>>,
    },
    /// A list of files alone.
    List(Arc<FileList>),
    /// A folder of this computer.
    Folder(PathBuf),
}

/// What a path is on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Is {
    Directory,
    File { size_bytes: u64 },
    Symlink { target: Vec<u8> },
    Special,
}

/// A path of one side.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) path: GuestPath,
    pub(super) is: Is,
    pub(super) mode: Option<u32>,
    pub(super) digest: Option<blake3::Hash>,
    at: At,
}

/// Where its bytes are.
#[derive(Debug, Clone)]
enum At {
    Nowhere,
    Image(Box<Stat>),
    Host(PathBuf),
}

pub(super) type Items<'a> = Box<dyn Iterator<Item = Result<Item, Error>> + 'a>;

/// The list of files of an image that has not been written to since it was built; with it, what is in the image is known
/// without reading it.
pub fn valid_list(image: &Path) -> Option<FileList> {
    is_as_built(image)
        .then(|| FileList::read(image).ok())
        .flatten()
}

impl Side {
    /// All paths below the root, in their order.
    pub(super) fn items(&self) -> Result<Items<'_>, Error> {
        Ok(match self {
            Self::Image {
                path,
                file_system,
                list,
            } => {
                let digests = list.as_deref().map(digests).unwrap_or_default();
                let has_own = file_system.kind() == FileSystemKind::Ext4;
                let items = walk(file_system.as_ref())
                    .filter(move |stat| !(has_own && stat.as_ref().is_ok_and(is_lost_and_found)))
                    .map(move |stat| {
                        let stat = stat.map_err(|source| image_error(path, source))?;
                        let digest = digests.get(stat.path.as_bytes()).copied();
                        Ok(of_stat(stat, digest))
                    });
                Box::new(items)
            }
            Self::List(list) => {
                let mut items = list
                    .files
                    .iter()
                    .map(of_record)
                    .collect::<Result<Vec<_>, _>>()?;
                items.sort_by(|a, b| a.path.cmp(&b.path));
                Box::new(items.into_iter().map(Ok))
            }
            Self::Folder(folder) => Box::new(Host::new(folder)?),
        })
    }

    /// Reads from a file, as much as fits; less only at its end.
    pub(super) fn read(&self, item: &Item, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        match (self, &item.at) {
            (
                Self::Image {
                    path, file_system, ..
                },
                At::Image(stat),
            ) => file_system
                .read(stat, offset, buffer)
                .map_err(|source| image_error(path, source)),
            (_, At::Host(path)) => {
                let file = fs::File::open(path).context("read", path)?;
                let mut done = 0;
                while done < buffer.len() {
                    let count = file
                        .read_at(&mut buffer[done..], offset + done as u64)
                        .context("read", path)?;
                    if count == 0 {
                        break;
                    }
                    done += count;
                }
                Ok(done)
            }
            _ => Ok(0),
        }
    }

    /// Whether the bytes of its files can be read.
    pub(super) fn has_bytes(&self) -> bool {
        !matches!(self, Self::List(_))
    }
}

pub(super) fn image_error(path: &Path, source: windlass_image::Error) -> Error {
    if matches!(source, windlass_image::Error::Cancelled) {
        return Error::Cancelled;
    }
    Error::Image {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

/// The directory that each ext4 has.
fn is_lost_and_found(stat: &Stat) -> bool {
    stat.path.as_bytes() == b"lost+found" && stat.kind == StatKind::Directory
}

fn digests(list: &FileList) -> HashMap<Vec<u8>, blake3::Hash> {
    let files = list.files.iter();
    files
        .filter_map(|file| {
            let path = GuestPath::from_escaped(&file.path).ok()?;
            let digest = blake3::Hash::from_hex(file.digest.as_ref()?).ok()?;
            Some((path.as_bytes().to_vec(), digest))
        })
        .collect()
}

fn of_stat(stat: Stat, digest: Option<blake3::Hash>) -> Item {
    Item {
        path: stat.path.clone(),
        is: match &stat.kind {
            StatKind::Directory => Is::Directory,
            StatKind::File { size_bytes } => Is::File {
                size_bytes: *size_bytes,
            },
            StatKind::Symlink { target } => Is::Symlink {
                target: target.clone(),
            },
            StatKind::Special { .. } => Is::Special,
        },
        mode: stat.mode.map(|mode| mode & 0o7777),
        digest,
        at: At::Image(Box::new(stat)),
    }
}

pub(super) fn of_record(file: &crate::build::FileRecord) -> Result<Item, Error> {
    let path = GuestPath::from_escaped(&file.path).map_err(|source| Error::Path {
        layer: file.layer.clone().unwrap_or_default(),
        source,
    })?;
    Ok(Item {
        path,
        is: match file.kind {
            FileKind::Directory => Is::Directory,
            FileKind::File => Is::File {
                size_bytes: file.size_bytes.unwrap_or(0),
            },
            FileKind::Symlink => Is::Symlink {
                target: windlass_image::escape::unescape(file.target.as_deref().unwrap_or("")),
            },
        },
        mode: file.mode.map(|mode| mode & 0o7777),
        digest: file
            .digest
            .as_ref()
            .and_then(|digest| blake3::Hash::from_hex(digest).ok()),
        at: At::Nowhere,
    })
}

/// Walks over a folder as [`walk`] does over an image. Symlinks are not followed.
struct Host {
    /// For each open directory what of it is still to come, last first.
    pending: Vec<Vec<(GuestPath, PathBuf)>>,
    enter: Option<(GuestPath, PathBuf)>,
}

impl Host {
    fn new(folder: &Path) -> Result<Self, Error> {
        let mut host = Self {
            pending: Vec::new(),
            enter: None,
        };
        host.open(&GuestPath::root(), folder)?;
        Ok(host)
    }

    fn open(&mut self, path: &GuestPath, folder: &Path) -> Result<(), Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).context("list", folder)? {
            names.push(entry.context("list", folder)?.file_name().into_vec());
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        let children = names.into_iter().map(|name| {
            let inside = path.join(&name).map_err(|source| Error::Path {
                layer: folder.display().to_string(),
                source,
            })?;
            let outside = folder.join(std::ffi::OsStr::from_bytes(&name));
            Ok((inside, outside))
        });
        self.pending.push(children.collect::<Result<_, Error>>()?);
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Item>, Error> {
        if let Some((path, folder)) = self.enter.take() {
            self.open(&path, &folder)?;
        }
        while let Some(children) = self.pending.last_mut() {
            let Some((path, outside)) = children.pop() else {
                self.pending.pop();
                continue;
            };
            let metadata = fs::symlink_metadata(&outside).context("read", &outside)?;
            let is = if metadata.is_dir() {
                self.enter = Some((path.clone(), outside.clone()));
                Is::Directory
            } else if metadata.is_file() {
                Is::File {
                    size_bytes: metadata.len(),
                }
            } else if metadata.is_symlink() {
                let target = fs::read_link(&outside).context("read", &outside)?;
                Is::Symlink {
                    target: target.into_os_string().into_vec(),
                }
            } else {
                Is::Special
            };
            return Ok(Some(Item {
                path,
                is,
                mode: Some(metadata.mode() & 0o7777),
                digest: None,
                at: At::Host(outside),
            }));
        }
        Ok(None)
    }
}

impl Iterator for Host {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.pending.clear();
        }
        step.transpose()
    }
}

/// Reads a whole file of one side, piece by piece.
pub(super) fn digest_of(
    side: &Side,
    item: &Item,
    mut each: impl FnMut(u64) -> Result<(), Error>,
) -> Result<blake3::Hash, Error> {
    if let At::Host(path) = &item.at {
        let mut file = fs::File::open(path).context("read", path)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let count = file.read(&mut buffer).context("read", path)?;
            if count == 0 {
                return Ok(hasher.finalize());
            }
            hasher.update(&buffer[..count]);
            each(count as u64)?;
        }
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut offset = 0;
    loop {
        let count = side.read(item, offset, &mut buffer)?;
        hasher.update(&buffer[..count]);
        offset += count as u64;
        each(count as u64)?;
        if count < buffer.len() {
            return Ok(hasher.finalize());
        }
    }
}

/// So much is read at once.
const PIECE_BYTES: usize = 256 << 10;
