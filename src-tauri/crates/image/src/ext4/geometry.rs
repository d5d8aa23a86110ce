//! What the superblock says about where things are.

use crate::Error;
use crate::disk::{ReadAt, le_u16, le_u32};

pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;
const MAGIC: u16 = 0xEF53;

pub(crate) const INCOMPAT_FILETYPE: u32 = 0x2;
pub(crate) const INCOMPAT_64BIT: u32 = 0x80;
pub(crate) const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

/// Features that move or hide things, by their bits.
const UNSUPPORTED: [(u32, &str); 6] = [
    (0x1, "compression"),
    (0x8, "only a journal"),
    (0x10, "descriptors in every group (meta_bg)"),
    (0x1000, "data in directory entries"),
    (0x1_0000, "encryption"),
    (!0x3_F7DF, "features of a newer Linux"),
];

/// The parts of the superblock that a reader needs, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) block_bytes: u64,
    pub(crate) blocks: u64,
    pub(crate) first_data_block: u64,
    pub(crate) blocks_per_group: u64,
    pub(crate) inodes: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) inode_bytes: usize,
    pub(crate) descriptor_bytes: u64,
    pub(crate) has_file_types: bool,
    pub(crate) incompatible: u32,
    pub(crate) read_only_compatible: u32,
}

impl Geometry {
    pub(crate) fn read(disk: &dyn ReadAt) -> Result<Self, Error> {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        if disk.size_bytes() < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES as u64 {
            let found = format!("it has only {} bytes", disk.size_bytes());
            return Err(Error::WrongKind {
                expected: "an ext4 file system",
                found,
            });
        }
        disk.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
        Self::parse(&bytes, disk.size_bytes())
    }

    fn parse(bytes: &[u8; SUPERBLOCK_BYTES], disk_bytes: u64) -> Result<Self, Error> {
        let magic = le_u16(bytes, 0x38);
        if magic != MAGIC {
            let found = format!("{magic:#06x} is at byte 1080 instead of {MAGIC:#06x}");
            return Err(Error::WrongKind {
                expected: "an ext4 file system",
                found,
            });
        }
        let incompatible = le_u32(bytes, 0x60);
        for (bits, what) in UNSUPPORTED {
            if incompatible & bits != 0 {
                return Err(Error::Unsupported {
                    what: what.to_owned(),
                    offset: SUPERBLOCK_OFFSET + 0x60,
                });
            }
        }
        let block_shift = le_u32(bytes, 0x18);
        expect(
            block_shift <= 2,
            0x18,
            "blocks of 1, 2 or 4 KiB",
            block_shift,
        )?;
        let block_bytes = 1024_u64 << block_shift;
        let is_64bit = incompatible & INCOMPAT_64BIT != 0;
        let mut blocks = u64::from(le_u32(bytes, 0x04));
        if is_64bit {
            blocks |= u64::from(le_u32(bytes, 0x150)) << 32;
        }
        let most = disk_bytes / block_bytes;
        expect(
            (1..=most).contains(&blocks),
            0x04,
            format!("1 to {most} blocks"),
            blocks,
        )?;
        let (first_data_block, blocks_per_group) = Self::groups_of(bytes, block_bytes)?;
        let inodes_per_group = Self::inodes_of(
            bytes,
            block_bytes,
            blocks,
            first_data_block,
            blocks_per_group,
        )?;
        let (inode_bytes, descriptor_bytes) = Self::records_of(bytes, block_bytes, is_64bit)?;
        let inodes = le_u32(bytes, 0x00);
        Ok(Self {
            block_bytes,
            blocks,
            first_data_block,
            blocks_per_group,
            inodes,
            inodes_per_group,
            inode_bytes,
            descriptor_bytes,
            has_file_types: incompatible & INCOMPAT_FILETYPE != 0,
            incompatible,
            read_only_compatible: le_u32(bytes, 0x64),
        })
    }

    fn groups_of(bytes: &[u8], block_bytes: u64) -> Result<(u64, u64), Error> {
        let first_data_block = u64::from(le_u32(bytes, 0x14));
        let first = u64::from(block_bytes == 1024);
        expect(
            first_data_block == first,
            0x14,
            format!("first block {first}"),
            first_data_block,
        )?;
        let blocks_per_group = u64::from(le_u32(bytes, 0x20));
        let group_max = 8 * block_bytes;
        expect(
            (8..=group_max).contains(&blocks_per_group),
            0x20,
            format!("8 to {group_max} blocks in a group"),
            blocks_per_group,
        )?;
        Ok((first_data_block, blocks_per_group))
    }

