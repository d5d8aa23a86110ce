//! The content-addressed store: what packages consist of, each file once.
//!
//! ```text
//!   objects/3f/9a0c6e….644                    a file, named by its BLAKE3 digest and its mode    [objects]
//!      ║ hard link: one file, several names
//!   packages/node-20/9c0e44d1a7b35f02/
//!      ├── tree/usr/bin/node                  the package, as a folder that anything can read
//!      └── files                              the list of all that is in the tree                [tree]
//! ```
//!
//! Files in trees have their final mode and one fixed time of change ([`objects::SETTLED`]). Both are the file's own and not
//! the name's, so that a look at the tree tells whether anybody wrote to a file since it was put there, without reading it.
//!
//! A file system that has no hard links shares by reflinks; where it has neither, each tree has files of its own and there
//! are no objects ([`Sharing`]).

pub(crate) mod hear;
pub(crate) mod import;
pub(crate) mod objects;
pub(crate) mod tree;

use serde::{Deserialize, Serialize};

/// How the trees of packages share the files that they have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sharing {
    /// One file with several names: the usual way.
    HardLinks,
    /// Files that share their blocks, where the file system has reflinks and no hard links.
    Reflinks,
    /// Not at all: the file system has neither.
    Copies,
}
