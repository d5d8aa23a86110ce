//! OSv's loader image: boot sector, an empty command line, and the compressed kernel.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::mbr::{self, BootSector, SECTOR_BYTES};
use crate::{Error, Source};

/// The first instruction of OSv's boot sector, a jump behind its data.
const JUMP: [u8; 5] = [0xEA, 0x5E, 0x7C, 0x00, 0x00];

/// The mark in OSv's boot sector; our disks without a loader carry it too.
const MARK_OFFSET: usize = 0x1B8;
const MARK: [u8; 3] = *b"VSO";

/// Where the kernel is; everything before is boot sector and command line.
pub(super) const KERNEL_OFFSET: u64 = 64 << 10;

/// The kernel is counted in units of this size, at byte 0x10 of the boot sector.
const KERNEL_UNIT_BYTES: u64 = 32 << 10;
const KERNEL_UNITS_OFFSET: usize = 0x10;

/// A kernel is a few MiB.
const LOADER_BYTES_MAX: u64 = 256 << 20;

/// How a disk gets OSv started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    /// By its own boot sector.
    Loader,
    /// By a kernel that the hypervisor loads.
    Kernel,
}

/// Tells OSv's disks from those of others, to which nothing may be written.
pub(crate) fn recognise(sector: &BootSector) -> Option<Boot> {
    let marked = mbr::has_signature(sector) && sector[MARK_OFFSET..].starts_with(&MARK);
    if marked && sector.starts_with(&JUMP) {
        return Some(Boot::Loader);
    }
    // A boot sector of zeros: there is nobody's code in it.
    (marked && sector[..MARK_OFFSET].iter().all(|&byte| byte == 0)).then_some(Boot::Kernel)
}

/// The boot sector of a disk for a directly booted kernel.
pub(super) fn boot_sector_without_loader() -> BootSector {
    let mut sector = [0; 512];
    sector[MARK_OFFSET..MARK_OFFSET + MARK.len()].copy_from_slice(&MARK);
    mbr::put_signature(&mut sector);
    sector
}

/// A checked loader image.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) boot_sector: BootSector,
    pub(super) size_bytes: u64,
    content: Content,
    /// The file, for words about it.
    name: String,
}

#[derive(Debug)]
enum Content {
    File(File),
    Bytes(Arc<[u8]>),
}

impl Loader {
    pub(super) fn open(source: &Source) -> Result<Self, Error> {
        let (content, name, size_bytes) = match source {
            Source::Bytes(bytes) => (
                Content::Bytes(Arc::clone(bytes)),
                "the loader".to_owned(),
                bytes.len() as u64,
            ),
            Source::Path(path) => {
                let file = File::open(path).map_err(|error| unreadable(path, error))?;
                let size_bytes = file
                    .metadata()
                    .map_err(|error| unreadable(path, error))?
                    .len();
                (Content::File(file), path.display().to_string(), size_bytes)
            }
            Source::Below(folder) => {
                let error = std::io::ErrorKind::IsADirectory.into();
                return Err(unreadable(folder, error));
            }
        };
        let mut loader = Self {
            boot_sector: [0; 512],
            size_bytes,
            content,
            name,
        };
        if size_bytes < SECTOR_BYTES {
            return Err(loader.refuse(
                0,
                "a boot sector of 512 bytes",
                format!("{size_bytes} bytes"),
            ));
        }
        let mut sector = [0; 512];
        loader.read_at(0, &mut sector)?;
        loader.boot_sector = sector;
        loader.check()?;
        Ok(loader)
    }

    fn check(&self) -> Result<(), Error> {
        let sector = &self.boot_sector;
        if let Some(format) = packed(sector) {
            return Err(self.refuse(0, "a boot sector", format.to_owned()));
        }
        if !sector.starts_with(&JUMP) {
            let found = format!("{:02X?}", &sector[..JUMP.len()]);
            return Err(self.refuse(0, &format!("{JUMP:02X?}"), found));
        }
        let partitions = mbr::parse(sector).map_err(|_| {
            self.refuse(
                510,
                "55 AA",
                format!("{:02X} {:02X}", sector[510], sector[511]),
            )
        })?;
        if let Some(partition) = partitions.first() {
            let found = format!(
                "partition {} of {} bytes",
                partition.number, partition.size_bytes
            );
            return Err(self.refuse(mbr::TABLE_OFFSET as u64, "an empty partition table", found));
        }
        let units = [sector[KERNEL_UNITS_OFFSET], sector[KERNEL_UNITS_OFFSET + 1]];
        let kernel_bytes = u64::from(u16::from_le_bytes(units)) * KERNEL_UNIT_BYTES;
        let needed = KERNEL_OFFSET + kernel_bytes;
        if kernel_bytes == 0 || self.size_bytes < needed || self.size_bytes > LOADER_BYTES_MAX {
            let expected = format!("a kernel that ends at byte {needed}");
            let found = format!("{} bytes in all", self.size_bytes);
            return Err(self.refuse(KERNEL_UNITS_OFFSET as u64, &expected, found));
        }
        Ok(())
    }

    /// Fills a buffer from the loader's bytes; one that ends early has changed since it was opened.
    pub(super) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let result = match &mut self.content {
            Content::Bytes(bytes) => usize::try_from(offset)
                .ok()
                .and_then(|offset| bytes.get(offset..offset + buffer.len()))
                .map(|part| buffer.copy_from_slice(part))
                .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into()),
            Content::File(file) => file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| file.read_exact(buffer)),
        };
        result.map_err(|error| unreadable(Path::new(&self.name), error))
    }

    fn refuse(&self, offset: u64, expected: &str, found: String) -> Error {
        let (what, expected) = (self.name.clone(), expected.to_owned());
        Error::NotALoader {
            what,
            offset,
            expected,
            found,
        }
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::Kernel {
        path: path.to_owned(),
        source,
    }
}

/// What people take for a loader, and is one only when it is unpacked.
fn packed(start: &[u8]) -> Option<&'static str> {
    if start.starts_with(b"QFI\xfb") {
        Some("a qcow2 disk")
    } else if start.starts_with(&[0x1F, 0x8B]) {
        Some("gzip-compressed data")
    } else if start.starts_with(b"\x7fELF") {
        Some("an ELF kernel")
    } else {
        None
    }
}
