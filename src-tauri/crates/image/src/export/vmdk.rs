//! vmdk, written ([`crate::disk::Vmdk`] draws the format).
//!
//! ```text
//!   monolithicSparse   header | descriptor | directory, tables (two copies) | grains
//!   streamOptimized    header | descriptor | (marker, grain deflated)* (marker, table)* ... | directory | footer | end
//! ```
//!
//! Grains have 64 KiB, and a table finds 512 of them: 32 MiB of the disk. Only one table is held at a time.

use std::io::{Seek, Write};

use super::compress::{Body, Cluster, Method, clusters, compress_all};
use super::{Identity, advance, is_zero};
use crate::disk::ReadAt;
use crate::disk::vmdk::{MAGIC, SECTOR};
use crate::output::Output;
use crate::{Error, Watch};

const GRAIN: u64 = 64 << 10;
const TABLE_ENTRIES: u64 = TABLE_LENGTH as u64;
const TABLE: u64 = TABLE_ENTRIES * 4;
const SECTOR_LENGTH: usize = 512;
const TABLE_LENGTH: usize = 512;
const DESCRIPTOR_LENGTH: usize = 20 * SECTOR_LENGTH;
const DESCRIPTOR_AT: u64 = SECTOR;
const DESCRIPTOR_BYTES: u64 = DESCRIPTOR_LENGTH as u64;
/// Places are sectors in 32 bits: 2 TiB, less what the tables take.
const DISK_BYTES_MAX: u64 = 2_040 << 30;

const FLAG_NEWLINES: u32 = 1;
const FLAG_SECOND_TABLES: u32 = 1 << 1;
const FLAG_COMPRESSED: u32 = 1 << 16;
const FLAG_MARKERS: u32 = 1 << 17;
const AT_END: u64 = u64::MAX;

const MARKER_END: u32 = 0;
const MARKER_TABLE: u32 = 1;
const MARKER_DIRECTORY: u32 = 2;
const MARKER_FOOTER: u32 = 3;

fn check_size(size_bytes: u64) -> Result<(), Error> {
    if size_bytes <= DISK_BYTES_MAX {
        return Ok(());
    }
    Err(Error::TooSmall {
        what: "vmdk format",
        needed_bytes: size_bytes,
        size_bytes: DISK_BYTES_MAX,
    })
}

/// How many tables a disk has.
fn tables(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(GRAIN).div_ceil(TABLE_ENTRIES)
}

fn sectors(bytes: u64) -> u32 {
    u32::try_from(bytes / SECTOR).unwrap_or(u32::MAX)
}

fn little_endian(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Writes a disk as `monolithicSparse` vmdk, from the stream's present position on, which has to be the file's beginning.
/// What lacks to a whole sector at the disk's end becomes zeros. The watch counts bytes of the disk, what is empty included.
///
/// # Errors
/// [`Error::TooSmall`] for a disk of more than 2040 GiB; [`Error::Read`], [`Error::Corrupt`] from the disk;
/// [`Error::Write`]; [`Error::Cancelled`].
pub fn write_vmdk<W: Write + Seek>(
    disk: &dyn ReadAt,
    out: &mut W,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let size_bytes = disk.size_bytes().next_multiple_of(SECTOR);
    check_size(size_bytes)?;
    let count = tables(size_bytes);
    let directory_bytes = (count * 4).next_multiple_of(SECTOR);
    let copy_bytes = directory_bytes + count * TABLE;
    let copies = [0, 1].map(|copy| DESCRIPTOR_AT + DESCRIPTOR_BYTES + copy * copy_bytes);
    let grains_at = (copies[1] + copy_bytes).next_multiple_of(GRAIN);

    let mut output = Output::new(out)?;
    let mut identity = Identity::new("vmdk", size_bytes);
    let mut end = grains_at;
    let mut table = Table::default();
    let write_table = |output: &mut Output<'_, W>, table: &Table| {
        copies.iter().try_for_each(|copy| {
            let at = copy + directory_bytes + table.number * TABLE;
            output.write_at(at, &little_endian(&table.entries))
        })
    };
    for cluster in clusters(disk, GRAIN) {
        let cluster = cluster?;
        if !is_zero(&cluster.bytes) {
            identity.add(cluster.number, &cluster.bytes);
            if let Some(full) = table.put(cluster.number, sectors(end)) {
                write_table(&mut output, &full)?;
            }
            output.write_at(end, &cluster.bytes)?;
            end += GRAIN;
        }
        advance(watch, cluster.advanced)?;
    }
    if table.is_used() {
        write_table(&mut output, &table)?;
    }
    for copy in copies {
        let start = copy + directory_bytes;
        let places: Vec<u32> = (0..count)
            .map(|table| sectors(start + table * TABLE))
            .collect();
        output.write_at(copy, &little_endian(&places))?;
    }
    output.write_at(
        DESCRIPTOR_AT,
        &descriptor("monolithicSparse", size_bytes, &identity),
    )?;
    let header = Header {
        version: 1,
        flags: FLAG_NEWLINES | FLAG_SECOND_TABLES,
        size_bytes,
        directories: [copies[0], copies[1]],
        overhead: grains_at,
    };
    // Last: until then the file is no vmdk.
    output.write_at(0, &header.to_bytes())?;
    output.finish(end)
}

