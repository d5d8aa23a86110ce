//! What an image is made of, as a bill of materials: SPDX 2.3 or `CycloneDX` 1.6, as JSON.
//!
//! ```text
//!   packages of the build, their licenses and origins ──┐
//!   files_in(file system): SHA-1 and SHA-256 of each ───┼─> SbomInput ──> write ──> image.spdx.json, image.cdx.json
//!   debian_packages(file system): what dpkg knows ──────┘
//! ```
//!
//! The same input gives the same bytes: the numbers that tell one document from another are made from what is in it. Files
//! are written one by one, whatever their number.

mod cyclonedx;
mod gather;
mod spdx_json;

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;

pub use gather::{debian_packages, files_in};

const TOOL: &str = "windlass";
const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");

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
    match kind {
        SbomKind::Spdx => spdx_json::write(input, out)?,
        SbomKind::CycloneDx => cyclonedx::write(input, out)?,
    }
    out.flush()
}

/// A list within an object, item by item.
fn list(out: &mut impl Write, name: &str, items: impl Iterator<Item = Value>) -> io::Result<()> {
    write!(out, ",\n\"{name}\":[")?;
    for (index, item) in items.enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &item)?;
    }
    out.write_all(b"]")
}

/// The beginning of an object, to be followed by lists: all but its closing brace.
fn open(out: &mut impl Write, fields: &Value) -> io::Result<()> {
    let text = fields.to_string();
    out.write_all(text.strip_suffix('}').unwrap_or(&text).as_bytes())
}

/// A UUID of version 8 made from all that is in the document.
fn uuid(kind: SbomKind, input: &SbomInput) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    add(kind.suffix());
    add(&input.name);
    add(&input.created_seconds.to_string());
    for text in [&input.version, &input.license, &input.image_blake3] {
        add(&or_none(text));
    }
    for package in &input.packages {
        add(&format!("{package:?}"));
    }
    for file in &input.files {
        for text in [
            &file.path,
            &or_none(&file.package),
            &file.sha1,
            &file.sha256,
        ] {
            add(text);
        }
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0F | 0x80;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = hex(&bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Whether an origin is a place to download from.
fn is_location(origin: &str) -> bool {
    ["https://", "http://", "git+https://"]
        .iter()
        .any(|scheme| origin.starts_with(scheme))
        && !origin.contains(char::is_whitespace)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// When it was made, as RFC 3339 has it.
fn created(input: &SbomInput) -> String {
    jiff::Timestamp::from_second(input.created_seconds)
        .unwrap_or_default()
        .to_string()
}

/// A license: an expression that SPDX knows, or else words.
enum License<'a> {
    Expression(String),
    Words(&'a str),
}

impl<'a> License<'a> {
    fn of(text: &'a str) -> Self {
        match spdx::Expression::parse(text) {
            Ok(expression) => Self::Expression(expression.to_string()),
            Err(_) => Self::Words(text),
        }
    }
}
