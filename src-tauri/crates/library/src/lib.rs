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
//! ├── boot-loader/                   GRUB, which makes Linux disks boot by themselves   [boot_loader]
//! ├── packages/                      any number of versions side by side     [packages]
//! │   └── node-20/9c0e44d1a7b35f02/  the first 16 digits of the tree digest
//! │       ├── package.json           what it is, from where it came
//! │       ├── files                  all that is in the tree; its digest is the tree's   [store::tree]
//! │       └── tree/                  the package, as a folder that anything can read
//! ├── objects/3f/9a0c6e….644         each file once, hard-linked into the trees  [store::objects]
//! ├── downloads/                     archives on their way, to be resumed
//! └── temporary/                     what is being made; swept when its process has ended  [workplace]
//! ```
//!
//! Invariants:
//! - What has its final name is complete. New things grow in `temporary/` or in a folder named `.new-…`, and are renamed
//!   into their places; what a killed writer left there is swept by the next.
//! - One writer at a time, by a lock on `library.lock` that ends with its process; it is held while things get their places,
//!   not while archives are unpacked. Readers need none: they see the old state or the new one.
//!   Who reads trees for long holds a lease on them, so that nothing is pruned meanwhile ([`Lease`]).
//! - Kernels and packages are known by their digests, so adding one twice is harmless.
//! - Trees are complete by themselves. Objects only let the next tree share what is there.
//!
//! ```text
//!   file ── identify, digest ──────────────────────────┐
//!   linux-image-….deb ── unpack, pick modules ─────────┼──> kernels/<id>
//!   apt-get download ──┘                               │        │ windlass-init + modules
//!                                                      │        └──> initramfs
//!   folder, archive ── copy, digest ──> packages/<name>/<digest> ── resolve(require, lock) ──> layers, in order
//!                                            │ share                └─> lock
//!                                            └──> objects
//!   verify ── repair      usage      prune_plan ── prune               [care]
//! ```
//!
//! Registries, from which packages and kernels are fetched by name, are no part of this.

mod boot_loader;
mod care;
mod embedded;
mod error;
mod file;
mod initramfs;
mod kernels;
mod library;
mod linux;
mod packages;
mod parallel;
mod progress;
mod store;
mod workplace;

pub use boot_loader::BootLoader;
pub use care::prune::{Keep, PruneItem, PruneKind, PrunePlan, Pruned};
pub use care::repair::{FetchArchive, Repair};
pub use care::usage::Usage;
pub use care::verify::{Damage, Holder, Problem};
pub use embedded::{HELLO, INIT};
pub use error::Error;
pub use kernels::{Kernel, KernelState, OsvKernel};
pub use library::{Library, Listing};
pub use linux::{Apt, AptError, LinuxPackage};
pub use packages::lease::Lease;
pub use packages::resolve::{LockChange, Resolution};
pub use packages::{InstalledPackage, Origin};
pub use progress::{Progress, Step};
pub use store::Sharing;
pub use workplace::Workplace;
