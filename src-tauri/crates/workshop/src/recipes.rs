//! Packages by recipe: made on this computer out of the distribution's package files, and put into the library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use specta::Type;
use windlass_package::pack::recipe::{DebSource, Part, Recipe, Unpacked};
use windlass_package::pack::{self, recipe};

use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, JobKind, Reporter};

/// A family of packages that can be made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RecipeInfo {
    /// What it is called, such as `openfoam-1912`.
    pub name: String,
    /// What a person reads.
    pub title: String,
    /// Under which terms.
    pub license: Option<String>,
    /// The distribution that the package files are of.
    pub platform: Option<String>,
    /// How many bytes the package files are.
    pub download_bytes: u64,
    /// The packages, each after those that it requires.
    pub packages: Vec<RecipePackage>,
}

/// A package of a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RecipePackage {
    /// Its name.
    pub name: String,
    /// What a person reads.
    pub title: String,
    /// The packages that it lies on.
    pub require: Vec<String>,
    /// Whether it is in the library.
    pub is_installed: bool,
}

impl Workshop {
    /// The families of packages that can be made here.
    pub fn recipes(&self) -> Vec<RecipeInfo> {
        let package = |part: &Part| RecipePackage {
            name: part.name.clone(),
            title: part.title.clone(),
            require: part.require.clone(),
            is_installed: self.has_package(&part.name),
        };
        let info = |recipe: &Recipe| RecipeInfo {
            name: recipe.name.clone(),
            title: recipe.title.clone(),
            license: recipe.license.clone(),
            platform: recipe.platform.clone(),
            download_bytes: recipe.download_bytes(),
            packages: recipe.parts.iter().map(package).collect(),
        };
        Recipe::shipped().iter().map(info).collect()
    }

    pub(crate) fn has_package(&self, name: &str) -> bool {
        self.library.package(name).is_ok()
    }

    /// Makes packages by recipe, as a job: those named (of a recipe: all) with what they require, unless the library has
    /// them. The package files come from the package manager, or from a folder.
    ///
    /// # Errors
    /// `NotFound` when no recipe makes a package of this name; when there is no such folder.
    pub fn start_recipe(self: &Arc<Self>, names: &[String], from: Option<&Path>) -> Result<Job> {
        let names = wanted(names)?;
        let source = source(from)?;
        let workshop = Arc::clone(self);
        let title = match names.as_slice() {
            [name] => format!("Make {name}"),
            _ => format!("Make {} packages", names.len()),
        };
        self.start_job(JobKind::Pack, title, None, None, async move |reporter| {
            workshop.make_by_recipe(&names, &source, &reporter).await?;
            Ok(names.into_iter().next_back())
        })
    }

    /// Makes those of these packages that the library lacks, with what they require.
    pub(crate) async fn make_by_recipe(
        self: &Arc<Self>,
        names: &[String],
        source: &DebSource,
        reporter: &Reporter,
    ) -> Result<()> {
        for recipe in Recipe::shipped() {
            let is_of_it = |name: &&String| recipe.part(name).is_some();
            let of_it: Vec<String> = names.iter().filter(is_of_it).cloned().collect();
            let missing: Vec<String> = recipe
                .with_required(&of_it)
                .into_iter()
                .map(|part| part.name.clone())
                .filter(|name| !self.has_package(name))
                .collect();
            if missing.is_empty() {
                continue;
            }
            let (library, telling, source) =
                (self.library.clone(), reporter.clone(), source.clone());
            crate::blocking(move || {
                let workplace = library.workplace()?;
                let mut watching = telling.watching();
                let unpacked = Unpacked::open(recipe, &source, workplace.path(), &mut watching)?;
                for finding in unpacked.findings() {
                    telling.log(&finding.to_string());
                }
                for name in &missing {
                    let plan = unpacked.plan(name, &mut telling.watching())?;
                    let folder = workplace.path().join(name);
                    let packed = pack::make(&plan, &folder, &mut telling.watching())?;
                    let added = library.install_package(&packed.root)?;
                    telling.log(&format!("Added {}", added.label()));
                }
                Ok::<_, AppError>(())
            })
            .await??;
            self.library_changed();
        }
        Ok(())
    }
}

/// Names of packages; that of a recipe stands for all of its packages.
fn wanted(names: &[String]) -> Result<Vec<String>> {
    let mut wanted = Vec::new();
    for name in names {
        if let Some(recipe) = Recipe::shipped().iter().find(|recipe| recipe.name == *name) {
            wanted.extend(recipe.parts.iter().map(|part| part.name.clone()));
        } else if recipe::Recipe::of(name).is_some() {
            wanted.push(name.clone());
        } else {
            return Err(AppError::not_found("recipe for a package", name)
                .hinted("`windlassctl package recipe list` shows what can be made"));
        }
    }
    if wanted.is_empty() {
        return Err(AppError::new(ErrorKind::Input, "No package is named"));
    }
    Ok(wanted)
}

/// Where package files come from.
pub(crate) fn source(from: Option<&Path>) -> Result<DebSource> {
    let Some(folder) = from else {
        return Ok(DebSource::Apt);
    };
    let folder: PathBuf = std::fs::canonicalize(folder).doing("find the folder", folder)?;
    Ok(DebSource::Folder(folder))
}
