//! `<image>.files.json`: what is in an image, with digests.
//!
//! ```json
//! {"format":1,"guest":"osv","rootFs":"rofs","digest":"…","sizeBytes":6291456,"commandLine":"--rootfs=rofs /hello",
//!  "files":[
//! {"path":"/hello","kind":"file","mode":493,"sizeBytes":14,"digest":"…","layer":"my-service"},
//! …]}
//! ```
//! A line for each path, sorted. By it an image is compared, verified and updated without being opened. It says the same
//! for the same image, wherever that was built.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_image::escape::escape;
use windlass_image::{GuestPath, Node, Source, Tree, journal};

use super::digests::FileDigests;
use crate::error::{Error, IoContext};
use crate::plan::Plan;

/// The version of this format.
const FORMAT: u32 = 1;

pub(super) const SUFFIX: &str = "files.json";

/// What is in an image: the content of `<image>.files.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileList {
    /// The version of this format.
    pub format: u32,
    /// The guest that the image is for, `osv` or `linux`.
    pub guest: String,
    /// Its root file system, `rofs` or `ext4`.
    pub root_fs: String,
    /// The BLAKE3 digest of the image's file, in hexadecimal.
    pub digest: String,
    /// The length of the image's file.
    pub size_bytes: u64,
    /// The boot command line that the image carries.
    pub command_line: String,
    /// What is in it, sorted by path; the root itself is not named.
    pub files: Vec<FileRecord>,
}

/// What a path of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// One file, directory or symlink of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRecord {
    /// Its path, with a leading `/`. Bytes that are not UTF-8, and `%`, are written as `%` and two digits.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// The size of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The BLAKE3 digest of a file's content, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The target of a symlink, escaped as `path` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The layer that it comes from; absent for what the build itself adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
}

/// Where the list of files of an image is: `<image>.files.json`.
pub fn files_path(image: &Path) -> PathBuf {
    journal::companion(image, SUFFIX)
}

/// How many files and symlinks there are.
pub(super) fn count(tree: &Tree) -> usize {
    tree.iter()
        .filter(|(_, node)| !matches!(node, Node::Directory { .. }))
        .count()
}

/// A list that is written straight from what it is about, line by line.
#[derive(Debug)]
pub(super) struct ListOf<'a> {
    pub(super) plan: &'a Plan,
    pub(super) tree: &'a Tree,
    pub(super) digests: &'a FileDigests,
    /// Of the image.
    pub(super) digest: blake3::Hash,
    pub(super) size_bytes: u64,
    pub(super) command_line: &'a str,
}

impl ListOf<'_> {
    /// Writes it, a line for each path, so that two of them can be compared by any tool.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let head = FileList {
            format: FORMAT,
            guest: self.plan.guest().to_string(),
            root_fs: self.plan.root_fs().to_string(),
            digest: self.digest.to_hex().to_string(),
            size_bytes: self.size_bytes,
            command_line: self.command_line.to_owned(),
            files: Vec::new(),
        };
        let head = serde_json::to_string(&head)?;
        let head = head.strip_suffix("]}").unwrap_or(&head);
        out.write_all(head.as_bytes())?;
        let mut planned = self.plan.entries().enumerate().peekable();
        // The tree has what the plan has, and what the build adds; both are sorted.
        for (place, (path, node)) in self.tree.iter().enumerate() {
            let (digest, layer) = match planned.next_if(|(_, (planned, _))| *planned == path) {
                Some((index, (_, entry))) => (
                    self.digests.get(index),
                    Some(self.plan.layers()[entry.layer].name.as_str()),
                ),
                None => (made_digest(node), None),
            };
            out.write_all(if place == 0 { b"\n" } else { b",\n" })?;
            put_line(out, path, node, digest, layer)?;
        }
        out.write_all(b"\n]}\n")?;
        out.flush()
    }
}

impl FileList {
    /// Reads the list beside an image.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(image: &Path) -> Result<Self, Error> {
        Self::read_at(&files_path(image))
    }

    /// Reads a list that lies anywhere.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read_at(path: &Path) -> Result<Self, Error> {
        let file = std::fs::File::open(path).context("read", path)?;
        serde_json::from_reader(io::BufReader::new(file)).map_err(|source| Error::FileList {
            path: path.to_owned(),
            source,
        })
    }

    /// Whether there is a list beside an image.
    pub(super) fn is_there(image: &Path) -> bool {
        files_path(image).is_file()
    }

    /// How many files and symlinks there are.
    pub fn file_count(&self) -> usize {
        self.files
            .iter()
            .filter(|file| file.kind != FileKind::Directory)
            .count()
    }
}

/// Writes a [`FileRecord`]. There are thousands, so that none is made first.
fn put_line(
    out: &mut impl Write,
    path: &GuestPath,
    node: &Node,
    digest: Option<blake3::Hash>,
    layer: Option<&str>,
) -> io::Result<()> {
    write!(out, r#"{{"path":"#)?;
    serde_json::to_writer(&mut *out, &format_args!("/{}", escape(path.as_bytes())))?;
    match node {
        Node::Directory { mode } => write!(out, r#","kind":"directory","mode":{mode}"#)?,
        Node::File {
            size_bytes, mode, ..
        } => {
            write!(
                out,
                r#","kind":"file","mode":{mode},"sizeBytes":{size_bytes}"#
            )?;
            if let Some(digest) = digest {
                write!(out, r#","digest":"{}""#, digest.to_hex())?;
            }
        }
        Node::Symlink { target } => {
            write!(out, r#","kind":"symlink","target":"#)?;
            serde_json::to_writer(&mut *out, &escape(target))?;
        }
    }
    if let Some(layer) = layer {
        write!(out, r#","layer":"#)?;
        serde_json::to_writer(&mut *out, layer)?;
    }
    out.write_all(b"}")
}

pub(super) fn made_digest(node: &Node) -> Option<blake3::Hash> {
    match node {
        Node::File {
            source: Source::Bytes(bytes),
            ..
        } => Some(blake3::hash(bytes)),
        _ => None,
    }
}
