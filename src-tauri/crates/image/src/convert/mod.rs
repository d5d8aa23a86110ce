//! An image in another format, as a new file.
//!
//! ```text
//!   any image ──> disk (ReadAt) ──> raw, qcow2, vmdk, vdi, vhdx
//!                     └──> root file system ──> tar
//! ```
//!
//! All of it is done here: no program is run, and no name inside an image opens another file. The result has another
//! name until it is complete and on the disk, so that there is the whole file or none.

use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::Path;

use crate::disk::DiskFormat;
use crate::export::{self, Compression, Qcow2Options};
use crate::file_system::{FileSystem, StatKind, walk};
use crate::{Error, Image, Watch};

mod place;
mod tar;

pub(crate) use place::{Place, check_room};

/// What an image can be made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The disk's bytes, zeros as holes.
    Raw,
    /// QEMU's format, compressed where [`ConvertOptions::compression`] says so.
    Qcow2,
    /// `VMware`'s format for disks that are in use (`monolithicSparse`).
    Vmdk,
    /// `VMware`'s compressed format for transport, as in an OVA (`streamOptimized`).
    VmdkStream,
    /// `VirtualBox`'s format, growing with its content.
    Vdi,
    /// Hyper-V's format, growing with its content.
    Vhdx,
    /// The files of a volume as a tar archive.
    Tar,
}

impl Format {
    /// What names of such files end with, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Raw => "img",
            Self::Qcow2 => "qcow2",
            Self::Vmdk | Self::VmdkStream => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhdx => "vhdx",
            Self::Tar => "tar",
        }
    }
}

/// How an image is converted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConvertOptions {
    /// How a qcow2 file is compressed; other formats do not look at it.
    pub compression: Option<Compression>,
    /// The partition that becomes a tar archive; the root file system where `None`.
    pub volume: Option<u32>,
    /// Whether a file that has the destination's name is replaced; else it is an error.
    pub replace: bool,
}

/// What has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// What the image was.
    pub from: DiskFormat,
    /// What it has become.
    pub format: Format,
    /// The size of the disk; of a tar archive, that of all files together.
    pub size_bytes: u64,
    /// The length of the new file.
    pub file_bytes: u64,
    /// How many devices, sockets and pipes are not in a tar archive.
    pub left_out: u64,
}

/// How much work it is to convert an image, as the watch counts it.
///
/// # Errors
/// As [`convert`].
pub fn total_bytes(source: &Path, format: Format, options: &ConvertOptions) -> Result<u64, Error> {
    let image = Image::open(source)?;
    if format != Format::Tar {
        return Ok(image.size_bytes());
    }
    let file_system = volume(&image, options.volume)?;
    walk(file_system.as_ref()).try_fold(0, |sum: u64, stat| {
        Ok(match stat?.kind {
            StatKind::File { size_bytes } => sum.saturating_add(size_bytes),
            _ => sum,
        })
    })
}

/// Writes an image in another format. The watch counts bytes of the disk, what is empty included; for a tar archive, bytes
/// of the files.
///
/// # Errors
/// [`Error::Exists`]; [`Error::Create`]; the errors of [`Image::open`]; [`Error::Write`]; [`Error::Cancelled`]. The
/// destination is then as it was.
pub fn convert(
    source: &Path,
    destination: &Path,
    format: Format,
    options: &ConvertOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Converted, Error> {
    let image = Image::open(source)?;
    let mut place = Place::new(destination, options.replace)?;
    let converted = write(&image, &mut place, format, options, watch)?;
    place.keep()?;
    Ok(converted)
}

/// Writes an image to a place.
pub(crate) fn write(
    image: &Image,
    place: &mut Place,
    format: Format,
    options: &ConvertOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Converted, Error> {
    let disk = image.disk().as_ref();
    let (mut size_bytes, mut left_out) = (image.size_bytes(), 0);
    let mut counted = Counted { watch, bytes: 0 };
    let watch = &mut counted;
    let file = place.file();
    match format {
        Format::Raw => export::write_raw(disk, file, watch)?,
        Format::Qcow2 => {
            let compression = options.compression;
            export::write_qcow2(disk, file, Qcow2Options { compression }, watch)?;
        }
        Format::Vmdk => export::write_vmdk(disk, file, watch)?,
        Format::VmdkStream => export::write_vmdk_stream(disk, file, watch)?,
        Format::Vdi => export::write_vdi(disk, file, watch)?,
        Format::Vhdx => export::write_vhdx(disk, file, watch)?,
        Format::Tar => {
            let file_system = volume(image, options.volume)?;
            let written = tar::write(file_system.as_ref(), BufWriter::new(file), watch)?;
            (size_bytes, left_out) = (written.bytes, written.left_out);
        }
    }
    counted.complete(size_bytes)?;
    let metadata = place.file().metadata();
    Ok(Converted {
        from: image.format(),
        format,
        size_bytes,
        file_bytes: metadata.map_err(Error::write(0))?.len(),
        left_out,
    })
}

fn volume(image: &Image, number: Option<u32>) -> Result<Box<dyn FileSystem>, Error> {
    let Some(number) = number else {
        return image.root();
    };
    let mut volumes = image.volumes().iter();
    let volume = volumes.find(|volume| volume.number == number);
    image.file_system(volume.ok_or_else(|| Error::WrongKind {
        expected: "a disk with that volume",
        found: format!("it has no volume {number}"),
    })?)
}

/// Knows how much was counted, to count in the end what is left: writers count with the data what is empty before it, not
/// behind it.
struct Counted<'watch, W: ?Sized> {
    watch: &'watch mut W,
    bytes: u64,
}

impl<W: Watch + ?Sized> Counted<'_, W> {
    fn complete(&mut self, total: u64) -> Result<(), Error> {
        if self.advance(total.saturating_sub(self.bytes)).is_break() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

impl<W: Watch + ?Sized> Watch for Counted<'_, W> {
    fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
        self.bytes += bytes;
        self.watch.advance(bytes)
    }
}
