//! Tells whether and how a disk boots by itself.

use std::sync::Arc;

use super::{BIOS_PARTITION, EFI_PARTITION, EFI_PROGRAM, ROOT_PARTITION};
use crate::disk::{Part, SharedDisk};
use crate::fat::Fat;
use crate::gpt::{self, Partition};
use crate::image::Boots;
use crate::{Error, FileSystem as _, GuestPath, mbr};

/// Partitions are looked at only where there are not many.
const PARTITIONS_MAX: usize = 16;

/// Whether a table is one that [`write_disk`](super::write_disk) makes.
pub(crate) fn recognise(partitions: &[Partition]) -> bool {
    let kinds: Vec<(u32, gpt::Guid)> = partitions
        .iter()
        .map(|part| (part.number, part.kind))
        .collect();
    kinds
        == [
            (BIOS_PARTITION, gpt::BIOS_BOOT),
            (EFI_PARTITION, gpt::EFI_SYSTEM),
            (ROOT_PARTITION, gpt::LINUX_ROOT),
        ]
}

/// Where the EFI system partition of such a disk starts, and what is in it.
pub(super) fn efi_partition(disk: &SharedDisk) -> Result<(u64, SharedDisk), Error> {
    let partitions = gpt::read(disk.as_ref())?;
    if !recognise(&partitions) {
        return Err(Error::WrongKind {
            expected: "a Linux disk that boots by itself",
            found: format!("it has {} partitions of other kinds", partitions.len()),
        });
    }
    // It is the second, which was just seen.
    let efi = partitions
        .get(1)
        .map_or((0, 0), |part| (part.start_bytes, part.size_bytes));
    let part = Part::new(SharedDisk::clone(disk), efi.0, efi.1);
    Ok((efi.0, Arc::new(part)))
}

/// By what firmware a disk with a GUID partition table is booted, as far as can be seen.
pub(crate) fn boots(disk: &SharedDisk, partitions: &[Partition]) -> Boots {
    let mut code = [0; mbr::BOOT_CODE_BYTES];
    let has_code = disk.read_at(0, &mut code).is_ok() && code.iter().any(|&byte| byte != 0);
    let has_program = |part: &Partition| {
        let part = Part::new(SharedDisk::clone(disk), part.start_bytes, part.size_bytes);
        let path = GuestPath::new(EFI_PROGRAM).unwrap_or_default();
        Fat::open(Arc::new(part)).is_ok_and(|fat| fat.find(&path).is_ok())
    };
    Boots {
        by_bios: has_code,
        by_uefi: partitions
            .iter()
            .filter(|part| part.kind == gpt::EFI_SYSTEM)
            .take(PARTITIONS_MAX)
            .any(has_program),
    }
}
