//! What a package will hold, before it is made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::Kind;
use super::compile::Compile;
use crate::Finding;

/// What a package will hold, and why: a preview that [`make`](super::make) turns into a folder.
///
/// Nothing of the package was written. What had to be unpacked or made for it lies in temporary
/// folders that go with the plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it is packed as.
    pub kind: Kind,
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Its title.
    pub title: String,
    /// What is in it, sorted by path. What is left out is there too, and marked.
    pub entries: Vec<Entry>,
    /// What was noticed, the worst first.
    pub findings: Vec<Finding>,
    /// The text of `meta/package.yaml`; may be changed before the package is made.
    pub package_yaml: String,
    /// The text of `meta/run.yaml`; `None` for what cannot be run.
    pub run_yaml: Option<String>,
    /// Python folders to be compiled once they are in place.
    pub(super) compile: Vec<Compile>,
    /// What was unpacked or made; the entries name files in it.
    #[expect(dead_code, reason = "held so that they last as long as the plan")]
    pub(super) scratch: Vec<Arc<TempDir>>,
}

/// One path of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it will be in the guest, absolute.
    pub guest: PathBuf,
    /// What it is made of.
    pub content: Content,
    /// How large it is; 0 for what is no file.
    pub size_bytes: u64,
    /// 0755 for what can be executed and for directories, else 0644.
    pub mode: u32,
    /// Why it is here, as the end of a sentence: "because `node` needs libicudata.so.72".
    pub reason: String,
    /// Whether it is left out: by the user or by a rule of the guest.
    pub left: bool,
    /// Whether the program does not start without it.
    pub required: bool,
}

/// What an entry is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A copy of this file.
    Copy(PathBuf),
    /// A copy of this file, which was unpacked or made for the plan and goes with it.
    Unpacked(PathBuf),
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// A symbolic link to this.
    Link(PathBuf),
    /// A directory.
    Directory,
}

/// Entries that are there for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The reason.
    pub reason: String,
    /// How many files and links there are.
    pub file_count: u64,
    /// How many bytes they have.
    pub size_bytes: u64,
}

impl Entry {
    /// The file of this computer that it is copied from; `None` for what was unpacked or made.
    pub fn host(&self) -> Option<&Path> {
        match &self.content {
            Content::Copy(host) => Some(host),
            _ => None,
        }
    }
}

impl Content {
    /// The file that holds it, wherever that lies.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Copy(host) | Self::Unpacked(host) => Some(host),
            _ => None,
        }
    }
}

impl Plan {
    /// How many bytes all files have that are not left out.
    pub fn total_bytes(&self) -> u64 {
        self.taken().map(|entry| entry.size_bytes).sum()
    }

    /// How many files and links there are that are not left out.
    pub fn file_count(&self) -> u64 {
        let is_file = |entry: &&Entry| entry.content != Content::Directory;
        self.taken().filter(is_file).count() as u64
    }

    /// What is in it for which reason, largest first; what is left out does not count.
    pub fn groups(&self) -> Vec<Group> {
        let mut at: HashMap<&str, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let files = self.taken();
        for entry in files.filter(|entry| entry.content != Content::Directory) {
            let index = *at.entry(&entry.reason).or_insert_with(|| {
                groups.push(Group {
                    reason: entry.reason.clone(),
                    file_count: 0,
                    size_bytes: 0,
                });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(index) {
                group.file_count += 1;
                group.size_bytes += entry.size_bytes;
            }
        }
        groups.sort_by(|one, other| {
            (other.size_bytes.cmp(&one.size_bytes)).then_with(|| one.reason.cmp(&other.reason))
        });
        groups
    }

    /// The entries that are not left out.
    pub(super) fn taken(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.left)
    }
}
