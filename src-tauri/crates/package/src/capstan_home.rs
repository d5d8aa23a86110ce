//! A `~/.capstan` folder: what Capstan left on this computer.
//!
//! ```text
//! ~/.capstan/                              or $CAPSTAN_ROOT
//! ├── config.yaml                          repo_url, disable_kvm, qemu_aio_type, release_tag
//! ├── packages/NAME.mpm + NAME.yaml
//! └── repository/[namespace/]IMAGE/
//!     ├── IMAGE.qemu                       a disk; of `osv-loader`, the bare loader
//!     ├── IMAGE.qemu.cache                 not needed
//!     └── index.yaml                       what it is
//! ```
//!
//! Only looked at, never changed: importing copies. What cannot be read becomes a finding, and the
//! rest is still there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::IoContext;
use crate::index::{self, ImageIndex};
use crate::package::read_small_text;
use crate::yaml::{self, Fields, Mistake};
use crate::{Error, Finding, Manifest, is_valid_name};

/// The repositories lie at most this deep: a namespace, and in it the image.
const NAMESPACE_DEPTH: usize = 2;
/// More entries than this are not looked at.
const ENTRIES_MAX: usize = 100_000;

/// What is in a `~/.capstan` folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapstanHome {
    /// The folder.
    pub root: PathBuf,
    /// What `config.yaml` says.
    pub config: Config,
    /// The packages, by name.
    pub packages: Vec<HomePackage>,
    /// The images of the repository, loaders among them, by name.
    pub images: Vec<HomeImage>,
    /// What could not be read, and what was noticed.
    pub findings: Vec<Finding>,
}

/// What `config.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Where packages come from.
    pub repo_url: Option<String>,
    /// Whether machines are to run without KVM.
    pub disable_kvm: Option<bool>,
    /// `native` or `threads`.
    pub qemu_aio_type: Option<String>,
    /// Which release of OSv is wanted. Capstan reads it and never uses it.
    pub release_tag: Option<String>,
}

/// A package of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomePackage {
    /// Its name, which is that of the file.
    pub name: String,
    /// The archive.
    pub archive: PathBuf,
    /// How large that is.
    pub size_bytes: u64,
    /// What the `.yaml` beside it says; the archive has its own, which counts.
    pub manifest: Option<Manifest>,
}

/// An image of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeImage {
    /// Its name, with its namespace: `mike/osv-loader`.
    pub name: String,
    /// The disk.
    pub file: PathBuf,
    /// How large that is.
    pub size_bytes: u64,
    /// What `index.yaml` says.
    pub index: Option<ImageIndex>,
    /// Whether it is a bare loader, onto which images are built.
    pub is_loader: bool,
}

/// Where the folder usually is: `$CAPSTAN_ROOT`, or `.capstan` in the home. It need not be there.
pub fn usual_place() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("CAPSTAN_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".capstan")))
}

/// Looks at a `~/.capstan` folder.
///
/// # Errors
///
/// When the folder is not there or cannot be listed.
pub fn read(root: &Path) -> Result<CapstanHome, Error> {
    if !root.is_dir() {
        return Err(Error::NoFolder {
            path: root.to_path_buf(),
        });
    }
    let mut home = CapstanHome {
        root: root.to_path_buf(),
        ..CapstanHome::default()
    };
    let mut findings = Vec::new();
    match config(root, &mut findings) {
        Ok(config) => home.config = config,
        Err(error) => findings.push(unreadable("config.yaml", &error)),
    }
    home.packages = packages(root, &mut findings)?;
    home.images = images(root, &mut findings)?;
    home.findings = findings;
    Ok(home)
}

fn config(root: &Path, findings: &mut Vec<Finding>) -> Result<Config, Error> {
    let Some(text) = read_small_text(&root.join("config.yaml"))? else {
        return Ok(Config::default());
    };
    let mut parse = || -> Result<Config, Box<Mistake>> {
        let node = yaml::parse(&text, "config.yaml")?;
        let mut fields = Fields::new(node, "the configuration", &text, "config.yaml")?;
        let config = Config {
            repo_url: fields.text("repo_url")?,
            disable_kvm: fields.boolean("disable_kvm")?,
            qemu_aio_type: fields.text("qemu_aio_type")?,
            release_tag: fields.text("release_tag")?,
        };
        fields.finish(findings);
        Ok(config)
    };
    Ok(parse()?)
}

