//! Puts a disk together.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::command_line::archive;
use super::{
    ALIGNMENT_BYTES, BIOS_PARTITION, BIOS_SIZE_BYTES, BIOS_START_BYTES, COMMAND_LINE,
    CONFIGURATION, EFI_PARTITION, EFI_PROGRAM, EFI_START_BYTES, INITRAMFS, KERNEL, ROOT_NAME,
    ROOT_PARTITION,
};
use crate::ext4::{self, Ext4Options};
use crate::fat::{self, FatKind, FatOptions};
use crate::gpt::{self, Partition};
use crate::mbr::{self, SECTOR_BYTES};
use crate::output::Output;
use crate::{Error, GuestPath, Node, Source, Tree, Watch};

/// Where boot.img has the sector that it loads next (GRUB's `boot/i386/pc/boot.h`).
const NEXT_SECTOR_OFFSET: usize = 0x5C;
/// Where it takes the BIOS's word for the drive only if that is a floppy; not wanted on a hard disk.
const DRIVE_CHECK_OFFSET: usize = 0x66;
const NO_OPERATION: u8 = 0x90;

/// core.img's first sector ends with where the others are: u64 first, u16 count, u16 segment.
const BLOCK_LIST_OFFSET: usize = 512 - 12;
const SEGMENT: [u8; 2] = [0x20, 0x08];

/// What makes a disk boot by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootParts {
    /// GRUB's boot.img for `i386-pc`, 512 bytes.
    pub boot_sector: Source,
    /// What `grub-mkimage -O i386-pc` makes, with [`BIOS_PREFIX`](super::BIOS_PREFIX).
    pub core: Source,
    /// What `grub-mkimage -O x86_64-efi` makes, with [`EFI_PREFIX`](super::EFI_PREFIX).
    pub efi_program: Source,
    /// Linux.
    pub kernel: Source,
    /// What Linux starts with.
    pub initramfs: Source,
    /// The kernel's parameters.
    pub parameters: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLayout {
    /// The size of the disk.
    pub size_bytes: u64,
    /// All partitions.
    pub partitions: Vec<Partition>,
}

/// Writes a disk that boots by itself from the position of `out` on.
///
/// # Errors
/// [`Error::CommandLine`], [`Error::Kernel`] and [`Error::NotABootLoader`] before anything is written; the errors of
/// [`fat::write`] and [`ext4::write`] leave the output unfinished.
pub fn write_disk(
    boot: &BootParts,
    command_line: &str,
    root: &Ext4Options,
    tree: &Tree,
    out: &mut (impl Write + Seek),
    watch: &mut (impl Watch + ?Sized),
) -> Result<DiskLayout, Error> {
    let boot_sector = boot_sector(&boot.boot_sector)?;
    let core = core(&boot.core)?;
    let efi_tree = efi_tree(boot, command_line)?;

    let start = out.stream_position().map_err(Error::write(0))?;
    let go_to = |out: &mut _, at: u64| {
        Seek::seek(out, SeekFrom::Start(start + at))
            .map(drop)
            .map_err(Error::write(at))
    };
    go_to(out, EFI_START_BYTES)?;
    let efi_options = FatOptions {
        kind: Some(FatKind::Fat32),
        label: "ESP".to_owned(),
        start_bytes: EFI_START_BYTES,
        ..FatOptions::default()
    };
    // Its files are not those of the appliance, though they may have the same paths: nobody is to digest them.
    let mut quiet = |bytes| watch.advance(bytes);
    let efi_bytes = fat::write(&efi_tree, out, &efi_options, &mut quiet)?;
    let efi_bytes = efi_bytes.next_multiple_of(ALIGNMENT_BYTES);
    let root_start = EFI_START_BYTES + efi_bytes;
    go_to(out, root_start)?;
    let root_bytes = ext4::write(tree, out, root, watch)?;

    let part = |number, kind, name: &str, start_bytes, size_bytes| Partition {
        number,
        kind,
        name: name.to_owned(),
        start_bytes,
        size_bytes,
    };
    let partitions = vec![
        part(
            BIOS_PARTITION,
            gpt::BIOS_BOOT,
            "bios-boot",
            BIOS_START_BYTES,
            BIOS_SIZE_BYTES,
        ),
        part(
            EFI_PARTITION,
            gpt::EFI_SYSTEM,
            "esp",
            EFI_START_BYTES,
            efi_bytes,
        ),
        part(
            ROOT_PARTITION,
            gpt::LINUX_ROOT,
            ROOT_NAME,
            root_start,
            root_bytes,
        ),
    ];
    let size_bytes = (root_start + root_bytes + gpt::END_BYTES).next_multiple_of(ALIGNMENT_BYTES);
    go_to(out, 0)?;
    let mut output = Output::new(out)?;
    gpt::write(&mut output, size_bytes, &boot_sector, &partitions)?;
    output.write_at(BIOS_START_BYTES, &core)?;
    output.finish(size_bytes)?;
    Ok(DiskLayout {
        size_bytes,
        partitions,
    })
}

