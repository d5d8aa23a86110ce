//! What an image of an appliance would hold: layers, the merged tree, and what is wrong with it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use specta::Type;
use tokio_util::sync::CancellationToken;
use windlass_compose as compose;
use windlass_guest::CommandLine;
use windlass_image::GuestPath;
use windlass_package::boot::BootPlan;
use windlass_package::{BuildSettings, Lock, Package};

use super::{Finding, Record, Severity};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::{GuestOs, RootFs};
use crate::packages::Requirement;

/// How long an unfolded tree is shown from the same scan.
const PLAN_AGE: Duration = Duration::from_secs(30);

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum LayerKind {
    /// What every image of a guest has.
    Base,
    /// A package of the library.
    Package,
    /// The appliance itself.
    Appliance,
}

crate::guests::mirror!(LayerKind, compose::LayerKind: Base, Package, Appliance);

/// A layer, and how much it brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LayerInfo {
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// What it is.
    pub kind: LayerKind,
    /// Its folder; empty for the base.
    pub path: String,
    /// How many files it holds.
    pub file_count: u64,
    /// How large they are.
    pub size_bytes: u64,
}

/// What an image would hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The packages that its manifest asks for, in its order; none where it cannot be read.
    pub require: Vec<Requirement>,
    /// The layers, lowest first; later ones win.
    pub layers: Vec<LayerInfo>,
    /// How many files there will be.
    pub file_count: u64,
    /// How large they are.
    pub size_bytes: u64,
    /// What is wrong with it, worst first.
    pub findings: Vec<Finding>,
}

/// What an entry of the merged tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A symbolic link.
    Symlink,
}

/// One entry of the merged tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct TreeEntry {
    /// Its name.
    pub name: String,
    /// Its path in the guest, with a leading `/`.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file, or of all files below a directory.
    pub size_bytes: u64,
    /// The layer that wins.
    pub layer: String,
    /// The layers that it wins over.
    pub overrides: Vec<String>,
    /// Where a link points to.
    pub target: Option<String>,
    /// How many entries a directory has.
    pub child_count: u64,
}

/// For each package the paths of requirement that lead to it, each from what is asked for to the package itself.
pub type Why = BTreeMap<String, Vec<Vec<String>>>;

/// An appliance laid over its packages, with what it boots.
#[derive(Debug)]
pub(crate) struct Composition {
    /// The guest that it is for.
    pub(crate) guest: GuestOs,
    /// The root file system that it is for.
    pub(crate) root_fs: RootFs,
    /// How it is to run.
    pub(crate) settings: BuildSettings,
    /// The name of the appliance.
    pub(crate) name: String,
    /// The merged tree.
    pub(crate) plan: compose::Plan,
    /// The boot command line as the user has it.
    pub(crate) command_line: CommandLine,
    /// By which paths of requirement each package is there, from what the appliance names itself.
    pub(crate) why: Why,
    /// What was noticed on the way.
    pub(crate) findings: Vec<Finding>,
}

impl Composition {
    /// The folders that it is laid together from.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.plan.layers().iter().map(|layer| layer.path.as_path())
    }
}

/// Plans of appliances that are looked at just now.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    recent: Mutex<HashMap<String, (Instant, Arc<Composition>)>>,
}

impl Plans {
    fn keep(&self, id: &str, composition: Arc<Composition>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, (made, _)| made.elapsed() < PLAN_AGE);
        recent.insert(id.to_owned(), (Instant::now(), composition));
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Composition>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, composition) = recent.get(id)?;
        (made.elapsed() < PLAN_AGE).then(|| Arc::clone(composition))
    }

    pub(crate) fn forget_all(&self) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub(crate) fn forget(&self, id: &str) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }
}

