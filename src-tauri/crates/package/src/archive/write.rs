//! A package folder as one `.mpm`, always the same bytes for the same files.
//!
//! What Capstan writes and reads: a gzip tar whose names begin with a slash, with folders, regular
//! files and symbolic links. Names are sorted, owners and times are nobody's and 1970, modes 755 or
//! 644. Left out are, at the top, other `*.mpm` and `mpm-pkg`, as Capstan does, and what never gets into
//! an image: `.git`, `volumes` and what `.capstanignore` names. `meta` and `.capstanignore` are in it.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use walkdir::WalkDir;

use super::COPY_BYTES;
use super::gzip::Gzip;
use crate::error::IoContext;
use crate::watch::advance;
use crate::{Error, Ignore, META_DIRECTORY, Watch, ignore, package};

/// A tar is made of blocks of this size.
const BLOCK_BYTES: usize = 512;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Files and links.
    pub file_count: u64,
    /// The bytes of the files.
    pub content_bytes: u64,
    /// The bytes of the archive.
    pub size_bytes: u64,
    /// The SHA-256 digest of the archive, in lower-case hexadecimal.
    pub sha256: String,
}

/// Writes a package folder as an `.mpm`. Progress is in bytes of the files.
///
/// # Errors
///
/// When the folder is not there or something in it cannot be read, is a device or the like, or changes
/// meanwhile; when `out` cannot be written; when `watch` cancels.
pub fn write_mpm(
    folder: &Path,
    out: &mut dyn Write,
    watch: &mut dyn Watch,
) -> Result<Written, Error> {
    if !folder.is_dir() {
        return Err(Error::NoFolder {
            path: folder.to_path_buf(),
        });
    }
    watch.step("Packing");
    let entries = entries(folder)?;
    watch.expect(entries.iter().map(|entry| entry.size_bytes).sum());
    let digested = Digested {
        inner: out,
        digest: Sha256::new(),
        size_bytes: 0,
    };
    let mut packer = Packer {
        out: Gzip::new(digested),
        folder,
        watch,
        buffer: Vec::new(),
        file_count: 0,
        content_bytes: 0,
    };
    for entry in &entries {
        packer.entry(entry)?;
    }
    let (file_count, content_bytes) = (packer.file_count, packer.content_bytes);
    packer.write(&[0; 2 * BLOCK_BYTES])?;
    let digested = packer
        .out
        .finish()
        .and_then(|mut digested| digested.flush().map(|()| digested))
        .context("write an archive of", folder)?;
    let digest = digested.digest.finalize();
    Ok(Written {
        file_count,
        content_bytes,
        size_bytes: digested.size_bytes,
        sha256: hexadecimal(&digest),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
    }
    text
}

struct Entry {
    host: PathBuf,
    /// Beginning with a slash.
    name: Vec<u8>,
    kind: EntryType,
    is_executable: bool,
    size_bytes: u64,
}

/// What goes in, sorted by name.
fn entries(folder: &Path) -> Result<Vec<Entry>, Error> {
    let rules = match package::read_small_text(&folder.join(ignore::FILE))? {
        Some(text) => Ignore::parse(&text)?,
        None => Ignore::default(),
    };
    let is_in = |relative: &Path| {
        if relative.starts_with(META_DIRECTORY) || relative == Path::new(ignore::FILE) {
            return true;
        }
        let is_archive =
            relative.components().count() == 1 && relative.extension() == Some(OsStr::new("mpm"));
        !is_archive && !rules.is_ignored(relative.as_os_str().as_bytes())
    };
    let walk = WalkDir::new(folder)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.path().strip_prefix(folder).is_ok_and(is_in));
    let mut entries = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_path_buf();
            Error::Io {
                doing: "list",
                path,
                source: error.into(),
            }
        })?;
        let host = entry.path().to_path_buf();
        let metadata = fs::symlink_metadata(&host).context("read", &host)?;
        let kind = if metadata.is_dir() {
            EntryType::Directory
        } else if metadata.is_symlink() {
            EntryType::Symlink
        } else if metadata.is_file() {
            EntryType::Regular
        } else {
            return Err(Error::Unsuitable {
                path: host,
                found: "is a device, pipe or socket".into(),
                remedy: "Remove it, or name it in .capstanignore.".into(),
            });
        };
        let relative = host.strip_prefix(folder).unwrap_or(&host);
        let mut name = b"/".to_vec();
        name.extend_from_slice(relative.as_os_str().as_bytes());
        entries.push(Entry {
            is_executable: metadata.permissions().mode() & 0o111 != 0,
            size_bytes: if metadata.is_file() {
                metadata.len()
            } else {
                0
            },
            host,
            name,
            kind,
        });
    }
    Ok(entries)
}

