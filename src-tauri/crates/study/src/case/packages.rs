//! What an image for a case has to hold, and which guest kernel suits it.

use windlass_guest::GuestOs;
use windlass_package::Finding;
use windlass_package::pack::recipe::{Part, Recipe};

use super::files::Files;
use super::steps::Step;
use crate::dictionary::{Body, Dictionary, Entry};

/// The libraries of Debian's package, without `lib` and `.so`.
const LIBRARIES: &str = include_str!("libraries.txt");

/// A package and why it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The libraries that dictionaries load, by `libs`.
pub(super) fn libraries(files: &mut Files) -> Vec<String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, dictionary) in files.all() {
        collect(dictionary, dictionary.entries(), &mut |library| {
            found.push((name.to_owned(), library));
        });
    }
    let mut names = Vec::new();
    for (file, library) in found {
        let short = library
            .trim_start_matches("lib")
            .trim_end_matches(".so")
            .to_owned();
        if names.contains(&short) {
            continue;
        }
        if !short.contains('$') && !LIBRARIES.lines().any(|known| known == short) {
            let message = format!("it loads {library}, which is no library of OpenFOAM");
            files.findings.push(
                Finding::error(message)
                    .at(file)
                    .remedy("Without it the solver goes on, but what it is for is missing: pack the library, or remove it"),
            );
        }
        names.push(short);
    }
    names
}

/// The functions of OpenFOAM's own collection that controlDict includes.
pub(super) fn functions(files: &Files) -> Vec<String> {
    let includes = files
        .all()
        .flat_map(|(_, dictionary)| dictionary.includes());
    includes
        .filter(|(directive, _)| directive == "#includeFunc")
        .map(|(_, name)| name)
        .collect()
}

fn collect(dictionary: &Dictionary, entries: &[Entry], found: &mut dyn FnMut(String)) {
    for entry in entries {
        match &entry.body {
            Body::Dictionary(inner) => collect(dictionary, inner, found),
            Body::Value(value)
                if matches!(&*dictionary.keyword(entry), "libs" | "functionObjectLibs") =>
            {
                let text = dictionary.at(value.clone());
                let words = text.split(|char: char| char.is_whitespace() || "()\"".contains(char));
                words
                    .filter(|word| !word.is_empty() && word.parse::<u32>().is_err())
                    .for_each(|word| found(word.to_owned()));
            }
            _ => {}
        }
    }
}

/// The packages that have what is called and loaded, with those that they lie on, in the order of the recipe.
pub(super) fn propose(steps: &[Step], libraries: &[String], functions: &[String]) -> Vec<Proposed> {
    let Some(recipe) = Recipe::shipped().first() else {
        return Vec::new();
    };
    let mut wanted: Vec<Proposed> = Vec::new();
    let mut add = |part: Option<&Part>, reason: String| {
        if let Some(part) = part
            && wanted.iter().all(|other| other.name != part.name)
        {
            let name = part.name.clone();
            wanted.push(Proposed { name, reason });
        }
    };
    for step in steps {
        let program = &step.program;
        let part = recipe.part_with_program(program);
        let is_solver = part.is_some_and(|part| part.is_solver);
        add(
            part,
            if is_solver {
                "the solver".into()
            } else {
                format!("{program} is in it")
            },
        );
        if step.parallel {
            let reason = format!("{program} runs as several processes");
            add(recipe.part_with_program("decomposePar"), reason);
        }
    }
    for function in functions {
        let reason = format!("the case includes the function {function}");
        add(recipe.part_with_library("fieldFunctionObjects"), reason);
    }
    for library in libraries {
        let reason = format!("the case loads {library}");
        add(recipe.part_with_library(library), reason);
    }
    let names: Vec<String> = wanted.iter().map(|package| package.name.clone()).collect();
    let parts = recipe.with_required(&names);
    let reason = |part: &Part| {
        let own = wanted.iter().find(|package| package.name == part.name);
        own.map_or_else(
            || {
                let requires = |other: &&&Part| other.require.contains(&part.name);
                let above = parts.iter().find(requires);
                format!(
                    "{} lies on it",
                    above.map_or("another package", |above| &above.name)
                )
            },
            |package| package.reason.clone(),
        )
    };
    parts
        .iter()
        .map(|part| Proposed {
            name: part.name.clone(),
            reason: reason(part),
        })
        .collect()
}

/// OSv runs one program per boot, and has no MPI and a C library of its own.
pub(super) fn guest(steps: &[Step]) -> (GuestOs, String) {
    if let Some(step) = steps.iter().find(|step| step.parallel) {
        let reason = format!(
            "{} runs as several processes, which OSv cannot",
            step.program
        );
        return (GuestOs::Linux, reason);
    }
    if steps.len() > 1 {
        let names: Vec<&str> = steps.iter().map(|step| step.program.as_str()).collect();
        let reason = format!(
            "{} run one after the other, and OSv ends with its first program",
            names.join(", ")
        );
        return (GuestOs::Linux, reason);
    }
    (GuestOs::Osv, "it is one program in one process".into())
}
