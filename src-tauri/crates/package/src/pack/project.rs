//! Projects of Node and Python: their files, and what the native parts of their libraries need.
//!
//! The interpreter is a package of its own, which the project requires. What that has already is not
//! packed again.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::compile::Compile;
use super::draft::{self, Description, Draft};
use super::{Kind, PackOptions, Plan, folder, interpreter};
use crate::closure::{self, Because, Elf, ElfError};
use crate::{Error, Finding, Fix, RunFile, Runtime, Watch, run_file};

/// Written by npm 7 and later; larger ones are another program's.
const LOCK: &str = "package-lock.json";
const LOCK_MAX_BYTES: u64 = 64 << 20;
const ENVIRONMENTS: [&str; 3] = [".venv", "venv", "env"];
/// Where the libraries of a virtual environment lie in a guest.
const SITE_PACKAGES: &str = "/site-packages";
/// What installs libraries, and no service opens.
const INSTALLERS: [&str; 6] = [
    "pip",
    "setuptools",
    "wheel",
    "_distutils_hack",
    "pkg_resources",
    "__pycache__",
];

pub(super) fn plan_node(
    path: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    let mut draft = Draft::default();
    let description = folder::describe(path, &mut draft, options, watch)?;
    expect(&description, Runtime::Node, "Node", &mut draft);
    let development = development(path);
    if !development.is_empty() {
        draft.findings.push(Finding::note(format!(
            "{} left out: only development needs what is in them",
            count(development.len(), "folder is", "folders are")
        )));
    }
    let is_wanted = |within: &Path| !development.contains(within);
    folder::take(path, &mut draft, &is_wanted, watch)?;
    let addons = objects(&mut draft, is_addon);
    let runtime = match interpreter::find_node() {
        Some(found) if !addons.is_empty() => vec![found.program],
        _ => Vec::new(),
    };
    add_needs(&addons, &runtime, &mut draft, options)?;
    draft.finish(Kind::Node, description, options, watch)
}

pub(super) fn plan_python(
    path: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    let mut draft = Draft::default();
    let mut description = folder::describe(path, &mut draft, options, watch)?;
    expect(&description, Runtime::Python, "Python", &mut draft);
    let environment = ENVIRONMENTS
        .iter()
        .find(|name| path.join(name).join("pyvenv.cfg").is_file());
    let is_wanted = |within: &Path| {
        !environment.is_some_and(|name| within.starts_with(name))
            && !within
                .components()
                .any(|part| part.as_os_str() == "__pycache__")
    };
    folder::take(path, &mut draft, &is_wanted, watch)?;
    let found = interpreter::find_python();
    if let Some(name) = environment {
        // Its libraries come along, and what was said of the folder no longer holds.
        draft.findings.retain(|finding| {
            let at = finding.path.as_deref();
            at != Some(*name) && at != Some("requirements.txt")
        });
        let version = found.as_ref().map(|found| found.version.as_str());
        if take_environment(&path.join(name), version, &mut draft, watch)? {
            description.run_yaml = with_site_packages(description.run_yaml.as_deref())?;
            draft.compile.extend(found.as_ref().map(|found| Compile {
                interpreter: found.program.clone(),
                folder: SITE_PACKAGES.into(),
            }));
        }
    }
    let addons = objects(&mut draft, is_library);
    let runtime = match found {
        Some(found) if !addons.is_empty() => vec![found.program],
        _ => Vec::new(),
    };
    add_needs(&addons, &runtime, &mut draft, options)?;
    draft.finish(Kind::Python, description, options, watch)
}

/// Says so when the folder is something else.
fn expect(description: &Description, runtime: Runtime, title: &str, draft: &mut Draft) {
    let run = description.run_yaml.as_deref();
    let found = run.and_then(|text| RunFile::parse(text, run_file::FILE).ok());
    if found.is_none_or(|found| found.value.runtime != runtime) {
        draft.findings.push(
            Finding::warning(format!("nothing in it says how {title} starts it"))
                .remedy("Name the file that is run, in the run configuration."),
        );
    }
}

/// The folders of libraries that only development needs, as npm wrote down.
fn development(project: &Path) -> HashSet<PathBuf> {
    let path = project.join(LOCK);
    let is_small = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= LOCK_MAX_BYTES);
    let text = if is_small {
        fs::read_to_string(&path).ok()
    } else {
        None
    };
    let lock: Option<Value> = text.and_then(|text| serde_json::from_str(&text).ok());
    let packages = lock
        .as_ref()
        .and_then(|lock| lock.get("packages")?.as_object());
    let is_development = |package: &Value| package.get("dev") == Some(&Value::Bool(true));
    packages
        .into_iter()
        .flatten()
        .filter(|(name, package)| name.starts_with("node_modules/") && is_development(package))
        .map(|(name, _)| PathBuf::from(name))
        .filter(|name| project.join(name).is_dir())
        .collect()
}