impl From<compose::Error> for AppError {
    fn from(error: compose::Error) -> Self {
        let kind = match &error {
            compose::Error::Cancelled => ErrorKind::Cancelled,
            compose::Error::NoFolder { .. } => ErrorKind::NotFound,
            compose::Error::NoSpace { .. }
            | compose::Error::Io { .. }
            | compose::Error::Cpiod { .. }
            | compose::Error::Rest { .. } => ErrorKind::Unavailable,
            compose::Error::Changed { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Input,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

impl Workshop {
    /// The packages of an appliance, dependencies first, the appliance last.
    fn packages_of(&self, appliance: Package, lock: Option<&Lock>) -> Result<(Vec<Package>, Why)> {
        let mut packages = Vec::new();
        let resolution = self
            .library
            .resolve(&appliance.manifest.requirements(), lock)?;
        for installed in resolution.packages {
            packages.push(Package::open(installed.path)?);
        }
        packages.push(appliance);
        Ok((packages, resolution.why))
    }

    /// Where a lock file does not fit its manifest any more.
    fn lock_findings(&self, package: &Package) -> Result<Vec<Finding>> {
        let Some(lock) = super::read_lock(&package.root)? else {
            return Ok(Vec::new());
        };
        let require = package.manifest.requirements();
        let (Ok(changes) | Err(windlass_library::Error::Stale { changes })) =
            self.library.lock_changes(&require, &lock)
        else {
            // Told where packages are looked for.
            return Ok(Vec::new());
        };
        let finding = |change: windlass_library::LockChange| Finding {
            severity: Severity::Warning,
            path: Some(windlass_package::lock::FILE.to_owned()),
            message: format!("The lock file is stale: {change}"),
            remedy: Some("Lock the packages anew".to_owned()),
            fix: None,
        };
        Ok(changes.into_iter().map(finding).collect())
    }

    /// What settings come to as a boot command line, and the `/run` scripts beside it.
    pub(super) fn boot_plan(
        &self,
        package: Package,
        settings: &BuildSettings,
        guest: GuestOs,
    ) -> Result<(Vec<Package>, Why, BootPlan)> {
        let lock = super::read_lock(&package.root)?;
        let (packages, why) = self.packages_of(package, lock.as_ref())?;
        let borrowed: Vec<&Package> = packages.iter().collect();
        let boot = windlass_package::boot::plan(&borrowed, guest.into(), settings)?;
        Ok((packages, why, boot))
    }

    /// Lays an appliance over its packages. Blocks while folders are scanned.
    pub(crate) fn compose(
        &self,
        record: &Record,
        settings: Option<&BuildSettings>,
        cancel: &CancellationToken,
    ) -> Result<Arc<Composition>> {
        let package = Package::open(&record.path)?;
        let settings = settings
            .cloned()
            .unwrap_or_else(|| package.settings.clone());
        let (guest, root_fs) = self.guest_of(&settings);
        let name = appliance_name(&package);
        let mut findings: Vec<Finding> = package.notes.iter().cloned().map(Finding::from).collect();
        findings.extend(self.lock_findings(&package)?);
        let (packages, why, boot) = self.boot_plan(package, &settings, guest)?;
        findings.extend(boot.findings.into_iter().map(Finding::from));
        let last = packages.len() - 1;
        let layers: Vec<compose::Layer> = packages
            .iter()
            .enumerate()
            .map(|(index, package)| {
                let kind = if index == last {
                    compose::LayerKind::Appliance
                } else {
                    compose::LayerKind::Package
                };
                let layer = compose::Layer::from_package(package, kind);
                compose::Layer {
                    name: appliance_name(package),
                    ..layer
                }
            })
            .collect();
        let plan = compose::plan(&layers, guest.into(), root_fs.into(), &boot.scripts, cancel)?;
        let command_line = CommandLine::parse(&boot.command_line).map_err(|error| {
            AppError::from_error(
                ErrorKind::Input,
                &error,
                Some("Correct the boot command in the run settings".to_owned()),
            )
        })?;
        let composition = Arc::new(Composition {
            guest,
            root_fs,
            settings,
            name,
            plan,
            command_line,
            why,
            findings,
        });
        self.plans.keep(&record.id, Arc::clone(&composition));
        Ok(composition)
    }

    /// What an image of the appliance would hold. A package that is missing, or files that cannot
    /// be in an image, are findings: the view stays.
    ///
    /// # Errors
    /// `NotFound` when there is no such appliance or its folder vanished.
    pub async fn contents(self: &Arc<Self>, id: &str) -> Result<Contents> {
        let workshop = Arc::clone(self);
        let record = self.appliance_record(id)?;
        crate::blocking(move || {
            let require = requirements_at(&record.path);
            let composition = match workshop.compose(&record, None, &CancellationToken::new()) {
                Ok(composition) => composition,
                Err(error) if error.kind == ErrorKind::NotFound && !record.path.is_dir() => {
                    return Err(error);
                }
                Err(error) => {
                    workshop.plans.forget(&record.id);
                    return Ok(Contents {
                        require,
                        layers: Vec::new(),
                        file_count: 0,
                        size_bytes: 0,
                        findings: vec![error.into()],
                    });
                }
            };
            Ok(Contents {
                require,
                layers: composition.plan.layers().iter().map(layer_info).collect(),
                file_count: composition.plan.file_count() as u64,
                size_bytes: composition.plan.size_bytes(),
                findings: workshop.findings(&composition),
            })
        })
        .await?
    }

    /// One directory of the merged tree.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    pub async fn tree(self: &Arc<Self>, id: &str, directory: &str) -> Result<Vec<TreeEntry>> {
        let workshop = Arc::clone(self);
        let record = self.appliance_record(id)?;
        let directory = directory.to_owned();
        crate::blocking(move || {
            let composition = match workshop.plans.get(&record.id) {
                Some(composition) => composition,
                None => workshop.compose(&record, None, &CancellationToken::new())?,
            };
            let path = GuestPath::new(directory)
                .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
            let listed = composition
                .plan
                .list(&path)
                .ok_or_else(|| AppError::not_found("directory", &path.to_string()))?;
            Ok(listed.into_iter().map(tree_entry).collect())
        })
        .await?
    }
}

/// What a folder's manifest asks for. That it cannot be read is told among the findings.
fn requirements_at(folder: &Path) -> Vec<Requirement> {
    let Ok(package) = Package::open(folder) else {
        return Vec::new();
    };
    package
        .manifest
        .requirements()
        .into_iter()
        .map(|requirement| Requirement {
            name: requirement.name,
            constraint: (!requirement.versions.is_any()).then(|| requirement.versions.to_string()),
        })
        .collect()
}

/// What an appliance or package is called: by its manifest, else by its folder.
pub(super) fn appliance_name(package: &Package) -> String {
    if package.has_manifest {
        return package.manifest.name.clone();
    }
    package
        .root
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

pub(super) fn layer_info(layer: &compose::LayerSummary) -> LayerInfo {
    LayerInfo {
        name: layer.name.clone(),
        version: layer.version.clone(),
        kind: layer.kind.into(),
        path: layer.path.display().to_string(),
        file_count: layer.file_count as u64,
        size_bytes: layer.size_bytes,
    }
}

fn tree_entry(listed: compose::Listed) -> TreeEntry {
    let (kind, target) = match listed.kind {
        compose::EntryKind::Directory => (EntryKind::Directory, None),
        compose::EntryKind::File => (EntryKind::File, None),
        compose::EntryKind::Symlink { target } => (
            EntryKind::Symlink,
            Some(String::from_utf8_lossy(&target).into_owned()),
        ),
    };
    TreeEntry {
        name: listed.name,
        path: listed.path,
        kind,
        size_bytes: listed.size_bytes,
        layer: listed.layer,
        overrides: listed.overrides,
        target,
        child_count: listed.child_count as u64,
    }
}
