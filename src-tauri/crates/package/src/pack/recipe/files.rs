//! Package files for a recipe: got from where the user says, and held against their digests.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Deb, DebSource, Recipe};
use crate::error::IoContext;
use crate::pack::debian::apt::{self, Origin, Wanted};
use crate::watch::advance;
use crate::{Error, Finding, Watch};

const BUFFER_BYTES: usize = 1 << 20;

/// A package file that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageFile {
    /// The name of the package.
    pub name: String,
    /// Its version, as its file's name has it.
    pub version: String,
    /// The file's SHA-256; none where the package is taken as it is installed.
    pub sha256: Option<String>,
    /// Where it is.
    pub origin: Origin,
    /// Whether the file is ours, and can go when it was unpacked.
    pub is_ours: bool,
}

impl PackageFile {
    /// As it is written into a package.
    pub fn said(&self) -> String {
        match &self.sha256 {
            Some(sha256) => format!("{} {} sha256:{sha256}", self.name, self.version),
            None => format!("{} as installed", self.name),
        }
    }
}

/// Gets all package files of a recipe, in its order.
pub(super) fn gather(
    recipe: &Recipe,
    source: &DebSource,
    scratch: &Path,
    findings: &mut Vec<Finding>,
    watch: &mut dyn Watch,
) -> Result<Vec<PackageFile>, Error> {
    match source {
        DebSource::Apt => {
            let wanted = |deb: &Deb| Wanted {
                name: deb.name.clone(),
                reason: format!("because {} is made of it", recipe.title),
            };
            let wanted: Vec<Wanted> = recipe.debs.iter().map(wanted).collect();
            watch.step(&format!("Downloading {} packages", wanted.len()));
            let mut origins = apt::download(&wanted, scratch, watch)?;
            let debs = recipe.debs.iter();
            debs.map(|deb| match origins.remove(&deb.name) {
                Some(Origin::File(path)) => judged(deb, &[path], true, findings, watch),
                Some(origin) if deb.newer => {
                    findings.push(Finding::note(format!(
                        "{} is taken as it is installed here",
                        deb.name
                    )));
                    Ok(PackageFile {
                        name: deb.name.clone(),
                        version: String::new(),
                        sha256: None,
                        origin,
                        is_ours: false,
                    })
                }
                _ => Err(lacking(deb, "could not be downloaded")),
            })
            .collect()
        }
        DebSource::Folder(folder) => {
            watch.step("Looking at the package files");
            let list = fs::read_dir(folder).context("list", folder)?;
            let mut paths: Vec<PathBuf> = list.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            let debs = recipe.debs.iter();
            debs.map(|deb| {
                let is_it = |path: &&PathBuf| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    name.ends_with(".deb")
                        && name
                            .split_once('_')
                            .is_some_and(|(name, _)| name == deb.name)
                };
                let found: Vec<PathBuf> = paths.iter().filter(is_it).cloned().collect();
                judged(deb, &found, false, findings, watch)
            })
            .collect()
        }
    }
}

/// The one of these files that the recipe means; else another version, where that will do.
fn judged(
    deb: &Deb,
    candidates: &[PathBuf],
    is_ours: bool,
    findings: &mut Vec<Finding>,
    watch: &mut dyn Watch,
) -> Result<PackageFile, Error> {
    let mut other = None;
    for path in candidates {
        let sha256 = digest(path, watch)?;
        let is_meant = sha256.eq_ignore_ascii_case(&deb.sha256);
        let file = PackageFile {
            name: deb.name.clone(),
            version: version_of(path),
            sha256: Some(sha256),
            origin: Origin::File(path.clone()),
            is_ours,
        };
        if is_meant {
            return Ok(file);
        }
        other = Some(file);
    }
    match other {
        None => Err(lacking(deb, "is not there")),
        Some(file) if deb.newer => {
            findings.push(Finding::note(format!(
                "{} is of version {} and not {}: the distribution has corrected it",
                deb.name, file.version, deb.version
            )));
            Ok(file)
        }
        Some(file) => Err(lacking(
            deb,
            &format!(
                "is another one than the recipe's: version {}, SHA-256 {}",
                file.version,
                file.sha256.unwrap_or_default()
            ),
        )),
    }
}

fn lacking(deb: &Deb, found: &str) -> Error {
    Error::Unsuitable {
        path: PathBuf::from(&deb.name),
        found: found.to_owned(),
        remedy: format!(
            "The recipe wants {} {} with the SHA-256 {}: get that file, and name the folder it is in.",
            deb.name, deb.version, deb.sha256
        ),
    }
}

/// The version in `zlib1g_1%3a1.2.13.dfsg-1_amd64.deb`.
fn version_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let version = name.split('_').nth(1).unwrap_or_default();
    version.replace("%3a", ":")
}

fn digest(path: &Path, watch: &mut dyn Watch) -> Result<String, Error> {
    let mut file = File::open(path).context("read", path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        advance(watch, 0)?;
        let count = file.read(&mut buffer).context("read", path)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    let digits = hasher.finalize();
    Ok(digits.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
