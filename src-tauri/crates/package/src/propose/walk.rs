//! A walk through a folder that a stranger may have made: counted, bounded, nothing followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, access};
use walkdir::{DirEntry, WalkDir};

use crate::closure::Elf;
use crate::package::read_small_text;
use crate::{Error, Finding, Ignore, Severity, ignore};

/// After this many entries the walk ends, and says so.
const ENTRIES_MAX: u64 = 1_000_000;
const DEPTH_MAX: usize = 200;
/// More than this in one folder is worth a question.
const SIZE_WARNING_BYTES: u64 = 16 << 30;
/// ext4 with blocks of 4 KiB holds no larger file.
const FILE_MAX_BYTES: u64 = 16 << 40;
/// Longer paths cannot be named by a guest's program.
const PATH_MAX_BYTES: usize = 4095;
/// So many findings of one kind are listed; the rest are counted.
const FINDINGS_OF_A_KIND: usize = 5;
/// So many programs and scripts are looked at.
const PROGRAMS_MAX: usize = 100;

/// A program in the folder.
#[derive(Debug)]
pub(super) struct Program {
    /// Where it will be in the guest, absolute.
    pub guest: String,
    pub elf: Elf,
}

/// What was seen of a folder.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub file_count: u64,
    pub size_bytes: u64,
    pub findings: Vec<Finding>,
    /// The names in the folder itself.
    pub top: BTreeSet<String>,
    pub programs: Vec<Program>,
    /// Names of all files that could be shared libraries.
    pub libraries: BTreeSet<String>,
    /// Executable scripts: where they will be in the guest, and what they ask to be run by.
    pub scripts: Vec<(String, String)>,
}

pub(super) fn survey(folder: &Path) -> Result<Survey, Error> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Error::Io {
                doing: "list",
                path: folder.to_path_buf(),
                source,
            });
        }
        _ => {
            return Err(Error::NoFolder {
                path: folder.to_path_buf(),
            });
        }
    }
    let mut walk = Walk {
        folder,
        survey: Survey::default(),
        findings: BTreeMap::new(),
    };
    let ignore = walk.ignore_rules();
    let is_wanted = |entry: &DirEntry| {
        let path = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        entry.depth() == 0 || !ignore.is_ignored(path.as_os_str().as_bytes())
    };
    let entries = WalkDir::new(folder)
        .max_depth(DEPTH_MAX)
        .sort_by_file_name();
    for (count, entry) in (0..).zip(entries.into_iter().filter_entry(is_wanted)) {
        if count > ENTRIES_MAX {
            walk.find(
                "entries",
                Finding::error(format!("there are more than {ENTRIES_MAX} files; the rest was not looked at"))
                    .remedy("Choose the folder of the application alone, or leave parts out by .capstanignore."),
            );
            break;
        }
        match entry {
            Ok(entry) => walk.entry(&entry),
            Err(error) if error.depth() == 0 => {
                return Err(Error::Io {
                    doing: "list",
                    path: folder.to_path_buf(),
                    source: error.into(),
                });
            }
            Err(error) => walk.unreadable(error.path().unwrap_or(folder), &error.to_string()),
        }
    }
    Ok(walk.finish())
}

struct Walk<'a> {
    folder: &'a Path,
    survey: Survey,
    /// By kind: those listed, and how many there were.
    findings: BTreeMap<&'static str, (Vec<Finding>, u64)>,
}

