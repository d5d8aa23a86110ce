//! Puts a disk together.

use std::io::{Seek, SeekFrom, Write};

use super::ROOT_PARTITION;
use super::command_line::{COMMAND_LINE_AREA_BYTES, COMMAND_LINE_OFFSET, area};
use super::loader::{KERNEL_OFFSET, Loader, boot_sector_without_loader};
use crate::ext4::{self, Ext4Options};
use crate::mbr::{self, Partition};
use crate::output::Output;
use crate::{Error, Source, Tree, Watch, rofs};

/// The partition starts at a multiple of this.
const PARTITION_ALIGNMENT_BYTES: u64 = 2 << 20;

/// "Linux"; OSv looks only whether it is 0.
pub(super) const PARTITION_KIND: u8 = 0x83;

const COPY_BYTES: usize = 1 << 20;

/// The file system of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Read-only; every OSv kernel has it.
    Rofs,
    /// Writable; for kernels that were built with it. Always made for OSv to write to, whatever
    /// [`written_by`](Ext4Options::written_by) says.
    Ext4(Ext4Options),
    /// Room for what a guest makes there: ZFS.
    Empty {
        /// The size of the partition.
        size_bytes: u64,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLayout {
    /// The size of the disk.
    pub size_bytes: u64,
    /// The partition with the file system.
    pub partition: Partition,
}

/// Writes a bootable disk from the position of `out` on: the loader, the command line and a
/// partition with the tree. Without a loader the disk is for a directly booted kernel.
///
/// # Errors
/// [`Error::NotALoader`], [`Error::Kernel`], [`Error::CommandLine`] and [`Error::Limit`] before
/// anything is written; the errors of [`rofs::write`] and [`ext4::write`] leave the output
/// unfinished.
pub fn write_disk(
    loader: Option<&Source>,
    command_line: &str,
    root: &Root,
    tree: &Tree,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<DiskLayout, Error> {
    let mut loader = loader.map(Loader::open).transpose()?;
    let command_line = area(command_line)?;
    let loader_bytes = loader
        .as_ref()
        .map_or(KERNEL_OFFSET, |loader| loader.size_bytes);
    let start_bytes = loader_bytes.next_multiple_of(PARTITION_ALIGNMENT_BYTES);
    let mut sector = loader
        .as_ref()
        .map_or_else(boot_sector_without_loader, |loader| loader.boot_sector);

    // The file system first: it is what can be refused.
    let start = out.stream_position().map_err(Error::write(0))?;
    out.seek(SeekFrom::Start(start + start_bytes))
        .map_err(Error::write(start_bytes))?;
    let size_bytes = match root {
        Root::Rofs => rofs::write(tree, out, watch)?,
        Root::Ext4(options) => {
            let options = Ext4Options {
                written_by: ext4::WrittenBy::Osv,
                ..options.clone()
            };
            ext4::write(tree, out, &options, watch)?
        }
        Root::Empty { size_bytes } => *size_bytes,
    };
    let partition = mbr::put_partition(
        &mut sector,
        ROOT_PARTITION,
        PARTITION_KIND,
        start_bytes,
        size_bytes,
    )?;

    out.seek(SeekFrom::Start(start)).map_err(Error::write(0))?;
    let mut output = Output::new(out)?;
    output.write_at(0, &sector)?;
    output.write_at(COMMAND_LINE_OFFSET, &command_line)?;
    if let Some(loader) = &mut loader {
        copy_kernel(loader, &mut output)?;
    }
    let disk_bytes = start_bytes + size_bytes;
    out.seek(SeekFrom::Start(start + disk_bytes))
        .map_err(Error::write(disk_bytes))?;
    Ok(DiskLayout {
        size_bytes: disk_bytes,
        partition,
    })
}

/// Copies what is behind the command line.
fn copy_kernel<W: Write + Seek>(
    loader: &mut Loader,
    output: &mut Output<'_, W>,
) -> Result<(), Error> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = COMMAND_LINE_OFFSET + COMMAND_LINE_AREA_BYTES as u64;
    while offset < loader.size_bytes {
        let left = usize::try_from(loader.size_bytes - offset).unwrap_or(COPY_BYTES);
        let part = &mut buffer[..left.min(COPY_BYTES)];
        loader.read_at(offset, part)?;
        output.write_sparse_at(offset, part)?;
        offset += part.len() as u64;
    }
    Ok(())
}
