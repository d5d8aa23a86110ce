//! Packages by recipe: a family of packages out of the distribution's package files, each with what it needs and no more.
//!
//! ```text
//!   openfoam-1912.yaml ── Recipe ──> package files by name and digest; packages by the programs that are in them
//!   apt, or a folder ──── files ───> package files, their digests held against the recipe
//!                         tree ────> what they would install, unpacked once for all packages
//!   a package's programs  closure ─> NEEDED by NEEDED, less what the packages it requires have
//!                         Plan ────> as any other package
//! ```
//!
//! A recipe is data: nothing of the distribution is in it, and no address. What was used is written into each package
//! (`x-source`). A package file that the distribution corrects now and then (the C library) may be another version than
//! the recipe's; those that make the family what it is may not.

mod files;
mod read;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use windlass_guest::GuestOs;

use super::draft::{Description, Draft};
use super::{Kind, PackOptions, Plan};
use crate::run_file::Settings;
use crate::{Error, Finding, Manifest, RunConfiguration, Watch};
use files::PackageFile;
use tree::Tree;

/// The recipes that come with Windlass.
const SHIPPED: [(&str, &str); 1] = [("openfoam-1912.yaml", include_str!("openfoam-1912.yaml"))];

/// How a family of packages is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What it is called, such as `openfoam-1912`.
    pub name: String,
    /// What a person reads.
    pub title: String,
    /// Who made what is in it.
    pub author: String,
    /// Under which terms.
    pub license: Option<String>,
    /// The version that its packages get.
    pub version: Option<String>,
    /// The distribution that the package files are of, such as `debian-12`.
    pub platform: Option<String>,
    /// The package files.
    pub debs: Vec<Deb>,
    /// Where libraries are looked for, in order, before the usual places.
    pub search: Vec<PathBuf>,
    /// Folders whose libraries lie elsewhere in a guest.
    pub moves: Vec<(PathBuf, PathBuf)>,
    /// The environment of what runs.
    pub environment: Vec<(String, String)>,
    /// The packages; each after those that it requires.
    pub parts: Vec<Part>,
}

/// A package file of the distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    /// Its name, such as `libc6`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How large the file is.
    pub size_bytes: u64,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// Whether another version will do.
    pub newer: bool,
}

/// A package of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name, such as `openfoam.core-1912`.
    pub name: String,
    /// What a person reads.
    pub title: String,
    /// The packages of the family that it lies on.
    pub require: Vec<String>,
    /// Programs, by their names in `/usr/bin`.
    pub programs: Vec<String>,
    /// Libraries, by the names that others need them by.
    pub libraries: Vec<String>,
    /// Libraries that a program opens by name, by their paths.
    pub plugins: Vec<PathBuf>,
    /// Files and folders, without what they may need.
    pub files: Vec<PathBuf>,
    /// Links and where they lead.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Where its libraries are looked for before all else.
    pub search: Vec<PathBuf>,
    /// Whether it is a solver, which gets a run configuration of its name.
    pub is_solver: bool,
    /// What a solver calculates.
    pub about: Option<String>,
    /// How a guest shows that it is whole.
    pub test: Trial,
}

/// How a package is tried in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The command.
    pub command: String,
    /// A regular expression that what it says matches.
    pub prints: String,
}

/// Where package files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebSource {
    /// What the package manager of this computer knows.
    Apt,
    /// A folder that holds them.
    Folder(PathBuf),
}

impl Recipe {
    /// The recipes that come with Windlass.
    pub fn shipped() -> &'static [Self] {
        static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
            let read = |(file, text): (&str, &str)| Recipe::parse(text, file);
            // A test sees to it that each can be read.
            SHIPPED
                .into_iter()
                .map(read)
                .filter_map(Result::ok)
                .collect()
        });
        &RECIPES
    }

    /// The recipe that makes the package of this name.
    pub fn of(package: &str) -> Option<&'static Self> {
        let mut recipes = Self::shipped().iter();
        recipes.find(|recipe| recipe.part(package).is_some())
    }

    /// Reads the text of a recipe. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// It is not YAML, lacks what it must have, or a package requires one that does not come before it.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        Ok(read::parse(text, file)?)
    }

    /// The package of this name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The package that has this program.
    pub fn part_with_program(&self, program: &str) -> Option<&Part> {
        let has = |part: &&Part| part.programs.iter().any(|other| other == program);
        self.parts.iter().find(has)
    }

    /// The package that is there for this library, given as `libforces.so` or `forces`.
    pub fn part_with_library(&self, library: &str) -> Option<&Part> {
        let short = |name: &str| {
            name.trim_start_matches("lib")
                .trim_end_matches(".so")
                .to_owned()
        };
        let wanted = short(library);
        let has = |part: &&Part| part.libraries.iter().any(|other| short(other) == wanted);
        self.parts.iter().find(has)
    }

    /// These packages with all that they require, in the order in which they are made.
    pub fn with_required(&self, names: &[String]) -> Vec<&Part> {
        let mut wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        for part in self.parts.iter().rev() {
            if wanted.contains(part.name.as_str()) {
                wanted.extend(part.require.iter().map(String::as_str));
            }
        }
        let is_wanted = |part: &&Part| wanted.contains(part.name.as_str());
        self.parts.iter().filter(is_wanted).collect()
    }

    /// How many bytes the package files are.
    pub fn download_bytes(&self) -> u64 {
        self.debs.iter().map(|deb| deb.size_bytes).sum()
    }
}

