//! A package: a folder with its manifest, run file, settings and ignore rules.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::IoContext;
use crate::yaml::FILE_MAX_BYTES;
use crate::{BuildSettings, Error, Finding, Ignore, Manifest, RunFile, ignore, manifest, run_file};

/// The folder within a package that describes it and never gets into an image.
pub const META_DIRECTORY: &str = "meta";

/// A package, read from its folder.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its folder.
    pub root: PathBuf,
    /// Who it is; [`Manifest::default`] when it has no `package.yaml`.
    pub manifest: Manifest,
    /// Whether it has a `package.yaml`.
    pub has_manifest: bool,
    /// How it can be run, where it can.
    pub run: Option<RunFile>,
    /// How it is built and run here.
    pub settings: BuildSettings,
    /// What stays out of the image.
    pub ignore: Ignore,
    /// The text of `meta/README.md`.
    pub readme: Option<String>,
    /// What was noticed while reading: unknown keys and the like.
    pub notes: Vec<Finding>,
}

impl Package {
    /// Reads the package in this folder. Nothing of its files but what describes it is looked at.
    ///
    /// # Errors
    ///
    /// When the folder is not there, or one of its describing files is there and cannot be read
    /// or has a mistake.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        match fs::metadata(&root) {
            Ok(metadata) if metadata.is_dir() => {}
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::Io {
                    doing: "read",
                    path: root,
                    source,
                });
            }
            _ => return Err(Error::NoFolder { path: root }),
        }
        let mut notes = Vec::new();

        let manifest_text = read_small_text(&root.join(manifest::FILE))?;
        let has_manifest = manifest_text.is_some();
        let manifest = match manifest_text {
            Some(text) => {
                let parsed = Manifest::parse(&text, manifest::FILE)?;
                notes.extend(parsed.notes);
                parsed.value
            }
            None => Manifest::default(),
        };
        let run = match read_small_text(&root.join(run_file::FILE))? {
            Some(text) => {
                let parsed = RunFile::parse(&text, run_file::FILE)?;
                notes.extend(parsed.notes);
                Some(parsed.value)
            }
            None => None,
        };
        let settings = BuildSettings::load(&root)?;
        notes.extend(settings.notes);
        let ignore = match read_small_text(&root.join(ignore::FILE))? {
            Some(text) => Ignore::parse(&text)?,
            None => Ignore::default(),
        };
        // A README that cannot be read is no reason not to open the package.
        let readme = read_small_text(&root.join("meta/README.md")).unwrap_or(None);
        Ok(Self {
            root,
            manifest,
            has_manifest,
            run,
            settings: settings.value,
            ignore,
            readme,
            notes,
        })
    }
}

/// The text of a small file, `None` when it is not there. Never reads a device or pipe, nor more
/// than [`FILE_MAX_BYTES`].
pub(crate) fn read_small_text(path: &Path) -> Result<Option<String>, Error> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(source) => {
            return Err(Error::Io {
                doing: "read",
                path: path.to_path_buf(),
                source,
            });
        }
    };
    if !metadata.is_file() {
        return Err(Error::Unsuitable {
            path: path.to_path_buf(),
            found: "is not a regular file".into(),
            remedy: "Replace it by a text file.".into(),
        });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes))
        .context("read", path)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(Error::TooLarge {
            path: path.to_path_buf(),
            size_bytes: metadata.len(),
            limit_bytes: FILE_MAX_BYTES,
        });
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Error::Unsuitable {
            path: path.to_path_buf(),
            found: "is not UTF-8 text".into(),
            remedy: "Save it as UTF-8 in your editor.".into(),
        })
}
