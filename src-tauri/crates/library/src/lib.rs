//! The library: guest kernels and packages held on this computer.
//!
//! ```text
//! <home>/
//! ├── library.lock                   held by whoever writes; readers never look at it
//! ├── kernels/
//! │   └── 3f9a0c6e1b7d2458/          the first 16 digits of the kernel file's BLAKE3 digest
//! │       ├── kernel.json            what it is                         [kernels::record]
//! │       ├── kernel                 the file itself, as it was given
//! │       ├── modules/               Linux: the drivers that are no part of the kernel file
//! │       │   ├── order              one file name per line, in load order
//! │       │   └── virtio_ring.ko …
//! │       └── initramfs-<digest>.cpio    made when first asked for      [initramfs]
//! └── packages/
//!     └── node-20/                   a packed folder, meta/package.yaml and all
//! ```
//!
//! Invariants:
//! - What has its final name is complete. New things grow in a folder named `.new-…` beside their
//!   place, and are renamed into it; what such a folder a killed writer left is swept by the next.
//! - One writer at a time, by a lock on `library.lock` that ends with its process. Readers need
//!   none: they see the old state or the new one.
//! - A kernel is known by its digest, so adding one twice is harmless.
//!
//! ```text
//!   file ── identify, digest ──────────────────────────┐
//!   linux-image-….deb ── unpack, pick modules ─────────┼──> kernels/<id>
//!   apt-get download ──┘                               │        │ windlass-init + modules
//!                                                      │        └──> initramfs
//!   packed folder ── move in ──> packages/<name> ── resolve(require) ──> layers, in order
//! ```
//!
//! Registries, from which kernels and packages are fetched by name, are no part of this yet.

mod embedded;
mod error;
mod file;
mod initramfs;
mod kernels;
mod library;
mod linux;
mod packages;
mod progress;

pub use embedded::{HELLO, INIT};
pub use error::Error;
pub use kernels::{Kernel, KernelState, OsvKernel};
pub use library::{Library, Listing};
pub use linux::{Apt, AptError, LinuxPackage};
pub use packages::InstalledPackage;
pub use progress::{Progress, Step};
