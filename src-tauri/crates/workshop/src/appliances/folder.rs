//! What can be done with a package's folder whether or not it is among the appliances: give it a
//! manifest, and lay it over its packages.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use specta::Type;
use tokio_util::sync::CancellationToken;
use windlass_compose as compose;
use windlass_image::{Node, Source, Tree};
use windlass_package::{Manifest, Runtime, manifest};

use super::contents::layer_info;
use super::{EntryKind, Finding, LayerInfo, Manifests, Proposal, Record, Why};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// Where `package collect` puts the merged tree, as Capstan does. Never part of an image.
pub const COLLECTED_FOLDER: &str = "mpm-pkg";

/// What the user says of a new package; what is left out is proposed from the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageInit {
    /// Its name.
    pub name: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its author.
    pub author: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The packages that it needs.
    pub require: Vec<String>,
    /// What runs it: native, node, java, python.
    pub runtime: Option<String>,
    /// On what it is made.
    pub platform: Option<String>,
}

/// One entry of a merged tree, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CollectedEntry {
    /// Its path in the guest, with a leading `/`.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file.
    pub size_bytes: u64,
    /// The layer that wins.
    pub layer: String,
    /// The layers that it wins over.
    pub overrides: Vec<String>,
    /// Where a link points to.
    pub target: Option<String>,
}

/// A package laid over those that it requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// The package's name.
    pub name: String,
    /// The layers, lowest first; later ones win.
    pub layers: Vec<LayerInfo>,
    /// For each package the paths of requirement that lead to it, each from what the package itself requires.
    pub why: Why,
    /// The merged tree, sorted by path.
    pub entries: Vec<CollectedEntry>,
    /// How many files there are.
    pub file_count: u64,
    /// How large they are.
    pub size_bytes: u64,
    /// What is wrong with it, worst first.
    pub findings: Vec<Finding>,
    /// The folder that it was written into, where it was.
    pub written_to: Option<String>,
}

impl PackageInit {
    /// Whether nothing has to be proposed, as Capstan wants it.
    pub fn is_complete(&self) -> bool {
        self.name.is_some() && self.title.is_some() && self.author.is_some()
    }

    /// Whether nothing was said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn runtime(&self) -> Result<Option<Runtime>> {
        let Some(name) = &self.runtime else {
            return Ok(None);
        };
        name.parse().map(Some).map_err(|()| {
            AppError::new(ErrorKind::Input, format!("There is no runtime `{name}`"))
                .hinted("Give native, node, java or python")
        })
    }
}

/// A run file to begin with, where nothing in the folder says how it runs.
fn first_run_file(runtime: Runtime, name: &str) -> String {
    let settings = match runtime {
        Runtime::Native => format!("bootcmd: /{name}"),
        Runtime::Node => "main: /index.js".to_owned(),
        Runtime::Java => "main: Main\n    classpath:\n      - /".to_owned(),
        Runtime::Python => "main: /main.py".to_owned(),
    };
    format!(
        "runtime: {runtime}\nconfig_set:\n  default:\n    {settings}\nconfig_set_default: default\n"
    )
}

impl Workshop {
    /// The manifests that a folder would get. Nothing is written.
    ///
    /// # Errors
    /// `NotFound` when the folder vanished; `Input` when a value makes no sense.
    pub async fn propose_package(&self, folder: &Path, init: &PackageInit) -> Result<Proposal> {
        let folder = fs::canonicalize(folder).doing("find the folder", folder)?;
        let init = init.clone();
        crate::blocking(move || propose(&folder, &init)).await?
    }

