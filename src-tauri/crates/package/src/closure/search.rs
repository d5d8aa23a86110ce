//! Where the dynamic linker looks for a library.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::elf::Elf;

/// Where glibc looks last, whatever distribution built it.
const DEFAULT_DIRECTORIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

const CONFIGURATION: &str = "/etc/ld.so.conf";
const INCLUDE_DEPTH_MAX: usize = 8;
const DIRECTORIES_MAX: usize = 1024;

/// A library that was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub path: PathBuf,
    pub elf: Elf,
    pub size_bytes: u64,
    /// Whether the linker finds it there without a configuration or cache.
    pub is_usual: bool,
}

/// Looks as the dynamic linker does, and remembers what it has read.
#[derive(Debug)]
pub(super) struct Search {
    configured: Vec<PathBuf>,
    read: HashMap<PathBuf, Option<(Elf, u64)>>,
}

impl Search {
    pub fn of_this_computer() -> Self {
        let mut configured = Vec::new();
        read_configuration(Path::new(CONFIGURATION), 0, &mut configured);
        Self {
            configured,
            read: HashMap::new(),
        }
    }

    /// Finds `name` for an object, whose own directories (expanded already) come first.
    pub fn find(&mut self, name: &str, own: &[PathBuf]) -> Option<Found> {
        if name.contains('/') {
            return self.take(normal(Path::new(name)), true);
        }
        for directory in own {
            if let Some(found) = self.take(normal(&directory.join(name)), true) {
                return Some(found);
            }
        }
        for directory in self.configured.clone() {
            let is_usual = DEFAULT_DIRECTORIES
                .iter()
                .any(|usual| directory == Path::new(usual));
            if let Some(found) = self.take(directory.join(name), is_usual) {
                return Some(found);
            }
        }
        DEFAULT_DIRECTORIES
            .iter()
            .find_map(|directory| self.take(Path::new(directory).join(name), true))
    }

    /// The object at this path, where it is one for this processor; the linker passes over others.
    pub fn take(&mut self, path: PathBuf, is_usual: bool) -> Option<Found> {
        let read = self.read.entry(path.clone()).or_insert_with(|| {
            let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            Some((Elf::open(&path).ok()?, metadata.len()))
        });
        let (elf, size_bytes) = read.clone()?;
        Some(Found {
            path,
            elf,
            size_bytes,
            is_usual,
        })
    }
}

/// The directories of a search path, with what stands for places in them filled in.
pub(crate) fn expand(paths: &[String], object: &Path) -> Vec<PathBuf> {
    let origin = object
        .parent()
        .unwrap_or(Path::new("/"))
        .to_string_lossy()
        .into_owned();
    paths
        .iter()
        .filter(|path| !path.contains("$PLATFORM") && !path.contains("${PLATFORM}"))
        .flat_map(|path| {
            let path = path
                .replace("${ORIGIN}", &origin)
                .replace("$ORIGIN", &origin);
            if path.contains("$LIB") || path.contains("${LIB}") {
                ["lib/x86_64-linux-gnu", "lib64", "lib"]
                    .map(|lib| path.replace("${LIB}", lib).replace("$LIB", lib))
                    .to_vec()
            } else {
                vec![path]
            }
        })
        // A relative directory would be one of whoever starts the program.
        .filter(|path| path.starts_with('/'))
        .map(|path| normal(Path::new(&path)))
        .collect()
}

/// Without `.` and `..`, as names: links are left as they are.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    normal
}

fn read_configuration(file: &Path, depth: usize, directories: &mut Vec<PathBuf>) {
    let Ok(Some(text)) = crate::package::read_small_text(file) else {
        return;
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(patterns) = line
            .strip_prefix("include")
            .filter(|rest| rest.starts_with([' ', '\t']))
        {
            if depth < INCLUDE_DEPTH_MAX {
                for pattern in patterns.split_whitespace() {
                    for included in matching(pattern, file) {
                        read_configuration(&included, depth + 1, directories);
                    }
                }
            }
            continue;
        }
        for directory in line
            .split([' ', '\t', ':', ','])
            .filter(|path| path.starts_with('/'))
        {
            let directory = normal(Path::new(directory));
            if directories.len() < DIRECTORIES_MAX && !directories.contains(&directory) {
                directories.push(directory);
            }
        }
    }
}

/// The files that an `include` names; its last component may have stars.
fn matching(pattern: &str, from: &Path) -> Vec<PathBuf> {
    let pattern = from.parent().unwrap_or(Path::new("/")).join(pattern);
    let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let name = name.to_string_lossy().into_owned();
    if !name.contains('*') {
        return vec![pattern];
    }
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            crate::ignore::matches(name.as_bytes(), entry.file_name().as_encoded_bytes())
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}
