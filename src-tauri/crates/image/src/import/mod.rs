//! An image of anybody's becomes one of ours.
//!
//! ```text
//!   img.gz, img.xz, img.zst ──> unpacked, sparse, no more than allowed ──┐
//!   raw, qcow2, vmdk, vdi, vhdx ─────────────────────────────────────────┴─> looked at ──> raw (sparse) or qcow2
//! ```
//!
//! What comes out is a copy that machines can start from; what went in is only read.

use std::fs;
use std::path::Path;

use crate::convert::{self, ConvertOptions, Format};
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
    /// What it becomes: [`Format::Raw`] or [`Format::Qcow2`].
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
    let needed_bytes = allocated(source)?.saturating_add(options.leave_free_bytes);
    let free_bytes = convert::free_bytes(destination)?;
    if free_bytes < needed_bytes {
        let folder = convert::folder_of(destination).to_owned();
        return Err(Error::NoRoom {
            folder,
            needed_bytes,
            free_bytes,
        });
    }
    let convert_options = ConvertOptions {
        replace: options.replace,
        ..ConvertOptions::default()
    };
    let converted = convert::convert(source, destination, options.format, &convert_options, watch)?;
    let image = Image::open(destination)?;
    Ok(Imported {
        from: converted.from,
        packing: None,
        format: image.format(),
        size_bytes: image.size_bytes(),
        kind: image.kind(),
        layout: image.layout(),
    })
}

/// What of a file is there, holes left out.
fn allocated(path: &Path) -> Result<u64, Error> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok((metadata.blocks() * 512).min(metadata.len()))
}