    /// Writes manifests into a folder: both or none.
    ///
    /// # Errors
    /// `Conflict` when it has a manifest and `replace` is not set; `Input` when a text has a mistake.
    pub async fn write_package(
        &self,
        folder: &Path,
        manifests: Manifests,
        replace: bool,
    ) -> Result<()> {
        let folder = fs::canonicalize(folder).doing("find the folder", folder)?;
        crate::blocking(move || {
            if !replace && folder.join(manifest::FILE).exists() {
                return Err(AppError::new(
                    ErrorKind::Conflict,
                    format!("`{}` has a manifest already", folder.display()),
                )
                .hinted(format!(
                    "Edit {}, or write a new one with --force",
                    manifest::FILE
                )));
            }
            manifests.write(&folder)
        })
        .await?
    }

    /// Writes a run file into the package in a folder.
    ///
    /// # Errors
    /// `Conflict` when it has one and `replace` is not set; `Input` when the text has a mistake.
    pub fn write_run_file(&self, folder: &Path, text: &str, replace: bool) -> Result<()> {
        let folder = fs::canonicalize(folder).doing("find the folder", folder)?;
        windlass_package::RunFile::parse(text, windlass_package::run_file::FILE)?;
        let path = folder.join(windlass_package::run_file::FILE);
        if path.exists() && !replace {
            return Err(AppError::new(
                ErrorKind::Conflict,
                format!("`{}` is there already", path.display()),
            )
            .hinted("Edit it, or write a new one with --force"));
        }
        let meta = folder.join(windlass_package::META_DIRECTORY);
        fs::create_dir_all(&meta).doing("create the folder", &meta)?;
        crate::disk::write_whole(&path, text.as_bytes())
    }

    /// Lays the package in a folder over those that it requires and, with `write`, puts the merged
    /// tree into its folder `mpm-pkg`.
    ///
    /// # Errors
    /// `NotFound` when the folder or a required package is not there; `Input` for a mistake in a
    /// manifest or a file that no image can hold; `Cancelled`.
    pub async fn collect_package(
        self: &Arc<Self>,
        folder: &Path,
        write: bool,
        cancel: &CancellationToken,
    ) -> Result<Collected> {
        let workshop = Arc::clone(self);
        let path = fs::canonicalize(folder).doing("find the folder", folder)?;
        let cancel = cancel.clone();
        crate::blocking(move || workshop.collect_now(path, write, &cancel)).await?
    }

    fn collect_now(
        &self,
        path: PathBuf,
        write: bool,
        cancel: &CancellationToken,
    ) -> Result<Collected> {
        let record = Record::of_folder(path);
        let composition = self.compose(&record, None, cancel)?;
        let _lease = self.library.lease(composition.folders())?;
        let plan = &composition.plan;
        let name = |layer: usize| {
            plan.layers()
                .get(layer)
                .map(|layer| layer.name.clone())
                .unwrap_or_default()
        };
        let entries = plan
            .entries()
            .map(|(path, entry)| {
                let (kind, target) = match &entry.kind {
                    compose::EntryKind::Directory => (EntryKind::Directory, None),
                    compose::EntryKind::File => (EntryKind::File, None),
                    compose::EntryKind::Symlink { target } => (
                        EntryKind::Symlink,
                        Some(String::from_utf8_lossy(target).into_owned()),
                    ),
                };
                CollectedEntry {
                    path: format!("/{}", String::from_utf8_lossy(path.as_bytes())),
                    kind,
                    size_bytes: entry.size_bytes,
                    layer: name(entry.layer),
                    overrides: entry.overridden.iter().map(|layer| name(*layer)).collect(),
                    target,
                }
            })
            .collect();
        let written_to = write
            .then(|| write_collected(&plan.tree()?, &record.path, cancel))
            .transpose()?
            .map(|path| path.display().to_string());
        Ok(Collected {
            name: composition.name.clone(),
            layers: plan.layers().iter().map(layer_info).collect(),
            why: composition.why.clone(),
            entries,
            file_count: plan.file_count() as u64,
            size_bytes: plan.size_bytes(),
            findings: self.findings(&composition),
            written_to,
        })
    }
}

