//! The distribution's package manager, as far as anybody may use it: what depends on what, and the
//! package files.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::helper;
use crate::{Error, Watch};

/// Reading its lists takes apt a second.
const GRAPH_TIMEOUT: Duration = Duration::from_mins(1);
/// Some hundred megabytes by a slow line.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(30);
/// So many packages are a whole system and not an application.
const PACKAGES_MAX: usize = 1000;
const NO_APT: &str =
    "This works where the distribution is Debian or one made of it, such as Ubuntu.";

/// Used while a package is installed, and by no program that it installs.
const INSTALL_ONLY: [&str; 12] = [
    "adduser",
    "cdebconf",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "iproute2",
    "java-common",
    "lsb-base",
    "passwd",
    "sysvinit-utils",
    "ucf",
    "install-info",
];

/// A package that is to be unpacked, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pack) struct Wanted {
    pub name: String,
    /// As the end of a sentence.
    pub reason: String,
}

/// The packages of these names with all that they depend on, those asked for first.
pub(super) fn closure(names: &[String], watch: &mut dyn Watch) -> Result<Vec<Wanted>, Error> {
    let mut command = Command::new("apt-cache");
    let kinds = [
        "recommends",
        "suggests",
        "conflicts",
        "breaks",
        "replaces",
        "enhances",
    ];
    command
        .args(["depends", "--recurse"])
        .args(kinds.map(|kind| format!("--no-{kind}")))
        .args(names);
    let output = helper::run(&mut command, Some(GRAPH_TIMEOUT), watch)
        .map_err(|failure| failure.of("apt-cache", NO_APT))?;
    let graph = Graph::parse(&output.stdout);
    if let Some(unknown) = names.iter().find(|name| !graph.is_known(name)) {
        return Err(Error::Unsuitable {
            path: unknown.into(),
            found: "is no package that apt knows".into(),
            remedy:
                "Look for it with `apt-cache search`; get newer lists with `sudo apt-get update`."
                    .into(),
        });
    }
    let wanted = graph.walk(names);
    if wanted.len() > PACKAGES_MAX {
        return Err(Error::Unsuitable {
            path: names.join(" ").into(),
            found: format!("depends on more than {PACKAGES_MAX} packages"),
            remedy: "Name the packages of the application alone.".into(),
        });
    }
    Ok(wanted)
}

/// Where the files of a package are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pack) enum Origin {
    /// In a package file.
    File(PathBuf),
    /// Installed here, in a version that no server has: as lists of installed packages say.
    Installed(Vec<PathBuf>),
}

/// Downloads packages into a folder; gives where the files of each are.
pub(in crate::pack) fn download(
    wanted: &[Wanted],
    folder: &Path,
    watch: &mut dyn Watch,
) -> Result<BTreeMap<String, Origin>, Error> {
    let mut origins = BTreeMap::new();
    loop {
        let is_open = |package: &&Wanted| !origins.contains_key(&package.name);
        let names = wanted
            .iter()
            .filter(is_open)
            .map(|package| package.name.as_str());
        let names: Vec<&str> = names.collect();
        let Some(first) = names.first() else {
            return Ok(origins);
        };
        let mut command = Command::new("apt-get");
        command
            .current_dir(folder)
            .args([
                "-o",
                "Acquire::Retries=2",
                "-o",
                "Acquire::http::Timeout=30",
            ])
            .args(["-qq", "download"])
            .args(&names);
        let output = helper::run(&mut command, Some(DOWNLOAD_TIMEOUT), watch)
            .map_err(|failure| failure.of("apt-get", NO_APT))?;
        if !output.status.success() {
            let name = without_source(&output.stderr).filter(|name| names.contains(name));
            let files = name.map(|name| installed(name, watch)).transpose()?;
            if let (Some(name), Some(files)) = (name, files.filter(|files| !files.is_empty())) {
                origins.insert(name.to_owned(), Origin::Installed(files));
                continue;
            }
            return Err(not_downloaded(first, &output.stderr));
        }
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_package = entry.path().extension().is_some_and(|kind| kind == "deb");
            if let Some((package, _)) = name.split_once('_').filter(|_| is_package) {
                origins.insert(package.to_owned(), Origin::File(entry.path()));
            }
        }
        if let Some(lacking) = names.iter().find(|name| !origins.contains_key(**name)) {
            return Err(not_downloaded(lacking, &output.stderr));
        }
    }
}

fn not_downloaded(name: &str, stderr: &str) -> Error {
    let said: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("E:"))
        .collect();
    Error::Unsuitable {
        path: name.into(),
        found: format!("could not be downloaded: {}", said.join(" ")),
        remedy: "Check the network connection, run `sudo apt-get update`, and try again.".into(),
    }
}

