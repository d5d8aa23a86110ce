//! Packing: from a folder, an archive, a program, a project to a package of the library. First a
//! preview that writes nothing, then the package.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;
use tokio_util::sync::CancellationToken;
use windlass_library::{InstalledPackage, Origin};
use windlass_package::{Manifest, RunFile, Watch, manifest, pack, run_file};
use windlass_registry::Control;

use crate::Workshop;
use crate::appliances::Finding;
use crate::container_images;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::GuestOs;
use crate::jobs::{Job, JobKind, Reporter};

/// The most files of a preview.
const FILES_MOST: usize = 20_000;

/// What something is packed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PackKind {
    /// A folder as it is.
    Folder,
    /// An archive's content.
    Archive,
    /// A program with all that it needs.
    Program,
    /// A Node project.
    Node,
    /// A Python project with its virtual environment.
    Python,
    /// A `.jar` with a Java runtime.
    Jar,
    /// Packages of the distribution with what they depend on.
    Debian,
    /// An OCI image, flattened.
    Oci,
}

/// What is to be packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackSource {
    /// What it is packed as.
    pub kind: PackKind,
    /// Its path; for an OCI image its name, such as `debian:12`, too; for Debian, names of packages separated by spaces.
    pub value: String,
    /// The guest that it is to run in.
    pub guest: GuestOs,
}

/// A file of this computer that is to be in the package, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackAddition {
    /// Where it is here.
    pub host: String,
    /// Where it is to be in the guest.
    pub guest: String,
}

/// How it is to be packed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct PackOptions {
    /// The package's name; guessed where nothing is said.
    pub name: Option<String>,
    /// The package's version; guessed where nothing is said.
    pub version: Option<String>,
    /// Paths in the guest that are not to be in it.
    pub leave_out: Vec<String>,
    /// What is to be in it beside what was found.
    pub add: Vec<PackAddition>,
    /// Whether the program may be run to see which files it opens.
    pub observe: bool,
    /// Whether a Java runtime is reduced to the modules that are used.
    pub java_reduce: bool,
}

/// What an entry of a preview is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PackFileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
}

/// One file of the package that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackFile {
    /// Its path in the guest.
    pub guest: String,
    /// The file of this computer that it is taken from.
    pub host: Option<String>,
    /// Its size.
    pub size_bytes: u64,
    /// Why it is in the package.
    pub reason: String,
    /// What it is.
    pub kind: PackFileKind,
    /// Whether it was left out, by the user or by a rule of the guest.
    pub left: bool,
    /// Whether the program does not start without it.
    pub required: bool,
}

/// Files that are in the package for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackGroup {
    /// The reason.
    pub reason: String,
    /// How many there are.
    pub files: u64,
    /// How large they are.
    pub size_bytes: u64,
}

/// The package that would be made. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackPreview {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Its title.
    pub title: String,
    /// How large all files are.
    pub total_bytes: u64,
    /// The files, by path; the first 20000 of them.
    pub files: Vec<PackFile>,
    /// Whether there are more.
    pub truncated: bool,
    /// What is in it for which reason, largest first.
    pub groups: Vec<PackGroup>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// The text of its `meta/package.yaml`.
    pub package_yaml: String,
    /// The text of its `meta/run.yaml`, where it can be run.
    pub run_yaml: Option<String>,
}

crate::guests::mirror!(PackKind, pack::Kind: Folder, Archive, Program, Node, Python, Jar, Debian, Oci);

impl PackSource {
    fn source(&self) -> Result<pack::PackSource> {
        if self.value.trim().is_empty() {
            return Err(AppError::new(
                ErrorKind::Input,
                "Nothing is named that could be packed",
            ));
        }
        Ok(pack::Kind::from(self.kind).source(&self.value))
    }

    /// The same, at another place.
    fn at(self, path: &Path) -> Self {
        Self {
            value: path.display().to_string(),
            ..self
        }
    }

