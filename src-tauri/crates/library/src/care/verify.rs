//! Whether everything is as it was added.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use blake3::Hash;
use windlass_package::Watch;

use crate::error::{Error, IoContext};
use crate::library::Library;
use crate::packages::record::{FILE as RECORD_FILE, Record};
use crate::packages::{InstalledPackage, LIST_FILE, TREE_FOLDER, is_digits};
use crate::parallel::{self, Hand};
use crate::store::import::{digest, open};
use crate::store::objects::{is_settled, settle};
use crate::store::tree::{self, Entry, Kind, Tree};

/// Something in the library that is not as it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What has it.
    pub of: Holder,
    /// The file: within its tree, or by its name in its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What a damaged file belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A package.
    Package {
        /// Its name.
        name: String,
        /// Its version, where it has one and its record can be read.
        version: Option<String>,
        /// The first 16 digits of its digest.
        digits: String,
    },
    /// A guest kernel.
    Kernel {
        /// Its id.
        id: String,
    },
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// It is gone.
    Missing,
    /// Its content is another.
    Changed,
    /// Its content is right, but its permissions are others.
    Permissions,
    /// It was not there when the package was added.
    Extra,
    /// The operating system cannot read it.
    Unreadable,
    /// The record of what the package is, or the list of what it has, is damaged.
    Record,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Changed => "has changed",
            Self::Permissions => "has other permissions",
            Self::Extra => "does not belong there",
            Self::Unreadable => "cannot be read",
            Self::Record => "is damaged",
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package {
                name,
                version: Some(version),
                ..
            } => write!(f, "{name} {version}"),
            Self::Package { name, digits, .. } => write!(f, "{name} ({digits})"),
            Self::Kernel { id } => write!(f, "guest kernel {id}"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, path, problem } = self;
        write!(f, "{of}: {} {problem}", path.display())
    }
}

/// How thoroughly files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Those are read of which size, mode or time of change are not as they were left.
    Stamps,
    /// All are read.
    Contents,
}

/// The digests of files that were read already, by device and number: shared files are read once.
pub(crate) type Seen = Mutex<HashMap<(u64, u64), Hash>>;

