//! An image of anybody's becomes one of ours.
//!
//! ```text
//!   img.gz, img.xz, img.zst ──> unpacked, sparse, no more than allowed ──┐
//!   raw, qcow2, vmdk, vdi, vhdx ─────────────────────────────────────────┴─> looked at ──> raw (sparse) or qcow2
//! ```
//!
//! What comes out is a copy that machines can start from; what went in is only read.

mod packed;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::convert::{self, ConvertOptions, Format, Place};
use crate::disk::DiskFormat;
use crate::{Error, Image, ImageKind, Layout, Watch};

/// By what a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packing {
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
}

/// How an image is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOptions {
    /// What it becomes: [`Format::Qcow2`], or else [`Format::Raw`].
    pub format: Format,
    /// How much may be unpacked from a compressed file at most.
    pub unpacked_bytes_max: u64,
    /// How much room has to be left on the disk that is written to.
    pub leave_free_bytes: u64,
    /// Whether a file that has the destination's name is replaced; else it is an error.
    pub replace: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            format: Format::Raw,
            unpacked_bytes_max: 1 << 40,
            leave_free_bytes: 1 << 30,
            replace: false,
        }
    }
}

/// What has been imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the file was, below any compression.
    pub from: DiskFormat,
    /// By what it was compressed.
    pub packing: Option<Packing>,
    /// What it has become.
    pub format: DiskFormat,
    /// The size of the disk.
    pub size_bytes: u64,
    /// What the disk holds.
    pub kind: ImageKind,
    /// How it is divided.
    pub layout: Layout,
}

/// How much work it is to import a file, as the watch counts it.
///
/// # Errors
/// As [`import`].
pub fn total_bytes(source: &Path) -> Result<u64, Error> {
    let (file, packing) = open(source)?;
    if packing.is_some() {
        return Ok(file.metadata().map_err(Error::read(0))?.len());
    }
    Ok(Image::open(source)?.size_bytes())
}

/// Makes a copy of an image, of any format that can be read, compressed or not. The watch counts bytes of the disk; of a
/// compressed file, bytes of that file.
///
/// # Errors
/// [`Error::Exists`]; [`Error::Create`]; [`Error::NoRoom`]; [`Error::Packed`] and [`Error::TooLarge`] for a compressed file;
/// [`Error::WrongKind`] for what is no image; the errors of [`Image::open`]; [`Error::Cancelled`]. The destination is then as
/// it was.
pub fn import(
    source: &Path,
    destination: &Path,
    options: &ImportOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Imported, Error> {
    let mut place = Place::new(destination, options.replace)?;
    let (file, packing) = open(source)?;
    let from = if let Some(packing) = packing {
        packed::unpack(file, packing, &mut place, destination, options, watch)?;
        let image = Image::open(place.draft())?;
        // What is raw already is where it belongs.
        if image.format() != DiskFormat::Raw || options.format != Format::Raw {
            let unpacked = place;
            place = Place::new(destination, options.replace)?;
            let mut only_stops = |_: u64| watch.advance(0);
            copy(&image, &mut place, destination, options, &mut only_stops)?;
            drop(unpacked);
        }
        image.format()
    } else {
        let image = Image::open(source)?;
        copy(&image, &mut place, destination, options, watch)?;
        image.format()
    };
    let image = Image::open(place.draft())?;
    place.keep()?;
    Ok(Imported {
        from,
        packing,
        format: image.format(),
        size_bytes: image.size_bytes(),
        kind: image.kind(),
        layout: image.layout(),
    })
}

fn open(source: &Path) -> Result<(File, Option<Packing>), Error> {
    let opened = |error| Error::Open {
        path: source.to_owned(),
        source: error,
    };
    let file = File::open(source).map_err(opened)?;
    let mut start = Vec::new();
    (&file).take(8).read_to_end(&mut start).map_err(opened)?;
    (&file).rewind().map_err(opened)?;
    Ok((file, Packing::of(&start)))
}

fn copy(
    image: &Image,
    place: &mut Place,
    destination: &Path,
    options: &ImportOptions,
    watch: &mut (impl Watch + ?Sized),
) -> Result<(), Error> {
    let needed = allocated(image.path())?.min(image.size_bytes());
    convert::check_room(destination, needed, options.leave_free_bytes)?;
    let format = match options.format {
        Format::Qcow2 => Format::Qcow2,
        _ => Format::Raw,
    };
    convert::write(image, place, format, &ConvertOptions::default(), watch).map(drop)
}

/// What of a file is there, holes left out.
fn allocated(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok((metadata.blocks() * 512).min(metadata.len()))
}