/// A recipe with its package files unpacked: packages are planned from it. Its temporary folder goes with it.
#[derive(Debug)]
pub struct Unpacked {
    recipe: Recipe,
    tree: Tree,
    used: Vec<PackageFile>,
    findings: Vec<Finding>,
}

impl Unpacked {
    /// Gets the package files, holds their digests against the recipe, and unpacks them into `scratch`.
    ///
    /// # Errors
    ///
    /// When one is not to be had, or is another one; it cannot be unpacked; `watch` cancels.
    pub fn open(
        recipe: &Recipe,
        source: &DebSource,
        scratch: &Path,
        watch: &mut dyn Watch,
    ) -> Result<Self, Error> {
        let options = PackOptions {
            scratch: Some(scratch.to_path_buf()),
            ..PackOptions::new(GuestOs::Linux)
        };
        let mut draft = Draft::default();
        let folder = draft.scratch(&options)?;
        let mut findings = Vec::new();
        let used = files::gather(recipe, source, &folder, &mut findings, watch)?;
        let tree = Tree::unpack(draft, folder, &used, watch)?;
        Ok(Self {
            recipe: recipe.clone(),
            tree,
            used,
            findings,
        })
    }

    /// What was noticed in the package files.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What a package of the family will hold.
    ///
    /// # Errors
    ///
    /// When the family has no such package, or what it needs is in none of the package files; `watch` cancels.
    pub fn plan(&self, name: &str, watch: &mut dyn Watch) -> Result<Plan, Error> {
        let Some(part) = self.recipe.part(name) else {
            return Err(Error::Unsuitable {
                path: name.into(),
                found: format!("is none of the packages of {}", self.recipe.title),
                remedy: "Choose one that `windlassctl package recipe list` names.".into(),
            });
        };
        watch.step(&format!("Finding what belongs to {name}"));
        let below = self.below(part, watch)?;
        let mut content = self.tree.content(&self.recipe, part, watch)?;
        content.retain(|guest, placed| below.get(guest) != Some(placed));
        let mut draft = Draft::default();
        let mut from = BTreeSet::new();
        for (guest, placed) in content {
            from.insert(placed.deb.clone());
            draft.put(placed.entry(guest))?;
        }
        if part.require.is_empty() {
            super::name_service(&mut draft)?;
        }
        self.tree.link_for_osv(&mut draft)?;
        let run = part.is_solver.then(|| self.run(part));
        let manifest = Manifest {
            name: part.name.clone(),
            title: part.title.clone(),
            author: self.recipe.author.clone(),
            version: self.recipe.version.clone(),
            require: part.require.clone(),
            platform: self.recipe.platform.clone(),
            license: self.recipe.license.clone(),
            source: self
                .used
                .iter()
                .filter(|file| from.contains(&file.name))
                .map(PackageFile::said)
                .collect(),
            ..Manifest::default()
        };
        let options = PackOptions::new(GuestOs::Linux);
        let description = Description::new(manifest, run.as_ref(), &options)?;
        draft.finish(Kind::Debian, description, &options, watch)
    }

    /// All that the packages hold which this one requires, and those that they require.
    fn below(&self, part: &Part, watch: &mut dyn Watch) -> Result<tree::Content, Error> {
        let mut below = tree::Content::new();
        for required in self.recipe.with_required(&part.require) {
            below.extend(self.tree.content(&self.recipe, required, watch)?);
        }
        Ok(below)
    }

    fn run(&self, part: &Part) -> crate::RunFile {
        let program = part.programs.first().cloned().unwrap_or_default();
        super::run_file(RunConfiguration {
            settings: Settings::Native {
                bootcmd: Some(format!(
                    "/usr/bin/{program} -case $FOAM_CASE_DIR $FOAM_ARGS"
                )),
                by_guest: Vec::new(),
            },
            name: program,
            env: self.recipe.environment.clone(),
            base: None,
        })
    }
}
