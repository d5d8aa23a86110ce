//! Packages: manifests, run configurations, ignore rules, and packing programs with all they need.
//!
//! A *package* is an ordinary folder. Its files are what will be in the guest, at the same paths;
//! the folder `meta` says what it is, and never gets into an image:
//!
//! ```text
//! my-service/
//! ├── meta/
//! │   ├── package.yaml    name, title, author, version, require         [manifest]
//! │   ├── run.yaml        runtime and named run configurations          [run_file]
//! │   ├── windlass.lock   the very packages that builds use (ours alone)        [lock]
//! │   ├── windlass.yaml   guest kernel, memory, ports ... (ours alone)  [settings]
//! │   └── README.md       shown beside the package
//! ├── .capstanignore      what stays out of the image                   [ignore]
//! ├── server.js
//! └── usr/lib/…
//! ```
//!
//! The formats are Capstan's, both ways: what Capstan wrote is read here, and what is written here
//! Capstan reads. Keys of our own are optional, mostly begin with `x-`, and Capstan passes over them.
//!
//! ```text
//!   a folder without a manifest ── propose ──> texts of package.yaml and run.yaml
//!   an archive ───────────────── archive ───> a folder; and back, an .mpm
//!   a program of this computer ─ closure ───> host file -> guest path, and why
//!                              └ pack ──────> a package folder (node-20, python-3.11, …)
//!   requirements, candidates ─── resolve ───> packages, dependencies first, and why
//!   packages, in order ───────── boot ──────> /run/NAME scripts and the boot command line
//! ```
//!
//! Manifests are edited with their comments kept ([`edit`]); what Capstan left on this computer is found
//! ([`capstan_home`]); package files of the distribution are read by its own tool ([`deb`]), and programs
//! that do something for us end with us ([`helper`]).
//!
//! Parsers take text or bytes and know no file system; what walks or writes folders is apart from
//! them. Everything read here was written by a stranger: counts, sizes and depths are bounded.

pub mod archive;
pub mod boot;
pub mod capstan_home;
pub mod closure;
pub mod deb;
pub mod edit;
mod error;
mod finding;
pub mod group_file;
pub mod helper;
pub mod ignore;
pub mod index;
pub mod lock;
pub mod manifest;
mod name;
pub mod pack;
mod package;
pub mod propose;
pub mod resolve;
pub mod run_file;
pub mod samples;
pub mod settings;
pub mod version;
mod watch;
pub mod yaml;

pub use error::Error;
pub use finding::{Finding, Fix, Severity};
pub use ignore::Ignore;
pub use lock::{Lock, Locked};
pub use manifest::{EnvironmentVariable, Manifest, VariableKind};
pub use name::{is_valid_name, name_from};
pub use package::{META_DIRECTORY, Package};
pub use propose::{Proposal, propose};
pub use resolve::{Candidate, Solution, Unsolvable};
pub use run_file::{RunConfiguration, RunFile, Runtime};
pub use settings::BuildSettings;
pub use version::{Constraint, Requirement, Version};
pub use watch::Watch;
