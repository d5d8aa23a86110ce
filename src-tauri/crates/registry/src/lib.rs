//! Registries: places that packages and guest kernels come from.
//!
//! | kind | what is listed | what is trusted |
//! | --- | --- | --- |
//! | S3 | a bucket, in Capstan's layout | digests in the objects' metadata |
//! | GitHub | the assets of releases | the digests that the API says |
//! | HTTP | `packages.json`, else the server's own listing | the digests in `packages.json` |
//! | folder | the same, on this computer or a mounted share | the same |
//! | OCI | repositories and tags | the digests of manifests |
//!
//! One way leads from any of them to a file that may be used:
//!
//! ```text
//!   RegistryConfig + Credentials ── open ──> Registry
//!   Registry ── list ──> Catalogue ── save, load ──> one file of JSON lines
//!   Catalogues, in order ── Search::over ──> as you type
//!   Entry ── fetch ──> .windlass-….part ── length, the registry's digest, signature, Trust ──> NAME
//! ```
//!
//! A file gets its name when all is well with it, and never before: cut connections are resumed, what
//! was kept of an earlier try is digested again, and what does not agree is thrown away. The digest of
//! the first fetch is remembered ([`Trust`]); whoever replaces a package under its version is found out.
//!
//! Nothing here knows the library, a database or a window. Servers are strangers: what they say is
//! bounded in size, and credentials go to the registry's own host alone; of an OCI registry also to the
//! server of tokens that it names.

pub mod catalogue;
mod config;
mod control;
mod digest;
mod error;
pub mod fetch;
mod http;
mod kinds;
pub mod oci;
pub mod publish;
mod registry;
mod secret;
#[doc(hidden)]
pub mod strangers;
mod trust;

pub use catalogue::{Catalogue, Entry, EntryKind, Found, Hit, Locator, Search};
pub use config::{Credentials, Limits, RegistryConfig, RegistryKind, built_in};
pub use control::{Control, Progress};
pub use digest::{Sha256, Sha256Error};
pub use error::{Error, Network};
pub use fetch::Fetched;
pub use publish::{Publication, Published};
pub use registry::{Check, Refreshed, Registry};
pub use secret::Secret;
pub use trust::{Trust, TrustFile};
