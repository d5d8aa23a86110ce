//! Which packages of the library requirements come to, and whether a lock still says so.
//!
//! ```text
//!   require + lock ── resolve ──> packages in order ── Resolution::lock ──> meta/windlass.lock
//!                                        │
//!   lock ── resolve_locked ──> the very packages, their trees compared with their digests
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use windlass_package::lock::{Lock, Locked};
use windlass_package::resolve::{Candidate, Source, solve};
use windlass_package::{Requirement, Version, Watch};

use super::InstalledPackage;
use crate::error::Error;
use crate::library::Library;

/// The name that candidates of the library say they come from.
const ORIGIN: &str = "library";

/// The packages that requirements come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    /// In the order in which they are laid over each other: what a package needs before it, each once.
    pub packages: Vec<InstalledPackage>,
    /// Why each is there: paths from what was asked for to it.
    pub why: BTreeMap<String, Vec<Vec<String>>>,
}

impl Resolution {
    /// The lock that brings in these very packages again.
    pub fn lock(&self) -> Lock {
        self.packages.iter().map(locked).collect()
    }
}

fn locked(package: &InstalledPackage) -> Locked {
    let origin = package.origin.as_ref();
    Locked {
        name: package.name.clone(),
        version: package.version.clone(),
        digest: package.digest.clone(),
        archive_sha256: origin.and_then(|origin| origin.archive_sha256.clone()),
        origin: origin.map(|origin| origin.url.clone()),
    }
}

/// A difference between a lock and what requirements come to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockChange {
    /// Something is needed that is not locked.
    Added {
        /// What.
        package: String,
    },
    /// Something is locked that is not needed.
    Dropped {
        /// What.
        package: String,
    },
    /// What is locked is not allowed any more, and another version takes its place.
    Replaced {
        /// What is locked.
        package: String,
        /// What takes its place.
        by: String,
    },
    /// What is locked is not in the library.
    Missing {
        /// What is locked.
        package: String,
        /// From where it came, where that is known.
        origin: Option<String>,
    },
}

impl fmt::Display for LockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { package } => write!(f, "{package} is needed and not locked"),
            Self::Dropped { package } => write!(f, "{package} is locked and not needed any more"),
            Self::Replaced { package, by } => {
                write!(f, "{package} is locked, and {by} is needed instead")
            }
            Self::Missing { package, origin } => {
                write!(f, "{package} is locked and not in the library")?;
                origin
                    .iter()
                    .try_for_each(|origin| write!(f, "; it came from {origin}"))
            }
        }
    }
}

impl Library {
    /// The packages that requirements bring in, with all that these need. Of the versions that fit, the newest is taken;
    /// but what a lock names is kept as long as it fits.
    ///
    /// # Errors
    /// [`Error::Unsolvable`] says in sentences what is missing or at odds, or names the path that closes a circle.
    pub fn resolve(
        &self,
        require: &[Requirement],
        lock: Option<&Lock>,
    ) -> Result<Resolution, Error> {
        let source = Shelf {
            library: self,
            known: RefCell::default(),
            failure: RefCell::default(),
        };
        let solved = solve(require, &source, lock);
        // What could not be listed is more than missing.
        if let Some(failure) = source.failure.take() {
            return Err(failure);
        }
        let solution = solved.map_err(|source| Error::Unsolvable(Box::new(source)))?;
        let known = source.known.into_inner();
        let packages = solution.order.iter().filter_map(|candidate| {
            let is_it =
                |package: &&InstalledPackage| Some(&package.digest) == candidate.digest.as_ref();
            known.get(&candidate.name)?.iter().find(is_it).cloned()
        });
        Ok(Resolution {
            packages: packages.collect(),
            why: solution.why,
        })
    }

    /// The very packages that a lock names, in order, if it is still what the requirements come to and their trees are as
    /// they were added. That is told by sizes, modes and times; `full` reads every byte.
    ///
    /// # Errors
    /// [`Error::Stale`] with the differences, [`Error::DamagedPackage`], or as [`resolve`](Self::resolve).
    pub fn resolve_locked(
        &self,
        require: &[Requirement],
        lock: &Lock,
        full: bool,
        watch: &mut dyn Watch,
    ) -> Result<Resolution, Error> {
        let (resolution, changes) = self.compare_lock(require, lock)?;
        if !changes.is_empty() {
            return Err(Error::Stale { changes });
        }
        let damages = self.verify_packages(&resolution.packages, full, watch)?;
        if damages.is_empty() {
            Ok(resolution)
        } else {
            Err(Error::DamagedPackage { damages })
        }
    }

