//! The library's packages, as the window and the command line show them.

mod accept;
mod details;
mod fetch;
mod graph;
mod model;
mod offers;
mod publish;
mod wanted;

use std::path::PathBuf;

use serde::Serialize;
use specta::Type;
use windlass_library::InstalledPackage;
use windlass_package::Package;

use crate::Workshop;
use crate::error::{AppError, IoContext, Result};

pub use accept::AcceptedDigest;
pub use model::{
    EnvironmentVariable, Graph, GraphEdge, GraphNode, GraphNodeKind, NeededBy, NeederKind,
    PackageDetails, PackageFilter, PackageKind, PackagePage, PackageRow, PackageSource,
    PackageUpdate, PackageVersion, Requirement, RequirementInfo, VariableKind,
};
pub(crate) use offers::Offers;

/// The most files that the description of a package names.
const FILES_MOST: usize = 100_000;

/// A package of the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackageInfo {
    /// What other packages require it by.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its version.
    pub version: Option<String>,
    /// The packages that it needs.
    pub require: Vec<String>,
    /// Its folder.
    pub path: String,
}

/// A run configuration as a package's files have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationInfo {
    /// Its name.
    pub name: String,
    /// What it bases on, as `package:configuration`.
    pub base: Option<String>,
    /// Whether it runs when nothing else is said.
    pub is_default: bool,
    /// Its environment, as `NAME=VALUE`.
    pub env: Vec<String>,
}

/// All that a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackageDescription {
    /// What other packages require it by.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Who made it.
    pub author: String,
    /// Its version.
    pub version: Option<String>,
    /// The packages that it needs.
    pub require: Vec<String>,
    /// When it was made, as its manifest has it.
    pub created: Option<String>,
    /// On what it was made.
    pub platform: Option<String>,
    /// Its folder.
    pub path: String,
    /// What runs its configurations: native, node, java, python.
    pub runtime: Option<String>,
    /// Its run configurations.
    pub configurations: Vec<ConfigurationInfo>,
    /// Its `meta/README.md`.
    pub readme: Option<String>,
    /// The paths of its files, where they were asked for.
    pub files: Option<Vec<String>>,
}

impl From<InstalledPackage> for PackageInfo {
    fn from(package: InstalledPackage) -> Self {
        Self {
            name: package.name,
            title: package.title,
            version: package.version,
            require: package.require.into_iter().map(|need| need.name).collect(),
            path: package.path.display().to_string(),
        }
    }
}

impl Workshop {
    /// The packages of the library, by name.
    ///
    /// # Errors
    /// When the library cannot be read. A package that cannot be read is left out, and logged.
    pub fn packages(&self) -> Result<Vec<PackageInfo>> {
        let listing = self.library.packages()?;
        for error in &listing.broken {
            tracing::warn!(%error, "a package of the library cannot be read");
        }
        Ok(listing.entries.into_iter().map(PackageInfo::from).collect())
    }

    /// What a package of the library, an appliance, or the package in a folder says of itself.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name; `Input` when a manifest has a mistake.
    pub fn describe_package(&self, name: &str, with_files: bool) -> Result<PackageDescription> {
        let package = Package::open(self.package_place(name)?)?;
        let (runtime, configurations) = configurations_of(&package);
        let files = with_files.then(|| files_of(&package)).transpose()?;
        Ok(PackageDescription {
            name: package.manifest.name,
            title: package.manifest.title,
            author: package.manifest.author,
            version: package.manifest.version,
            require: package.manifest.require,
            created: package.manifest.created,
            platform: package.manifest.platform,
            path: package.root.display().to_string(),
            runtime,
            configurations,
            readme: package.readme,
            files,
        })
    }

    /// The folder of a package: of the library, else an appliance's, else the named folder itself.
    fn package_place(&self, name: &str) -> Result<PathBuf> {
        if !name.contains('/')
            && let Ok(package) = self.library.package(name)
        {
            return Ok(package.path);
        }
        if let Ok(appliance) = self.find_appliance(name) {
            return Ok(PathBuf::from(appliance.path));
        }
        let folder = PathBuf::from(name);
        if folder.join(windlass_package::manifest::FILE).is_file() {
            return std::fs::canonicalize(&folder).doing("find the folder", &folder);
        }
        Err(AppError::not_found("package", name)
            .hinted("`windlassctl package list` shows those of the library"))
    }
}

/// What runs a package, and how it can be run.
fn configurations_of(package: &Package) -> (Option<String>, Vec<ConfigurationInfo>) {
    let Some(run) = &package.run else {
        return (None, Vec::new());
    };
    let configurations = run
        .config_set
        .iter()
        .map(|configuration| ConfigurationInfo {
            name: configuration.name.clone(),
            base: configuration.base.as_ref().map(ToString::to_string),
            is_default: run.config_set_default.contains(&configuration.name),
            env: configuration
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        })
        .collect();
    (Some(run.runtime.to_string()), configurations)
}

/// The files of a package that get into an image, sorted.
fn files_of(package: &Package) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let at = package.root.join(&folder);
        for entry in std::fs::read_dir(&at).doing("list the folder", &at)? {
            let entry = entry.doing("list the folder", &at)?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().doing("look at", &entry.path())?;
            let shown = format!("/{}", path.display());
            if package
                .ignore
                .is_ignored(path.as_os_str().as_encoded_bytes())
            {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if files.len() < FILES_MOST {
                files.push(shown);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What stays out of every image, as patterns.
pub fn always_ignored() -> &'static [&'static str] {
    &windlass_package::ignore::ALWAYS
}
