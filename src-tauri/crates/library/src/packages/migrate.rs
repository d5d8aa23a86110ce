//! Packages of Windlass 0.1, a folder each, come into the layout of today.
//!
//! ```text
//!   packages/node-20/meta/package.yaml …
//!        │ hard links into a new tree beside; what is old stays whole meanwhile
//!        v
//!   packages/node-20/9c0e44d1a7b35f02/tree/meta/package.yaml …
//! ```
//!
//! Both change places in one step, so that a computer that is switched off has one of the two. A package that cannot be
//! brought over stays as it is, and is listed as broken.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio_util::sync::CancellationToken;
use windlass_package::{META_DIRECTORY, is_valid_name};

use super::add::sync_all;
use super::record::Record;
use super::{FOLDER_DIGITS, LIST_FILE, TREE_FOLDER, open};
use crate::error::{Error, IoContext};
use crate::file::{remove_tree, sync_parent, write_whole};
use crate::library::Library;
use crate::store::import::{Soil, grow};
use crate::store::tree;

/// What an old package is called for a moment, on file systems where two folders cannot change places.
const BEFORE: &str = ".before-";

impl Library {
    /// Brings packages of the old layout into the new one.
    pub(crate) fn migrate(&self) {
        if self.old_packages().is_empty() && self.put_aside().is_empty() {
            return;
        }
        let lock = match self.lock(&CancellationToken::new()) {
            Ok(lock) => lock,
            Err(error) => {
                tracing::warn!(%error, "packages of the old layout stay as they are");
                return;
            }
        };
        for name in self.put_aside() {
            self.take_back(&name);
        }
        // Another process may have done it while we waited.
        for name in self.old_packages() {
            match self.migrate_package(&name) {
                Ok(()) => tracing::info!(name, "brought into the new layout"),
                Err(error) => tracing::warn!(name, %error, "stays in the old layout"),
            }
        }
        drop(lock);
    }

    /// The names of packages of the old layout.
    fn old_packages(&self) -> Vec<String> {
        let folder = self.packages_folder();
        let is_old =
            |name: &String| is_valid_name(name) && folder.join(name).join(META_DIRECTORY).is_dir();
        names_in(&folder).into_iter().filter(is_old).collect()
    }

    /// The names of old packages that were put aside when we were interrupted.
    fn put_aside(&self) -> Vec<String> {
        let names = names_in(&self.packages_folder()).into_iter();
        names
            .filter_map(|name| name.strip_prefix(BEFORE).map(str::to_owned))
            .collect()
    }

    /// Undoes a change of places that was interrupted after its first step, and ends one that was after its second.
    fn take_back(&self, name: &str) {
        let aside = self.packages_folder().join(format!("{BEFORE}{name}"));
        let place = self.packages_folder().join(name);
        let done = if place.exists() {
            remove_tree(&aside)
        } else {
            fs::rename(&aside, &place)
        };
        if let Err(error) = done {
            tracing::warn!(name, %error, "an old package stays aside");
        }
    }

    fn migrate_package(&self, name: &str) -> Result<(), Error> {
        let old = self.packages_folder().join(name);
        let package = open(&old)?;
        if !package.has_manifest || package.manifest.name != name {
            return Err(Error::PackageName {
                name: package.manifest.name,
            });
        }
        let workplace = self.workplace()?;
        let new = workplace.path().join(name);
        fs::create_dir(&new).context("create", &new)?;
        let growing = new.join("growing");
        fs::create_dir(&growing).context("create", &growing)?;
        let root = growing.join(TREE_FOLDER);
        let tree = grow(Soil::Take(&old), &root, &mut ())?;
        sync_all(&root)?;
        let objects = self.objects()?;
        let spare = workplace.path().join("spare");
        for (entry, mode, digest, size_bytes) in tree.files() {
            objects.share(&root.join(entry.path()), &digest, mode, size_bytes, &spare)?;
        }
        let list = tree.render();
        let record = Record::new(&package, &tree, &tree::digest(&list), None);
        write_whole(&growing.join(LIST_FILE), &list)?;
        record.write(&growing)?;
        let named = new.join(&record.digest[..FOLDER_DIGITS]);
        fs::rename(&growing, &named).context("create", &named)?;
        sync_parent(&named)?;
        self.change_places(name, &new, &old)?;
        sync_parent(&old)
    }

    fn change_places(&self, name: &str, new: &Path, old: &Path) -> Result<(), Error> {
        match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
            // The old one is in the workplace now, and goes with it.
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                let aside = self.packages_folder().join(format!("{BEFORE}{name}"));
                fs::rename(old, &aside).context("replace", old)?;
                fs::rename(new, old).context("create", old)?;
                fs::rename(&aside, new).context("remove", &aside)
            }
            Err(error) => Err(std::io::Error::from(error)).context("replace", old),
        }
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}
