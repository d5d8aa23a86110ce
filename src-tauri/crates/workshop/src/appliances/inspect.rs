//! What a dropped path is, and what is proposed for it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_package::{Manifest, Package, RunFile, archive, manifest, run_file};

use super::{Appliance, Finding};
use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// What a dropped path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum DroppedKind {
    /// A folder with a manifest.
    Appliance,
    /// A folder without one.
    Folder,
    /// An archive that holds a folder.
    Archive,
    /// A guest kernel.
    Kernel,
}

/// A dropped path, looked at; nothing was written but, for an archive, its unpacked folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// The path to go on with: the dropped one, or the folder that an archive was unpacked into.
    pub path: String,
    /// What it is.
    pub kind: DroppedKind,
    /// The manifest that it could have, for a folder without one.
    pub proposal: Option<Proposal>,
}

/// A manifest for a folder that has none, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its author.
    pub author: String,
    /// Its version.
    pub version: String,
    /// The packages that it needs.
    pub require: Vec<String>,
    /// What runs it: native, node, java, python; empty for data alone.
    pub runtime: String,
    /// What will be run.
    pub command: String,
    /// The text of `meta/package.yaml`.
    pub package_yaml: String,
    /// The text of `meta/run.yaml`; empty for data alone.
    pub run_yaml: String,
    /// How many files there are.
    pub file_count: u64,
    /// How large they are.
    pub size_bytes: u64,
    /// Why it was recognised as what it is.
    pub reasons: Vec<String>,
    /// What stands in the way.
    pub problems: Vec<Finding>,
}

/// The manifests that the user accepted for a folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Manifests {
    /// The text of `meta/package.yaml`.
    pub package_yaml: String,
    /// The text of `meta/run.yaml`; empty writes none.
    pub run_yaml: String,
}

impl Manifests {
    /// Checks both texts, then writes them: both or none.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        Manifest::parse(&self.package_yaml, manifest::FILE)?;
        let run = (!self.run_yaml.trim().is_empty()).then_some(&self.run_yaml);
        if let Some(text) = run {
            RunFile::parse(text, run_file::FILE)?;
        }
        let meta = folder.join(windlass_package::META_DIRECTORY);
        std::fs::create_dir_all(&meta).doing("create the folder", &meta)?;
        // The manifest last: with it the folder becomes an appliance.
        if let Some(text) = run {
            write_whole(&folder.join(run_file::FILE), text.as_bytes())?;
        }
        write_whole(&folder.join(manifest::FILE), self.package_yaml.as_bytes())
    }
}

impl Workshop {
    /// Says what a path is, unpacking it first when it is an archive, and proposes a manifest for
    /// a folder that has none.
    ///
    /// # Errors
    /// `NotFound` when it vanished; `Input` when it is nothing that Windlass can use, or an archive
    /// that is damaged or tries to write outside its folder.
    pub async fn inspect(self: &Arc<Self>, path: &Path) -> Result<Dropped> {
        let workshop = Arc::clone(self);
        let path = path.to_path_buf();
        crate::blocking(move || workshop.inspect_now(&path)).await?
    }

    fn inspect_now(&self, path: &Path) -> Result<Dropped> {
        let path = std::fs::canonicalize(path).doing("find", path)?;
        if path.is_dir() {
            return inspect_folder(&path);
        }
        if archive::is_archive_name(&path) {
            let folder = self.unpack(&path)?;
            return Ok(Dropped {
                kind: DroppedKind::Archive,
                ..inspect_folder(&folder)?
            });
        }
        let mut file = File::open(&path).doing("read", &path)?;
        match windlass_guest::kernel::identify(&mut file) {
            Ok(_) => Ok(Dropped {
                path: path.display().to_string(),
                kind: DroppedKind::Kernel,
                proposal: None,
            }),
            Err(error) => Err(AppError {
                kind: ErrorKind::Input,
                message: format!("Windlass cannot use `{}`", path.display()),
                hints: vec![
                    "Drop a folder, an archive (.zip, .tar, .tar.gz, .tar.xz, .tar.zst, .mpm), or a guest kernel"
                        .to_owned(),
                ],
                chain: vec![error.to_string()],
                replaced: None,
            }),
        }
    }

    /// Unpacks an archive into a new folder of the home.
    fn unpack(&self, path: &Path) -> Result<PathBuf> {
        let stem = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = stem.split('.').next().unwrap_or_default();
        let folder = free_folder(&self.home.appliances(), &windlass_package::name_from(stem))?;
        archive::unpack(path, &folder, &archive::Limits::default(), &mut ())?;
        Ok(folder)
    }

    /// The appliance that a folder is, where it is one.
    ///
    /// # Errors
    /// When there is no such folder, or the database cannot be read.
    pub fn appliance_at(&self, folder: &Path) -> Result<Option<Appliance>> {
        let folder = std::fs::canonicalize(folder).doing("find the folder", folder)?;
        let text = folder.display().to_string();
        Ok(self
            .appliances()?
            .into_iter()
            .find(|appliance| appliance.path == text))
    }
}

/// A folder name that is not taken: `name`, else `name-2`, `name-3` …
pub(crate) fn free_folder(parent: &Path, name: &str) -> Result<PathBuf> {
    let mut folder = parent.join(name);
    let mut number = 1;
    while folder.try_exists().doing("look at", &folder)? {
        number += 1;
        folder = parent.join(format!("{name}-{number}"));
    }
    Ok(folder)
}

fn inspect_folder(path: &Path) -> Result<Dropped> {
    let shown = path.display().to_string();
    if Package::open(path)?.has_manifest {
        return Ok(Dropped {
            path: shown,
            kind: DroppedKind::Appliance,
            proposal: None,
        });
    }
    let proposal = windlass_package::propose(path)?;
    Ok(Dropped {
        path: shown,
        kind: DroppedKind::Folder,
        proposal: Some(proposal.into()),
    })
}

impl From<windlass_package::Proposal> for Proposal {
    fn from(proposal: windlass_package::Proposal) -> Self {
        Self {
            name: proposal.name,
            title: proposal.title,
            author: proposal.author,
            version: proposal.version,
            require: proposal.require,
            runtime: proposal
                .runtime
                .map(|runtime| runtime.to_string())
                .unwrap_or_default(),
            command: proposal.command,
            package_yaml: proposal.package_yaml,
            run_yaml: proposal.run_yaml.unwrap_or_default(),
            file_count: proposal.file_count,
            size_bytes: proposal.size_bytes,
            reasons: proposal.reasons,
            problems: proposal.problems.into_iter().map(Finding::from).collect(),
        }
    }
}
