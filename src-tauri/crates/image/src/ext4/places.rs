//! Where what every ext4 has goes, and how the rest is filled.
//!
//! ```text
//!   span of 16 groups (`flex_bg`)
//!   | superblock, descriptors | 16 block bitmaps | 16 inode bitmaps | 16 inode tables | content ...
//!   the first group of a power of 3, 5 or 7 starts with a copy of superblock and descriptors (`sparse_super`)
//! ```
//!
//! All of that has its place by rule. Content fills the rest from the first block on and leaves nothing out, so that
//! what is used is told by one number: everything below it, and what has its place by rule above it.

use super::BLOCK_BYTES;

pub(super) const GROUP_BLOCKS: u64 = 32_768;
const GROUPS_IN_SPAN: u64 = 16;
const INODES_PER_BLOCK: u64 = 16;
const GROUP_INODES_MAX: u64 = 32_768;
const DESCRIPTOR_BYTES: u64 = 32;

/// A run of blocks: the first, and how many.
pub(super) type Run = (u64, u64);

/// Where a group's books are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Books {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
}

/// A file system divided into groups.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) blocks: u64,
    pub(super) inodes_per_group: u64,
    /// What descriptors take.
    pub(super) descriptor_blocks: u64,
    pub(super) books: Vec<Books>,
    /// What has its place by rule, ascending and apart.
    reserved: Vec<Run>,
}

impl Places {
    /// Divides so many blocks; `None` where they do not hold their own books.
    pub(super) fn new(blocks: u64, inodes: u64) -> Option<Self> {
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        let inodes_per_group = inodes
            .div_ceil(groups)
            .next_multiple_of(INODES_PER_BLOCK)
            .clamp(INODES_PER_BLOCK, GROUP_INODES_MAX);
        let descriptor_blocks = (groups * DESCRIPTOR_BYTES).div_ceil(BLOCK_BYTES);
        let mut places = Self {
            blocks,
            inodes_per_group,
            descriptor_blocks,
            books: Vec::new(),
            reserved: Vec::new(),
        };
        places.place(groups)?;
        Some(places)
    }

    fn place(&mut self, groups: u64) -> Option<()> {
        let copies: Vec<Run> = (0..groups)
            .filter(|&group| has_copy(group))
            .map(|group| (group * GROUP_BLOCKS, 1 + self.descriptor_blocks))
            .collect();
        let mut reserved = copies.clone();
        // The first run of this length from `here` on that no copy is in.
        let free_run = |mut here: u64, length: u64| {
            let first = copies.partition_point(|&(start, count)| start + count <= here);
            for &(start, count) in &copies[first..] {
                if here + length <= start {
                    break;
                }
                here = start + count;
            }
            here
        };
        let table_blocks = self.table_blocks();
        for leader in (0..groups).step_by(16) {
            let members = (groups - leader).min(GROUPS_IN_SPAN);
            let mut here = leader * GROUP_BLOCKS;
            let mut take = |length: u64| {
                let start = free_run(here, length);
                here = start + length;
                reserved.push((start, length));
                (here <= self.blocks).then_some(start)
            };
            let block_bitmaps = take(members)?;
            let inode_bitmaps = take(members)?;
            for member in 0..members {
                self.books.push(Books {
                    block_bitmap: block_bitmaps + member,
                    inode_bitmap: inode_bitmaps + member,
                    inode_table: take(table_blocks)?,
                });
            }
        }
        reserved.sort_unstable();
        for (start, length) in reserved {
            match self.reserved.last_mut() {
                Some((last, count)) if *last + *count == start => *count += length,
                // Books of a span that is too narrow run into the next one's.
                Some((last, count)) if *last + *count > start => return None,
                _ => self.reserved.push((start, length)),
            }
        }
        let end = self
            .reserved
            .last()
            .map_or(0, |(start, length)| start + length);
        (end <= self.blocks).then_some(())
    }

    pub(super) fn groups(&self) -> u64 {
        self.books.len() as u64
    }

    pub(super) fn inodes(&self) -> u64 {
        self.groups() * self.inodes_per_group
    }

