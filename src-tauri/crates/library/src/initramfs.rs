//! What a Linux kernel starts with: our init, and the kernel's own drivers.
//!
//! ```text
//! /init                    windlass-init
//! /dev/console             so that it can speak before it has mounted anything
//! /modules/virtio.ko …     the drivers
//! /modules/order           their paths, one per line, in load order
//! ```
//!
//! An uncompressed `newc` cpio archive, the same bytes for the same kernel and init. It is padded to 512 bytes, so that
//! whoever starts a machine can put a second archive with the command line behind it: the kernel unpacks both.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, trailer};
use tokio_util::sync::CancellationToken;
use windlass_guest::GuestOs;

use crate::embedded::INIT;
use crate::error::{Error, IoContext};
use crate::file::sync_parent;
use crate::kernels::Kernel;
use crate::kernels::record::MODULES_FOLDER;
use crate::library::{Library, UNFINISHED_PREFIX, sweep};

/// Changes when the layout does, so that cached ones are not taken for new ones.
const LAYOUT: &[u8] = b"windlass initramfs 1";

const NAME_PREFIX: &str = "initramfs-";

/// How many digits of a digest are in the name of a cached initramfs.
const NAME_DIGITS: usize = 16;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DATA: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// The archive's length is a multiple of this.
const PADDING_BYTES: u64 = 512;

impl Library {
    /// The initramfs for a Linux kernel: our init and the kernel's modules in load order, made when first asked for.
    ///
    /// # Errors
    /// [`Error::NoKernel`], [`Error::NotLinux`], or when it cannot be written.
    pub fn initramfs(&self, kernel_id: &str) -> Result<PathBuf, Error> {
        let kernel = self.kernel(kernel_id)?;
        if kernel.guest != GuestOs::Linux {
            return Err(Error::NotLinux { id: kernel.id });
        }
        let folder = self.kernels_folder().join(&kernel.id);
        let path = folder.join(file_name(&kernel));
        if path.exists() {
            return Ok(path);
        }
        let _lock = self.lock(&CancellationToken::new())?;
        if path.exists() {
            return Ok(path);
        }
        sweep(&folder);
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED_PREFIX)
            .tempfile_in(&folder)
            .context("create a file in", &folder)?;
        let mut writer = BufWriter::new(unfinished);
        write(&mut writer, &path, &kernel, &folder.join(MODULES_FOLDER))?;
        let unfinished = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .context("write", &path)?;
        unfinished.as_file().sync_all().context("write", &path)?;
        unfinished
            .persist(&path)
            .map_err(|error| error.error)
            .context("write", &path)?;
        sync_parent(&path)?;
        Ok(path)
    }
}

impl Library {
    /// What was made for other versions of our init: the kernel's id, the file, its size.
    pub(crate) fn old_initramfs(&self) -> Result<Vec<(String, PathBuf, u64)>, Error> {
        let mut old = Vec::new();
        for kernel in self.kernels()?.entries {
            if kernel.guest != GuestOs::Linux {
                continue;
            }
            let current = file_name(&kernel);
            let folder = self.kernels_folder().join(&kernel.id);
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(NAME_PREFIX) && name != current {
                    let size_bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                    old.push((kernel.id.clone(), entry.path(), size_bytes));
                }
            }
        }
        Ok(old)
    }
}

fn file_name(kernel: &Kernel) -> String {
    format!("{NAME_PREFIX}{}.cpio", name_of(kernel))
}

/// What the archive depends on, as digits for its name. The modules of a kernel never change but from none to some.
fn name_of(kernel: &Kernel) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(LAYOUT).update(INIT);
    for module in &kernel.modules {
        hasher.update(module.as_bytes()).update(b"\n");
    }
    hasher.finalize().to_hex()[..NAME_DIGITS].to_owned()
}

/// Writes the archive; `path` is what it will be called.
fn write(out: &mut impl Write, path: &Path, kernel: &Kernel, modules: &Path) -> Result<(), Error> {
    let mut archive = Archive {
        out,
        inode: 0,
        bytes: 0,
    };
    for (name, mode) in [("dev", DIRECTORY), ("modules", DIRECTORY)] {
        archive.append(name, mode, &[]).context("write", path)?;
    }
    archive
        .append("dev/console", CHARACTER_DEVICE, &[])
        .context("write", path)?;
    archive
        .append("init", PROGRAM, INIT)
        .context("write", path)?;
    let mut order = String::new();
    for module in &kernel.modules {
        let source = modules.join(module);
        let content = std::fs::read(&source).context("read", &source)?;
        archive
            .append(&format!("modules/{module}"), DATA, &content)
            .context("write", path)?;
        order.extend(["/modules/", module.as_str(), "\n"]);
    }
    archive
        .append("modules/order", DATA, order.as_bytes())
        .context("write", path)?;
    archive.finish().context("write", path)
}

/// A cpio archive that is being written.
struct Archive<W> {
    out: W,
    inode: u32,
    bytes: u64,
}

impl<W: Write> Archive<W> {
    fn append(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let mut entry = Builder::new(name).ino(self.inode).mode(mode).nlink(1);
        if mode == CHARACTER_DEVICE {
            entry = entry.rdev_major(5).rdev_minor(1);
        }
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut writer = entry.write(
            Counting {
                out: &mut self.out,
                bytes: &mut self.bytes,
            },
            length,
        );
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        trailer(Counting {
            out: &mut self.out,
            bytes: &mut self.bytes,
        })?;
        let padding = self.bytes.next_multiple_of(PADDING_BYTES) - self.bytes;
        io::copy(&mut io::Read::take(io::repeat(0), padding), &mut self.out)?;
        Ok(())
    }
}

/// Counts what is written.
struct Counting<'a, W> {
    out: &'a mut W,
    bytes: &'a mut u64,
}

impl<W: Write> Write for Counting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        *self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
