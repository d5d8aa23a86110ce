//! All that is known of one package: from the library, from registries, and from what needs it.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_library::InstalledPackage;
use windlass_package::Package;
use windlass_registry::Entry;

use super::offers::Offer;
use super::{
    ConfigurationInfo, EnvironmentVariable, NeededBy, NeederKind, PackageDetails, PackageUpdate,
    PackageVersion, RequirementInfo,
};
use crate::Workshop;
use crate::appliances::{EntryKind, TreeEntry};
use crate::error::{AppError, IoContext, Result};
use crate::registries::Record;

/// A larger icon is no icon.
const ICON_MOST_BYTES: u64 = 256 << 10;
/// The most entries of one folder that are shown.
const ENTRIES_MOST: usize = 10_000;
/// The most entries that are counted for the size of a folder.
const COUNTED_MOST: usize = 100_000;

impl Workshop {
    /// All that is known of a package.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn package_details(
        self: &Arc<Self>,
        name: &str,
        version: Option<&str>,
    ) -> Result<PackageDetails> {
        let workshop = Arc::clone(self);
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        crate::blocking(move || workshop.details_now(&name, version.as_deref())).await?
    }

    fn details_now(&self, name: &str, version: Option<&str>) -> Result<PackageDetails> {
        let offer = self.offer()?;
        let here = match version {
            Some(version) => self.library.package_version(name, version).ok(),
            None => offer.installed_named(name).cloned(),
        };
        let there = offer
            .named(name)
            .filter(|(_, entry)| version.is_none_or(|it| entry.version.as_deref() == Some(it)))
            .reduce(|best, next| {
                if next.1.parsed_version() > best.1.parsed_version() {
                    next
                } else {
                    best
                }
            });
        let mut details = match (&here, there) {
            (Some(package), there) => from_library(package, there)?,
            (None, Some((record, entry))) => from_registry(record, entry),
            (None, None) => {
                let what = version.map_or(name.to_owned(), |version| format!("{name} {version}"));
                return Err(self.explained(
                    AppError::not_found("package", &what)
                        .hinted("`windlassctl package search` shows those that there are"),
                ));
            }
        };
        details.versions = versions(&offer, name);
        for requirement in &mut details.require {
            let constraint = requirement.constraint.as_deref().unwrap_or("*");
            let constraint = windlass_package::Constraint::parse(constraint).unwrap_or_default();
            requirement.installed = offer.installed().iter().any(|package| {
                let version = package
                    .version
                    .as_deref()
                    .and_then(|text| windlass_package::Version::parse(text).ok());
                package.name == requirement.name && constraint.allows_any_of(version.as_ref())
            });
        }
        details.needed_by = self.needed_by(&offer, name)?;
        Ok(details)
    }

    fn needed_by(&self, offer: &Offer, name: &str) -> Result<Vec<NeededBy>> {
        let mut needed_by = Vec::new();
        for appliance in self.appliances()? {
            let needs = Package::open(&appliance.path)
                .is_ok_and(|package| package.manifest.require.iter().any(|it| it == name));
            if needs {
                needed_by.push(NeededBy {
                    name: appliance.name,
                    kind: NeederKind::Appliance,
                    id: Some(appliance.id),
                });
            }
        }
        for package in offer.installed() {
            let needs = package.require.iter().any(|it| it.name == name);
            if needs && needed_by.last().is_none_or(|it| it.name != package.name) {
                needed_by.push(NeededBy {
                    name: package.name.clone(),
                    kind: NeederKind::Package,
                    id: None,
                });
            }
        }
        Ok(needed_by)
    }

    /// One directory of a package of the library.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn package_tree(
        &self,
        name: &str,
        version: Option<&str>,
        path: &str,
    ) -> Result<Vec<TreeEntry>> {
        let package = self.installed_package(name, version)?;
        let path = path.to_owned();
        crate::blocking(move || list(&package, &path)).await?
    }

    /// A package of the library, the newest where no version is named.
    pub(crate) fn installed_package(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<InstalledPackage> {
        Ok(match version {
            Some(version) => self.library.package_version(name, version)?,
            None => self.library.package(name)?,
        })
    }

    /// Removes a package, or one version of it, from the library.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_package(&self, name: &str, version: Option<&str>) -> Result<()> {
        let library = self.library.clone();
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        crate::blocking(move || match version {
            Some(version) => library.remove_package_version(&name, &version),
            None => library.remove_package(&name),
        })
        .await??;
        self.library_changed();
        Ok(())
    }

    /// Which packages of the library a registry has newer versions of.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub async fn update_plan(self: &Arc<Self>) -> Result<Vec<PackageUpdate>> {
        let workshop = Arc::clone(self);
        crate::blocking(move || {
            let offer = workshop.offer()?;
            let mut plan: Vec<PackageUpdate> = Vec::new();
            for package in offer.installed() {
                // The first of a name is its newest.
                if plan.last().is_some_and(|it| it.name == package.name)
                    || offer.installed_named(&package.name).map(|it| &it.digest)
                        != Some(&package.digest)
                {
                    continue;
                }
                let have = package
                    .version
                    .as_deref()
                    .and_then(|text| windlass_package::Version::parse(text).ok());
                let newest = offer
                    .packages_named(&package.name)
                    .filter(|(_, entry)| entry.parsed_version() > have)
                    .reduce(|best, next| {
                        if next.1.parsed_version() > best.1.parsed_version() {
                            next
                        } else {
                            best
                        }
                    });
                if let Some((record, entry)) = newest {
                    plan.push(PackageUpdate {
                        name: package.name.clone(),
                        from: package.version.clone(),
                        to: entry.version.clone().unwrap_or_default(),
                        registry: record.name().to_owned(),
                    });
                }
            }
            Ok(plan)
        })
        .await?
    }
}

