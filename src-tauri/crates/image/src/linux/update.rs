//! A disk made to hold another tree and another command line.

use std::io::{Seek, Write};
use std::sync::Arc;

use super::command_line::differences;
use super::recognise::recognise;
use crate::disk::{Part, SharedDisk};
use crate::ext4::{self, Ext4Options};
use crate::gpt;
use crate::update::{Changes, Patch, Updated};
use crate::{Error, Tree, Watch};

/// Makes a disk, which is `old` and `out`, hold a tree and a command line. Boot loader, kernel and initramfs stay.
///
/// # Errors
/// [`Error::CommandLine`] and [`Error::Limit`] before anything is written; the errors of [`ext4::update`].
pub fn update_disk(
    old: &SharedDisk,
    command_line: &str,
    root: &Ext4Options,
    tree: &Tree,
    changes: &Changes,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<Updated, Error> {
    let partitions = gpt::read(old.as_ref())?;
    let partition = match partitions.last() {
        Some(last) if recognise(&partitions) => last,
        _ => return Ok(Updated::rebuild("the disk is divided in another way")),
    };
    let line = differences(old, command_line)?;
    let start = partition.start_bytes;
    let part = Part::new(SharedDisk::clone(old), start, partition.size_bytes);
    let mut inner = match ext4::update(Arc::new(part), start, tree, changes, root, out, watch)? {
        Updated::Patch(patch) => patch,
        rebuild @ Updated::Rebuild { .. } => return Ok(rebuild),
    };
    if std::mem::take(&mut inner.size_bytes) != partition.size_bytes {
        return Ok(Updated::rebuild("its root is to have another size"));
    }
    let mut patch = Patch {
        size_bytes: old.size_bytes(),
        ..Patch::default()
    };
    patch.take(inner, start);
    patch.writes.extend(line);
    Ok(Updated::Patch(patch))
}
