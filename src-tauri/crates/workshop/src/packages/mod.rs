//! The library's packages, as the window and the command line show them.

mod model;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use specta::Type;
use windlass_library::InstalledPackage;
use windlass_package::Package;

use crate::Workshop;
use crate::appliances::TreeEntry;
use crate::error::{AppError, IoContext, Result};
use crate::jobs::Job;

pub use model::{
    EnvironmentVariable, Graph, GraphEdge, GraphNode, GraphNodeKind, NeededBy, NeederKind,
    PackageDetails, PackageFilter, PackageKind, PackagePage, PackageRow, PackageSource,
    PackageUpdate, PackageVersion, Requirement, RequirementInfo, VariableKind,
};

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
        let (runtime, configurations) = match &package.run {
            None => (None, Vec::new()),
            Some(run) => (
                Some(run.runtime.to_string()),
                run.config_set
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
                    .collect(),
            ),
        };
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

impl Workshop {
    /// Packages of the library and of all registries, by relevance; an empty query finds all.
    ///
    /// # Errors
    /// When the library or the database cannot be read.
    pub async fn search_packages(
        &self,
        _query: &str,
        _filter: &PackageFilter,
        _offset: u32,
        _limit: u32,
    ) -> Result<PackagePage> {
        Err(AppError::not_there_yet("Search"))
    }

    /// All that is known of a package.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn package_details(
        &self,
        _name: &str,
        _version: Option<&str>,
    ) -> Result<PackageDetails> {
        Err(AppError::not_there_yet("Details"))
    }

    /// One directory of a package of the library.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn package_tree(
        &self,
        _name: &str,
        _version: Option<&str>,
        _path: &str,
    ) -> Result<Vec<TreeEntry>> {
        Err(AppError::not_there_yet("Files"))
    }

    /// What a package needs, and what that needs.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn package_graph(&self, _name: &str, _version: Option<&str>) -> Result<Graph> {
        Err(AppError::not_there_yet("The graph"))
    }

    /// Fetches a package with all that it needs, as a job.
    ///
    /// # Errors
    /// `NotFound` when no registry has it.
    pub fn start_pull(
        self: &Arc<Self>,
        _name: &str,
        _version: Option<&str>,
        _registry: Option<u32>,
    ) -> Result<Job> {
        Err(AppError::not_there_yet("Pulling"))
    }

    /// Removes a package, or one version of it, from the library.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_package(&self, _name: &str, _version: Option<&str>) -> Result<()> {
        Err(AppError::not_there_yet("Removing"))
    }

    /// Gives a package of the library to a registry, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Input` when nothing can be published there.
    pub fn start_publish(
        self: &Arc<Self>,
        _name: &str,
        _version: Option<&str>,
        _registry: u32,
    ) -> Result<Job> {
        Err(AppError::not_there_yet("Publishing"))
    }

    /// Writes a package of the library as one file, with its manifest beside it, as a job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_export(
        self: &Arc<Self>,
        _name: &str,
        _version: Option<&str>,
        _path: &Path,
    ) -> Result<Job> {
        Err(AppError::not_there_yet("Exporting"))
    }

    /// Which packages of the library a registry has newer versions of.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub async fn update_plan(&self) -> Result<Vec<PackageUpdate>> {
        Err(AppError::not_there_yet("Updating"))
    }

    /// Fetches the newest versions of packages, as a job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_update(self: &Arc<Self>, _names: &[String]) -> Result<Job> {
        Err(AppError::not_there_yet("Updating"))
    }
}
