//! A manifest for a folder that has none: what it seems to be, in words, and what stands in its way.
//!
//! ```text
//!   walk ──> Survey: counts, sizes, programs, scripts, findings     (bounded; nothing is followed)
//!     └──> recognise, the first that fits:
//!            package.json, server.js ...        a Node project        -> require node-20
//!            main.py, app.py, __main__.py ...   a Python project      -> require python-3.11
//!            one ELF program                    a native program
//!            one shell script                   a native command (Linux only)
//!            anything else                      data alone: no run.yaml
//! ```
//!
//! Nothing is written. Each guess has its reason, and each problem its remedy.

mod author;
mod node;
mod program;
mod python;
#[cfg(test)]
mod tests;
mod walk;

use std::path::Path;

use crate::run_file::{Base, Settings};
use crate::{
    Error, Finding, Manifest, RunConfiguration, RunFile, Runtime, name_from, pack, version,
};
use walk::Survey;

/// What a folder without a manifest could be as a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// A valid package name.
    pub name: String,
    /// A title for people.
    pub title: String,
    /// Who makes it.
    pub author: String,
    /// Its first version.
    pub version: String,
    /// The packages that it needs, such as `node-20`.
    pub require: Vec<String>,
    /// What runs it; `None` for data alone.
    pub runtime: Option<Runtime>,
    /// What will be run, for a person; empty for data alone.
    pub command: String,
    /// The text of `meta/package.yaml`.
    pub package_yaml: String,
    /// The text of `meta/run.yaml`; `None` for data alone.
    pub run_yaml: Option<String>,
    /// How many files and links there are.
    pub file_count: u64,
    /// How many bytes the files have.
    pub size_bytes: u64,
    /// Why it was recognised as what it was, one sentence each.
    pub reasons: Vec<String>,
    /// What stands in the way, or will.
    pub problems: Vec<Finding>,
}

/// What is known of the computer on which a proposal is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Who makes packages here.
    pub author: Option<String>,
    /// The package that this computer's Node.js makes, such as `node-20`.
    pub node: Option<String>,
    /// The package that this computer's Python makes, such as `python-3.11`.
    pub python: Option<String>,
}

/// What a folder was recognised as.
#[derive(Debug, Default)]
struct Recognised {
    title: Option<String>,
    author: Option<String>,
    version: Option<String>,
    settings: Option<Settings>,
    command: String,
    reasons: Vec<String>,
    problems: Vec<Finding>,
}

/// Looks at a folder and proposes a manifest for it. Nothing is written.
///
/// # Errors
///
/// When the folder is not there or cannot be listed.
pub fn propose(folder: &Path) -> Result<Proposal, Error> {
    let survey = walk::survey(folder)?;
    let recognised = recognise(folder, &survey);
    let runtime = recognised.settings.as_ref().map(Settings::runtime);
    // Interpreters are asked who they are only where that matters.
    let package = |wanted, find: fn() -> Option<pack::Interpreter>| {
        (runtime == Some(wanted))
            .then(find)
            .flatten()
            .map(|interpreter| interpreter.package)
    };
    let surroundings = Surroundings {
        author: author::of_this_computer(),
        node: package(Runtime::Node, pack::find_node),
        python: package(Runtime::Python, pack::find_python),
    };
    finish(folder, survey, recognised, &surroundings)
}

/// As [`propose`], on a computer of which this is known.
///
/// # Errors
///
/// When the folder is not there or cannot be listed.
pub fn propose_in(folder: &Path, surroundings: &Surroundings) -> Result<Proposal, Error> {
    let survey = walk::survey(folder)?;
    let recognised = recognise(folder, &survey);
    finish(folder, survey, recognised, surroundings)
}

fn recognise(folder: &Path, survey: &Survey) -> Recognised {
    node::recognise(folder, survey)
        .or_else(|| python::recognise(folder, survey))
        .or_else(|| program::recognise(survey))
        .unwrap_or_else(|| Recognised {
            reasons: vec![
                "There is no program in it that is recognised: it becomes a package of data."
                    .into(),
            ],
            ..Recognised::default()
        })
}

fn finish(
    folder: &Path,
    survey: Survey,
    mut recognised: Recognised,
    surroundings: &Surroundings,
) -> Result<Proposal, Error> {
    let folder_name = std::path::absolute(folder)
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "package".into());
    let name = name_from(&folder_name);
    let title = recognised.title.take().unwrap_or(folder_name);
    let author = recognised
        .author
        .take()
        .or_else(|| surroundings.author.clone())
        .unwrap_or_else(|| "Anonymous".into());
    let version = recognised
        .version
        .take()
        .filter(|version| version::rank(version).is_some())
        .unwrap_or_else(|| "0.1.0".into());
    let (require, base) = runtime_package(&mut recognised, surroundings);

    let manifest = Manifest {
        name: name.clone(),
        title: title.clone(),
        author: author.clone(),
        version: Some(version.clone()),
        require: require.clone(),
        ..Manifest::default()
    };
    let runtime = recognised.settings.as_ref().map(Settings::runtime);
    let run_yaml = match recognised.settings {
        Some(settings) => {
            let configuration = RunConfiguration {
                name: "default".into(),
                settings,
                env: Vec::new(),
                base,
            };
            let run = RunFile {
                runtime: configuration.settings.runtime(),
                config_set_default: vec![configuration.name.clone()],
                config_set: vec![configuration],
            };
            Some(run.to_yaml()?)
        }
        None => None,
    };
    let mut problems = survey.findings;
    problems.extend(recognised.problems);
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    Ok(Proposal {
        name,
        title,
        author,
        version,
        require,
        runtime,
        command: recognised.command,
        package_yaml: manifest.to_yaml()?,
        run_yaml,
        file_count: survey.file_count,
        size_bytes: survey.size_bytes,
        reasons: recognised.reasons,
        problems,
    })
}

/// The package that runs it here, as a requirement and as a base.
fn runtime_package(
    recognised: &mut Recognised,
    surroundings: &Surroundings,
) -> (Vec<String>, Option<Base>) {
    let (found, title, configuration, otherwise) = match &recognised.settings {
        Some(Settings::Node { .. }) => (&surroundings.node, "Node.js", "node", "node-20"),
        Some(Settings::Python { .. }) => {
            (&surroundings.python, "Python 3", "python", "python-3.11")
        }
        _ => return (Vec::new(), None),
    };
    let package = found.clone().unwrap_or_else(|| {
        recognised.problems.push(
            Finding::warning(format!(
                "{title} is not on this computer, so that it cannot be packed from here"
            ))
            .remedy(format!(
                "Install {title}, or get a package of it and name that in `require`."
            )),
        );
        otherwise.to_owned()
    });
    if found.is_some() {
        recognised
            .reasons
            .push(format!("{package} is the {title} of this computer."));
    }
    let base = Base {
        package: package.clone(),
        configuration: configuration.into(),
    };
    (vec![package], Some(base))
}
