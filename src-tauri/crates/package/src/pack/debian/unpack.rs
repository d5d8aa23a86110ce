//! The files of packages, unpacked or as they are installed here, without what only people read.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::apt::Wanted;
use crate::deb::{self, DebEntry, DebError};
use crate::error::IoContext;
use crate::pack::draft::Draft;
use crate::pack::plan::{Content, Entry};
use crate::{Error, Finding, Watch};

/// Read by people, or by programs that a guest does not have.
const DOCUMENTS: [&str; 22] = [
    "/etc/apparmor.d",
    "/etc/bash_completion.d",
    "/etc/cron.daily",
    "/etc/default",
    "/etc/init.d",
    "/etc/logrotate.d",
    "/etc/ufw",
    "/lib/systemd",
    "/usr/lib/systemd",
    "/usr/share/applications",
    "/usr/share/apport",
    "/usr/share/bash-completion",
    "/usr/share/bug",
    "/usr/share/doc",
    "/usr/share/doc-base",
    "/usr/share/gcc",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/pixmaps",
    "/usr/share/vim",
];

/// Unpacks package files into one temporary folder, under numbers: their names are strangers'.
pub(in crate::pack) struct Unpacker {
    draft: Draft,
    folder: PathBuf,
    count: u64,
    left_count: u64,
    left_bytes: u64,
    keep_documents: bool,
}

impl From<DebError> for Error {
    fn from(error: DebError) -> Self {
        match error {
            DebError::NoReader => Self::NoProgram {
                program: deb::READER.into(),
                remedy: "Install the package dpkg, and try again.".into(),
            },
            DebError::Start(source) => Self::Io {
                doing: "start",
                path: deb::READER.into(),
                source,
            },
            DebError::Io { path, source } => Self::Io {
                doing: "unpack",
                path,
                source,
            },
            DebError::Refused { path, said } => Self::Unsuitable {
                path,
                found: format!("cannot be unpacked: {said}"),
                remedy: "Download it again.".into(),
            },
            DebError::Cancelled => Self::Cancelled,
        }
    }
}

impl Unpacker {
    pub fn new(draft: Draft, folder: PathBuf, keep_documents: bool) -> Self {
        Self {
            draft,
            folder,
            count: 0,
            left_count: 0,
            left_bytes: 0,
            keep_documents,
        }
    }

    pub fn unpack(
        &mut self,
        package: &Wanted,
        file: &Path,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        deb::read(file, watch, |entry| self.entry(package, entry))
    }

    /// The files of a package that is installed here.
    pub fn take_installed(&mut self, package: &Wanted, paths: &[PathBuf]) -> Result<(), Error> {
        let name = &package.name;
        self.draft.findings.push(
            Finding::note(format!(
                "{name} is taken as it is installed here: no server has this version"
            ))
            .remedy("What was changed in its files since comes along."),
        );
        for path in paths {
            let Ok(metadata) = fs::symlink_metadata(path) else {
                continue;
            };
            if self.leaves_out(path, metadata.len()) {
                continue;
            }
            if metadata.is_symlink() {
                let target = fs::read_link(path).context("read", path)?;
                self.draft.link(path, &target, &package.reason)?;
            } else if metadata.is_file() {
                self.draft.file(path, path, &package.reason)?;
            }
        }
        Ok(())
    }

    /// Whether a file is only for people to read; it is counted.
    fn leaves_out(&mut self, guest: &Path, size_bytes: u64) -> bool {
        let is_document = DOCUMENTS.iter().any(|folder| guest.starts_with(folder));
        let leaves_out = is_document && !self.keep_documents;
        if leaves_out {
            self.left_count += 1;
            self.left_bytes += size_bytes;
        }
        leaves_out
    }

    fn entry(&mut self, package: &Wanted, entry: &mut DebEntry<'_, '_>) -> Result<(), Error> {
        let guest = {
            let path = entry.path().context("unpack", &self.folder)?;
            Path::new("/").join(path.strip_prefix(".").unwrap_or(&path))
        };
        if guest == Path::new("/") {
            return Ok(());
        }
        let size_bytes = entry.header().size().unwrap_or(0);
        if self.leaves_out(&guest, size_bytes) {
            return Ok(());
        }
        let reason = &package.reason;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::Directory => self.draft.directory(&guest, reason),
            EntryType::Symlink => match entry.link_name().context("unpack", &self.folder)? {
                Some(target) => self.draft.link(&guest, &target, reason),
                None => Ok(()),
            },
            EntryType::Link => self.second_name(entry, &guest, reason),
            EntryType::Regular => {
                self.count += 1;
                let host = self.folder.join(self.count.to_string());
                let mut file = File::create_new(&host).context("write", &host)?;
                let size_bytes = io::copy(entry, &mut file).context("unpack", &host)?;
                let is_executable = entry.header().mode().unwrap_or(0) & 0o111 != 0;
                self.draft.put(Entry {
                    guest,
                    content: Content::Unpacked(host),
                    size_bytes,
                    mode: if is_executable { 0o755 } else { 0o644 },
                    reason: reason.clone(),
                    left: false,
                    required: false,
                })
            }
            // Devices, which a package of files has no use for.
            _ => Ok(()),
        }
    }

    /// A second name for a file becomes a file of its own.
    fn second_name(
        &mut self,
        entry: &DebEntry<'_, '_>,
        guest: &Path,
        reason: &str,
    ) -> Result<(), Error> {
        let Some(target) = entry.link_name().context("unpack", guest)? else {
            return Ok(());
        };
        let target = Path::new("/").join(target.strip_prefix(".").unwrap_or(&target));
        if let Some(first) = self.draft.follow(&target).cloned() {
            return self.draft.put(Entry {
                guest: guest.to_path_buf(),
                reason: reason.to_owned(),
                ..first
            });
        }
        Ok(())
    }

    /// What was gathered, with what was left out.
    pub fn finish(mut self) -> Draft {
        if self.left_count > 0 {
            let (count, mebibytes) = (self.left_count, self.left_bytes.div_ceil(1 << 20));
            self.draft.findings.push(
                Finding::note(format!(
                    "documentation, translations and files of systemd are left out: {count} files, {mebibytes} MiB"
                ))
                .remedy("Keep them if the application reads them."),
            );
        }
        self.draft
    }
}