    fn inodes_of(
        bytes: &[u8],
        block_bytes: u64,
        blocks: u64,
        first_data_block: u64,
        blocks_per_group: u64,
    ) -> Result<u32, Error> {
        let group_max = 8 * block_bytes;
        let inodes_per_group = le_u32(bytes, 0x28);
        expect(
            (1..=group_max).contains(&u64::from(inodes_per_group)),
            0x28,
            format!("1 to {group_max} inodes in a group"),
            inodes_per_group,
        )?;
        let groups = (blocks - 1).saturating_sub(first_data_block) / blocks_per_group + 1;
        let inodes = le_u32(bytes, 0x00);
        let inodes_most = groups.saturating_mul(u64::from(inodes_per_group));
        expect(
            (11..=inodes_most).contains(&u64::from(inodes)),
            0x00,
            format!("11 to {inodes_most} inodes"),
            inodes,
        )?;
        Ok(inodes_per_group)
    }

    fn records_of(bytes: &[u8], block_bytes: u64, is_64bit: bool) -> Result<(usize, u64), Error> {
        // The first revision has fixed sizes.
        let is_old = le_u32(bytes, 0x4C) == 0;
        let inode_bytes = if is_old {
            128
        } else {
            usize::from(le_u16(bytes, 0x58))
        };
        let fits = inode_bytes.is_power_of_two()
            && (128..=1024).contains(&inode_bytes)
            && inode_bytes as u64 <= block_bytes;
        expect(
            fits,
            0x58,
            "inodes of 128, 256, 512 or 1024 bytes",
            inode_bytes,
        )?;
        let descriptor_bytes = if is_64bit {
            u64::from(le_u16(bytes, 0xFE))
        } else {
            32
        };
        let fits = descriptor_bytes.is_power_of_two()
            && (32..=1024).contains(&descriptor_bytes)
            && (!is_64bit || descriptor_bytes >= 64);
        expect(
            fits,
            0xFE,
            "descriptors of 64 bytes or more",
            descriptor_bytes,
        )?;
        Ok((inode_bytes, descriptor_bytes))
    }

    pub(crate) fn groups(&self) -> u64 {
        (self.blocks - 1 - self.first_data_block) / self.blocks_per_group + 1
    }

    /// Where the descriptor of a group is.
    pub(crate) fn descriptor_offset(&self, group: u64) -> u64 {
        (self.first_data_block + 1) * self.block_bytes + group * self.descriptor_bytes
    }

    /// Where an inode is.
    pub(crate) fn inode_offset(&self, disk: &dyn ReadAt, number: u32) -> Result<u64, Error> {
        if number == 0 || number > self.inodes {
            let expected = format!("an inode of 1 to {}", self.inodes);
            return Err(Error::corrupt(
                "ext4 inode number",
                SUPERBLOCK_OFFSET,
                expected,
                number,
            ));
        }
        let at = self.descriptor_offset(u64::from((number - 1) / self.inodes_per_group));
        let mut descriptor = [0; 64];
        let length = usize::try_from(self.descriptor_bytes.min(64)).unwrap_or(32);
        disk.read_at(at, &mut descriptor[..length])?;
        let mut table = u64::from(le_u32(&descriptor, 8));
        if length == 64 {
            table |= u64::from(le_u32(&descriptor, 0x28)) << 32;
        }
        let within = u64::from((number - 1) % self.inodes_per_group) * self.inode_bytes as u64;
        self.check_block(
            table.saturating_add(within / self.block_bytes),
            at + 8,
            "ext4 group descriptor",
        )?;
        Ok(table * self.block_bytes + within)
    }

    /// Refuses a block that is not one of the file system's.
    pub(crate) fn check_block(
        &self,
        block: u64,
        at: u64,
        structure: &'static str,
    ) -> Result<(), Error> {
        if block > self.first_data_block && block < self.blocks {
            return Ok(());
        }
        let expected = format!("a block below {}", self.blocks);
        Err(Error::corrupt(structure, at, expected, block))
    }
}

fn expect(
    right: bool,
    at: u64,
    expected: impl Into<String>,
    found: impl std::fmt::Display,
) -> Result<(), Error> {
    if right {
        return Ok(());
    }
    Err(Error::corrupt(
        "ext4 superblock",
        SUPERBLOCK_OFFSET + at,
        expected,
        found,
    ))
}
