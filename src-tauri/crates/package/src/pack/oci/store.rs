//! Where the parts of an image lie: files of a folder, or pieces of a tar.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use tar::{Archive, EntryType};

use crate::Error;
use crate::error::IoContext;

/// Manifests and configurations are some kilobytes long.
const DOCUMENT_MAX_BYTES: u64 = 4 << 20;
const LAYERS_MAX: usize = 500;
const ENTRIES_MAX: usize = 100_000;
/// An index may lead to an index, as that of an image for several architectures does.
const DEPTH_MAX: usize = 4;
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// What is in an image, by where it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub name: Option<String>,
    pub config: String,
    /// The lowest first.
    pub layers: Vec<String>,
}

/// A folder, or a tar with the places of what is in it.
#[derive(Debug)]
pub(super) enum Store {
    Folder(PathBuf),
    Tar {
        path: PathBuf,
        pieces: HashMap<String, Piece>,
    },
}

/// Where something lies in a tar.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    File {
        offset: u64,
        length: u64,
    },
    /// `docker save` once linked layers that are the same.
    Link(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    annotations: HashMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// An entry of `manifest.json` as `docker save` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Whether the first entries of a tar are those of an image.
pub(super) fn has_index(file: File) -> bool {
    let mut archive = Archive::new(file);
    let Ok(entries) = archive.entries_with_seek() else {
        return false;
    };
    entries.take(ENTRIES_MAX).flatten().any(|entry| {
        let name = entry.path_bytes();
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        name == b"index.json" || name == b"manifest.json" || name == b"oci-layout"
    })
}

impl Store {
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_path_buf()));
        }
        let file = File::open(path).context("read", path)?;
        let mut archive = Archive::new(file);
        let mut pieces = HashMap::new();
        for entry in archive.entries_with_seek().context("read", path)? {
            let entry = entry.context("read", path)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.trim_start_matches("./").to_owned();
            let piece = match entry.header().entry_type() {
                EntryType::Regular => Piece::File {
                    offset: entry.raw_file_position(),
                    length: entry.size(),
                },
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name().context("read", path)?.unwrap_or_default();
                    let from = Path::new(&name).parent().unwrap_or(Path::new(""));
                    Piece::Link(normal(&from.join(target)))
                }
                _ => continue,
            };
            if pieces.len() >= ENTRIES_MAX {
                return Err(unsuitable(path, "holds more parts than any image"));
            }
            pieces.insert(name, piece);
        }
        Ok(Self::Tar {
            path: path.to_path_buf(),
            pieces,
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Tar { path, .. } => path,
        }
    }

    /// Opens a part of the image.
    pub fn part(&self, name: &str) -> Result<Take<File>, Error> {
        let lacking = || unsuitable(self.path(), &format!("lacks the part {name}"));
        match self {
            Self::Folder(folder) => {
                let is_inside = Path::new(name)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
                let path = folder.join(name);
                if !is_inside || !path.is_file() {
                    return Err(lacking());
                }
                Ok(File::open(&path).context("read", &path)?.take(u64::MAX))
            }
            Self::Tar { path, pieces } => {
                let piece = match pieces.get(name) {
                    Some(Piece::Link(target)) => pieces.get(target),
                    other => other,
                };
                let Some(Piece::File { offset, length }) = piece else {
                    return Err(lacking());
                };
                let mut file = File::open(path).context("read", path)?;
                file.seek(SeekFrom::Start(*offset)).context("read", path)?;
                Ok(file.take(*length))
            }
        }
    }

    /// The text of a small part.
    pub fn read(&self, name: &str) -> Result<String, Error> {
        let mut text = String::new();
        let part = self.part(name)?;
        let read = part.take(DOCUMENT_MAX_BYTES).read_to_string(&mut text);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                unsuitable(self.path(), &format!("has a part {name} that is no text"))
            }
            _ => Error::Io {
                doing: "read",
                path: self.path().to_path_buf(),
                source: error,
            },
        })?;
        Ok(text)
    }

    fn document<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T, Error> {
        let text = self.read(name)?;
        serde_json::from_str(&text)
            .map_err(|error| unsuitable(self.path(), &format!("has a wrong {name}: {error}")))
    }

    /// The image for this kind of computer.
    pub fn image(&self) -> Result<Image, Error> {
        // Newer `docker save` writes both, and the one of OCI says more.
        if self.part("index.json").is_ok() {
            return self.of_layout();
        }
        let saved: Vec<Saved> = self.document("manifest.json")?;
        let Some(saved) = saved.into_iter().next() else {
            return Err(unsuitable(self.path(), "holds no image"));
        };
        self.bounded(Image {
            name: saved.repo_tags.unwrap_or_default().into_iter().next(),
            config: saved.config,
            layers: saved.layers,
        })
    }

    fn of_layout(&self) -> Result<Image, Error> {
        const NAMES: [&str; 2] = [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
        ];
        let mut at = "index.json".to_owned();
        let mut name = None;
        for _ in 0..DEPTH_MAX {
            let index: Index = self.document(&at)?;
            let fits = |descriptor: &&Descriptor| {
                descriptor.platform.as_ref().is_none_or(|platform| {
                    platform.architecture == ARCHITECTURE && platform.os == "linux"
                })
            };
            let Some(chosen) = index.manifests.iter().find(fits) else {
                let found = format!("holds no image for Linux on {ARCHITECTURE}");
                return Err(unsuitable(self.path(), &found));
            };
            name = name.or_else(|| {
                NAMES
                    .iter()
                    .find_map(|key| chosen.annotations.get(*key).cloned())
            });
            at = self.blob(&chosen.digest)?;
            if !is_index(&chosen.media_type) {
                let manifest: Manifest = self.document(&at)?;
                let layers: Result<_, _> = manifest
                    .layers
                    .iter()
                    .map(|layer| self.blob(&layer.digest))
                    .collect();
                return self.bounded(Image {
                    name,
                    config: self.blob(&manifest.config.digest)?,
                    layers: layers?,
                });
            }
        }
        Err(unsuitable(
            self.path(),
            "has an index that leads from one to the next",
        ))
    }

    fn bounded(&self, image: Image) -> Result<Image, Error> {
        if image.layers.len() > LAYERS_MAX {
            return Err(unsuitable(self.path(), "has more layers than any image"));
        }
        Ok(image)
    }

    /// Where the part with a digest lies.
    fn blob(&self, digest: &str) -> Result<String, Error> {
        let is_word =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match digest.split_once(':') {
            Some((kind, value)) if is_word(kind) && is_word(value) => {
                Ok(format!("blobs/{kind}/{value}"))
            }
            _ => Err(unsuitable(
                self.path(),
                &format!("names the digest {digest:?}"),
            )),
        }
    }
}

fn is_index(media_type: &str) -> bool {
    media_type.ends_with("image.index.v1+json") || media_type.ends_with("manifest.list.v2+json")
}

/// Without `.` and `..`, as names.
fn normal(path: &Path) -> String {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            _ => {}
        }
    }
    normal.to_string_lossy().into_owned()
}

fn unsuitable(path: &Path, found: &str) -> Error {
    Error::Unsuitable {
        path: path.to_path_buf(),
        found: found.to_owned(),
        remedy: "Save or fetch the image again.".into(),
    }
}