/// Writes a disk as `streamOptimized` vmdk, from the stream's present position on, which has to be the file's beginning.
/// What lacks to a whole sector at the disk's end becomes zeros. The watch counts bytes of the disk, what is empty included.
///
/// # Errors
/// As [`write_vmdk`].
pub fn write_vmdk_stream<W: Write + Seek>(
    disk: &dyn ReadAt,
    out: &mut W,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let size_bytes = disk.size_bytes().next_multiple_of(SECTOR);
    check_size(size_bytes)?;
    let mut stream = StreamWriter {
        output: Output::new(out)?,
        end: GRAIN,
        directory: vec![0; usize::try_from(tables(size_bytes)).unwrap_or(usize::MAX)],
        table: Table::default(),
    };
    let mut identity = Identity::new("vmdk", size_bytes);
    let take = |cluster: Cluster, body: Body| {
        if let Body::Compressed(packed) | Body::Plain(packed) = body {
            identity.add(cluster.number, &packed);
            stream.grain(cluster.number, &packed)?;
        }
        advance(watch, cluster.advanced)
    };
    compress_all(clusters(disk, GRAIN), Method::Zlib, take)?;
    stream.finish(size_bytes, &identity)
}

/// A grain table that is being filled.
#[derive(Default)]
struct Table {
    number: u64,
    /// Empty until a grain is put in.
    entries: Vec<u32>,
}

impl Table {
    fn is_used(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Says where a grain is, and returns the table before where that is in another one.
    fn put(&mut self, grain: u64, sector: u32) -> Option<Self> {
        let number = grain / TABLE_ENTRIES;
        let is_new = number != self.number && self.is_used();
        let before = is_new.then(|| std::mem::take(self));
        self.number = number;
        self.entries.resize(TABLE_LENGTH, 0);
        let index = usize::try_from(grain % TABLE_ENTRIES).unwrap_or_default();
        self.entries[index] = sector;
        before
    }
}

struct StreamWriter<'out, W> {
    output: Output<'out, W>,
    /// Where the next thing goes, a sector's beginning.
    end: u64,
    directory: Vec<u32>,
    table: Table,
}

