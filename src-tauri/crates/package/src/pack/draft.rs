//! What a package will hold, as it is gathered.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use walkdir::{DirEntry, WalkDir};
use windlass_guest::GuestOs;

use super::compile::Compile;
use super::plan::{Content, Entry, Plan};
use super::{Kind, PackOptions};
use crate::closure::{self, Closure, Elf, Layout, is_supplied_by_osv};
use crate::error::IoContext;
use crate::watch::advance;
use crate::{Error, Finding, Manifest, RunFile, Watch};

/// More entries than this are refused: each is held in memory.
const ENTRIES_MAX: usize = 1_000_000;
/// A guest's own limit, so that links which lead in a circle end.
const SYMLINKS_MAX: usize = 40;
/// Deeper folders are not looked into; whoever proposes a manifest says so.
const TREE_DEPTH_MAX: usize = 200;

/// Who a package is: its names, and the texts of its `meta/`.
#[derive(Debug)]
pub(super) struct Description {
    pub name: String,
    pub version: Option<String>,
    pub title: String,
    pub package_yaml: String,
    pub run_yaml: Option<String>,
}

impl Description {
    pub fn new(
        mut manifest: Manifest,
        run: Option<&RunFile>,
        options: &PackOptions,
    ) -> Result<Self, Error> {
        if let Some(name) = &options.name {
            manifest.name.clone_from(name);
        }
        if options.version.is_some() {
            manifest.version.clone_from(&options.version);
        }
        Ok(Self {
            package_yaml: manifest.to_yaml()?,
            run_yaml: run.map(RunFile::to_yaml).transpose()?,
            name: manifest.name,
            version: manifest.version,
            title: manifest.title,
        })
    }
}

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
    pub fn scratch(&mut self) -> Result<PathBuf, Error> {
        let folder = tempfile::Builder::new()
            .prefix("windlass-pack-")
            .tempdir()
            .context("create a folder in", &std::env::temp_dir())?;
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

    /// The path at which a guest would find this one: `..` and links to folders followed, the last
    /// name as it is. A file on the way is an error.
    pub fn settle(&self, guest: &Path) -> Result<PathBuf, Error> {
        let unsuitable = |found: &str| Error::Unsuitable {
            path: guest.to_path_buf(),
            found: found.to_owned(),
            remedy: "Leave it out.".into(),
        };
        let mut rest: Vec<std::ffi::OsString> = Vec::new();
        let push = |path: &Path, rest: &mut Vec<std::ffi::OsString>| {
            for component in path.components().rev() {
                match component {
                    Component::Normal(name) => rest.push(name.to_owned()),
                    Component::ParentDir => rest.push("..".into()),
                    _ => {}
                }
            }
        };
        push(guest, &mut rest);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(name);
            if rest.is_empty() {
                break;
            }
            match self.entries.get(&at).map(|entry| &entry.content) {
                Some(Content::Link(target)) => {
                    links += 1;
                    if links > SYMLINKS_MAX {
                        return Err(unsuitable("is behind links that lead in a circle"));
                    }
                    at.pop();
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    push(target, &mut rest);
                }
                Some(Content::Directory) | None => {}
                Some(_) => return Err(unsuitable("is in a folder that is a file, too")),
            }
        }
        if at == Path::new("/") {
            return Err(unsuitable("is no name of a file"));
        }
        Ok(at)
    }

    /// The entry that a guest finds at a path, links followed.
    pub fn follow(&self, guest: &Path) -> Option<&Entry> {
        let mut at = guest.to_path_buf();
        for _ in 0..SYMLINKS_MAX {
            let entry = self.entries.get(&self.settle(&at).ok()?)?;
            let Content::Link(target) = &entry.content else {
                return Some(entry);
            };
            at = entry.guest.parent().unwrap_or(Path::new("/")).join(target);
        }
        None
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

    /// Takes the user's wishes in, and makes a plan of it all.
    pub fn finish(
        mut self,
        kind: Kind,
        description: Description,
        options: &PackOptions,
        watch: &mut dyn Watch,
    ) -> Result<Plan, Error> {
        self.add(options, watch)?;
        self.leave_out(&options.leave_out);
        self.findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let mut seen = std::collections::HashSet::new();
        self.findings.retain(|finding| seen.insert(finding.clone()));
        Ok(Plan {
            kind,
            name: description.name,
            version: description.version,
            title: description.title,
            entries: self.entries.into_values().collect(),
            findings: self.findings,
            package_yaml: description.package_yaml,
            run_yaml: description.run_yaml,
            compile: self.compile,
            scratch: self.scratch,
        })
    }

    fn add(&mut self, options: &PackOptions, watch: &mut dyn Watch) -> Result<(), Error> {
        const REASON: &str = "because you added it";
        for addition in &options.add {
            let guest = Path::new("/").join(&addition.guest);
            let metadata = fs::metadata(&addition.host).context("read", &addition.host)?;
            if metadata.is_dir() {
                self.directory(&guest, REASON)?;
                self.tree(&addition.host, &guest, REASON, false, &|_| true, watch)?;
                continue;
            }
            if let Ok(elf) = Elf::open(&addition.host)
                && !elf.is_static()
            {
                let found = closure::closure(std::slice::from_ref(&addition.host))?;
                let mut needed = found.clone();
                needed.objects.retain(|object| {
                    object.because != closure::Because::Asked && !self.has_library(&object.name)
                });
                self.closure(&needed, layout_of(options.guest))?;
            }
            self.file(&addition.host, &guest, REASON)?;
        }
        Ok(())
    }

    /// Whether a library of this name is there already, wherever it lies.
    fn has_library(&self, name: &str) -> bool {
        self.entries
            .values()
            .any(|entry| entry.guest.file_name().is_some_and(|other| other == name))
    }

    fn leave_out(&mut self, patterns: &[String]) {
        for pattern in patterns {
            for entry in self.entries.values_mut() {
                if !entry.left && is_beneath(pattern, &entry.guest) {
                    entry.left = true;
                    if entry.required {
                        self.findings.push(
                            Finding::warning(format!(
                                "it is left out, and was there {}",
                                entry.reason
                            ))
                            .at(entry.guest.to_string_lossy())
                            .remedy("Take it in again, unless another package has it."),
                        );
                    }
                }
            }
        }
    }
}