    fn title(&self) -> String {
        let name = match self.kind {
            PackKind::Debian => Some(self.value.as_str()),
            _ => Path::new(&self.value)
                .file_name()
                .and_then(|it| it.to_str()),
        };
        format!("Pack {}", name.unwrap_or(&self.value))
    }

    fn options(&self, options: PackOptions) -> pack::PackOptions {
        let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        pack::PackOptions {
            name: text(options.name),
            version: text(options.version),
            leave_out: options.leave_out,
            add: options
                .add
                .into_iter()
                .map(|it| pack::Addition {
                    host: it.host.into(),
                    guest: it.guest,
                })
                .collect(),
            observe: options.observe,
            java_reduce: options.java_reduce,
            ..pack::PackOptions::new(self.guest.into())
        }
    }
}

impl From<pack::Plan> for PackPreview {
    fn from(plan: pack::Plan) -> Self {
        let shown = |path: &Path| path.display().to_string();
        Self {
            total_bytes: plan.total_bytes(),
            truncated: plan.entries.len() > FILES_MOST,
            groups: plan
                .groups()
                .into_iter()
                .map(|group| PackGroup {
                    reason: group.reason,
                    files: group.file_count,
                    size_bytes: group.size_bytes,
                })
                .collect(),
            files: plan
                .entries
                .iter()
                .take(FILES_MOST)
                .map(|entry| PackFile {
                    guest: shown(&entry.guest),
                    host: entry.host().map(shown),
                    size_bytes: entry.size_bytes,
                    reason: entry.reason.clone(),
                    kind: match entry.content {
                        pack::Content::Directory => PackFileKind::Directory,
                        pack::Content::Link(_) => PackFileKind::Link,
                        _ => PackFileKind::File,
                    },
                    left: entry.left,
                    required: entry.required,
                })
                .collect(),
            name: plan.name,
            version: plan.version,
            title: plan.title,
            findings: plan.findings.into_iter().map(Finding::from).collect(),
            package_yaml: plan.package_yaml,
            run_yaml: plan.run_yaml,
        }
    }
}

/// Ends work that nobody waits for any more.
struct Abandoned(CancellationToken);