fn packages(root: &Path, findings: &mut Vec<Finding>) -> Result<Vec<HomePackage>, Error> {
    let folder = root.join("packages");
    let mut packages = Vec::new();
    for file in list(&folder)? {
        let Some(name) = file_name(&file).strip_suffix(".mpm").map(str::to_owned) else {
            continue;
        };
        let shown = format!("packages/{name}.mpm");
        let Some(size_bytes) = size_of_file(&file) else {
            findings.push(Finding::warning("is no file, and is passed over").at(shown));
            continue;
        };
        if !is_valid_name(&name) {
            findings.push(Finding::warning("has no name that a package can have").at(shown));
            continue;
        }
        let beside = format!("packages/{name}.yaml");
        let manifest = match manifest(&root.join(&beside), &beside) {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(unreadable(&beside, &error));
                None
            }
        };
        packages.push(HomePackage {
            name,
            archive: file,
            size_bytes,
            manifest,
        });
    }
    Ok(packages)
}

fn manifest(file: &Path, shown: &str) -> Result<Option<Manifest>, Error> {
    let Some(text) = read_small_text(file)? else {
        return Ok(None);
    };
    Ok(Some(Manifest::parse(&text, shown)?.value))
}

fn images(root: &Path, findings: &mut Vec<Finding>) -> Result<Vec<HomeImage>, Error> {
    let mut images = Vec::new();
    let mut folders: Vec<(PathBuf, Vec<String>)> = vec![(root.join("repository"), Vec::new())];
    while let Some((folder, names)) = folders.pop() {
        for inner in list(&folder)? {
            let is_folder = fs::symlink_metadata(&inner).is_ok_and(|metadata| metadata.is_dir());
            if !is_folder {
                continue;
            }
            let mut names = names.clone();
            names.push(file_name(&inner));
            match image(&inner, &names, findings) {
                Some(image) => images.push(image),
                None if names.len() < NAMESPACE_DEPTH => folders.push((inner, names)),
                None => {}
            }
        }
    }
    images.sort_by(|one: &HomeImage, other| one.name.cmp(&other.name));
    Ok(images)
}

fn image(folder: &Path, names: &[String], findings: &mut Vec<Finding>) -> Option<HomeImage> {
    let last = names.last()?;
    let file = folder.join(format!("{last}.qemu"));
    let size_bytes = size_of_file(&file)?;
    let name = names.join("/");
    let shown = format!("repository/{name}/{}", index::FILE);
    let index = match index_of(&folder.join(index::FILE), &shown) {
        Ok(index) => index,
        Err(error) => {
            findings.push(unreadable(&shown, &error));
            None
        }
    };
    Some(HomeImage {
        is_loader: matches!(last.as_str(), "osv-loader" | "osv-base"),
        name,
        file,
        size_bytes,
        index,
    })
}

fn index_of(file: &Path, shown: &str) -> Result<Option<ImageIndex>, Error> {
    let Some(text) = read_small_text(file)? else {
        return Ok(None);
    };
    Ok(Some(ImageIndex::parse(&text, shown)?.value))
}

fn unreadable(shown: &str, error: &Error) -> Finding {
    // The place is said once.
    let message = match error {
        Error::Mistake(mistake) => format!("line {}: {}", mistake.line, mistake.message),
        error => error.to_string(),
    };
    let finding = Finding::warning(message).at(shown);
    match error.hint() {
        Some(hint) => finding.remedy(hint),
        None => finding,
    }
}

/// What is in a folder, by name; nothing where it is not there.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("list", folder)?,
    };
    let mut files = Vec::new();
    for entry in entries.take(ENTRIES_MAX) {
        files.push(entry.context("list", folder)?.path());
    }
    files.sort();
    Ok(files)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Links are not followed: what is imported is in the folder itself.
fn size_of_file(file: &Path) -> Option<u64> {
    let metadata = fs::symlink_metadata(file).ok()?;
    metadata.is_file().then_some(metadata.len())
}
