//! What is in an image, with digests, as a list of files.
//!
//! ```json
//! {"format":1,"guest":"osv","rootFs":"rofs","digest":"…","sizeBytes":6291456,"commandLine":"--rootfs=rofs /hello",
//!  "files":[
//! {"path":"/hello","kind":"file","mode":493,"sizeBytes":14,"digest":"…","layer":"my-service"},
//! …]}
//! ```
//! A line for each path, sorted, written on request: the record of an image has all of it. By it an image is compared and
//! verified without being opened. It says the same for the same image, wherever that was built.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use windlass_image::GuestPath;
use windlass_image::escape::escape;

use super::folder_of;
use super::record::{Record, What, record_path};
use crate::error::{Error, IoContext};

/// The version of this format.
const FORMAT: u32 = 1;

/// What is in an image.
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

impl FileList {
    /// Reads what the record beside an image says.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(image: &Path) -> Result<Self, Error> {
        let path = record_path(image);
        let record = Record::beside(image).context("read", &path)?;
        Self::of(&record).context("read", &path)
    }

    /// Reads what a record says that lies anywhere.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read_at(path: &Path) -> Result<Self, Error> {
        let record = Record::open_at(path).context("read", path)?;
        Self::of(&record).context("read", path)
    }

    /// What a record says.
    pub(super) fn of(record: &Record) -> io::Result<Self> {
        let mut files = Vec::with_capacity(record.count());
        let mut cursor = record.cursor()?;
        while cursor.advance()? {
            let path = GuestPath::new(cursor.path()).map_err(io::Error::other)?;
            let layer = record.layer(cursor.layer());
            files.extend(cursor.what().map(|what| FileRecord::of(&path, what, layer)));
        }
        Ok(Self {
            format: FORMAT,
            guest: record.head.guest.clone(),
            root_fs: record.head.root_fs.clone(),
            digest: record.digest().to_hex().to_string(),
            size_bytes: record.head.image.size_bytes,
            command_line: record.head.command_line.clone(),
            files,
        })
    }

    /// Writes it, a line for each path, so that two of them can be compared by any tool.
    ///
    /// # Errors
    /// Where `out` refuses.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let head = serde_json::to_string(&self.clone_head())?;
        let head = head.strip_suffix("]}").unwrap_or(&head);
        out.write_all(head.as_bytes())?;
        for (place, file) in self.files.iter().enumerate() {
            out.write_all(if place == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *out, file)?;
        }
        out.write_all(b"\n]}\n")?;
        out.flush()
    }

    fn clone_head(&self) -> Self {
        Self {
            format: self.format,
            guest: self.guest.clone(),
            root_fs: self.root_fs.clone(),
            digest: self.digest.clone(),
            size_bytes: self.size_bytes,
            command_line: self.command_line.clone(),
            files: Vec::new(),
        }
    }

    /// How many files and symlinks there are.
    pub fn file_count(&self) -> usize {
        self.files
            .iter()
            .filter(|file| file.kind != FileKind::Directory)
            .count()
    }
}

impl FileRecord {
    fn of(path: &GuestPath, what: &What, layer: Option<&str>) -> Self {
        let mut record = Self {
            path: format!("/{}", escape(path.as_bytes())),
            kind: FileKind::Directory,
            mode: None,
            size_bytes: None,
            digest: None,
            target: None,
            layer: layer.map(str::to_owned),
        };
        match what {
            What::Directory { mode } => record.mode = Some(*mode),
            What::File {
                mode,
                size_bytes,
                digest,
                ..
            } => {
                record.kind = FileKind::File;
                record.mode = Some(*mode);
                record.size_bytes = Some(*size_bytes);
                record.digest = Some(digest.to_hex().to_string());
            }
            What::Symlink { target } => {
                record.kind = FileKind::Symlink;
                record.target = Some(escape(target));
            }
        }
        record
    }
}

/// Writes what is known of an image to another place, whole or not at all: [`FileList::read_at`] reads it there when the
/// image itself has become another.
///
/// # Errors
/// When there is no record, or it is damaged; when it cannot be written.
pub fn keep_list(image: &Path, to: &Path) -> Result<(), Error> {
    let path = record_path(image);
    let record = Record::beside(image).context("read", &path)?;
    let folder = folder_of(to);
    let file = tempfile::NamedTempFile::new_in(folder).context("create a file in", folder)?;
    record
        .write_whole(file.as_file(), &record.head, &record.parts, &[])
        .context("write", to)?;
    file.persist(to)
        .map_err(|error| error.error)
        .context("write", to)?;
    Ok(())
}
