//! How much the library takes.

use std::fs;

use crate::error::Error;
use crate::file::tree_bytes;
use crate::library::Library;
use crate::store::Sharing;

/// How much the library takes on the disk, and what of it is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Packages, each version counted.
    pub packages: u64,
    /// What packages take: a file that several have is counted once, where files are shared.
    pub packages_bytes: u64,
    /// How files are shared.
    pub sharing: Sharing,
    /// How many different files packages consist of; 0 where files are not shared.
    pub objects: u64,
    /// What they take.
    pub objects_bytes: u64,
    /// What packages would take more if nothing were shared.
    pub saved_bytes: u64,
    /// Objects that no package has any more.
    pub unused_objects_bytes: u64,
    /// Guest kernels.
    pub kernels: u64,
    /// What they take, with their modules and what was made of them.
    pub kernels_bytes: u64,
    /// Of that, what was made for another version of Windlass.
    pub old_initramfs_bytes: u64,
    /// Downloads that can be resumed.
    pub partial_bytes: u64,
    /// What processes that were killed left.
    pub left_bytes: u64,
}

impl Library {
    /// How much the library takes.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn usage(&self) -> Result<Usage, Error> {
        let packages = self.packages()?.entries;
        let apparent_bytes: u64 = packages.iter().map(|package| package.size_bytes).sum();
        let objects = self.objects()?;
        let (mut count, mut objects_bytes) = (0, 0);
        objects.each(|object| {
            count += 1;
            objects_bytes += object.metadata.len();
            Ok(())
        })?;
        let unused = self.unused_objects()?;
        let unused_objects_bytes = unused.iter().map(|object| object.metadata.len()).sum();
        let packages_bytes = match objects.sharing() {
            Sharing::Copies => apparent_bytes,
            _ => objects_bytes.saturating_sub(unused_objects_bytes),
        };
        let kernels = fs::read_dir(self.kernels_folder()).map_or(0, Iterator::count);
        let old = self.old_initramfs()?;
        Ok(Usage {
            packages: packages.len() as u64,
            packages_bytes,
            sharing: objects.sharing(),
            objects: count,
            objects_bytes,
            saved_bytes: apparent_bytes.saturating_sub(packages_bytes),
            unused_objects_bytes,
            kernels: kernels as u64,
            kernels_bytes: tree_bytes(&self.kernels_folder()),
            old_initramfs_bytes: old.iter().map(|(.., size_bytes)| size_bytes).sum(),
            partial_bytes: tree_bytes(&self.downloads_folder()),
            left_bytes: self.left_bytes(),
        })
    }
}
