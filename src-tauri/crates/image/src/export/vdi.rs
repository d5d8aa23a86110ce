//! vdi, written: growing, blocks of 1 MiB ([`crate::disk::Vdi`] draws the format).

use std::io::{Seek, Write};

use super::compress::clusters;
use super::{Identity, advance, is_zero};
use crate::disk::{ReadAt, vdi};
use crate::output::Output;
use crate::{Error, Watch};

const TEXT: &[u8] = b"<<< Oracle VM VirtualBox Disk Image >>>\n";
const BLOCK: u64 = 1 << 20;
const SECTOR: u64 = 512;
const MAP_AT: u64 = 512;
const NOWHERE: u32 = u32::MAX;
/// As many blocks as a map of 64 MiB has.
const DISK_BYTES_MAX: u64 = (16 << 20) * BLOCK;

/// Writes a disk as vdi, from the stream's present position on, which has to be the file's beginning. What lacks to a whole
/// sector at the disk's end becomes zeros. The watch counts bytes of the disk, what is empty included.
///
/// # Errors
/// [`Error::TooSmall`] for a disk of more than 16 TiB; [`Error::Read`], [`Error::Corrupt`] from the disk; [`Error::Write`];
/// [`Error::Cancelled`].
pub fn write_vdi<W: Write + Seek>(
    disk: &dyn ReadAt,
    out: &mut W,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let size_bytes = disk.size_bytes().next_multiple_of(SECTOR);
    if size_bytes > DISK_BYTES_MAX {
        return Err(Error::TooSmall {
            what: "vdi format",
            needed_bytes: size_bytes,
            size_bytes: DISK_BYTES_MAX,
        });
    }
    let mut output = Output::new(out)?;
    let blocks = size_bytes.div_ceil(BLOCK);
    let mut map = vec![NOWHERE; usize::try_from(blocks).unwrap_or(usize::MAX)];
    let blocks_at = (MAP_AT + blocks * 4).next_multiple_of(BLOCK);
    let mut identity = Identity::new("vdi", size_bytes);
    let mut used = 0_u32;
    for cluster in clusters(disk, BLOCK) {
        let cluster = cluster?;
        if !is_zero(&cluster.bytes) {
            identity.add(cluster.number, &cluster.bytes);
            let at = blocks_at + u64::from(used) * BLOCK;
            output.write_sparse_at(at, &cluster.bytes)?;
            if let Some(entry) = map.get_mut(usize::try_from(cluster.number).unwrap_or(usize::MAX))
            {
                *entry = used;
            }
            used += 1;
        }
        advance(watch, cluster.advanced)?;
    }
    let map: Vec<u8> = map.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    output.write_at(MAP_AT, &map)?;
    let header = header(size_bytes, blocks_at, used, &identity);
    // Last: until then the file is no vdi.
    output.write_at(0, &header)?;
    output.finish(blocks_at + u64::from(used) * BLOCK)
}

fn header(size_bytes: u64, blocks_at: u64, used: u32, identity: &Identity) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let word = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    put(0, TEXT);
    put(vdi::MAGIC_AT, &vdi::MAGIC.to_le_bytes());
    put(68, &0x0001_0001_u32.to_le_bytes());
    // The header's length from here on, and that the disk grows.
    put(72, &word(0x190));
    put(76, &word(1));
    put(340, &word(MAP_AT));
    put(344, &word(blocks_at));
    put(360, &word(SECTOR));
    put(368, &size_bytes.to_le_bytes());
    put(376, &word(BLOCK));
    put(384, &word(size_bytes.div_ceil(BLOCK)));
    put(388, &used.to_le_bytes());
    put(392, &identity.uuid(1));
    put(408, &identity.uuid(2));
    header
}
