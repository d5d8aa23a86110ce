//! Packages come in: from a folder, from an archive.
//!
//! ```text
//!   folder ── copy and digest ─────┐
//!   archive ─ unpack and digest ───┴─> temporary/…/{tree, files}      no lock held, however long it takes
//!                                          │ sync
//!                                          │ library.lock: share each file with objects/
//!                                          └ rename ──> packages/<name>/<digest>
//! ```

use std::fs::{self, File};
use std::io;
use std::path::Path;

use windlass_package::archive::{self, Limits};
use windlass_package::{Package, Watch, is_valid_name};

use super::record::Record;
use super::{FOLDER_DIGITS, InstalledPackage, LIST_FILE, Origin, TREE_FOLDER, open, package_error};
use crate::care::verify::is_whole;
use crate::error::{Error, IoContext};
use crate::file::{remove_tree, sync_parent};
use crate::library::{Library, WriteLock};
use crate::store::hear::{Heard, listen};
use crate::store::import::{Soil, grow};
use crate::store::tree::{self, Tree};
use crate::workplace::Workplace;

/// The folder in a workplace that becomes the package's.
const GROWING: &str = "package";

impl Library {
    /// Adds the package in a folder, which stays as it is, or in an archive (`.mpm`, `.tar.gz`, `.tar.xz`, `.tar.zst`, `.zip`). One that is there
    /// already is found, and is the one added last then.
    ///
    /// # Errors
    /// [`Error::Package`] where it is none, or its archive is damaged or hostile; [`Error::PackageName`];
    /// [`Error::Changing`]; I/O errors; [`Error::Cancelled`]. Then nothing was added.
    pub fn add_package(
        &self,
        source: &Path,
        origin: Option<Origin>,
        watch: &mut dyn Watch,
    ) -> Result<InstalledPackage, Error> {
        let metadata = fs::metadata(source).context("read", source)?;
        if metadata.is_dir() {
            if let Some(package) = self.package_in(source) {
                return Ok(package);
            }
            check(source)?;
        }
        let workplace = self.workplace()?;
        let tree = if metadata.is_dir() {
            watch.step("Copying into the library");
            grow_in(&workplace, Soil::Copy(source), watch)?
        } else {
            unpack_in(&workplace, source, watch)?
        };
        self.place(&workplace, source, &tree, origin, watch)
    }

    /// Moves a packed folder into the library. Its files become the library's where they are on the same file system.
    ///
    /// # Errors
    /// As [`add_package`](Self::add_package); then the folder stays where it is.
    pub fn install_package(&self, folder: &Path) -> Result<InstalledPackage, Error> {
        if let Some(package) = self.package_in(folder) {
            return Ok(package);
        }
        check(folder)?;
        let workplace = self.workplace()?;
        let tree = grow_in(&workplace, Soil::Take(folder), &mut ())?;
        let package = self.place(&workplace, folder, &tree, None, &mut ())?;
        if let Err(error) = remove_tree(folder) {
            tracing::warn!(path = %folder.display(), %error, "the folder stays");
        }
        Ok(package)
    }

    /// The package of the library whose tree this folder is.
    fn package_in(&self, folder: &Path) -> Option<InstalledPackage> {
        let tree = fs::canonicalize(folder).ok()?;
        let inside = tree.strip_prefix(fs::canonicalize(self.packages_folder()).ok()?);
        inside.ok()?;
        let folder = tree.parent()?;
        Some(Record::read(folder).ok()?.into_package(folder))
    }