fn requirements(require: &[windlass_package::Requirement]) -> Vec<RequirementInfo> {
    require
        .iter()
        .map(|requirement| RequirementInfo {
            name: requirement.name.clone(),
            constraint: (!requirement.versions.is_any())
                .then(|| requirement.versions.as_str().to_owned()),
            installed: false,
        })
        .collect()
}

fn from_library(
    installed: &InstalledPackage,
    there: Option<(&Record, &Entry)>,
) -> Result<PackageDetails> {
    let package = Package::open(&installed.path)?;
    let (runtime, configurations) = super::configurations_of(&package);
    let manifest = package.manifest;
    Ok(PackageDetails {
        icon_url: manifest
            .icon
            .as_deref()
            .and_then(|icon| icon_url(&installed.path, icon)),
        name: manifest.name,
        title: manifest.title,
        author: Some(manifest.author),
        license: manifest.license,
        platform: manifest.platform,
        created: manifest.created,
        description: there.and_then(|(_, entry)| entry.description.clone()),
        readme: package.readme,
        version: installed.version.clone(),
        versions: Vec::new(),
        require: requirements(&installed.require),
        needed_by: Vec::new(),
        environment: manifest
            .environment
            .into_iter()
            .map(EnvironmentVariable::from)
            .collect(),
        configurations,
        runtime,
        path: Some(installed.path.display().to_string()),
        digest: Some(installed.digest.clone()),
        size_bytes: Some(installed.size_bytes),
        file_count: Some(installed.file_count),
        origin: installed
            .origin
            .as_ref()
            .map(|origin| format!("{}: {}", origin.registry, origin.url)),
    })
}

fn from_registry(record: &Record, entry: &Entry) -> PackageDetails {
    PackageDetails {
        name: entry.name.clone(),
        title: entry.title.clone().unwrap_or_else(|| entry.name.clone()),
        author: entry.author.clone(),
        license: None,
        platform: entry.platform.clone(),
        created: entry.created.clone(),
        description: entry.description.clone(),
        readme: None,
        icon_url: None,
        version: entry.version.clone(),
        versions: Vec::new(),
        require: requirements(&entry.require),
        needed_by: Vec::new(),
        environment: Vec::new(),
        configurations: Vec::<ConfigurationInfo>::new(),
        runtime: entry.runtime.clone(),
        path: None,
        digest: None,
        size_bytes: entry.size_bytes,
        file_count: None,
        origin: Some(format!("{}: {}", record.name(), entry.locator.place)),
    }
}

