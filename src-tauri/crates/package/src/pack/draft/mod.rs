//! What a package will hold, as it is gathered.

mod description;
mod paths;
mod wishes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use walkdir::{DirEntry, WalkDir};
use windlass_guest::GuestOs;

use super::PackOptions;
use super::compile::Compile;
use super::plan::{Content, Entry};
use crate::closure::{self, Closure, Layout, is_supplied_by_osv};
use crate::error::IoContext;
use crate::watch::advance;
use crate::{Error, Finding, Watch};

pub(super) use description::Description;

/// More entries than this are refused: each is held in memory.
const ENTRIES_MAX: usize = 1_000_000;
/// Deeper folders are not looked into; whoever proposes a manifest says so.
const TREE_DEPTH_MAX: usize = 200;

/// Gathers entries. What is put in later takes the place of what was there.
#[derive(Debug, Default)]
pub(super) struct Draft {
    entries: BTreeMap<PathBuf, Entry>,
    pub findings: Vec<Finding>,
    pub compile: Vec<Compile>,
    scratch: Vec<Arc<TempDir>>,
}

impl Draft {
    /// A temporary folder that lasts as long as the plan.
    pub fn scratch(&mut self, options: &PackOptions) -> Result<PathBuf, Error> {
        let place = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new()
            .prefix("windlass-pack-")
            .tempdir_in(&place)
            .context("create a folder in", &place)?;
        let path = folder.path().to_path_buf();
        self.scratch.push(Arc::new(folder));
        Ok(path)
    }