/// The package whose installed version is on no server: it came from a file, or from a server that
/// is no longer named.
fn without_source(stderr: &str) -> Option<&str> {
    let line = stderr
        .lines()
        .find(|line| line.contains("Can't find a source to download"))?;
    let (_, name) = line.rsplit_once(" of '")?;
    name.split([':', '\'']).next()
}

/// The files of an installed package.
fn installed(name: &str, watch: &mut dyn Watch) -> Result<Vec<PathBuf>, Error> {
    let mut command = Command::new("dpkg-query");
    let output = helper::run(
        command.args(["--listfiles", name]),
        Some(GRAPH_TIMEOUT),
        watch,
    )
    .map_err(|failure| failure.of("dpkg-query", NO_APT))?;
    let paths = output.stdout.lines().filter(|line| line.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// What depends on what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Graph {
    /// For each package its dependencies: of each group one is enough.
    depends: HashMap<String, Vec<Vec<String>>>,
    /// For each virtual name the packages that provide it.
    providers: HashMap<String, Vec<String>>,
}

impl Graph {
    /// Reads the answer of `apt-cache depends --recurse`.
    fn parse(text: &str) -> Self {
        let mut graph = Self::default();
        let mut package = String::new();
        let mut group: Vec<String> = Vec::new();
        let mut last = String::new();
        for line in text.lines() {
            let trimmed = line.trim_start();
            let indent = line.len() - trimmed.len();
            if indent == 0 {
                trimmed.clone_into(&mut package);
                graph.depends.entry(package.clone()).or_default();
                group.clear();
            } else if indent >= 4 {
                let providers = graph.providers.entry(last.clone()).or_default();
                if !providers.iter().any(|other| other == trimmed) {
                    providers.push(trimmed.to_owned());
                }
            } else {
                let (is_one_of, rest) = match trimmed.strip_prefix('|') {
                    Some(rest) => (true, rest),
                    None => (false, trimmed),
                };
                let Some((_, name)) = rest.split_once("epends: ") else {
                    continue;
                };
                // Of other architectures, apt writes `name:arch`.
                let name = name.trim().trim_end_matches(":any");
                name.clone_into(&mut last);
                group.push(name.to_owned());
                if !is_one_of {
                    let group = std::mem::take(&mut group);
                    graph
                        .depends
                        .entry(package.clone())
                        .or_default()
                        .push(group);
                }
            }
        }
        graph
    }

    fn is_known(&self, name: &str) -> bool {
        self.depends.contains_key(name)
    }

    /// All that these need, breadth first, without what only installing needs.
    fn walk(&self, names: &[String]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut queue: VecDeque<(&str, String)> = VecDeque::new();
        for name in names {
            queue.push_back((name, format!("because {name} was asked for")));
        }
        while let Some((name, reason)) = queue.pop_front() {
            if !seen.insert(name) {
                continue;
            }
            wanted.push(Wanted {
                name: name.to_owned(),
                reason,
            });
            for group in self.depends.get(name).into_iter().flatten() {
                let is_there = |other: &&str| seen.contains(*other);
                let mut choices = group.iter().flat_map(|name| self.packages(name));
                let chosen = choices.clone().find(is_there).or_else(|| choices.next());
                if let Some(chosen) = chosen.filter(|name| !INSTALL_ONLY.contains(name)) {
                    queue.push_back((chosen, format!("because {name} depends on {chosen}")));
                }
            }
        }
        wanted
    }

    /// The packages that a name stands for.
    fn packages<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        if name.starts_with('<') {
            let providers = self.providers.get(name).into_iter().flatten();
            return providers.map(String::as_str).collect();
        }
        vec![name]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_depends_on() {
        let graph = Graph::parse(
            "nginx\n  Depends: libc6\n |Depends: iproute2\n  Depends: other\n  PreDepends: nginx-common\n\
             libc6\n  Depends: libgcc-s1\nlibgcc-s1\n  Depends: libc6\niproute2\n  Depends: perl\n\
             nginx-common\n |Depends: debconf\n  Depends: <debconf-2.0>\n    cdebconf\n    debconf\n\
             \x20 Depends: <mail-agent>\n    exim\n    postfix\n",
        );
        let walked = graph.walk(&["nginx".to_owned()]);
        let walked: Vec<String> = walked
            .iter()
            .map(|wanted| format!("{}: {}", wanted.name, wanted.reason))
            .collect();
        insta::assert_snapshot!(walked.join("\n"), @"
        nginx: because nginx was asked for
        libc6: because nginx depends on libc6
        nginx-common: because nginx depends on nginx-common
        libgcc-s1: because libc6 depends on libgcc-s1
        exim: because nginx-common depends on exim
        ");
    }
}