/// Takes the libraries of a virtual environment along; `false` where it has none.
fn take_environment(
    environment: &Path,
    version: Option<&str>,
    draft: &mut Draft,
    watch: &mut dyn Watch,
) -> Result<bool, Error> {
    let libraries = fs::read_dir(environment.join("lib"))
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<(String, PathBuf)> = libraries
        .filter_map(|entry| {
            let name = entry
                .file_name()
                .to_str()?
                .strip_prefix("python")?
                .to_owned();
            let folder = entry.path().join("site-packages");
            folder.is_dir().then_some((name, folder))
        })
        .collect();
    found.sort();
    let Some((made_for, folder)) = found.pop() else {
        return Ok(false);
    };
    if let Some(version) = version.filter(|version| !version.starts_with(&format!("{made_for}."))) {
        draft.findings.push(
            Finding::warning(format!(
                "its virtual environment is for Python {made_for}, and this computer packs Python {version}"
            ))
            .remedy("Make the environment anew with this computer's Python, or require a package of the other."),
        );
    }
    let is_wanted = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let stem = name.split('-').next().unwrap_or(&name);
        !(entry.depth() == 1 && INSTALLERS.contains(&stem)) && name != "__pycache__"
    };
    let reason = "because it is in the project's virtual environment";
    draft.tree(
        &folder,
        Path::new(SITE_PACKAGES),
        reason,
        true,
        &is_wanted,
        watch,
    )?;
    let editable = |entry: &super::Entry| {
        let name = entry
            .guest
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        name.starts_with("__editable__") || name.ends_with(".egg-link")
    };
    let editable = draft.entries().find(|entry| editable(entry));
    let editable = editable.map(|entry| entry.guest.to_string_lossy().into_owned());
    if let Some(at) = editable {
        draft.findings.push(
            Finding::warning(
                "a library was installed as a link to its sources, which a guest does not have",
            )
            .at(at)
            .remedy("Install it without `--editable`."),
        );
    }
    Ok(true)
}

/// Tells Python where the libraries are.
fn with_site_packages(run_yaml: Option<&str>) -> Result<Option<String>, Error> {
    let Some(text) = run_yaml else {
        return Ok(None);
    };
    let mut run = RunFile::parse(text, run_file::FILE)?.value;
    for configuration in &mut run.config_set {
        if configuration
            .env
            .iter()
            .all(|(name, _)| name != "PYTHONPATH")
        {
            configuration
                .env
                .push(("PYTHONPATH".into(), SITE_PACKAGES.into()));
        }
    }
    run.to_yaml().map(Some)
}

/// The native parts, by their place on this computer. Those for other computers are findings.
fn objects(draft: &mut Draft, is_named: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut objects = Vec::new();
    let mut foreign: Vec<String> = Vec::new();
    for entry in draft.entries() {
        let name = entry
            .guest
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let Some(host) = entry.content.file().filter(|_| is_named(&name)) else {
            continue;
        };
        match Elf::open(host) {
            Ok(_) if name.contains("musl") => foreign.push(entry.guest.to_string_lossy().into()),
            Ok(_) => objects.push(host.to_path_buf()),
            Err(ElfError::OtherMachine { .. } | ElfError::NotElf) if is_addon(&name) => {
                foreign.push(entry.guest.to_string_lossy().into());
            }
            Err(_) => {}
        }
    }
    if let Some(first) = foreign.first() {
        draft.findings.push(
            Finding::note(format!(
                "{} for other computers",
                count(
                    foreign.len(),
                    "native part in it is",
                    "native parts in it are"
                )
            ))
            .at(first)
            .remedy("Leave them out, to make the image smaller.")
            .fixed_by(Fix::LeaveOut {
                path: first.clone(),
            }),
        );
    }
    objects
}

/// What the native parts need and the interpreter's package does not have.
fn add_needs(
    objects: &[PathBuf],
    runtime: &[PathBuf],
    draft: &mut Draft,
    options: &PackOptions,
) -> Result<(), Error> {
    if objects.is_empty() {
        return Ok(());
    }
    let provided: HashSet<PathBuf> = if runtime.is_empty() {
        HashSet::new()
    } else {
        let closure = closure::closure(runtime)?;
        closure
            .objects
            .into_iter()
            .map(|object| object.host)
            .collect()
    };
    let mut needed = closure::closure(objects)?;
    let in_the_project: HashSet<PathBuf> = draft
        .entries()
        .filter_map(|entry| entry.host().map(Path::to_path_buf))
        .collect();
    needed.objects.retain(|object| {
        object.because != Because::Asked
            && !provided.contains(&object.host)
            && !in_the_project.contains(&object.host)
    });
    draft.closure(&needed, draft::layout_of(options.guest))
}

fn is_addon(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|kind| kind == "node")
}

fn is_library(name: &str) -> bool {
    name.contains(".so.") || Path::new(name).extension().is_some_and(|kind| kind == "so")
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
