//! Kernels come into the library.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use tokio_util::sync::CancellationToken;
use windlass_guest::kernel;

use super::record::{KERNEL_FILE, MODULES_FOLDER, MODULES_ORDER, Record, modified_ns};
use super::{ID_DIGITS, Kernel};
use crate::error::{Error, IoContext};
use crate::file::{
    copy_digesting, place_folder, remove_tree, take_away, unfinished_folder, write_whole,
};
use crate::library::{Library, WriteLock};
use crate::linux::{self, Modules};
use crate::progress::{Progress, Step};

/// What a `.deb` begins with.
const AR_MAGIC: &[u8] = b"!<arch>\n";

impl Library {
    /// Copies a guest kernel into the library, or finds it there: an OSv loader image, an OSv ELF kernel or ZFS builder, a
    /// Linux bzImage, or a distribution's package file `linux-image-….deb`. A `linux-modules-….deb` brings the drivers of a
    /// kernel of the same version that is there already.
    ///
    /// # Errors
    /// [`Error::NotAKernel`] where it is something else, which the source names; I/O errors; [`Error::Cancelled`].
    pub fn add_kernel(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<Kernel, Error> {
        let metadata = std::fs::metadata(path).context("read", path)?;
        if !metadata.is_file() {
            return Err(Error::NotAFile {
                path: path.to_path_buf(),
            });
        }
        let mut file = File::open(path).context("read", path)?;
        let mut magic = Vec::new();
        (&mut file)
            .take(AR_MAGIC.len() as u64)
            .read_to_end(&mut magic)
            .context("read", path)?;
        if magic == AR_MAGIC {
            return linux::add_packages(self, &[path], progress, cancel);
        }
        self.store_kernel(path, &Modules::default(), progress, cancel)
    }

    /// Copies a kernel's file, with these modules, which lie in some other folder.
    pub(crate) fn store_kernel(
        &self,
        path: &Path,
        modules: &Modules,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<Kernel, Error> {
        let mut file = File::open(path).context("read", path)?;
        let not_a_kernel = |source| Error::NotAKernel {
            path: path.to_path_buf(),
            source,
        };
        let facts = kernel::identify(&mut file).map_err(not_a_kernel)?;
        file.rewind().context("read", path)?;
        let total_bytes = file.metadata().context("read", path)?.len();

        let lock = self.lock(cancel)?;
        let folder = unfinished_folder(&self.kernels_folder())?;
        let copy_path = folder.path().join(KERNEL_FILE);
        let mut copy = File::create_new(&copy_path).context("write", &copy_path)?;
        let mut advance = |done_bytes| {
            progress(Progress {
                step: Step::Copy,
                done_bytes,
                total_bytes: Some(total_bytes),
            });
        };
        let (digest, size_bytes) =
            copy_digesting(&mut file, path, &mut copy, &copy_path, &mut advance, cancel)?;
        copy.sync_all().context("write", &copy_path)?;
        // What was identified is what was copied: a file that is being written meanwhile shows here.
        let mut copy = File::open(&copy_path).context("read", &copy_path)?;
        if kernel::identify(&mut copy).map_err(not_a_kernel)? != facts {
            return Err(Error::Changing {
                path: path.to_path_buf(),
            });
        }

        let mut record = Record::new(&facts, &digest, size_bytes);
        record.seen_modified_ns = modified_ns(&copy.metadata().context("read", &copy_path)?);
        modules.copy_to(&folder.path().join(MODULES_FOLDER))?;
        record.modules = modules.names();
        record.lacking.clone_from(&modules.lacking);
        record.write(folder.path())?;

        let id = &digest.to_hex()[..ID_DIGITS];
        let destination = self.kernels_folder().join(id);
        if destination.exists() {
            if let Some(kernel) = self.already_there(&lock, id, &record, modules)? {
                return Ok(kernel);
            }
            take_away(&destination)?;
        }
        place_folder(folder, &destination)?;
        self.kernel(id)
    }

    /// The kernel that is in the library already, given modules if it has none; `None` where it is damaged.
    fn already_there(
        &self,
        lock: &WriteLock,
        id: &str,
        new: &Record,
        modules: &Modules,
    ) -> Result<Option<Kernel>, Error> {
        let folder = self.kernels_folder().join(id);
        let Ok(mut old) = Record::read(&folder) else {
            return Ok(None);
        };
        let length = std::fs::metadata(folder.join(KERNEL_FILE)).map(|metadata| metadata.len());
        if old.digest != new.digest || !length.is_ok_and(|length| length == old.size_bytes) {
            return Ok(None);
        }
        if self.check_kernel(id, true).is_err() {
            return Ok(None);
        }
        if !old.can_the_same(new) {
            // It was added when less could be told from its bytes.
            old.learn(new);
            old.write(&folder)?;
        }
        if old.modules.is_empty() && !modules.is_empty() {
            self.give_modules(lock, id, modules)?;
        }
        self.kernel(id).map(Some)
    }

    /// Adds modules to a kernel that came without. The record that names them is written last.
    pub(crate) fn give_modules(
        &self,
        _lock: &WriteLock,
        id: &str,
        modules: &Modules,
    ) -> Result<(), Error> {
        let folder = self.kernels_folder().join(id);
        let mut record = Record::read(&folder)?;
        let growing = unfinished_folder(&self.kernels_folder())?;
        let grown = growing.path().join(MODULES_FOLDER);
        modules.copy_to(&grown)?;
        let place = folder.join(MODULES_FOLDER);
        if place.exists() {
            remove_tree(&place).context("replace", &place)?;
        }
        if grown.exists() {
            std::fs::rename(&grown, &place).context("create", &place)?;
        }
        record.modules = modules.names();
        record.lacking.clone_from(&modules.lacking);
        record.write(&folder)
    }
}

impl Modules {
    /// Writes the modules and their order into a folder, which is made; nothing where there are none.
    fn copy_to(&self, folder: &Path) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        std::fs::create_dir(folder).context("create", folder)?;
        for module in &self.files {
            let copy = folder.join(&module.file_name);
            std::fs::copy(&module.path, &copy).context("write", &copy)?;
            File::open(&copy)
                .and_then(|file| file.sync_all())
                .context("write", &copy)?;
        }
        let order = self.names().join("\n") + "\n";
        write_whole(&folder.join(MODULES_ORDER), order.as_bytes())
    }
}
