//! A disk made to hold another tree and another command line.

use std::io::{Seek, Write};

use super::command_line::{COMMAND_LINE_AREA_BYTES, COMMAND_LINE_OFFSET, area};
use super::disk::{PARTITION_KIND, Root};
use super::{ROOT_PARTITION, recognise};
use crate::disk::{Part, SharedDisk, Stream};
use crate::ext4::{self, Ext4Options};
use crate::mbr::{self, SECTOR_BYTES};
use crate::update::{Changes, Patch, Updated};
use crate::{Error, Tree, Watch, rofs};

/// Makes a disk, which is `old` and `out`, hold a tree and a command line. The loader stays.
///
/// # Errors
/// [`Error::CommandLine`] and [`Error::Limit`] before anything is written; [`Error::WrongKind`] for what is no disk of
/// ours; the errors of [`rofs::update`] and [`ext4::update`].
pub fn update_disk(
    old: &SharedDisk,
    command_line: &str,
    root: &Root,
    tree: &Tree,
    changes: &Changes,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<Updated, Error> {
    let wanted = area(command_line)?;
    let mut stream = Stream::new(SharedDisk::clone(old));
    let mut sector = mbr::read_boot_sector(&mut stream)?;
    let partitions = mbr::read(&mut stream)?;
    let partition = match partitions.as_slice() {
        [only] if only.number == ROOT_PARTITION && recognise(&sector).is_some() => *only,
        _ => return Ok(Updated::rebuild("the disk is divided in another way")),
    };
    let start = partition.start_bytes;
    let part: SharedDisk = std::sync::Arc::new(Part::new(
        SharedDisk::clone(old),
        start,
        partition.size_bytes,
    ));
    let updated = match root {
        Root::Rofs => rofs::update(part, start, tree, changes, out, watch)?,
        Root::Ext4(options) => {
            let options = Ext4Options {
                written_by: ext4::WrittenBy::Osv,
                ..options.clone()
            };
            ext4::update(part, start, tree, changes, &options, out, watch)?
        }
        Root::Empty { .. } => return Ok(Updated::rebuild("only a guest writes its file system")),
    };
    let mut inner = match updated {
        Updated::Patch(patch) => patch,
        rebuild @ Updated::Rebuild { .. } => return Ok(rebuild),
    };
    let size_bytes = std::mem::take(&mut inner.size_bytes);
    let mut patch = Patch {
        size_bytes: start + size_bytes,
        ..Patch::default()
    };
    patch.take(inner, start);
    if size_bytes != partition.size_bytes {
        mbr::put_partition(
            &mut sector,
            ROOT_PARTITION,
            PARTITION_KIND,
            start,
            size_bytes,
        )?;
        patch.writes.insert(0, sector.to_vec());
    }
    let mut found = vec![0; COMMAND_LINE_AREA_BYTES];
    old.read_at(COMMAND_LINE_OFFSET, &mut found)?;
    let sector_bytes = usize::try_from(SECTOR_BYTES).unwrap_or(512);
    let places = (COMMAND_LINE_OFFSET..).step_by(sector_bytes);
    for ((at, new), old) in places
        .zip(wanted.chunks(sector_bytes))
        .zip(found.chunks(sector_bytes))
    {
        if new != old {
            patch.writes.insert(at, new.to_vec());
        }
    }
    Ok(Updated::Patch(patch))
}
