//! The tutorials of OpenFOAM that lie on this computer: cases to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;
use windlass_package::pack::recipe::Recipe;

use super::files::has_control;
use crate::dictionary::{Dictionary, read_text};

/// Where Debian's package of examples puts them.
const DEBIAN: &str = "/usr/share/doc/openfoam-examples/examples";
/// OpenFOAM's own variable for where they are.
const VARIABLE: &str = "FOAM_TUTORIALS";
/// The most that are listed, and how deep they lie.
const MOST: usize = 2000;
const DEPTH: usize = 8;
/// A larger controlDict is none.
const CONTROL_BYTES: u64 = 1 << 20;

/// A case to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tutorial {
    /// Its folder among the tutorials, such as `incompressible/icoFoam/cavity/cavity`.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The solver that it is for.
    pub solver: String,
    /// What that solver calculates.
    pub about: Option<String>,
}

/// Where tutorials are on this computer: where OpenFOAM's own variable says, else where Debian puts them.
pub fn folder() -> Option<PathBuf> {
    let told = std::env::var_os(VARIABLE).map(PathBuf::from);
    told.or_else(|| Some(DEBIAN.into()))
        .filter(|folder| folder.is_dir())
}

/// The tutorials in a folder, by name. What names no solver of a recipe is none.
pub fn list(folder: &Path) -> Vec<Tutorial> {
    let mut walk = WalkDir::new(folder)
        .max_depth(DEPTH)
        .sort_by_file_name()
        .into_iter();
    let mut tutorials = Vec::new();
    while let Some(entry) = walk.next() {
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_dir() || !has_control(entry.path()) {
            continue;
        }
        // What is in a case is no case of its own.
        walk.skip_current_dir();
        tutorials.extend(look(folder, entry.path()));
        if tutorials.len() >= MOST {
            break;
        }
    }
    tutorials
}

fn look(tutorials: &Path, folder: &Path) -> Option<Tutorial> {
    let control = ["controlDict", "controlDict.gz"]
        .map(|name| folder.join("system").join(name))
        .into_iter()
        .find(|path| path.is_file())?;
    if fs::metadata(&control).ok()?.len() > CONTROL_BYTES {
        return None;
    }
    let (text, _) = read_text(&control).ok()?;
    let dictionary = Dictionary::parse(text).ok()?;
    let solver = dictionary.get("application")?.into_owned();
    let mut recipes = Recipe::shipped().iter();
    let part = recipes.find_map(|recipe| recipe.part_with_program(&solver))?;
    Some(Tutorial {
        name: folder.strip_prefix(tutorials).ok()?.to_str()?.to_owned(),
        folder: folder.to_owned(),
        about: part.about.clone(),
        solver,
    })
}

/// The folder of a tutorial given by its name; whatever is there by that path comes first.
pub fn resolve(from: &Path) -> PathBuf {
    let is_name = from.is_relative()
        && from
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
    if is_name
        && !from.exists()
        && let Some(place) = folder().map(|folder| folder.join(from))
        && has_control(&place)
    {
        return place;
    }
    from.to_owned()
}
