//! What nothing needs goes, after it was shown.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blake3::Hash;
use windlass_package::lock::Lock;
use windlass_package::{Requirement, Watch};

use crate::error::{Error, IoContext};
use crate::library::Library;
use crate::packages::InstalledPackage;
use crate::packages::lease::Unread;
use crate::packages::remove::{read_list, remove_object};
use crate::store::Sharing;

/// A download that nobody wrote to for so long is given up.
const PARTIAL_AGE: Duration = Duration::from_hours(24);

/// What stays, besides what is pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// The lock files of appliances: all that they name stays.
    pub locks: Vec<Lock>,
    /// What each appliance requires: what that comes to stays, dependencies and all. Where it has no solution, all versions
    /// of what it names stay.
    pub requirements: Vec<Vec<Requirement>>,
    /// Whether the newest version of each package stays although nothing requires it.
    pub newest: bool,
}

/// What would go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// The largest first.
    pub items: Vec<PruneItem>,
    /// How much all of it takes.
    pub total_bytes: u64,
}

/// One thing that would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneItem {
    /// Which sort of thing it is.
    pub kind: PruneKind,
    /// What it is, in words.
    pub what: String,
    /// Why nothing needs it.
    pub reason: String,
    /// How much it takes; what several things of the plan share is counted for the first.
    pub size_bytes: u64,
    target: Target,
}

/// Sorts of things that can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PruneKind {
    /// A version of a package.
    Package,
    /// Files that no package has.
    Object,
    /// A download that was not finished, or what a killed process left.
    Partial,
    /// An initramfs of another version of Windlass.
    Initramfs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Package(Box<InstalledPackage>),
    Objects,
    Downloads,
    Left,
    Initramfs(PathBuf),
}

/// What pruning came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many things went. One that is needed again meanwhile stays.
    pub items: u64,
    /// How much they took.
    pub size_bytes: u64,
    /// What stayed because somebody reads it just now ([`Lease`](crate::Lease)), in words.
    pub in_use: Vec<String>,
}

/// What became of one thing.
enum Fate {
    Gone,
    /// It is needed again.
    Kept,
    /// Somebody reads it.
    InUse,
}

impl Library {
    /// What could go, and why. Nothing is done.
    ///
    /// # Errors
    /// When the library cannot be listed.
    pub fn prune_plan(&self, keep: &Keep) -> Result<PrunePlan, Error> {
        let mut items = self.superfluous_packages(keep)?;
        let unused = self.unused_objects()?;
        if !unused.is_empty() {
            items.push(PruneItem {
                kind: PruneKind::Object,
                what: match unused.len() {
                    1 => "1 file".to_owned(),
                    count => format!("{count} files"),
                },
                reason: "No package has them".to_owned(),
                size_bytes: unused.iter().map(|object| object.metadata.len()).sum(),
                target: Target::Objects,
            });
        }
        for (kernel, path, size_bytes) in self.old_initramfs()? {
            items.push(PruneItem {
                kind: PruneKind::Initramfs,
                what: format!("initramfs of guest kernel {kernel}"),
                reason: "It was made for another version of Windlass".to_owned(),
                size_bytes,
                target: Target::Initramfs(path),
            });
        }
        let downloads = old_downloads(&self.downloads_folder());
        if !downloads.is_empty() {
            items.push(PruneItem {
                kind: PruneKind::Partial,
                what: "unfinished downloads".to_owned(),
                reason: "Nobody has gone on with them for a day".to_owned(),
                size_bytes: downloads.iter().map(|(_, size_bytes)| size_bytes).sum(),
                target: Target::Downloads,
            });
        }
        let left_bytes = self.left_bytes();
        if left_bytes > 0 {
            items.push(PruneItem {
                kind: PruneKind::Partial,
                what: "temporary files".to_owned(),
                reason: "The process that wrote them has ended".to_owned(),
                size_bytes: left_bytes,
                target: Target::Left,
            });
        }
        items.sort_by(|one, other| {
            let bytes = other.size_bytes.cmp(&one.size_bytes);
            bytes
                .then_with(|| one.kind.cmp(&other.kind))
                .then_with(|| one.what.cmp(&other.what))
        });
        Ok(PrunePlan {
            total_bytes: items.iter().map(|item| item.size_bytes).sum(),
            items,
        })
    }

