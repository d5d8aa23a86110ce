//! Layers to a plan to an image.
//!
//! ```text
//!   Layer, Layer, … , the appliance          folders, in order; later wins
//!     │ scan            paths, kinds, sizes, times; nothing is read     [scan]
//!     v
//!   ScannedLayer …
//!     │ Plan::compose   + the base layer of the guest, + /run/NAME      [plan], [base]
//!     v
//!   Plan                who wins each path, and over whom
//!     ├─ check          what will not work there, and the remedy        [check]
//!     ├─ list           one directory, for a tree that is unfolded step by step
//!     │ build           tree -> writer -> temporary file -> renamed     [build]
//!     v
//!   <image>  +  <image>.record
//!     ^                                   │
//!     └── build_or_update: only what differs from the last build is read and written
//! ```
//!
//! Invariants:
//! - **Same layers, same bytes.** Times, owners, the order in which a folder lists its files and the place where it lies
//!   do not get into an image.
//! - **Old or new.** An image and its record get their names when they are complete and on the disk; a build that is
//!   cancelled, fails or is killed leaves at most a temporary file, which the next build to the same place removes. An update that is stopped leaves
//!   an image in which the guest sees the old tree, or one that [`windlass_image::journal::recover`] makes the new one.
//! - **What was scanned is what was written.** A file that changes between the scan and the end of the build is an error.
//! - A file is digested once for each time that it changes: the [`DigestCache`] knows it by path, size, time of change and inode.

pub mod base;
mod build;
mod check;
mod contents;
pub mod cpiod;
mod digest;
mod error;
mod fingerprint;
mod layer;
pub mod osv_rest;
mod plan;
mod progress;
pub mod sbom;
mod scan;
mod stamp;
mod zfs;

pub use build::{
    Build, Change, Changes, Content, FileKind, FileList, FileRecord, Held, LinuxBoot, Manner, Push,
    Recipe, ResizedBuild, build, build_or_update, clone_image, image_command_line, is_as_built,
    keep_list, push, record_path, resize_image, update_or_build,
};
pub use check::{Boot, check, is_buildable};
pub use contents::{Comparison, Difference, Side, Verification, What, compare, valid_list, verify};
pub use digest::DigestCache;
pub use error::{Error, Unusable};
pub use layer::{Layer, LayerKind};
pub use plan::{Entry, EntryKind, LayerSummary, Listed, Plan, plan};
pub use progress::{Progress, Step};
pub use scan::{ScannedLayer, scan};
pub use windlass_package::{Finding, Severity};
pub use zfs::{Filler, Filling};