struct Packer<'a> {
    out: Gzip<Digested<'a>>,
    folder: &'a Path,
    watch: &'a mut dyn Watch,
    /// Every file goes through it.
    buffer: Vec<u8>,
    file_count: u64,
    content_bytes: u64,
}

impl Packer<'_> {
    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry.kind);
        header.set_size(0);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        match entry.kind {
            EntryType::Directory => {
                header.set_mode(0o755);
                self.header(&mut header, &entry.name, &[])
            }
            EntryType::Symlink => {
                header.set_mode(0o777);
                let target = fs::read_link(&entry.host).context("read", &entry.host)?;
                self.file_count += 1;
                self.header(&mut header, &entry.name, target.as_os_str().as_bytes())
            }
            _ => {
                header.set_mode(if entry.is_executable { 0o755 } else { 0o644 });
                header.set_size(entry.size_bytes);
                self.header(&mut header, &entry.name, &[])?;
                self.file_count += 1;
                self.content(entry)
            }
        }
    }

    /// Writes a header, with what is too long for it before it, as GNU tar does.
    fn header(&mut self, header: &mut Header, name: &[u8], target: &[u8]) -> Result<(), Error> {
        self.field(header, b'L', name, 0..100)?;
        self.field(header, b'K', target, 157..257)?;
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn field(
        &mut self,
        header: &mut Header,
        kind: u8,
        value: &[u8],
        field: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        let Some(field) = header.as_mut_bytes().get_mut(field) else {
            return Ok(());
        };
        let fitting = value.len().min(field.len());
        if let (Some(field), Some(value)) = (field.get_mut(..fitting), value.get(..fitting)) {
            field.copy_from_slice(value);
        }
        // A name that fills its field exactly has no NUL at its end, which not every reader expects.
        if value.len() < field.len() {
            return Ok(());
        }
        let mut long = Header::new_gnu();
        if let Some(name) = long.as_mut_bytes().get_mut(..13) {
            name.copy_from_slice(b"././@LongLink");
        }
        long.set_entry_type(EntryType::new(kind));
        long.set_mode(0o644);
        long.set_uid(0);
        long.set_gid(0);
        long.set_mtime(0);
        long.set_size(value.len() as u64 + 1);
        long.set_cksum();
        let mut block = value.to_vec();
        block.resize((value.len() + 1).next_multiple_of(BLOCK_BYTES), 0);
        self.write(long.as_bytes())?;
        self.write(&block)
    }

    fn content(&mut self, entry: &Entry) -> Result<(), Error> {
        let changed = || Error::Unsuitable {
            path: entry.host.clone(),
            found: "changed while it was packed".into(),
            remedy: "Leave it alone while it is packed, and try again.".into(),
        };
        let mut file = File::open(&entry.host).context("read", &entry.host)?;
        if !file.metadata().context("read", &entry.host)?.is_file() {
            return Err(changed());
        }
        let mut left_bytes = entry.size_bytes;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(COPY_BYTES, 0);
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) if left_bytes == 0 => break,
                Ok(0) => return Err(changed()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(source).context("read", &entry.host),
            };
            left_bytes = left_bytes.checked_sub(count as u64).ok_or_else(changed)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            self.write(bytes)?;
            self.content_bytes += count as u64;
            advance(self.watch, count as u64)?;
        }
        self.buffer = buffer;
        let padding = entry.size_bytes.next_multiple_of(BLOCK_BYTES as u64) - entry.size_bytes;
        let padding = usize::try_from(padding).unwrap_or(0);
        self.write([0; BLOCK_BYTES].get(..padding).unwrap_or_default())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out
            .write_all(bytes)
            .context("write an archive of", self.folder)
    }
}

/// Counts and digests what passes.
struct Digested<'a> {
    inner: &'a mut dyn Write,
    digest: Sha256,
    size_bytes: u64,
}

impl Write for Digested<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