    /// Removes what a plan says. What was pinned or added again since then stays, and what
    /// somebody holds a [`Lease`](crate::Lease) on.
    ///
    /// # Errors
    /// When something cannot be removed; [`Error::Cancelled`]. What was removed until then is gone.
    pub fn prune(&self, plan: &PrunePlan, watch: &mut dyn Watch) -> Result<Pruned, Error> {
        watch.expect(plan.total_bytes);
        let mut pruned = Pruned::default();
        for item in &plan.items {
            watch.step(&format!("Removing {}", item.what));
            match self.prune_item(item)? {
                Fate::Gone => {
                    pruned.items += 1;
                    pruned.size_bytes += item.size_bytes;
                }
                Fate::Kept => {}
                Fate::InUse => pruned.in_use.push(item.what.clone()),
            }
            if watch.advance(item.size_bytes).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(pruned)
    }

    fn prune_item(&self, item: &PruneItem) -> Result<Fate, Error> {
        let lock = self.lock_until(&mut || false)?;
        match &item.target {
            Target::Package(package) => {
                let now = self.package_version(&package.name, &package.digest);
                // Pinned, or added again: somebody wants it.
                let is_same = now.is_ok_and(|now| {
                    now.digest == package.digest && !now.pinned && now.added == package.added
                });
                if !is_same {
                    return Ok(Fate::Kept);
                }
                let Some(_unread) = Unread::of(&lock, package.folder())? else {
                    return Ok(Fate::InUse);
                };
                self.take_package(&lock, package)?;
            }
            Target::Objects => {
                for object in self.unused_objects()? {
                    remove_object(&object)?;
                }
            }
            Target::Downloads => {
                for (path, _) in old_downloads(&self.downloads_folder()) {
                    remove_file(&path)?;
                }
            }
            Target::Initramfs(path) => {
                remove_file(path)?;
            }
            Target::Left => {
                crate::workplace::sweep(&self.temporary_folder());
            }
        }
        Ok(Fate::Gone)
    }

    /// The packages that nothing needs, each with what it alone takes.
    fn superfluous_packages(&self, keep: &Keep) -> Result<Vec<PruneItem>, Error> {
        let packages = self.packages()?.entries;
        let kept = self.kept(&packages, keep)?;
        let (stay, go): (Vec<_>, Vec<_>) = packages
            .into_iter()
            .partition(|package| kept.contains(&id(package)));
        if go.is_empty() {
            return Ok(Vec::new());
        }
        let shares = self.sharing()? != Sharing::Copies;
        let mut counted: HashSet<(Hash, u32)> = HashSet::new();
        if shares {
            for package in &stay {
                if let Ok(list) = read_list(package.folder()) {
                    counted.extend(list.files().map(|(_, mode, digest, _)| (digest, mode)));
                }
            }
        }
        let mut newest: HashMap<&str, &InstalledPackage> = HashMap::new();
        for package in &stay {
            newest.entry(&package.name).or_insert(package);
        }
        let mut items = Vec::new();
        for package in &go {
            let size_bytes = match read_list(package.folder()) {
                Ok(list) if shares => list
                    .files()
                    .filter(|(_, mode, digest, _)| counted.insert((*digest, *mode)))
                    .map(|(.., size_bytes)| size_bytes)
                    .sum(),
                _ => package.size_bytes,
            };
            let reason = match newest.get(package.name.as_str()) {
                Some(other) => format!("No appliance needs it, and there is {}", other.label()),
                None => "No appliance needs it".to_owned(),
            };
            items.push(PruneItem {
                kind: PruneKind::Package,
                what: package.label(),
                reason,
                size_bytes,
                target: Target::Package(Box::new(package.clone())),
            });
        }
        Ok(items)
    }

    /// The digests of what stays, with the names that they have.
    fn kept(
        &self,
        packages: &[InstalledPackage],
        keep: &Keep,
    ) -> Result<HashSet<(String, String)>, Error> {
        let mut kept = HashSet::new();
        for locked in keep.locks.iter().flat_map(Lock::packages) {
            kept.insert((locked.name.clone(), locked.digest.clone()));
        }
        let mut seen_names = HashSet::new();
        let mut roots = keep.requirements.clone();
        for package in packages {
            let is_newest = seen_names.insert(package.name.as_str());
            if package.pinned || (keep.newest && is_newest) {
                kept.insert(id(package));
                roots.push(package.require.clone());
            }
        }
        for require in roots.iter().filter(|require| !require.is_empty()) {
            self.keep_solution(require, packages, &mut kept)?;
        }
        Ok(kept)
    }

    fn keep_solution(
        &self,
        require: &[Requirement],
        packages: &[InstalledPackage],
        kept: &mut HashSet<(String, String)>,
    ) -> Result<(), Error> {
        match self.resolve(require, None) {
            Ok(resolution) => kept.extend(resolution.packages.iter().map(id)),
            Err(error @ Error::Io { .. }) => return Err(error),
            // Something is missing or at odds. What will be needed when it is not cannot be told: all of it stays.
            Err(_) => {
                let mut names: Vec<&str> = require.iter().map(|need| need.name.as_str()).collect();
                let mut known: HashSet<&str> = names.iter().copied().collect();
                while let Some(name) = names.pop() {
                    for package in packages.iter().filter(|package| package.name == name) {
                        kept.insert(id(package));
                        for need in &package.require {
                            if known.insert(&need.name) {
                                names.push(&need.name);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn id(package: &InstalledPackage) -> (String, String) {
    (package.name.clone(), package.digest.clone())
}

/// Removes a file that may be gone already.
fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.context("remove", path),
    }
}

/// Downloads that were given up, with their sizes.
fn old_downloads(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut old = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let age = SystemTime::now().duration_since(modified);
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() && age.is_ok_and(|age| age > PARTIAL_AGE) {
                old.push((entry.path(), metadata.len()));
            }
        }
    }
    old
}
