//! Publishing a package to a folder or a bucket.

use std::path::{Path, PathBuf};

use crate::kinds::s3::Bucket;
use crate::{Control, Error, Progress, RegistryKind, Sha256};

/// A package that is to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its archive, an `.mpm`.
    pub archive: PathBuf,
    /// The text of its `package.yaml`, which lies beside the archive.
    pub manifest: String,
    /// The text of its minisign signature, where there is one.
    pub signature: Option<String>,
}

/// A package that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Where it is now: URLs or paths of all that was written.
    pub places: Vec<String>,
    /// The digest of the archive.
    pub sha256: Sha256,
    /// The bytes of the archive.
    pub size_bytes: u64,
}

/// Publishes to a folder: the archive as `packages/NAME.mpm`, its manifest beside it, and what it says in `packages.json`.
pub(crate) async fn to_folder(
    root: &Path,
    publication: &Publication,
    control: &Control,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let _ = (root, publication, control, progress);
    Err(Error::Unsupported {
        doing: "publishing",
        kind: RegistryKind::Folder,
    })
}

/// Publishes to a bucket, in the same layout.
pub(crate) async fn to_bucket(
    bucket: &Bucket,
    publication: &Publication,
    control: &Control,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let _ = (bucket, publication, control, progress);
    Err(Error::Unsupported {
        doing: "publishing",
        kind: RegistryKind::S3,
    })
}