/// How libraries are laid out for a guest that needs nothing special.
pub(super) fn layout_of(guest: GuestOs) -> Layout {
    match guest {
        GuestOs::Linux => Layout::HostPaths,
        GuestOs::Osv => Layout::OsvFlat,
    }
}

/// Whether a path is what a pattern names, or beneath it. Stars stand for parts of names.
fn is_beneath(pattern: &str, guest: &Path) -> bool {
    let mut names = guest.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.as_encoded_bytes()),
        _ => None,
    });
    let mut wanted = pattern
        .split('/')
        .filter(|name| !name.is_empty())
        .peekable();
    wanted.peek().is_some()
        && wanted.all(|wanted| {
            names
                .next()
                .is_some_and(|name| crate::ignore::matches(wanted.as_bytes(), name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_by_a_pattern() {
        let cases = [
            ("/usr/lib", "/usr/lib/a.so", true),
            ("usr/lib/", "/usr/lib", true),
            ("/usr/*/a*", "/usr/lib/abc/x", true),
            ("/usr/lib", "/usr/library", false),
            ("/", "/usr", false),
            ("", "/usr", false),
            ("/usr/lib/a.so/b", "/usr/lib/a.so", false),
        ];
        for (pattern, path, is_out) in cases {
            assert_eq!(
                is_beneath(pattern, Path::new(path)),
                is_out,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn nothing_is_written_through_links() {
        let mut draft = Draft::default();
        let link = |draft: &mut Draft, from: &str, to: &str| {
            draft.link(Path::new(from), Path::new(to), "").unwrap();
        };
        link(&mut draft, "/lib", "usr/lib");
        link(&mut draft, "/out", "../../etc");
        link(&mut draft, "/a", "b");
        link(&mut draft, "/b", "a");
        let settle = |path: &str| {
            draft
                .settle(Path::new(path))
                .map_err(|error| error.to_string())
        };
        insta::assert_debug_snapshot!(
            ["/lib/x.so", "/out/passwd", "/a/x", "/x/../../y", "/.."].map(settle)
        );
    }
}