fn propose(folder: &Path, init: &PackageInit) -> Result<Proposal> {
    let runtime = init.runtime()?;
    let mut proposal = if init.is_complete() {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Proposal {
            name: text(&init.name),
            title: text(&init.title),
            author: text(&init.author),
            version: String::new(),
            require: Vec::new(),
            runtime: String::new(),
            command: String::new(),
            package_yaml: String::new(),
            run_yaml: String::new(),
            file_count: 0,
            size_bytes: 0,
            reasons: Vec::new(),
            problems: Vec::new(),
        }
    } else {
        windlass_package::propose(folder)?.into()
    };
    if !init.is_empty() {
        let replace = |place: &mut String, text: &Option<String>| {
            if let Some(text) = text {
                place.clone_from(text);
            }
        };
        replace(&mut proposal.name, &init.name);
        replace(&mut proposal.title, &init.title);
        replace(&mut proposal.author, &init.author);
        replace(&mut proposal.version, &init.version);
        for name in &init.require {
            if !proposal.require.contains(name) {
                proposal.require.push(name.clone());
            }
        }
        let manifest = Manifest {
            name: proposal.name.clone(),
            title: proposal.title.clone(),
            author: proposal.author.clone(),
            version: Some(proposal.version.clone()).filter(|version| !version.is_empty()),
            require: proposal.require.clone(),
            platform: init.platform.clone(),
            ..Manifest::default()
        };
        proposal.package_yaml = manifest.to_yaml()?;
        if let Some(runtime) = runtime
            && proposal.runtime != runtime.name()
        {
            runtime.name().clone_into(&mut proposal.runtime);
            proposal.command = String::new();
            proposal.run_yaml = first_run_file(runtime, &proposal.name);
        }
    }
    Ok(proposal)
}

/// Writes the merged tree beside its place and puts it there whole.
fn write_collected(tree: &Tree, folder: &Path, cancel: &CancellationToken) -> Result<PathBuf> {
    let place = folder.join(COLLECTED_FOLDER);
    // What is in `meta` never gets into an image, so that nothing will if we are killed here.
    let meta = folder.join(windlass_package::META_DIRECTORY);
    let beside = if meta.is_dir() {
        meta
    } else {
        folder.to_path_buf()
    };
    let growing = tempfile::Builder::new()
        .prefix(".mpm-pkg-")
        .tempdir_in(&beside)
        .doing("write into the folder", &beside)?;
    let grown = growing.path().join("new");
    fs::create_dir(&grown).doing("create the folder", &grown)?;
    let mut modes = Vec::new();
    for (path, node) in tree {
        if cancel.is_cancelled() {
            return Err(AppError::cancelled());
        }
        // A `GuestPath` has no `..` and is never absolute.
        let at = grown.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
        match node {
            Node::Directory { mode } => {
                fs::create_dir_all(&at).doing("create the folder", &at)?;
                modes.push((at, mode));
            }
            Node::File { source, mode, .. } => {
                if let Source::Bytes(bytes) = source {
                    fs::write(&at, bytes).doing("write the file", &at)?;
                    modes.push((at, mode));
                } else if let Some(source) = source.file(&path) {
                    fs::copy(&source, &at).doing("copy the file", &source)?;
                }
            }
            Node::Symlink { target } => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), &at)
                    .doing("write the link", &at)?;
            }
        }
    }
    // Deepest first: a folder may forbid to write into it. It stays ours to remove.
    for (at, mode) in modes.into_iter().rev() {
        let mode = if at.is_dir() { mode | 0o700 } else { mode };
        fs::set_permissions(&at, fs::Permissions::from_mode(mode & 0o7777))
            .doing("set the permissions of", &at)?;
    }
    let old = growing.path().join("old");
    match fs::rename(&place, &old) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        outcome => outcome.doing("replace the folder", &place)?,
    }
    fs::rename(&grown, &place).doing("write the folder", &place)?;
    Ok(place)
}
