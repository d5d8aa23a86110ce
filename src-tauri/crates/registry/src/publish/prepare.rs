//! From a package's folder to what is published, and what is known of it before anything is sent.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sha2::Digest;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use windlass_package::{META_DIRECTORY, Manifest, Package, Watch, archive};

use crate::fetch::file;
use crate::{Control, Error, Progress, Sha256};

/// What is read of a file at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A package that is to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its archive, an `.mpm`.
    pub archive: PathBuf,
    /// The text of its `package.yaml`, which lies beside the archive.
    pub manifest: String,
    /// The text of its minisign signature, where there is one.
    pub signature: Option<String>,
    /// Whether it may take the place of another archive with the same version, or of a newer version.
    pub replace: bool,
}

/// What is known of a publication whose archive was read.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) manifest: Manifest,
    pub(crate) sha256: Sha256,
    pub(crate) size_bytes: u64,
}

impl Publication {
    /// An archive and the text of its `package.yaml`. It replaces nothing.
    pub fn new(archive: impl Into<PathBuf>, manifest: impl Into<String>) -> Self {
        Self {
            archive: archive.into(),
            manifest: manifest.into(),
            signature: None,
            replace: false,
        }
    }

    /// Makes the archive of a package's folder: `NAME.mpm` in the folder `scratch`. Blocks; progress is in bytes.
    ///
    /// # Errors
    ///
    /// When the folder is no package with a manifest, cannot be read, or the archive cannot be written; when it was
    /// cancelled. There is no archive then.
    pub fn pack(
        folder: &Path,
        scratch: &Path,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let what = || folder.display().to_string();
        let failed = |source| match source {
            windlass_package::Error::Cancelled => Error::Cancelled,
            source => Error::Package {
                what: what(),
                source: Box::new(source),
            },
        };
        let package = Package::open(folder).map_err(failed)?;
        let described = folder.join(META_DIRECTORY).join("package.yaml");
        let manifest = std::fs::read_to_string(&described)
            .map_err(|source| Error::io("read", &described, source))?;
        let name = package.manifest.name;
        checked_name(&name, &what())?;
        progress.step(&format!("Packing {name}"));
        let path = scratch.join(format!("{name}.mpm"));
        let mut watch = Watching {
            control,
            progress,
            done: 0,
            total: None,
        };
        let mut outcome = Ok(());
        let written = file::write_with(&path, |out| {
            archive::write_mpm(folder, out, &mut watch)
                .map(drop)
                .map_err(|error| {
                    outcome = Err(failed(error));
                    std::io::Error::other("the archive could not be made")
                })
        });
        outcome?;
        written?;
        Ok(Self::new(path, manifest))
    }
}

impl Ready {
    /// Reads the manifest, and the archive for its digest.
    pub(crate) async fn of(
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let path = &publication.archive;
        let manifest = Manifest::parse(&publication.manifest, windlass_package::manifest::FILE)
            .map_err(|source| Error::Package {
                what: path.display().to_string(),
                source: Box::new(source),
            })?
            .value;
        checked_name(&manifest.name, &path.display().to_string())?;
        progress.step(&format!("Reading {}", manifest.name));
        let read = control.until(digest_of(path)).await??;
        let (sha256, size_bytes) =
            read.ok_or_else(|| Error::io("read", path, std::io::ErrorKind::NotFound.into()))?;
        Ok(Self {
            manifest,
            sha256,
            size_bytes,
        })
    }
}

/// Digest and length of a file; `None` when there is none.
pub(crate) async fn digest_of(path: &Path) -> Result<Option<(Sha256, u64)>, Error> {
    let (mut hasher, mut length) = (sha2::Sha256::new(), 0);
    let read = async {
        let mut file = File::open(path).await?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = file.read(&mut buffer).await?;
            if count == 0 {
                return Ok::<_, std::io::Error>(());
            }
            hasher.update(&buffer[..count]);
            length += count as u64;
        }
    };
    match read.await {
        Ok(()) => Ok(Some((Sha256::from_bytes(hasher.finalize().into()), length))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io("read", path, source)),
    }
}

/// A name that cannot lead anywhere else.
fn checked_name(name: &str, place: &str) -> Result<(), Error> {
    if windlass_package::is_valid_name(name) {
        return Ok(());
    }
    let name: String = name.chars().take(100).collect();
    Err(Error::malformed(
        place,
        format!(
            "`{name}` is no name that a package can be published by: give letters, digits, `.`, `_`, `-` and `+`"
        ),
    ))
}

/// Progress and cancelling, as the package crate has them.
struct Watching<'a> {
    control: &'a Control,
    progress: &'a dyn Progress,
    done: u64,
    total: Option<u64>,
}

impl Watch for Watching<'_> {
    fn expect(&mut self, total_bytes: u64) {
        self.total = Some(total_bytes);
    }

    fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
        self.done += bytes;
        self.progress.at(self.done, self.total);
        if self.control.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