impl Library {
    /// Reads all packages and kernels, and names every file that is damaged, missing or does not belong there. Progress is
    /// in bytes; what several packages share is read once.
    ///
    /// # Errors
    /// When the library cannot be listed; [`Error::Cancelled`].
    pub fn verify(&self, watch: &mut dyn Watch) -> Result<Vec<Damage>, Error> {
        let packages = self.packages()?;
        let kernels = self.kernels()?;
        let bytes = packages.entries.iter().map(|package| package.size_bytes);
        let kernel_bytes = kernels.entries.iter().map(|kernel| kernel.size_bytes);
        watch.expect(bytes.chain(kernel_bytes).sum());
        let seen = Seen::default();
        let mut damages = self.broken_records(&packages.broken);
        for package in packages.entries {
            watch.step(&format!("Reading {}", package.label()));
            match check_package(&package, Depth::Contents, &seen, watch) {
                // It was removed meanwhile.
                Ok(_) | Err(Error::Io { .. }) if !package.folder().exists() => {}
                Ok(found) => damages.extend(found),
                Err(error) => return Err(error),
            }
        }
        let broken = |id: &str, problem| Damage {
            of: Holder::Kernel { id: id.to_owned() },
            path: "kernel".into(),
            problem,
        };
        for kernel in kernels.entries {
            watch.step(&format!("Reading guest kernel {}", kernel.id));
            match self.verify_kernel(&kernel.id, true) {
                Ok(_) | Err(Error::NoKernel { .. }) => {}
                Err(Error::Damaged { .. }) => damages.push(broken(&kernel.id, Problem::Changed)),
                Err(_) => damages.push(broken(&kernel.id, Problem::Unreadable)),
            }
            if watch.advance(kernel.size_bytes).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(damages)
    }

    /// Whether packages are as they were added. Sizes, modes and times of change are enough where they are as they were
    /// left; `full` reads all the same.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_packages(
        &self,
        packages: &[InstalledPackage],
        full: bool,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Damage>, Error> {
        let depth = if full { Depth::Contents } else { Depth::Stamps };
        let seen = Seen::default();
        let mut damages = Vec::new();
        for package in packages {
            damages.extend(check_package(package, depth, &seen, watch)?);
        }
        Ok(damages)
    }

    /// What could not be listed, as damages.
    fn broken_records(&self, broken: &[Error]) -> Vec<Damage> {
        let packages = self.packages_folder();
        let of = |path: &Path| {
            let inside = path.strip_prefix(&packages).ok()?;
            let mut names = inside
                .iter()
                .map(|name| name.to_string_lossy().into_owned());
            let (name, digits) = (names.next()?, names.next()?);
            is_digits(&digits).then_some(Holder::Package {
                name,
                version: None,
                digits,
            })
        };
        let path = |error: &Error| match error {
            Error::Record { path, .. } | Error::Io { path, .. } => of(path),
            _ => None,
        };
        let damage = |of| Damage {
            of,
            path: RECORD_FILE.into(),
            problem: Problem::Record,
        };
        broken.iter().filter_map(path).map(damage).collect()
    }
}

/// Looks at one package.
pub(crate) fn check_package(
    package: &InstalledPackage,
    depth: Depth,
    seen: &Seen,
    watch: &mut dyn Watch,
) -> Result<Vec<Damage>, Error> {
    let of = Holder::of(package);
    let tree = match sound_list(package.folder(), &package.digest) {
        Ok(tree) => tree,
        Err(problem) => {
            return Ok(vec![Damage {
                of,
                path: LIST_FILE.into(),
                problem,
            }]);
        }
    };
    let found = check_tree(&package.path, &tree, depth, seen, watch)?;
    let damage = |(path, problem)| Damage {
        of: of.clone(),
        path,
        problem,
    };
    Ok(found.into_iter().map(damage).collect())
}

impl Holder {
    pub(crate) fn of(package: &InstalledPackage) -> Self {
        Self::Package {
            name: package.name.clone(),
            version: package.version.clone(),
            digits: package
                .digest
                .get(..crate::packages::FOLDER_DIGITS)
                .unwrap_or(&package.digest)
                .to_owned(),
        }
    }
}

/// The list of a tree, where it is the one that the digest is of.
pub(crate) fn sound_list(folder: &Path, digest: &str) -> Result<Tree, Problem> {
    let text = fs::read(folder.join(LIST_FILE)).map_err(|_| Problem::Record)?;
    if tree::digest(&text).to_hex().as_str() != digest {
        return Err(Problem::Record);
    }
    Tree::parse(&text).map_err(|_| Problem::Record)
}

/// Whether a package's folder holds this tree, as far as stamps tell.
pub(crate) fn is_whole(folder: &Path, tree: &Tree) -> bool {
    let has_list = Record::read(folder)
        .is_ok_and(|record| sound_list(folder, &record.digest).is_ok_and(|list| list == *tree));
    has_list
        && check_tree(
            &folder.join(TREE_FOLDER),
            tree,
            Depth::Stamps,
            &Seen::default(),
            &mut (),
        )
        .is_ok_and(|damages| damages.is_empty())
}

/// Compares a tree with its list.
pub(crate) fn check_tree(
    root: &Path,
    tree: &Tree,
    depth: Depth,
    seen: &Seen,
    watch: &mut dyn Watch,
) -> Result<Vec<(PathBuf, Problem)>, Error> {
    let problems = parallel::for_all(
        tree.entries(),
        |entry, hand| check_entry(root, entry, depth, seen, hand),
        watch,
    )?;
    let mut damages: Vec<(PathBuf, Problem)> = tree
        .entries()
        .iter()
        .zip(problems)
        .filter_map(|(entry, problem)| Some((entry.path().to_path_buf(), problem?)))
        .collect();
    extra(root, tree, &mut damages)?;
    Ok(damages)
}

fn check_entry(
    root: &Path,
    entry: &Entry,
    depth: Depth,
    seen: &Seen,
    hand: &mut Hand<'_>,
) -> Result<Option<Problem>, Error> {
    let path = root.join(entry.path());
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Ok(Some(Problem::Unreadable));
        }
        Err(_) => return Ok(Some(Problem::Missing)),
    };
    let wrong = |is_wrong: bool| Ok(is_wrong.then_some(Problem::Changed));
    match &entry.kind {
        Kind::Folder { .. } => wrong(!metadata.is_dir()),
        Kind::Link { target } => {
            wrong(!fs::read_link(&path).is_ok_and(|found| found.as_os_str().as_bytes() == target))
        }
        Kind::File {
            mode,
            digest,
            size_bytes,
        } => {
            if !metadata.is_file() || metadata.len() != *size_bytes {
                hand.advance(*size_bytes)?;
                return Ok(Some(Problem::Changed));
            }
            let as_left = is_settled(&metadata, *mode, *size_bytes);
            if as_left && depth == Depth::Stamps {
                hand.advance(*size_bytes)?;
                return Ok(None);
            }
            let found = match read_once(&path, &metadata, seen, hand) {
                Ok(found) => found,
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(_) => return Ok(Some(Problem::Unreadable)),
            };
            if found != *digest {
                return Ok(Some(Problem::Changed));
            }
            if metadata.mode() & 0o7777 != *mode {
                return Ok(Some(Problem::Permissions));
            }
            if !as_left {
                // Only its time is another: it is right, and need not be read again to know.
                let _ = open(&path).is_ok_and(|file| settle(&file, *mode).is_ok());
            }
            Ok(None)
        }
    }
}

fn read_once(
    path: &Path,
    metadata: &fs::Metadata,
    seen: &Seen,
    hand: &mut Hand<'_>,
) -> Result<Hash, Error> {
    let id = (metadata.dev(), metadata.ino());
    let known = || seen.lock().ok()?.get(&id).copied();
    if let Some(found) = known() {
        hand.advance(metadata.len())?;
        return Ok(found);
    }
    let (found, _) = digest(&mut open(path)?, path, hand)?;
    if let Ok(mut seen) = seen.lock() {
        seen.insert(id, found);
    }
    Ok(found)
}

/// Adds what is in a tree and not in its list.
fn extra(root: &Path, tree: &Tree, damages: &mut Vec<(PathBuf, Problem)>) -> Result<(), Error> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let at = root.join(&folder);
        let entries = match fs::read_dir(&at) {
            Ok(entries) => entries,
            // The folder itself is missing, and named so.
            Err(_) if !folder.as_os_str().is_empty() || !at.exists() => continue,
            Err(error) => return Err(error).context("list", &at),
        };
        for entry in entries {
            let entry = entry.context("list", &at)?;
            let path = folder.join(entry.file_name());
            if tree.find(path.as_os_str().as_bytes()).is_none() {
                damages.push((path, Problem::Extra));
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    Ok(())
}
