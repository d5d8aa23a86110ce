//! Publishing a package to a folder or a bucket.

mod prepare;

use std::path::Path;

use crate::kinds::s3::Bucket;
use crate::{Control, Error, Progress, RegistryKind, Sha256};

pub use prepare::Publication;
pub(crate) use prepare::{Ready, digest_of};

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