impl<W: Write + Seek> StreamWriter<'_, W> {
    fn grain(&mut self, number: u64, packed: &[u8]) -> Result<(), Error> {
        // Tables come between the grains; the one before goes first.
        if self.table.is_used() && number / TABLE_ENTRIES != self.table.number {
            self.write_table()?;
        }
        self.table.put(number, sectors(self.end));
        let sector = number * (GRAIN / SECTOR);
        let length = u32::try_from(packed.len()).unwrap_or(u32::MAX);
        let mut marker = sector.to_le_bytes().to_vec();
        marker.extend(length.to_le_bytes());
        marker.extend(packed);
        self.put(marker)
    }

    fn write_table(&mut self) -> Result<(), Error> {
        let table = std::mem::take(&mut self.table);
        self.marker(TABLE / SECTOR, MARKER_TABLE)?;
        if let Some(entry) = self
            .directory
            .get_mut(usize::try_from(table.number).unwrap_or(usize::MAX))
        {
            *entry = sectors(self.end);
        }
        self.put(little_endian(&table.entries))
    }

    fn marker(&mut self, sectors: u64, kind: u32) -> Result<(), Error> {
        let mut marker = sectors.to_le_bytes().to_vec();
        marker.extend(0_u32.to_le_bytes());
        marker.extend(kind.to_le_bytes());
        self.put(marker)
    }

    /// Writes something, filled up to whole sectors.
    fn put(&mut self, mut bytes: Vec<u8>) -> Result<(), Error> {
        bytes.resize(bytes.len().next_multiple_of(SECTOR_LENGTH), 0);
        self.output.write_at(self.end, &bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self, size_bytes: u64, identity: &Identity) -> Result<(), Error> {
        if self.table.is_used() {
            self.write_table()?;
        }
        let directory = little_endian(&std::mem::take(&mut self.directory));
        let directory_sectors = (directory.len() as u64).div_ceil(SECTOR);
        self.marker(directory_sectors, MARKER_DIRECTORY)?;
        let directory_at = self.end;
        self.put(directory)?;
        let mut header = Header {
            version: 3,
            flags: FLAG_NEWLINES | FLAG_COMPRESSED | FLAG_MARKERS,
            size_bytes,
            directories: [0, directory_at],
            overhead: GRAIN,
        };
        self.marker(1, MARKER_FOOTER)?;
        self.put(header.to_bytes())?;
        self.marker(0, MARKER_END)?;
        let descriptor = descriptor("streamOptimized", size_bytes, identity);
        self.output.write_at(DESCRIPTOR_AT, &descriptor)?;
        header.directories[1] = AT_END;
        // Last: until then the file is no vmdk.
        self.output.write_at(0, &header.to_bytes())?;
        self.output.finish(self.end)
    }
}

struct Header {
    version: u32,
    flags: u32,
    size_bytes: u64,
    /// Where the second directory and the first one are, in bytes; [`AT_END`] stays what it is.
    directories: [u64; 2],
    overhead: u64,
}

impl Header {
    fn to_bytes(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(self.version.to_le_bytes());
        header.extend(self.flags.to_le_bytes());
        let [second, first] = self
            .directories
            .map(|at| if at == AT_END { at } else { at / SECTOR });
        for number in [self.size_bytes, GRAIN, DESCRIPTOR_AT, DESCRIPTOR_BYTES] {
            header.extend((number / SECTOR).to_le_bytes());
        }
        header.extend(512_u32.to_le_bytes());
        header.extend(second.to_le_bytes());
        header.extend(first.to_le_bytes());
        header.extend((self.overhead / SECTOR).to_le_bytes());
        // Shut down cleanly; characters that a transfer as text would change; deflate.
        header.extend(b"\0\n \r\n");
        header.extend(u16::from(self.flags & FLAG_COMPRESSED != 0).to_le_bytes());
        header.resize(SECTOR_LENGTH, 0);
        header
    }
}

fn descriptor(kind: &str, size_bytes: u64, identity: &Identity) -> Vec<u8> {
    let id = identity.uuid(1);
    let cid = u32::from_be_bytes([id[0], id[1], id[2], id[3] & 0xFE]);
    let sectors = size_bytes / SECTOR;
    // Geometry means nothing to anybody today; these are the customary values.
    let (heads, track) = (16, 63);
    let cylinders = (sectors / (heads * track)).clamp(1, 16_383);
    let mut text = format!(
        "# Disk DescriptorFile\n\
         version=1\n\
         CID={cid:08x}\n\
         parentCID=ffffffff\n\
         createType=\"{kind}\"\n\
         \n\
         # Extent description\n\
         RW {sectors} SPARSE \"disk.vmdk\"\n\
         \n\
         # The Disk Data Base\n\
         #DDB\n\
         \n\
         ddb.virtualHWVersion = \"4\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"{heads}\"\n\
         ddb.geometry.sectors = \"{track}\"\n\
         ddb.adapterType = \"ide\"\n"
    )
    .into_bytes();
    text.resize(DESCRIPTOR_LENGTH, 0);
    text
}
