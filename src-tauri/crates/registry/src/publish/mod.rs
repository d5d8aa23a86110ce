//! Publishing a package: to a folder, a bucket, or (in [`oci`](crate::oci)) an OCI registry.
//!
//! ```text
//!   folder of a package ── Publication::pack ──> NAME.mpm ─┐
//!   an archive and the text of its package.yaml ───────────┴─> Publication ── Registry::publish ──> Published
//! ```
//!
//! The same archive twice is no change. Another archive with a version that is there is refused, unless the publication
//! says that it replaces. What makes a package visible is written last; killed or cut before that, nobody has seen
//! anything, and the next try does the rest.

mod bucket;
mod folder;
mod plan;
mod prepare;

use std::time::Duration;

use crate::Sha256;

pub(crate) use bucket::to_bucket;
pub(crate) use folder::to_folder;
pub use prepare::Publication;
pub(crate) use prepare::{Ready, digest_of};

/// How long taking back an upload may take that failed or was cancelled.
pub(crate) const TAKE_BACK: Duration = Duration::from_secs(5);

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
