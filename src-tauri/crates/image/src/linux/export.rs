//! Kernel and disk as a pair of files, for a hypervisor that loads the kernel itself.
//!
//! ```text
//! NAME.vmlinuz   NAME.initrd   NAME.cmdline      qemu-system-x86_64 -kernel NAME.vmlinuz -initrd NAME.initrd
//! NAME.img                                         -append "$(cat NAME.cmdline)" -drive file=NAME.img,if=virtio,format=raw
//! ```
//!
//! Linux' initramfs has the appliance's boot command line behind it as a second archive.
//! OSv has no initramfs, and its command line is its kernel's parameters.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::command_line::archive;
use crate::disk::SharedDisk;
use crate::{Error, Watch};

const COPY_BYTES: usize = 1 << 20;

/// Where the files of a pair are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// The kernel.
    pub kernel: PathBuf,
    /// What it starts with, the boot command line of the appliance included; not there for OSv.
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

/// What a pair is made of.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The kernel's file.
    pub kernel: &'a Path,
    /// The initramfs; none for OSv.
    pub initramfs: Option<&'a Path>,
    /// The boot command line of the appliance.
    pub command_line: &'a str,
    /// The disk.
    pub disk: &'a SharedDisk,
}

/// The kernel's parameters for Linux: those of the machines here.
const PARAMETERS: &str = "console=ttyS0 quiet loglevel=4 panic=-1 cryptomgr.notests rdinit=/init";

/// Writes a pair into a folder: each file complete beside its place, then all under their names, the disk last. Holes of the
/// disk stay holes.
///
/// # Errors
/// [`Error::CommandLine`]; [`Error::Kernel`] for a source that cannot be read, [`Error::Open`] for a file that cannot be
/// written; the errors of reading the disk; [`Error::Cancelled`]. Nothing is left in any of these cases.
pub fn write_pair(
    files: &PairFiles,
    pair: &Pair<'_>,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let waiting = files.all().map(unfinished);
    let written = write_all(&waiting, pair, watch).and_then(|()| {
        for (from, to) in waiting.iter().zip(files.all()) {
            if *to == files.initramfs && pair.initramfs.is_none() {
                continue;
            }
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
    pair: &Pair<'_>,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let disk = pair.disk;
    let open = |path: &Path| {
        File::open(path).map_err(|source| Error::Kernel {
            path: path.to_owned(),
            source,
        })
    };
    let mut kernel = open(pair.kernel)?;
    fill(kernel_file, |out| io::copy(&mut kernel, out).map(drop))?;
    let parameters = match pair.initramfs {
        Some(initramfs) => {
            let line = archive(pair.command_line)?;
            let mut initramfs = open(initramfs)?;
            fill(initramfs_file, |out| {
                io::copy(&mut initramfs, out)?;
                out.write_all(&line)
            })?;
            PARAMETERS
        }
        None => pair.command_line,
    };
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