    /// How a lock differs from what requirements come to now, keeping to it where they can; not at all when it is current.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn lock_changes(
        &self,
        require: &[Requirement],
        lock: &Lock,
    ) -> Result<Vec<LockChange>, Error> {
        Ok(self.compare_lock(require, lock)?.1)
    }

    fn compare_lock(
        &self,
        require: &[Requirement],
        lock: &Lock,
    ) -> Result<(Resolution, Vec<LockChange>), Error> {
        let resolution = match self.resolve(require, Some(lock)) {
            Ok(resolution) => resolution,
            Err(error) => {
                // Said of the lock when it is the lock's package that is missing.
                let missing = self.missing(lock)?;
                return Err(if missing.is_empty() {
                    error
                } else {
                    Error::Stale { changes: missing }
                });
            }
        };
        let mut changes = self.missing(lock)?;
        for package in &resolution.packages {
            match lock.find(&package.name) {
                None => changes.push(LockChange::Added {
                    package: package.label(),
                }),
                Some(locked) if locked.digest != package.digest => {
                    let is_missing = self.package_version(&locked.name, &locked.digest).is_err();
                    if !is_missing {
                        changes.push(LockChange::Replaced {
                            package: label(locked),
                            by: package.label(),
                        });
                    }
                }
                Some(_) => {}
            }
        }
        for locked in lock.packages() {
            let is_needed = |package: &InstalledPackage| package.name == locked.name;
            if !resolution.packages.iter().any(is_needed) {
                changes.retain(|change| !matches!(change, LockChange::Missing { package, .. } if *package == label(locked)));
                changes.push(LockChange::Dropped {
                    package: label(locked),
                });
            }
        }
        Ok((resolution, changes))
    }

    /// What is locked and not in the library.
    fn missing(&self, lock: &Lock) -> Result<Vec<LockChange>, Error> {
        let mut missing = Vec::new();
        for locked in lock.packages() {
            match self.package_version(&locked.name, &locked.digest) {
                Ok(_) => {}
                Err(Error::NoPackage { .. } | Error::NoVersion { .. }) => {
                    missing.push(LockChange::Missing {
                        package: label(locked),
                        origin: locked.origin.clone(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(missing)
    }
}

/// A library has candidates: what of it cannot be read is passed over.
impl Source for Library {
    fn candidates(&self, name: &str) -> Vec<Candidate> {
        let versions = self.package_versions(name).unwrap_or_default();
        versions.entries.iter().map(candidate).collect()
    }
}

fn label(locked: &Locked) -> String {
    match &locked.version {
        Some(version) => format!("{} {version}", locked.name),
        None => locked.name.clone(),
    }
}

fn candidate(package: &InstalledPackage) -> Candidate {
    let version = package.version.as_deref();
    Candidate {
        name: package.name.clone(),
        version: version.and_then(|text| Version::parse(text).ok()),
        require: package.require.clone(),
        origin: ORIGIN.to_owned(),
        digest: Some(package.digest.clone()),
    }
}

/// The library during one resolution: each name is listed once, and a failure remembered.
struct Shelf<'a> {
    library: &'a Library,
    known: RefCell<HashMap<String, Vec<InstalledPackage>>>,
    failure: RefCell<Option<Error>>,
}

impl Source for Shelf<'_> {
    fn candidates(&self, name: &str) -> Vec<Candidate> {
        if let Some(known) = self.known.borrow().get(name) {
            return known.iter().map(candidate).collect();
        }
        let versions = match self.library.package_versions(name) {
            Ok(versions) => versions,
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                return Vec::new();
            }
        };
        if versions.entries.is_empty()
            && let Some(error) = versions.broken.into_iter().next()
        {
            self.failure.borrow_mut().get_or_insert(error);
        }
        let candidates = versions.entries.iter().map(candidate).collect();
        let mut known = self.known.borrow_mut();
        known.insert(name.to_owned(), versions.entries);
        candidates
    }
}