/// All versions, newest first: those of the library, then those that registries have beside them.
fn versions(offer: &Offer, name: &str) -> Vec<PackageVersion> {
    let mut all: Vec<PackageVersion> = offer
        .installed()
        .iter()
        .filter(|package| package.name == name)
        .map(|package| PackageVersion {
            version: package.version.clone(),
            digest: Some(package.digest.clone()),
            installed: true,
            registry: package.origin.as_ref().map(|it| it.registry.clone()),
            registry_id: None,
            size_bytes: Some(package.size_bytes),
            created: None,
            signed: None,
        })
        .collect();
    for (record, entry) in offer.named(name) {
        let known = all.iter_mut().find(|it| it.version == entry.version);
        match known {
            Some(known) => {
                known.registry.get_or_insert(record.name().to_owned());
                known.registry_id.get_or_insert(record.id);
                known.created = known.created.take().or_else(|| entry.created.clone());
            }
            None => all.push(PackageVersion {
                version: entry.version.clone(),
                digest: None,
                installed: entry.kind != windlass_registry::EntryKind::Package
                    && entry
                        .version
                        .as_deref()
                        .is_some_and(|it| offer.has_kernel(it)),
                registry: Some(record.name().to_owned()),
                registry_id: Some(record.id),
                size_bytes: entry.size_bytes,
                created: entry.created.clone(),
                signed: entry.signature.is_some().then_some(true),
            }),
        }
    }
    let age = |version: &PackageVersion| {
        let text = version.version.as_deref()?;
        windlass_package::Version::parse(text).ok()
    };
    all.sort_by_key(|version| std::cmp::Reverse(age(version)));
    all
}

/// A picture of the package as a `data:` address. What cannot be read is no picture.
fn icon_url(root: &Path, icon: &str) -> Option<String> {
    let path = within(root, icon)?;
    let kind = match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        // As the source of a picture, it can neither run scripts nor load anything.
        "svg" => "image/svg+xml",
        _ => return None,
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(&path).ok()?;
    file.take(ICON_MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    if bytes.len() as u64 > ICON_MOST_BYTES {
        return None;
    }
    Some(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}

/// A file or folder of a tree, wherever links in it may lead.
fn within(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain {
        return None;
    }
    let root = fs::canonicalize(root).ok()?;
    let real = fs::canonicalize(root.join(relative)).ok()?;
    real.starts_with(&root).then_some(real)
}

/// One directory of a package's tree, by name.
fn list(package: &InstalledPackage, path: &str) -> Result<Vec<TreeEntry>> {
    let folder = within(&package.path, path)
        .filter(|folder| folder.is_dir())
        .ok_or_else(|| AppError::not_found("directory", path))?;
    let inside = path.trim_matches('/');
    let mut entries = Vec::new();
    for entry in fs::read_dir(&folder)
        .doing("list the folder", &folder)?
        .take(ENTRIES_MOST)
    {
        let entry = entry.doing("list the folder", &folder)?;
        let metadata = entry.metadata().doing("look at", &entry.path())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (kind, size_bytes, child_count, target) = if metadata.is_dir() {
            let children = fs::read_dir(entry.path()).map_or(0, Iterator::count);
            let size = size_below(&entry.path(), &mut 0);
            (EntryKind::Directory, size, children as u64, None)
        } else if metadata.is_symlink() {
            let target = fs::read_link(entry.path()).ok();
            let target = target.map(|target| target.display().to_string());
            (EntryKind::Symlink, 0, 0, target)
        } else {
            (EntryKind::File, metadata.len(), 0, None)
        };
        entries.push(TreeEntry {
            path: if inside.is_empty() {
                format!("/{name}")
            } else {
                format!("/{inside}/{name}")
            },
            name,
            kind,
            size_bytes,
            layer: package.name.clone(),
            overrides: Vec::new(),
            target,
            child_count,
        });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn size_below(folder: &Path, counted: &mut usize) -> u64 {
    let mut size = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        *counted += 1;
        if *counted > COUNTED_MOST {
            break;
        }
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        size += if metadata.is_dir() {
            size_below(&entry.path(), counted)
        } else if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_a_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        fs::create_dir_all(root.join("usr")).unwrap();
        fs::write(folder.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        assert!(within(&root, "/usr").is_some());
        assert!(within(&root, "/").is_some());
        for bad in ["../secret", "/usr/../../secret", "/link", "/nowhere"] {
            assert_eq!(within(&root, bad), None, "{bad}");
        }
    }
}
