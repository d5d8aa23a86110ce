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
use crate::file::{sync_parent, write_whole};
use crate::library::Library;
use crate::store::import::{Soil, grow};
use crate::store::tree;

/// What an old package is called for a moment, on file systems where two folders cannot change places.
const BEFORE: &str = ".before-";

impl Library {
    /// Brings packages of the old layout into the new one.
    pub(crate) fn migrate(&self) {
        let old = self.old_packages();
        if old.is_empty() {
            return;
        }
        let lock = match self.lock(&CancellationToken::new()) {
            Ok(lock) => lock,
            Err(error) => {
                tracing::warn!(%error, "packages of the old layout stay as they are");
                return;
            }
        };
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
        let Ok(entries) = fs::read_dir(&folder) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if let Some(name) = name.strip_prefix(BEFORE) {
                // We were interrupted between the two steps: the first is undone.
                let place = folder.join(name);
                if !place.exists() {
                    let _ = fs::rename(entry.path(), &place);
                }
            }
            let name = name.strip_prefix(BEFORE).unwrap_or(&name);
            if is_valid_name(name) && folder.join(name).join(META_DIRECTORY).is_dir() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        names.dedup();
        names
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