    pub(super) fn table_blocks(&self) -> u64 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    /// How many blocks no content can ever be in.
    pub(super) fn overhead_blocks(&self) -> u64 {
        self.reserved.iter().map(|(_, length)| length).sum()
    }

    /// Where an inode is, in bytes.
    pub(super) fn inode_offset(&self, number: u32) -> u64 {
        let index = u64::from(number - 1);
        let group = usize::try_from(index / self.inodes_per_group).unwrap_or(usize::MAX);
        let table = self.books.get(group).map_or(0, |books| books.inode_table);
        table * BLOCK_BYTES + index % self.inodes_per_group * super::INODE_BYTES as u64
    }

    /// How many blocks a group has; the last may be short.
    pub(super) fn group_blocks(&self, group: u64) -> u64 {
        (self.blocks - group * GROUP_BLOCKS).min(GROUP_BLOCKS)
    }

    /// The bitmap of a group's blocks where content ends at `end`, and how many are free.
    pub(super) fn bitmap(&self, group: u64, end: u64) -> (Vec<u8>, u64) {
        let (start, length) = (group * GROUP_BLOCKS, self.group_blocks(group));
        let mut bitmap = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(0)];
        set(&mut bitmap, 0, end.saturating_sub(start).min(length));
        let first = self
            .reserved
            .partition_point(|&(at, count)| at + count <= start);
        for &(at, count) in &self.reserved[first..] {
            if at >= start + length {
                break;
            }
            let to = (at + count - start).min(length);
            set(&mut bitmap, at.saturating_sub(start), to);
        }
        let used: u64 = bitmap.iter().map(|byte| u64::from(byte.count_ones())).sum();
        set(&mut bitmap, length, GROUP_BLOCKS);
        (bitmap, length - used)
    }

    /// All that is not taken by rule, from a block on that content may be in.
    pub(super) fn space_at(&self, next: u64) -> Space<'_> {
        Space {
            places: self,
            next,
            place: self
                .reserved
                .partition_point(|&(start, length)| start + length <= next),
        }
    }
}

/// Sets the bits `from..to`.
pub(super) fn set(bitmap: &mut [u8], from: u64, to: u64) {
    let mut bit = from;
    while bit < to {
        let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        if bit.is_multiple_of(8) && to - bit >= 8 {
            bitmap[byte] = 0xFF;
            bit += 8;
        } else {
            bitmap[byte] |= 1 << (bit % 8);
            bit += 1;
        }
    }
}

/// Whether a group starts with the superblock or a copy of it.
pub(super) fn has_copy(group: u64) -> bool {
    let is_power_of = |base: u64| {
        let mut power = base;
        while power < group {
            power = power.saturating_mul(base);
        }
        power == group
    };
    group <= 1 || [3, 5, 7].into_iter().any(is_power_of)
}

/// Gives blocks out, one after the other. What it gives depends on nothing but what it gave before, so that it can be
/// gone through again.
#[derive(Debug, Clone)]
pub(super) struct Space<'a> {
    places: &'a Places,
    /// Everything below is used.
    next: u64,
    /// The first of `reserved` that is not passed.
    place: usize,
}

impl Space<'_> {
    /// Where the next block would be.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    /// Takes so many blocks, and hands out the runs that they are in; `false` where there are too few.
    #[must_use]
    pub(super) fn take(&mut self, mut blocks: u64, mut each: impl FnMut(Run)) -> bool {
        while blocks > 0 {
            let (start, length) = match self.places.reserved.get(self.place) {
                Some(&run) => run,
                None => (self.places.blocks, 0),
            };
            if self.next == start {
                if length == 0 {
                    return false;
                }
                self.next += length;
                self.place += 1;
                continue;
            }
            let part = blocks.min(start - self.next);
            each((self.next, part));
            self.next += part;
            blocks -= part;
        }
        true
    }

    /// As [`take`](Self::take), all runs at once.
    pub(super) fn runs(&mut self, blocks: u64) -> Option<Vec<Run>> {
        let mut runs = Vec::new();
        self.take(blocks, |run| runs.push(run)).then_some(runs)
    }
}
