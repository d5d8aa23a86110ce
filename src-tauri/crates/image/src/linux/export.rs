//! Kernel and disk as a pair of files, for a hypervisor that loads the kernel itself.
//!
//! ```text
//! NAME.vmlinuz   NAME.initrd   NAME.cmdline      qemu-system-x86_64 -kernel NAME.vmlinuz -initrd NAME.initrd
//! NAME.img                                         -append "$(cat NAME.cmdline)" -drive file=NAME.img,if=virtio,format=raw
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::disk::SharedDisk;
use crate::{Error, Watch};

const COPY_BYTES: usize = 1 << 20;

/// Where the files of a pair are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// The kernel.
    pub kernel: PathBuf,
    /// What it starts with, the boot command line of the appliance included.
    pub initramfs: PathBuf,
    /// The kernel's parameters, a line.
    pub parameters: PathBuf,
    /// The disk, raw.
    pub disk: PathBuf,
}

impl PairFiles {
    /// The files of a pair by the name that they share.
    pub fn of(folder: &Path, name: &str) -> Self {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        Self {
            kernel: file("vmlinuz"),
            initramfs: file("initrd"),
            parameters: file("cmdline"),
            disk: file("img"),
        }
    }

    fn all(&self) -> [&Path; 4] {
        [&self.kernel, &self.initramfs, &self.parameters, &self.disk]
    }
}

/// Writes a pair into a folder: each file complete beside its place, then all under their names, the disk last. Holes of the
/// disk stay holes. `initramfs` are archives that are put one behind the other, as the kernel unpacks them.
///
/// # Errors
/// [`Error::Kernel`] for a source that cannot be read, [`Error::Open`] for a file that cannot be written; the errors of reading the disk; [`Error::Cancelled`]. Nothing is left
/// in any of these cases.
pub fn write_pair(
    files: &PairFiles,
    kernel: &Path,
    initramfs: &mut dyn io::Read,
    parameters: &str,
    disk: &SharedDisk,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let waiting = files.all().map(unfinished);
    let written = write_all(&waiting, kernel, initramfs, parameters, disk, watch).and_then(|()| {
        for (from, to) in waiting.iter().zip(files.all()) {
            fs::rename(from, to).map_err(failed(to))?;
        }
        Ok(())
    });
    if written.is_err() {
        for path in &waiting {
            let _ = fs::remove_file(path);
        }
    }
    written
}

fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.writing-{}", std::process::id()))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Open {
        path: path.to_owned(),
        source,
    }
}

fn write_all(
    [kernel_file, initramfs_file, parameters_file, disk_file]: &[PathBuf; 4],
    kernel: &Path,
    initramfs: &mut dyn io::Read,
    parameters: &str,
    disk: &SharedDisk,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let mut source = File::open(kernel).map_err(|source| Error::Kernel {
        path: kernel.to_owned(),
        source,
    })?;
    fill(kernel_file, |out| io::copy(&mut source, out).map(drop))?;
    fill(initramfs_file, |out| io::copy(initramfs, out).map(drop))?;
    fill(parameters_file, |out| writeln!(out, "{parameters}"))?;

    let file = File::create(disk_file).map_err(failed(disk_file))?;
    file.set_len(disk.size_bytes()).map_err(failed(disk_file))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while let Some(data) = disk.next_data(at)? {
        at = data.start;
        while at < data.end {
            let left = usize::try_from(data.end - at).unwrap_or(COPY_BYTES);
            let part = &mut buffer[..left.min(COPY_BYTES)];
            disk.read_at(at, part)?;
            if part.iter().any(|&byte| byte != 0) {
                std::os::unix::fs::FileExt::write_all_at(&file, part, at)
                    .map_err(failed(disk_file))?;
            }
            at += part.len() as u64;
            if watch.advance(part.len() as u64) == ControlFlow::Break(()) {
                return Err(Error::Cancelled);
            }
        }
    }
    file.sync_all().map_err(failed(disk_file))
}

fn fill(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Error> {
    let written = || {
        let mut out = BufWriter::new(File::create(path)?);
        write(&mut out)?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()
    };
    written().map_err(failed(path))
}