impl Watch for Abandoned {
    fn advance(&mut self, _bytes: u64) -> ControlFlow<()> {
        if self.0.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Workshop {
    /// What something can be packed as, best first.
    ///
    /// # Errors
    /// `NotFound` when it is not there (any more).
    pub async fn pack_kinds(&self, path: &Path) -> Result<Vec<PackKind>> {
        let path = std::fs::canonicalize(path).doing("find", path)?;
        let kinds = crate::blocking(move || pack::kinds(&path)).await?;
        Ok(kinds.into_iter().map(PackKind::from).collect())
    }

    /// The package that would be made. Nothing is written. A preview that is not waited for any more ends by itself.
    ///
    /// # Errors
    /// `NotFound`; `Input` when it is not what it is to be packed as.
    pub async fn pack_preview(
        &self,
        source: PackSource,
        options: PackOptions,
    ) -> Result<PackPreview> {
        let abandoned = CancellationToken::new();
        let _guard = abandoned.clone().drop_guard();
        let (source, options) = match source.remote_image()? {
            None => (source, options),
            Some(image) => {
                let control = Control::with(abandoned.clone());
                let options = container_images::named_after(&image, options);
                let layout = self.image_layout(&image, control, ()).await?;
                (source.at(&layout), options)
            }
        };
        let (wanted, options) = (source.source()?, source.options(options));
        let library = self.library.clone();
        crate::blocking(move || {
            let workplace = library.workplace()?;
            let options = pack::PackOptions {
                scratch: Some(workplace.path().to_path_buf()),
                ..options
            };
            let plan = pack::plan(&wanted, &options, &mut Abandoned(abandoned))?;
            Ok(plan.into())
        })
        .await?
    }

    /// Makes a package and puts it into the library, as a job.
    ///
    /// # Errors
    /// `Input` when a manifest has a mistake.
    pub fn start_pack(
        self: &Arc<Self>,
        source: &PackSource,
        options: PackOptions,
        package_yaml: String,
        run_yaml: Option<String>,
    ) -> Result<Job> {
        let run_yaml = run_yaml.filter(|text| !text.trim().is_empty());
        Manifest::parse(&package_yaml, manifest::FILE)?;
        if let Some(text) = &run_yaml {
            RunFile::parse(text, run_file::FILE)?;
        }
        let workshop = Arc::clone(self);
        let title = source.title();
        // What makes no sense is refused before there is a job.
        let image = source.remote_image()?;
        source.source()?;
        let source = source.clone();
        self.start_job(JobKind::Pack, title, None, None, async move |reporter| {
            let (source, options, fetched) = match image {
                None => (source, options, None),
                Some(image) => {
                    reporter.set_pausable(true);
                    let (control, progress) = (reporter.control(), reporter.bytes());
                    let layout = workshop.image_layout(&image, control, progress).await?;
                    reporter.set_pausable(false);
                    let options = container_images::named_after(&image, options);
                    (source.at(&layout), options, Some(layout))
                }
            };
            let (wanted, options) = (source.source()?, source.options(options));
            let (library, telling) = (workshop.library.clone(), reporter.clone());
            let added = crate::blocking(move || {
                let mut watching = telling.watching();
                watching.step("Finding what belongs to it");
                let workplace = library.workplace()?;
                let options = pack::PackOptions {
                    scratch: Some(workplace.path().to_path_buf()),
                    ..options
                };
                let mut plan = pack::plan(&wanted, &options, &mut watching)?;
                plan.package_yaml = package_yaml;
                plan.run_yaml = run_yaml;
                let packed = pack::make(&plan, &workplace.path().join(&plan.name), &mut watching)?;
                for finding in &plan.findings {
                    telling.log(&finding.to_string());
                }
                telling.step("Adding it to the library");
                Ok::<_, AppError>(library.install_package(&packed.root)?)
            })
            .await??;
            if let Some(layout) = fetched {
                // It is in the package; what cannot be removed is cleaned up with other downloads.
                let _ = std::fs::remove_dir_all(layout);
            }
            reporter.log(&format!("Added {}", added.label()));
            workshop.library_changed();
            Ok(Some(added.name))
        })
    }

    /// Adds an archive to the library as the package that it holds.
    pub(crate) async fn add_archive(
        &self,
        path: &Path,
        origin: Option<Origin>,
        reporter: &Reporter,
    ) -> Result<InstalledPackage> {
        let (library, path) = (self.library.clone(), path.to_owned());
        let mut watching = reporter.watching();
        let added =
            crate::blocking(move || library.add_package(&path, origin, &mut watching)).await??;
        self.library_changed();
        Ok(added)
    }

    /// Adds archives or folders of packages to the library as they are, as a job.
    ///
    /// # Errors
    /// `NotFound` when one is not there.
    pub fn start_add_packages(self: &Arc<Self>, paths: &[PathBuf]) -> Result<Job> {
        let paths = paths
            .iter()
            .map(|path| std::fs::canonicalize(path).doing("find", path))
            .collect::<Result<Vec<_>>>()?;
        let workshop = Arc::clone(self);
        let title = match paths.as_slice() {
            [path] => format!("Add {}", path.file_name().unwrap_or_default().display()),
            _ => format!("Add {} packages", paths.len()),
        };
        self.start_job(JobKind::Import, title, None, None, async move |reporter| {
            let mut last = None;
            for path in paths {
                reporter.check()?;
                reporter.step(&format!("Adding {}", path.display()));
                let added = workshop.add_archive(&path, None, &reporter).await?;
                reporter.log(&format!("Added {}", added.label()));
                last = Some(added.name);
            }
            Ok(last)
        })
    }
}
