//! An image of any kind, opened by its path.
//!
//! ```text
//!   Image::open(path)
//!     ├ format       raw or qcow2
//!     ├ layout       bare file system, MBR, GPT
//!     ├ osv          loader or kernel-less disk, command line
//!     └ volumes      partitions, or the one bare file system ──> file_system(n) ──> list, find, read
//! ```

use std::path::{Path, PathBuf};

use crate::disk::{self, DiskFormat, Part, ReadAt, SharedDisk, Stream};
use crate::ext4::Ext4;
use crate::fat::Fat;
use crate::file_system::{FileSystem, FileSystemKind};
use crate::foreign::{self, Foreign};
use crate::iso::{self, Iso};
use crate::rofs::Rofs;
use crate::{Error, ImageKind, detect, ext4, fat, gpt, journal, linux, mbr, osv, rofs};

/// How a disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// Not at all: one file system, or nothing that is known.
    Bare,
    /// By a master boot record.
    Mbr,
    /// By a GUID partition table.
    Gpt,
}

/// What OSv finds on a disk of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsvDisk {
    /// Whether it boots by itself; else a kernel has to be given to the hypervisor.
    pub has_loader: bool,
    /// The boot command line; `None` where it is damaged.
    pub command_line: Option<String>,
}

/// What a Linux disk of ours has beside its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxDisk {
    /// The boot command line; `None` where it is damaged.
    pub command_line: Option<String>,
}

/// By what firmware a disk is booted without help, as far as can be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Boots {
    /// By a BIOS.
    pub by_bios: bool,
    /// By UEFI.
    pub by_uefi: bool,
}

/// A part of a disk that can hold a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Which partition, from 1; 0 for a file system without a disk around it.
    pub number: u32,
    /// Its name, where the disk gives it one.
    pub name: Option<String>,
    /// Where it starts on the disk.
    pub start_bytes: u64,
    /// How large it is.
    pub size_bytes: u64,
    /// The file system in it, where it is one that can be read.
    pub file_system: Option<FileSystemKind>,
    /// What it is, where it is known and cannot be read.
    pub foreign: Option<Foreign>,
}

/// An open image.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    disk: SharedDisk,
    format: DiskFormat,
    kind: ImageKind,
    layout: Layout,
    osv: Option<OsvDisk>,
    linux: Option<LinuxDisk>,
    boots: Boots,
    volumes: Vec<Volume>,
}

