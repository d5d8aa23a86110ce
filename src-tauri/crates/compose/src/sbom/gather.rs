//! What a bill of materials has to say of the files and packages in a file system.

use std::collections::HashMap;
use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use windlass_image::escape::escape;
use windlass_image::file_system::{FileSystem, StatKind, walk};
use windlass_image::{Error, GuestPath, Watch};

use super::{SbomFile, SbomPackage, hex};
use crate::FileList;

const CHUNK_BYTES: usize = 1 << 20;
/// What dpkg knows of some ten thousand packages.
const STATUS_BYTES_MAX: usize = 64 << 20;
/// Where dpkg keeps what is installed: in one file, or in one for each package.
const STATUS: &str = "var/lib/dpkg/status";
const STATUS_FOLDER: &str = "var/lib/dpkg/status.d";

/// The files of a file system with their digests, read once; `list` says which package each comes from. The watch counts bytes
/// of the files.
///
/// # Errors
/// Those of the file system; [`Error::Cancelled`].
pub fn files_in(
    file_system: &dyn FileSystem,
    list: Option<&FileList>,
    watch: &mut (impl Watch + ?Sized),
) -> Result<Vec<SbomFile>, Error> {
    let layers = list.map(|list| list.files.iter()).into_iter().flatten();
    let layers: HashMap<&str, &String> = layers
        .filter_map(|file| Some((file.path.as_str(), file.layer.as_ref()?)))
        .collect();
    let mut files = Vec::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    for stat in walk(file_system) {
        let stat = stat?;
        if !matches!(stat.kind, StatKind::File { .. }) {
            continue;
        }
        let (mut sha1, mut sha256, mut offset) = (Sha1::new(), Sha256::new(), 0);
        loop {
            let count = file_system.read(&stat, offset, &mut buffer)?;
            sha1.update(&buffer[..count]);
            sha256.update(&buffer[..count]);
            offset += count as u64;
            if watch.advance(count as u64).is_break() {
                return Err(Error::Cancelled);
            }
            if count < buffer.len() {
                break;
            }
        }
        let path = format!("/{}", escape(stat.path.as_bytes()));
        files.push(SbomFile {
            package: layers.get(path.as_str()).map(|layer| (*layer).clone()),
            path,
            sha1: hex(&sha1.finalize()),
            sha256: hex(&sha256.finalize()),
        });
    }
    Ok(files)
}

/// The packages of Debian, or a distribution made from it, that dpkg says are installed in a file system; none where there is
/// no dpkg. They are a part of `part_of`.
///
/// # Errors
/// Those of the file system.
pub fn debian_packages(
    file_system: &dyn FileSystem,
    part_of: Option<&str>,
) -> Result<Vec<SbomPackage>, Error> {
    let distribution = read(file_system, "etc/os-release")?
        .or(read(file_system, "usr/lib/os-release")?)
        .and_then(|text| {
            let mut lines = text.lines().map(str::to_owned);
            lines.find_map(|line| Some(line.strip_prefix("ID=")?.trim_matches('"').to_owned()))
        })
        .unwrap_or_else(|| "debian".to_owned());
    let mut texts = Vec::new();
    texts.extend(read(file_system, STATUS)?);
    if let Some(folder) = find(file_system, STATUS_FOLDER)?
        && folder.kind == StatKind::Directory
    {
        for file in file_system.list(&folder)? {
            let name = file.path.to_string();
            if !name.ends_with(".md5sums") {
                texts.extend(read(file_system, &name)?);
            }
        }
    }
    let mut packages: Vec<SbomPackage> = texts
        .iter()
        .flat_map(|text| text.split("\n\n"))
        .filter_map(|paragraph| debian_package(paragraph, &distribution, part_of))
        .collect();
    packages.sort_by(|one, other| (&one.name, &one.purl).cmp(&(&other.name, &other.purl)));
    packages.dedup();
    Ok(packages)
}

fn debian_package(
    paragraph: &str,
    distribution: &str,
    part_of: Option<&str>,
) -> Option<SbomPackage> {
    let field = |name: &str| {
        paragraph.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let is_installed = field("Status").is_none_or(|status| status.ends_with(" installed"));
    let (name, version) = (field("Package")?, field("Version")?);
    if !is_installed {
        return None;
    }
    let architecture = field("Architecture");
    let architecture = architecture
        .map(|it| format!("?arch={}", escaped(&it)))
        .unwrap_or_default();
    let (in_purl, version_in_purl) = (escaped(&name), escaped(&version));
    let distribution = escaped(distribution);
    Some(SbomPackage {
        purl: Some(format!(
            "pkg:deb/{distribution}/{in_purl}@{version_in_purl}{architecture}"
        )),
        name,
        version: Some(version),
        part_of: part_of.map(str::to_owned),
        ..SbomPackage::default()
    })
}

/// As a package URL has it: `%` and two digits for all that is neither letter nor digit nor `.-_~`.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

fn find(file_system: &dyn FileSystem, path: &str) -> Result<Option<windlass_image::Stat>, Error> {
    let Ok(path) = GuestPath::new(path) else {
        return Ok(None);
    };
    match file_system.find(&path) {
        Ok(stat) => Ok(Some(stat)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A text file, as much of it as can be of use.
fn read(file_system: &dyn FileSystem, path: &str) -> Result<Option<String>, Error> {
    let Some(stat) = find(file_system, path)? else {
        return Ok(None);
    };
    let StatKind::File { size_bytes } = stat.kind else {
        return Ok(None);
    };
    let length = usize::try_from(size_bytes)
        .unwrap_or(STATUS_BYTES_MAX)
        .min(STATUS_BYTES_MAX);
    let mut bytes = vec![0; length];
    let count = file_system.read(&stat, 0, &mut bytes)?;
    bytes.truncate(count);
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