/// What firmware and GRUB read.
fn efi_tree(boot: &BootParts, command_line: &str) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let mut put = |path: &str, source: Source| -> Result<(), Error> {
        let size_bytes = size_of(&source)?;
        let node = Node::File {
            source,
            size_bytes,
            mode: 0o644,
        };
        // The paths are ours: none is refused.
        tree.insert(GuestPath::new(path).unwrap_or_default(), node)
            .map_err(|_| Error::NotFound {
                path: GuestPath::root(),
            })
    };
    let bytes = |bytes: Vec<u8>| Source::Bytes(bytes.into());
    put(EFI_PROGRAM, boot.efi_program.clone())?;
    put(KERNEL, boot.kernel.clone())?;
    put(INITRAMFS, boot.initramfs.clone())?;
    put(COMMAND_LINE, bytes(archive(command_line)?))?;
    put(
        CONFIGURATION,
        bytes(configuration(&boot.parameters).into_bytes()),
    )?;
    Ok(tree)
}

/// What GRUB does. It speaks on the serial port as well, where there is one, in case that it cannot go on.
fn configuration(parameters: &str) -> String {
    format!(
        "# What the guest runs is in the file command-line.cpio beside this one.\n\
         if serial --unit=0 --speed=115200; then\n\
         \x20 terminal_input console serial\n\
         \x20 terminal_output console serial\n\
         fi\n\
         set gfxpayload=keep\n\
         linux /{KERNEL} {parameters}\n\
         initrd /{INITRAMFS} /{COMMAND_LINE}\n\
         echo\n\
         boot\n"
    )
}

fn boot_sector(source: &Source) -> Result<Vec<u8>, Error> {
    let mut bytes = read(source, SECTOR_BYTES)?;
    let is_one = bytes.len() == 512 && bytes[0] == 0xEB && bytes.ends_with(&[0x55, 0xAA]);
    if !is_one {
        return Err(refuse(
            source,
            "GRUB's boot.img",
            "it is no boot sector of 512 bytes",
        ));
    }
    let next = BIOS_START_BYTES / SECTOR_BYTES;
    bytes[NEXT_SECTOR_OFFSET..NEXT_SECTOR_OFFSET + 8].copy_from_slice(&next.to_le_bytes());
    bytes[DRIVE_CHECK_OFFSET..DRIVE_CHECK_OFFSET + 2].fill(NO_OPERATION);
    bytes.truncate(mbr::BOOT_CODE_BYTES);
    Ok(bytes)
}

fn core(source: &Source) -> Result<Vec<u8>, Error> {
    let mut bytes = read(source, BIOS_SIZE_BYTES)?;
    let sectors = bytes.len().div_ceil(512).saturating_sub(1);
    let is_one = bytes.len() > 512
        && bytes[510..512] == SEGMENT
        && usize::from(u16::from_le_bytes([bytes[508], bytes[509]])) == sectors;
    if !is_one {
        return Err(refuse(
            source,
            "GRUB's core.img for a BIOS",
            "its first sector does not say how long it is",
        ));
    }
    let next = BIOS_START_BYTES / SECTOR_BYTES + 1;
    bytes[BLOCK_LIST_OFFSET..BLOCK_LIST_OFFSET + 8].copy_from_slice(&next.to_le_bytes());
    Ok(bytes)
}

fn refuse(source: &Source, expected: &'static str, found: impl Into<String>) -> Error {
    Error::NotABootLoader {
        what: match source {
            Source::Path(path) => path.display().to_string(),
            Source::Below(folder) => folder.display().to_string(),
            Source::Bytes(_) => "the boot loader".to_owned(),
        },
        expected,
        found: found.into(),
    }
}

fn size_of(source: &Source) -> Result<u64, Error> {
    match source {
        Source::Bytes(bytes) => Ok(bytes.len() as u64),
        Source::Path(path) => std::fs::metadata(path)
            .map(|metadata| metadata.len())
            .map_err(|source| unreadable(path, source)),
        Source::Below(folder) => Err(unreadable(folder, io::ErrorKind::IsADirectory.into())),
    }
}

fn read(source: &Source, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let size_bytes = size_of(source)?;
    if size_bytes > bytes_max {
        let found = format!("it has {size_bytes} bytes, and room for {bytes_max}");
        return Err(refuse(source, "a part of GRUB", found));
    }
    match source {
        Source::Bytes(bytes) => Ok(bytes.to_vec()),
        Source::Path(path) => std::fs::read(path).map_err(|source| unreadable(path, source)),
        Source::Below(folder) => Err(unreadable(folder, io::ErrorKind::IsADirectory.into())),
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Kernel {
        path: path.to_path_buf(),
        source,
    }
}