    /// Gives a grown tree its place.
    fn place(
        &self,
        workplace: &Workplace,
        source: &Path,
        tree: &Tree,
        origin: Option<Origin>,
        watch: &mut dyn Watch,
    ) -> Result<InstalledPackage, Error> {
        let growing = workplace.path().join(GROWING);
        let root = growing.join(TREE_FOLDER);
        let package = check(&root).map_err(|error| match error {
            // Named as it was given, and not as where it was unpacked.
            Error::Package { source: why, .. } => package_error(source, *why),
            Error::NoManifest { .. } => Error::NoManifest {
                path: source.to_path_buf(),
            },
            error => error,
        })?;
        let list = tree.render();
        let digest = tree::digest(&list);
        let mut record = Record::new(&package, tree, &digest, origin);

        let folder = self.package_folder(&record.name)?;
        let place = folder.join(&record.digest[..FOLDER_DIGITS]);
        let lock = self.lock_until(&mut || watch.advance(0).is_break())?;
        if place.exists() {
            if let Ok(there) = Record::read(&place) {
                if there.digest != record.digest {
                    return Err(Error::SameDigits { path: place });
                }
                if is_whole(&place, tree) {
                    return Self::renew(there, record, &place);
                }
                record.pinned = there.pinned;
            }
            // What is there is damaged, and here is all of it.
            set_aside(&lock, &place, workplace)?;
        }
        let objects = self.objects()?;
        let spare = workplace.path().join("spare");
        for (entry, mode, digest, size_bytes) in tree.files() {
            objects.share(&root.join(entry.path()), &digest, mode, size_bytes, &spare)?;
        }
        let list_path = growing.join(LIST_FILE);
        fs::write(&list_path, list)
            .and_then(|()| File::open(&list_path)?.sync_all())
            .context("write", &list_path)?;
        record.write(&growing)?;
        fs::create_dir_all(&folder).context("create", &folder)?;
        fs::rename(&growing, &place).context("create", &place)?;
        sync_parent(&place)?;
        sync_parent(&folder)?;
        Ok(record.into_package(&place))
    }

    /// What was there already is what was added last now.
    fn renew(mut there: Record, new: Record, place: &Path) -> Result<InstalledPackage, Error> {
        there.renew();
        there.origin = new.origin.or(there.origin);
        there.write(place)?;
        Ok(there.into_package(place))
    }
}

/// Grows a tree from a folder, and writes it to the disk.
fn grow_in(workplace: &Workplace, soil: Soil<'_>, watch: &mut dyn Watch) -> Result<Tree, Error> {
    let growing = workplace.path().join(GROWING);
    fs::create_dir(&growing).context("create", &growing)?;
    let root = growing.join(TREE_FOLDER);
    let tree = grow(soil, &root, watch)?;
    sync_all(&root)?;
    Ok(tree)
}

/// Unpacks an archive, and writes its tree to the disk.
pub(crate) fn unpack_in(
    workplace: &Workplace,
    archive: &Path,
    watch: &mut dyn Watch,
) -> Result<Tree, Error> {
    let growing = workplace.path().join(GROWING);
    fs::create_dir(&growing).context("create", &growing)?;
    let root = growing.join(TREE_FOLDER);
    let (unpacked, heard) =
        listen(|ear| archive::unpack_heard(archive, &root, &Limits::default(), ear, watch));
    let unpacked = unpacked.map_err(|source| package_error(archive, source))?;
    let heard = match unpacked.stripped {
        Some(folder) => without(&folder, heard),
        None => heard,
    };
    let mut quiet = |_| watch.advance(0);
    grow(Soil::Heard(&heard), &root, &mut quiet)
}

/// Reads what describes a package, if it can be one of the library.
fn check(folder: &Path) -> Result<Package, Error> {
    let package = open(folder)?;
    if !package.has_manifest {
        return Err(Error::NoManifest {
            path: folder.to_path_buf(),
        });
    }
    if is_valid_name(&package.manifest.name) {
        Ok(package)
    } else {
        Err(Error::PackageName {
            name: package.manifest.name,
        })
    }
}

/// What was heard, without the folder that everything was in.
fn without(folder: &str, heard: Heard) -> Heard {
    let inside = |path: Vec<u8>| {
        let path = path.strip_prefix(folder.as_bytes())?;
        path.strip_prefix(b"/").map(<[u8]>::to_vec)
    };
    heard
        .into_iter()
        .filter_map(|(path, kind)| Some((inside(path)?, kind)))
        .collect()
}

/// Moves a folder of the library, which is locked, to where it disappears with the workplace.
pub(super) fn set_aside(
    _lock: &WriteLock,
    folder: &Path,
    workplace: &Workplace,
) -> Result<(), Error> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = workplace.path().join(format!("aside-{name}"));
    fs::rename(folder, aside).context("remove", folder)
}

/// Writes all of a file system to the disk: much quicker than each file for itself.
pub(super) fn sync_all(root: &Path) -> Result<(), Error> {
    let folder = File::open(root).context("read", root)?;
    rustix::fs::syncfs(&folder)
        .map_err(io::Error::from)
        .context("write", root)
}