impl Image {
    /// Opens an image. An update of it that was interrupted is finished before.
    ///
    /// # Errors
    /// [`Error::Open`]; [`Error::WrongKind`] for what is neither a disk nor a file system; [`Error::Corrupt`] and
    /// [`Error::Unsupported`] with the place.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // Whoever may not write to it may still look.
        let _ = journal::recover(path);
        let (format, disk) = disk::open(path)?;
        Self::of(path, format, disk)
    }

    /// Looks at a disk that is open.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn of(path: &Path, format: DiskFormat, disk: SharedDisk) -> Result<Self, Error> {
        let mut stream = Stream::new(SharedDisk::clone(&disk));
        let kind = detect(&mut stream)?;
        let osv = match kind {
            ImageKind::OsvLoader | ImageKind::OsvDisk | ImageKind::OsvKernelLessDisk => {
                Some(OsvDisk {
                    has_loader: kind != ImageKind::OsvKernelLessDisk,
                    command_line: osv::read_command_line(&mut stream).ok(),
                })
            }
            _ => None,
        };
        let mut linux_disk = None;
        let mut boots = Boots {
            by_bios: osv.as_ref().is_some_and(|osv| osv.has_loader),
            by_uefi: false,
        };
        let (layout, parts) = match kind {
            ImageKind::Rofs | ImageKind::Ext4 | ImageKind::Fat | ImageKind::Iso9660 => {
                (Layout::Bare, vec![(0, None, 0, disk.size_bytes())])
            }
            ImageKind::Gzip
            | ImageKind::Xz
            | ImageKind::Zstd
            | ImageKind::Qcow2
            | ImageKind::Unknown => {
                let found = match kind {
                    ImageKind::Gzip => "it is gzip-compressed: import it, which unpacks it",
                    ImageKind::Xz => "it is xz-compressed: import it, which unpacks it",
                    ImageKind::Zstd => "it is zstd-compressed: import it, which unpacks it",
                    ImageKind::Qcow2 => "it is a qcow2 disk inside of another",
                    _ => "it has neither a partition table nor a file system that is known",
                };
                return Err(Error::WrongKind {
                    expected: "a disk image",
                    found: found.to_owned(),
                });
            }
            _ if gpt::is_present(disk.as_ref())? => {
                let parts = gpt::read(disk.as_ref())?;
                boots = linux::boots(&disk, &parts);
                if linux::recognise(&parts) {
                    linux_disk = Some(LinuxDisk {
                        command_line: linux::read_command_line(&disk).ok(),
                    });
                }
                let parts = parts.into_iter().map(|part| {
                    (
                        part.number,
                        Some(part.name),
                        part.start_bytes,
                        part.size_bytes,
                    )
                });
                (Layout::Gpt, parts.collect())
            }
            _ => {
                let parts = mbr::read(&mut stream)?;
                // Others' code is not looked into: it is taken to start what is marked.
                if osv.is_none() {
                    boots.by_bios = parts.iter().any(|part| part.active);
                }
                let parts = parts.into_iter().map(|part| {
                    (
                        u32::from(part.number),
                        None,
                        part.start_bytes,
                        part.size_bytes,
                    )
                });
                (Layout::Mbr, parts.collect())
            }
        };
        let volumes = parts
            .into_iter()
            .map(|(number, name, start_bytes, size_bytes)| {
                let part = Part::new(SharedDisk::clone(&disk), start_bytes, size_bytes);
                volume_of(number, name, start_bytes, &part)
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            path: path.to_owned(),
            disk,
            format,
            kind,
            layout,
            osv,
            linux: linux_disk,
            boots,
            volumes,
        })
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format of its file.
    pub fn format(&self) -> DiskFormat {
        self.format
    }

    /// What the disk holds.
    pub fn kind(&self) -> ImageKind {
        self.kind
    }

    /// The size of the disk, which a qcow2 file may be much smaller than.
    pub fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    /// How the disk is divided.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What OSv finds there, where it is a disk of OSv.
    pub fn osv(&self) -> Option<&OsvDisk> {
        self.osv.as_ref()
    }

    /// What a Linux disk of ours has, where it is one that boots by itself.
    pub fn linux(&self) -> Option<&LinuxDisk> {
        self.linux.as_ref()
    }

    /// By what firmware it is booted without help.
    pub fn boots(&self) -> Boots {
        self.boots
    }

    /// The partitions, or the one bare file system.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// The disk's bytes.
    pub fn disk(&self) -> &SharedDisk {
        &self.disk
    }

    /// Opens the file system of a volume.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where there is none that can be read; the errors of [`Rofs::open`] and [`Ext4::open`].
    pub fn file_system(&self, volume: &Volume) -> Result<Box<dyn FileSystem>, Error> {
        let part: SharedDisk = std::sync::Arc::new(Part::new(
            SharedDisk::clone(&self.disk),
            volume.start_bytes,
            volume.size_bytes,
        ));
        match volume.file_system {
            Some(FileSystemKind::Rofs) => Ok(Box::new(Rofs::open(part)?)),
            Some(FileSystemKind::Ext4) => Ok(Box::new(Ext4::open(part)?)),
            Some(FileSystemKind::Fat) => Ok(Box::new(Fat::open(part)?)),
            Some(FileSystemKind::Iso9660) => Ok(Box::new(Iso::open(part)?)),
            None => Err(Error::WrongKind {
                expected: "a volume with a file system",
                found: match volume.foreign {
                    Some(foreign) => format!("it holds {foreign}, which cannot be read"),
                    None => "it holds no file system that can be read".to_owned(),
                },
            }),
        }
    }

    /// The volume that the guest has as its root: the first one with a file system. What firmware reads is not it, where
    /// there is another.
    pub fn root_volume(&self) -> Option<&Volume> {
        let is_root = |volume: &&Volume| {
            volume
                .file_system
                .is_some_and(|kind| kind != FileSystemKind::Fat)
        };
        self.volumes.iter().find(is_root).or_else(|| {
            self.volumes
                .iter()
                .find(|volume| volume.file_system.is_some())
        })
    }

    /// Opens the file system that the guest has as its root, of [`root_volume`](Self::root_volume).
    ///
    /// # Errors
    /// [`Error::WrongKind`] where there is none; as [`Image::file_system`].
    pub fn root(&self) -> Result<Box<dyn FileSystem>, Error> {
        let volume = self.root_volume();
        let volume = volume.ok_or_else(|| Error::WrongKind {
            expected: "an image with a file system",
            found: "none that is known is on it".to_owned(),
        })?;
        self.file_system(volume)
    }
}

fn volume_of(
    number: u32,
    name: Option<String>,
    start_bytes: u64,
    part: &Part,
) -> Result<Volume, Error> {
    let file_system = file_system_of(part)?;
    let foreign = match file_system {
        Some(_) => None,
        None => foreign::recognise(part)?,
    };
    Ok(Volume {
        number,
        name,
        start_bytes,
        size_bytes: part.size_bytes(),
        file_system,
        foreign,
    })
}

fn file_system_of(part: &Part) -> Result<Option<FileSystemKind>, Error> {
    let mut start = [0; 2048];
    let length = start
        .len()
        .min(usize::try_from(part.size_bytes()).unwrap_or(start.len()));
    part.read_at(0, &mut start[..length])?;
    if rofs::is_magic(&start) {
        return Ok(Some(FileSystemKind::Rofs));
    }
    if ext4::is_magic(&start) {
        return Ok(Some(FileSystemKind::Ext4));
    }
    if iso::is_present(part)? {
        return Ok(Some(FileSystemKind::Iso9660));
    }
    Ok(fat::is_magic(&start).then_some(FileSystemKind::Fat))
}