impl Walk<'_> {
    fn ignore_rules(&mut self) -> Ignore {
        let text = read_small_text(&self.folder.join(ignore::FILE))
            .ok()
            .flatten()
            .unwrap_or_default();
        Ignore::parse(&text).unwrap_or_else(|error| {
            self.find("ignore", Finding::error(error.to_string()).at(ignore::FILE));
            Ignore::default()
        })
    }

    fn find(&mut self, kind: &'static str, finding: Finding) {
        let (listed, count) = self.findings.entry(kind).or_default();
        *count += 1;
        if listed.len() < FINDINGS_OF_A_KIND {
            listed.push(finding);
        }
    }

    fn unreadable(&mut self, path: &Path, why: &str) {
        let finding = Finding::error(format!("it cannot be read: {why}"))
            .at(self.shown(path))
            .remedy("Make it readable for yourself, or leave it out by a line in .capstanignore.");
        self.find("unreadable", finding);
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.folder)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned()
    }

    fn entry(&mut self, entry: &DirEntry) {
        if entry.depth() == 0 {
            return;
        }
        let shown = self.shown(entry.path());
        if entry.depth() == 1 {
            self.survey.top.insert(shown.clone());
        }
        self.check_name(entry, &shown);
        let kind = entry.file_type();
        if kind.is_dir() {
            // Its content comes next; where it cannot be listed, the walk says so.
        } else if kind.is_symlink() {
            self.survey.file_count += 1;
            self.link(entry.path(), &shown);
        } else if kind.is_file() {
            self.survey.file_count += 1;
            match entry.metadata() {
                Ok(metadata) => self.file(entry.path(), &shown, &metadata),
                Err(error) => self.unreadable(entry.path(), &error.to_string()),
            }
        } else {
            let what = if kind.is_socket() {
                "a socket"
            } else if kind.is_fifo() {
                "a pipe"
            } else {
                "a device"
            };
            let finding = Finding::error(format!("{what} cannot be in an image"))
                .at(shown)
                .remedy("Remove it, or leave it out by a line in .capstanignore.");
            self.find("special", finding);
        }
    }

    fn check_name(&mut self, entry: &DirEntry, shown: &str) {
        if entry.file_name().to_str().is_none() {
            let finding = Finding::warning("its name is not UTF-8, and is kept byte by byte")
                .at(shown)
                .remedy("Rename it where a program of the guest is to find it by a name in UTF-8.");
            self.find("name", finding);
        } else if entry.file_name().as_bytes().iter().any(|byte| *byte < 0x20) {
            let finding = Finding::warning("there is a control character in its name")
                .at(shown.escape_debug().to_string())
                .remedy("Rename it, unless it is meant to be so.");
            self.find("control", finding);
        }
        if shown.len() >= PATH_MAX_BYTES {
            let finding = Finding::error(format!(
                "its path is {} bytes long, and a guest takes {PATH_MAX_BYTES}",
                shown.len()
            ))
            .at(shown)
            .remedy("Shorten the names of the folders that it is in.");
            self.find("path", finding);
        }
        if entry.depth() >= DEPTH_MAX && entry.file_type().is_dir() {
            let finding = Finding::error(format!(
                "folders are nested more than {DEPTH_MAX} deep here, and were not looked into"
            ))
            .at(shown)
            .remedy("Choose the folder of the application alone.");
            self.find("depth", finding);
        }
    }

    fn file(&mut self, path: &Path, shown: &str, metadata: &Metadata) {
        let size_bytes = metadata.len();
        self.survey.size_bytes = self.survey.size_bytes.saturating_add(size_bytes);
        if size_bytes > FILE_MAX_BYTES {
            let finding = Finding::error(format!(
                "it says that it is {} TiB long, which no image holds",
                size_bytes >> 40
            ))
            .at(shown)
            .remedy("Remove it, or leave it out by a line in .capstanignore.");
            self.find("size", finding);
        }
        if access(path, Access::READ_OK).is_err() {
            self.unreadable(path, "permission denied");
            return;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".so") || name.contains(".so.") {
            self.survey.libraries.insert(name.into_owned());
        }
        let looked_at = self.survey.programs.len() + self.survey.scripts.len();
        if metadata.permissions().mode() & 0o111 != 0 && looked_at < PROGRAMS_MAX {
            self.executable(path, format!("/{shown}"));
        }
    }

    fn executable(&mut self, path: &Path, guest: String) {
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(256).read_to_end(&mut start));
        if read.is_err() {
            return;
        }
        if start.starts_with(b"#!") {
            let line = start[2..]
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            let interpreter = String::from_utf8_lossy(line).trim().to_owned();
            self.survey.scripts.push((guest, interpreter));
        } else if start.starts_with(b"\x7fELF") {
            match Elf::open(path) {
                Ok(elf) if elf.is_program || (elf.is_static() && elf.soname.is_none()) => {
                    self.survey.programs.push(Program { guest, elf });
                }
                Ok(_) => {}
                Err(error) => {
                    let finding = Finding::warning(error.to_string())
                        .at(guest.trim_start_matches('/'))
                        .remedy("Take one that was built for this kind of processor.");
                    self.find("elf", finding);
                }
            }
        }
    }

    fn link(&mut self, path: &Path, shown: &str) {
        let target = match fs::read_link(path) {
            Ok(target) => target,
            Err(error) => return self.unreadable(path, &error.to_string()),
        };
        let remedy = "Make it a relative link to something in the folder, or copy what it names.";
        if target.is_absolute() {
            // In the guest, the folder is the root.
            let in_guest = self
                .folder
                .join(target.strip_prefix("/").unwrap_or(&target));
            if fs::symlink_metadata(in_guest).is_ok() {
                return;
            }
            let finding = if target.starts_with(self.folder) {
                Finding::warning(format!(
                    "it links to {}, a path of this computer",
                    target.display()
                ))
            } else {
                Finding::warning(format!(
                    "it links to {}, which is not in the folder",
                    target.display()
                ))
            };
            self.find("link", finding.at(shown).remedy(remedy));
        } else if leaves(shown, &target) {
            let finding = Finding::warning(format!(
                "it links to {}, out of the folder",
                target.display()
            ));
            self.find("link", finding.at(shown).remedy(remedy));
        }
    }

    fn finish(mut self) -> Survey {
        if self.survey.size_bytes > SIZE_WARNING_BYTES {
            let finding = Finding::warning(format!(
                "there are {} GiB in it, and so there will be in each image",
                self.survey.size_bytes >> 30
            ));
            self.find(
                "total",
                finding.remedy(
                    "Leave data out by .capstanignore, and give it to the machine as a disk.",
                ),
            );
        }
        for (listed, count) in self.findings.into_values() {
            let severity = listed
                .first()
                .map_or(Severity::Note, |finding| finding.severity);
            let unlisted = count - listed.len() as u64;
            self.survey.findings.extend(listed);
            if unlisted > 0 {
                let mut more = Finding::note(format!("and {unlisted} more like this"));
                more.severity = severity;
                self.survey.findings.push(more);
            }
        }
        self.survey
    }
}

/// Whether a relative link climbs above the folder.
fn leaves(shown: &str, target: &Path) -> bool {
    let mut depth = shown.split('/').count().saturating_sub(1);
    for component in target.components() {
        match component {
            std::path::Component::ParentDir if depth == 0 => return true,
            std::path::Component::ParentDir => depth -= 1,
            std::path::Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    false
}
