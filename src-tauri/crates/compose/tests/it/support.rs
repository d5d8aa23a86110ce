//! Folders made for a test, and what becomes of them in words.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_compose::{
    Build, DigestCache, EntryKind, Error, Finding, Layer, LayerKind, Plan, Recipe, build, plan,
};
use windlass_guest::{CommandLine, GuestOs, RootFs};
use windlass_package::Package;

/// A folder with layers in it.
pub struct Workshop {
    pub folder: tempfile::TempDir,
    layers: Vec<Layer>,
}

impl Workshop {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            layers: Vec::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A layer with these files: `path = content`, `path -> target`, `path/`, with ` !` at the end executable.
    pub fn layer(&mut self, name: &str, files: &[&str]) -> PathBuf {
        let root = self.path(name);
        fs::create_dir_all(root.join("meta")).unwrap();
        fs::write(
            root.join("meta/package.yaml"),
            format!("name: {name}\ntitle: {name}\nauthor: Anonymous\n"),
        )
        .unwrap();
        fill(&root, files);
        self.take(name);
        root
    }

    /// Takes a folder that is there as a layer, again if it is one.
    pub fn take(&mut self, name: &str) {
        let package = Package::open(self.path(name)).unwrap();
        self.layers.retain(|layer| layer.name != name);
        self.layers
            .push(Layer::from_package(&package, LayerKind::Package));
    }

    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = self.layers.clone();
        if let Some(last) = layers.last_mut() {
            last.kind = LayerKind::Appliance;
        }
        layers
    }

    pub fn plan(&self, guest: GuestOs, root_fs: RootFs) -> Result<Plan, Error> {
        plan(
            &self.layers(),
            guest,
            root_fs,
            &[],
            &CancellationToken::new(),
        )
    }

    pub fn recipe(&self, command: &str) -> Recipe {
        Recipe {
            destination: self.path("disk.img"),
            command_line: CommandLine::parse(command).unwrap(),
            loader: None,
            boot: None,
            size_bytes: None,
            filler: None,
        }
    }

    pub fn build(&self, guest: GuestOs, root_fs: RootFs, command: &str) -> Result<Build, Error> {
        let plan = self.plan(guest, root_fs)?;
        build_quietly(&plan, &self.recipe(command))
    }
}

pub fn build_quietly(plan: &Plan, recipe: &Recipe) -> Result<Build, Error> {
    build(
        plan,
        recipe,
        &DigestCache::default(),
        &mut |_| (),
        &CancellationToken::new(),
    )
}

pub fn fill(root: &Path, files: &[&str]) {
    for line in files {
        let (line, is_program) = line
            .strip_suffix(" !")
            .map_or((*line, false), |line| (line, true));
        let path_of = |name: &str| {
            let path = root.join(name.trim());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        if let Some((name, target)) = line.split_once(" -> ") {
            symlink(target, path_of(name)).unwrap();
        } else if let Some((name, content)) = line.split_once(" = ") {
            let path = path_of(name);
            fs::write(&path, content).unwrap();
            let mode = if is_program { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        } else {
            fs::create_dir_all(root.join(line)).unwrap();
        }
    }
}

/// What a plan holds, as a transcript.
pub fn show(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for layer in plan.layers() {
        lines.push(format!(
            "{} {}: {} files, {} bytes",
            layer.kind, layer.name, layer.file_count, layer.size_bytes
        ));
    }
    for (path, entry) in plan.entries() {
        let what = match &entry.kind {
            EntryKind::Directory => format!("{:o} directory", entry.mode),
            EntryKind::File => format!("{:o} {} bytes", entry.mode, entry.size_bytes),
            EntryKind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(target)),
        };
        let name = |layer: &usize| plan.layers()[*layer].name.clone();
        let over: Vec<String> = entry.overridden.iter().map(name).collect();
        let over = if over.is_empty() {
            String::new()
        } else {
            format!(" over {}", over.join(", "))
        };
        lines.push(format!("{path}  {what}  ({}{over})", name(&entry.layer)));
    }
    lines.extend(plan.findings().iter().map(ToString::to_string));
    lines.join("\n")
}

pub fn show_findings(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// An error as a person sees it: what happened, why, what to do. Names of temporary folders are left out.
pub fn show_error(error: &Error, folder: &Path) -> String {
    let mut lines = vec![format!("error: {error}")];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        lines.push(format!("caused by: {cause}"));
        source = cause.source();
    }
    lines.extend(error.hint().map(|hint| format!("hint: {hint}")));
    lines.join("\n").replace(&folder.display().to_string(), "…")
}

/// The names in a folder, sorted.
pub fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
