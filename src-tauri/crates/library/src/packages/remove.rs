//! Packages go, and the objects that nothing needs any more with them.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use blake3::Hash;
use tokio_util::sync::CancellationToken;

use super::add::set_aside;
use super::{InstalledPackage, LIST_FILE, is_digits, no_package};
use crate::error::{Error, IoContext};
use crate::library::{Library, WriteLock};
use crate::store::Sharing;
use crate::store::objects::{Object, Objects};
use crate::store::tree::Tree;

impl Library {
    /// Removes all versions of a package.
    ///
    /// # Errors
    /// [`Error::NoPackage`], or when its folder cannot be removed.
    pub fn remove_package(&self, name: &str) -> Result<(), Error> {
        let folder = self.package_folder(name)?;
        let lock = self.lock(&CancellationToken::new())?;
        if !folder.is_dir() {
            return Err(no_package(name));
        }
        let workplace = self.workplace()?;
        let mut lists = Vec::new();
        for entry in fs::read_dir(&folder).context("list", &folder)?.flatten() {
            if is_digits(&entry.file_name().to_string_lossy()) {
                lists.extend(read_list(&entry.path()).ok());
            }
        }
        set_aside(&lock, &folder, &workplace)?;
        drop(workplace);
        self.release(&lock, &lists)
    }

    /// Removes one version of a package, by its version or digest.
    ///
    /// # Errors
    /// As [`package_version`](Self::package_version), or when its folder cannot be removed.
    pub fn remove_package_version(&self, name: &str, which: &str) -> Result<(), Error> {
        let lock = self.lock(&CancellationToken::new())?;
        let package = self.package_version(name, which)?;
        self.take_package(&lock, &package)
    }

    /// Removes one version. It vanishes at once.
    pub(crate) fn take_package(
        &self,
        lock: &WriteLock,
        package: &InstalledPackage,
    ) -> Result<(), Error> {
        let list = read_list(package.folder()).ok();
        let workplace = self.workplace()?;
        set_aside(lock, package.folder(), &workplace)?;
        drop(workplace);
        // Fails while there are other versions.
        let _ = fs::remove_dir(self.package_folder(&package.name)?);
        self.release(lock, &list.into_iter().collect::<Vec<_>>())
    }

    /// Removes those objects of trees that are gone which no other tree has.
    fn release(&self, _lock: &WriteLock, gone: &[Tree]) -> Result<(), Error> {
        let objects = self.objects()?;
        let used = self.used_objects(&objects)?;
        for (_, mode, digest, _) in gone.iter().flat_map(Tree::files) {
            let path = objects.path(&digest, mode);
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            let object = Object {
                digest,
                mode,
                path,
                metadata,
            };
            if !used.has(&object) {
                remove_object(&object)?;
            }
        }
        Ok(())
    }

    /// The objects that no tree has.
    pub(crate) fn unused_objects(&self) -> Result<Vec<Object>, Error> {
        let objects = self.objects()?;
        let used = self.used_objects(&objects)?;
        let mut unused = Vec::new();
        objects.each(|object| {
            if !used.has(&object) {
                unused.push(object);
            }
            Ok(())
        })?;
        Ok(unused)
    }

    fn used_objects(&self, objects: &Objects) -> Result<Used, Error> {
        if objects.sharing() == Sharing::HardLinks {
            return Ok(Used::ByNames);
        }
        let mut used = HashSet::new();
        for package in self.packages()?.entries {
            // What a damaged list does not tell is lost as an object, and not to the tree, which has files of its own.
            if let Ok(list) = read_list(package.folder()) {
                used.extend(list.files().map(|(_, mode, digest, _)| (digest, mode)));
            }
        }
        Ok(Used::These(used))
    }
}

/// Which objects are in trees.
enum Used {
    /// Those whose file has a further name.
    ByNames,
    /// These.
    These(HashSet<(Hash, u32)>),
}

impl Used {
    fn has(&self, object: &Object) -> bool {
        match self {
            Self::ByNames => object.metadata.nlink() > 1,
            Self::These(used) => used.contains(&(object.digest, object.mode)),
        }
    }
}

/// Removes an object, and the folder that it was in when it was the last.
pub(crate) fn remove_object(object: &Object) -> Result<(), Error> {
    match fs::remove_file(&object.path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        removed => removed.context("remove", &object.path)?,
    }
    if let Some(folder) = object.path.parent() {
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// Reads the list of a package's tree.
pub(crate) fn read_list(folder: &Path) -> Result<Tree, Error> {
    let path = folder.join(LIST_FILE);
    let text = fs::read(&path).context("read", &path)?;
    Tree::parse(&text).map_err(|found| Error::List { path, found })
}