    pub fn get(&self, guest: &Path) -> Option<&Entry> {
        self.entries.get(guest)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// A copy of a file of this computer.
    pub fn file(&mut self, host: &Path, guest: &Path, reason: &str) -> Result<(), Error> {
        let metadata = fs::metadata(host).context("read", host)?;
        if !metadata.is_file() {
            return Err(Error::Unsuitable {
                path: host.to_path_buf(),
                found: "is not a regular file".into(),
                remedy: "Leave it out.".into(),
            });
        }
        let is_executable = metadata.permissions().mode() & 0o111 != 0;
        self.put(Entry {
            guest: guest.to_path_buf(),
            content: if self.scratch.iter().any(|own| host.starts_with(own.path())) {
                Content::Unpacked(host.to_path_buf())
            } else {
                Content::Copy(host.to_path_buf())
            },
            size_bytes: metadata.len(),
            mode: if is_executable { 0o755 } else { 0o644 },
            reason: reason.to_owned(),
            left: false,
            required: false,
        })
    }

    pub fn write(&mut self, guest: &Path, bytes: &[u8], reason: &str) -> Result<(), Error> {
        self.put(Entry {
            guest: guest.to_path_buf(),
            content: Content::Bytes(bytes.into()),
            size_bytes: bytes.len() as u64,
            mode: 0o644,
            reason: reason.to_owned(),
            left: false,
            required: false,
        })
    }

    pub fn link(&mut self, guest: &Path, target: &Path, reason: &str) -> Result<(), Error> {
        self.put(Entry {
            guest: guest.to_path_buf(),
            content: Content::Link(target.to_path_buf()),
            size_bytes: 0,
            mode: 0o755,
            reason: reason.to_owned(),
            left: false,
            required: false,
        })
    }

    pub fn directory(&mut self, guest: &Path, reason: &str) -> Result<(), Error> {
        if matches!(self.get(guest), Some(entry) if entry.content == Content::Directory) {
            return Ok(());
        }
        self.put(Entry {
            guest: guest.to_path_buf(),
            content: Content::Directory,
            size_bytes: 0,
            mode: 0o755,
            reason: reason.to_owned(),
            left: false,
            required: false,
        })
    }

    /// Puts an entry in, where a guest would find its path: behind links to folders that are there.
    pub fn put(&mut self, mut entry: Entry) -> Result<(), Error> {
        entry.guest = self.settle(&entry.guest)?;
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Error::Unsuitable {
                path: entry.guest,
                found: format!("is one of more than {ENTRIES_MAX} files"),
                remedy: "Choose the folder of the application alone, or leave parts out.".into(),
            });
        }
        let becomes_folder = entry.content == Content::Directory;
        let was_folder =
            matches!(self.get(&entry.guest), Some(before) if before.content == Content::Directory);
        if was_folder && !becomes_folder {
            self.remove(&entry.guest.clone());
        }
        self.entries.insert(entry.guest.clone(), entry);
        Ok(())
    }

    /// Takes a path away, with all beneath it.
    pub fn remove(&mut self, guest: &Path) {
        let beneath: Vec<PathBuf> = self
            .entries
            .range(guest.to_path_buf()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(guest))
            .cloned()
            .collect();
        for path in beneath {
            self.entries.remove(&path);
        }
    }

    /// Takes away what is beneath a folder, not itself.
    pub fn empty(&mut self, folder: &Path) {
        let entry = self.entries.get(folder).cloned();
        self.remove(folder);
        if let Some(entry) = entry {
            self.entries.insert(folder.to_path_buf(), entry);
        }
    }

    /// Marks an entry as one without which nothing starts.
    pub fn require(&mut self, guest: &Path) {
        if let Some(entry) = self.entries.get_mut(guest) {
            entry.required = true;
        }
    }

    /// A closure, laid out for a guest. What OSv supplies itself is there too, left out.
    pub fn closure(&mut self, closure: &Closure, layout: Layout) -> Result<(), Error> {
        if layout == Layout::OsvFlat {
            for place in closure.place(Layout::HostPaths) {
                let name = place
                    .guest
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy();
                if closure::is_supplied_by_osv(&name)
                    || name == closure::SUPPLIED_BY_OSV_UNLESS_HIDDEN
                {
                    self.placed(place)?;
                }
            }
            self.leave_supplied();
        }
        for place in closure.place(layout) {
            self.placed(place)?;
        }
        self.findings.extend(closure.findings());
        Ok(())
    }

    fn placed(&mut self, place: closure::Placement) -> Result<(), Error> {
        let guest = place.guest.clone();
        match place.content {
            closure::Content::Copy(host) => {
                self.file(&host, &guest, &place.because)?;
                self.require(&guest);
            }
            closure::Content::Link(target) => self.link(&guest, &target, &place.because)?,
        }
        Ok(())
    }

    /// Leaves out what OSv's kernel supplies itself.
    pub fn leave_supplied(&mut self) {
        for entry in self.entries.values_mut() {
            let name = entry
                .guest
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let is_supplied =
                is_supplied_by_osv(&name) || name == closure::SUPPLIED_BY_OSV_UNLESS_HIDDEN;
            if is_supplied && entry.content != Content::Directory {
                entry.left = true;
                entry.required = false;
                entry.reason = "because OSv supplies it itself".into();
            }
        }
    }

    /// A folder of this computer with what is in it, as far as `is_wanted`. Links stay what they
    /// are unless `follow` is said.
    pub fn tree(
        &mut self,
        host: &Path,
        guest: &Path,
        reason: &str,
        follow: bool,
        is_wanted: &dyn Fn(&DirEntry) -> bool,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        let walk = WalkDir::new(host)
            .follow_links(follow)
            .max_depth(TREE_DEPTH_MAX)
            .sort_by_file_name();
        for entry in walk.into_iter().filter_entry(is_wanted) {
            advance(watch, 0)?;
            let entry = entry.map_err(|error| Error::Io {
                doing: "list",
                path: error.path().unwrap_or(host).to_path_buf(),
                source: error.into(),
            })?;
            let within = entry.path().strip_prefix(host).unwrap_or(entry.path());
            if within.as_os_str().is_empty() {
                continue;
            }
            let at = guest.join(within);
            let kind = entry.file_type();
            if kind.is_dir() {
                self.directory(&at, reason)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).context("read", entry.path())?;
                self.link(&at, &target, reason)?;
            } else if kind.is_file() {
                self.file(entry.path(), &at, reason)?;
            }
            // Sockets, pipes and devices are findings of whoever looked at the folder.
        }
        Ok(())
    }
}

/// How libraries are laid out for a guest that needs nothing special.
pub(super) fn layout_of(guest: GuestOs) -> Layout {
    match guest {
        GuestOs::Linux => Layout::HostPaths,
        GuestOs::Osv => Layout::OsvFlat,
    }
}
