//! What the readers of all formats write through: every entry past the guard, every byte counted.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use super::error::Problem;
use super::guard::{self, Guard, Kind};
use super::{ArchiveError, Limits, Listen, RATIO_FREE_BYTES, refused};
use crate::error::IoContext;
use crate::pack::Staging;
use crate::watch::advance;
use crate::{Error, Watch};

/// What the readers of both formats write through.
pub(super) struct Unpacker<'a> {
    pub archive: &'a Path,
    pub staging: Staging,
    pub guard: Guard,
    pub limits: &'a Limits,
    pub listener: &'a mut dyn Listen,
    pub watch: &'a mut dyn Watch,
    /// Every file goes through it.
    pub buffer: Vec<u8>,
    /// Bytes of the archive that were read.
    pub consumed: Rc<Cell<u64>>,
    pub reported_bytes: u64,
    pub entries: u64,
    pub may_be_absolute: bool,
}

/// An entry on its way.
pub(super) struct Entry {
    pub name: String,
    pub offset: u64,
    pub path: Vec<u8>,
}

impl Unpacker<'_> {
    pub fn refuse(&self, name: &str, offset: u64, problem: Problem) -> Error {
        refused(
            self.archive,
            ArchiveError::Entry {
                entry: name.to_owned(),
                offset,
                problem,
            },
        )
    }

    pub fn damaged(&self, entry: Option<&str>, offset: u64, source: std::io::Error) -> Error {
        refused(
            self.archive,
            ArchiveError::Damaged {
                entry: entry.map(str::to_owned),
                offset,
                source,
            },
        )
    }

    /// Lets an entry in, by its name.
    pub fn entry(&mut self, name: &[u8], offset: u64) -> Result<Entry, Error> {
        let shown = guard::lossy(name);
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(refused(
                self.archive,
                ArchiveError::TooManyEntries {
                    limit: self.limits.entries,
                    entry: Some(shown),
                    offset,
                },
            ));
        }
        self.report()?;
        match guard::path(name, self.may_be_absolute) {
            Ok(path) => Ok(Entry {
                name: shown,
                offset,
                path,
            }),
            Err(problem) => Err(self.refuse(&shown, offset, problem)),
        }
    }

    pub fn report(&mut self) -> Result<(), Error> {
        let bytes = self.consumed.get().saturating_sub(self.reported_bytes);
        self.reported_bytes = self.consumed.get();
        advance(self.watch, bytes)
    }

    /// Whether the entry is to be written; a folder may be there already.
    pub fn take(&mut self, entry: &Entry, kind: Kind) -> Result<bool, Error> {
        match self.guard.take(&entry.path, kind) {
            Ok(taken) => Ok(taken.is_some()),
            Err(problem) => Err(self.refuse(&entry.name, entry.offset, problem)),
        }
    }

    pub fn directory(&mut self, entry: &Entry) -> Result<(), Error> {
        if self.take(entry, Kind::Directory)? {
            self.staging.directory(guest(&entry.path))
        } else {
            Ok(())
        }
    }

    pub fn link(&mut self, entry: &Entry, target: &[u8]) -> Result<(), Error> {
        guard::check_link(&entry.path, target)
            .map_err(|problem| self.refuse(&entry.name, entry.offset, problem))?;
        self.take(entry, Kind::Link)?;
        self.staging.link(guest(&entry.path), guest(target))
    }

    pub fn file(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        is_executable: bool,
    ) -> Result<(), Error> {
        self.take(entry, Kind::File)?;
        let mode = if is_executable { 0o755 } else { 0o644 };
        let (path, mut output) = self.staging.create(guest(&entry.path), mode)?;
        self.listener.begin(guest(&entry.path), is_executable);
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.damaged(Some(&entry.name), entry.offset, error)),
            };
            self.count(count as u64, entry)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            self.listener.bytes(bytes);
            std::io::Write::write_all(&mut output, bytes).context("write", &path)?;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// A second name for a file becomes a file of its own.
    pub fn second_name(&mut self, entry: &Entry, target: &[u8]) -> Result<(), Error> {
        let problem = || Problem::HardLink {
            target: guard::lossy(target),
        };
        let found = guard::path(target, self.may_be_absolute)
            .ok()
            .filter(|path| self.guard.is_file(path));
        let Some(target) = found else {
            return Err(self.refuse(&entry.name, entry.offset, problem()));
        };
        let host = self.staging.root().join(guest(&target));
        let mut file = File::open(&host).context("read", &host)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &file.metadata().context("read", &host)?.permissions(),
        );
        self.file(entry, &mut file, mode & 0o111 != 0)
    }

    pub fn count(&mut self, bytes: u64, entry: &Entry) -> Result<(), Error> {
        self.staging.size_bytes += bytes;
        let unpacked = self.staging.size_bytes;
        if unpacked > self.limits.size_bytes {
            let limit = self.limits.size_bytes;
            return Err(refused(
                self.archive,
                ArchiveError::TooLarge {
                    limit,
                    entry: entry.name.clone(),
                    offset: entry.offset,
                },
            ));
        }
        let allowed = self
            .consumed
            .get()
            .saturating_mul(self.limits.ratio)
            .saturating_add(RATIO_FREE_BYTES);
        if unpacked > allowed {
            let limit = self.limits.ratio;
            return Err(refused(
                self.archive,
                ArchiveError::Bomb {
                    limit,
                    entry: entry.name.clone(),
                    offset: entry.offset,
                },
            ));
        }
        self.report()
    }
}

fn guest(path: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path))
}
