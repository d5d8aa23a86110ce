//! Tells what an image is by its first bytes.

use std::io::{Read, Seek, SeekFrom};

use crate::{Error, ext4, fat, mbr, osv, rofs};

/// What an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageKind {
    /// An OSv loader alone: it boots, and has no file system yet.
    OsvLoader,
    /// A disk with OSv's loader and a partition.
    OsvDisk,
    /// A disk for a directly booted OSv kernel: command line and partition, no loader.
    OsvKernelLessDisk,
    /// A ROFS file system without a disk around it.
    Rofs,
    /// An ext2, ext3 or ext4 file system without a disk around it.
    Ext4,
    /// A FAT file system without a disk around it.
    Fat,
    /// A disk with a partition table of another system.
    MbrDisk,
    /// An ISO 9660 file system, also with a partition table before it.
    Iso9660,
    /// A qcow2 disk.
    Qcow2,
    /// A gzip-compressed file.
    Gzip,
    /// An xz-compressed file.
    Xz,
    /// A zstd-compressed file.
    Zstd,
    /// None of these.
    Unknown,
}

/// Tells what an image is, by its first 2 KiB, and where these leave it open, its 17th sector of that size.
///
/// # Errors
/// [`Error::Read`] where it cannot be read.
pub fn detect(image: &mut (impl Read + Seek)) -> Result<ImageKind, Error> {
    image.seek(SeekFrom::Start(0)).map_err(Error::read(0))?;
    let mut start = Vec::new();
    image
        .take(2048)
        .read_to_end(&mut start)
        .map_err(Error::read(0))?;
    let kind = kind_of(&start);
    // It leaves its first 32 KiB to whoever boots from it.
    if matches!(kind, ImageKind::MbrDisk | ImageKind::Unknown) {
        let mut descriptor = Vec::new();
        image
            .seek(SeekFrom::Start(32 << 10))
            .map_err(Error::read(32 << 10))?;
        image
            .take(6)
            .read_to_end(&mut descriptor)
            .map_err(Error::read(32 << 10))?;
        if descriptor == b"\x01CD001" {
            return Ok(ImageKind::Iso9660);
        }
    }
    Ok(kind)
}

fn kind_of(start: &[u8]) -> ImageKind {
    if start.starts_with(b"QFI\xfb") {
        return ImageKind::Qcow2;
    }
    if start.starts_with(&[0x1F, 0x8B]) {
        return ImageKind::Gzip;
    }
    if start.starts_with(b"\xFD7zXZ\0") {
        return ImageKind::Xz;
    }
    if start.starts_with(b"\x28\xB5\x2F\xFD") {
        return ImageKind::Zstd;
    }
    if rofs::is_magic(start) {
        return ImageKind::Rofs;
    }
    // A file system may have a boot sector before it, a partition table has no superblock behind it.
    if ext4::is_magic(start) {
        return ImageKind::Ext4;
    }
    // Its boot sector has the mark of a partition table.
    if fat::is_magic(start) {
        return ImageKind::Fat;
    }
    let Some(sector) = start.first_chunk() else {
        return ImageKind::Unknown;
    };
    let Ok(partitions) = mbr::parse(sector) else {
        return ImageKind::Unknown;
    };
    match osv::recognise(sector) {
        Some(osv::Boot::Loader) if partitions.is_empty() => ImageKind::OsvLoader,
        Some(osv::Boot::Loader) => ImageKind::OsvDisk,
        Some(osv::Boot::Kernel) => ImageKind::OsvKernelLessDisk,
        None => ImageKind::MbrDisk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_first_bytes() {
        let with = |parts: &[(usize, &[u8])]| {
            let mut start = vec![0; 2048];
            for &(at, bytes) in parts {
                start[at..at + bytes.len()].copy_from_slice(bytes);
            }
            kind_of(&start)
        };
        let osv: [(usize, &[u8]); 3] = [
            (0, &[0xEA, 0x5E, 0x7C, 0, 0]),
            (0x1B8, b"VSO"),
            (510, &[0x55, 0xAA]),
        ];
        assert_eq!(with(&osv), ImageKind::OsvLoader);
        assert_eq!(
            with(&[&osv[..], &[(446 + 20, &[0x83])]].concat()),
            ImageKind::OsvDisk
        );
        assert_eq!(with(&osv[1..]), ImageKind::OsvKernelLessDisk);
        assert_eq!(with(&osv[2..]), ImageKind::MbrDisk);
        assert_eq!(
            with(&[(0, &[0xAD, 0xBE, 0xAD, 0xDE, 0, 0, 0, 0])]),
            ImageKind::Rofs
        );
        assert_eq!(
            with(&[(1024 + 0x38, &[0x53, 0xEF]), osv[2]]),
            ImageKind::Ext4
        );
        assert_eq!(with(&[(0, b"QFI\xfb")]), ImageKind::Qcow2);
        assert_eq!(with(&[(0, &[0x1F, 0x8B])]), ImageKind::Gzip);
        assert_eq!(with(&[]), ImageKind::Unknown);
        assert_eq!(kind_of(&[]), ImageKind::Unknown);
    }
}
