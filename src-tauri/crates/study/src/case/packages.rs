//! What an image for a case has to hold, and which guest kernel suits it.

use windlass_guest::GuestOs;
use windlass_package::Finding;

use super::files::Files;
use super::steps::{Step, is_program};
use crate::dictionary::{Body, Dictionary, Entry};

/// The libraries of Debian's package, without `lib` and `.so`.
const LIBRARIES: &str = include_str!("libraries.txt");

/// Solvers that need nothing but the core: no turbulence, no thermophysics.
const CORE: [&str; 6] = [
    "icoFoam",
    "laplacianFoam",
    "potentialFoam",
    "scalarTransportFoam",
    "solidDisplacementFoam",
    "shallowWaterFoam",
];

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

pub(super) fn propose(steps: &[Step], libraries: &[String], functions: &[String]) -> Vec<Proposed> {
    let mut packages: Vec<Proposed> = Vec::new();
    let mut add = |name: &str, reason: String| {
        if packages.iter().all(|package| package.name != name) {
            packages.push(Proposed {
                name: name.to_owned(),
                reason,
            });
        }
    };
    add("openfoam.core", "every program of OpenFOAM needs it".into());
    for step in steps {
        let program = &step.program;
        let by = |what: &str| format!("{program} {what}");
        if step.parallel {
            add("openfoam.mpi", by("runs as several processes"));
        }
        match program.as_str() {
            "snappyHexMesh" | "surfaceFeatureExtract" => add("openfoam.snappy", by("is in it")),
            "foamToVTK" | "postProcess" | "foamToEnsight" => add("openfoam.post", by("is in it")),
            "decomposePar" | "reconstructPar" | "reconstructParMesh" | "redistributePar" => {
                add("openfoam.mpi", by("is in it"));
            }
            name if name.ends_with("Foam") => {
                if !CORE.contains(&name) {
                    add("openfoam.turbulence", by("calculates turbulence with it"));
                }
                add(
                    &format!("openfoam.{}", name.to_ascii_lowercase()),
                    "the solver".into(),
                );
            }
            name if is_program(name) => add("openfoam.mesh", by("is in it")),
            _ => {}
        }
    }
    for function in functions {
        add(
            "openfoam.functions",
            format!("the case includes the function {function}"),
        );
    }
    for library in libraries {
        let package = match library.as_str() {
            "OpenFOAM" | "finiteVolume" | "meshTools" | "blockMesh" => continue,
            name if name.ends_with("FunctionObjects") || name == "forces" || name == "sampling" => {
                "openfoam.functions"
            }
            name if name.ends_with("TurbulenceModels") || name == "turbulenceModels" => {
                "openfoam.turbulence"
            }
            _ => "openfoam.libraries",
        };
        add(package, format!("the case loads {library}"));
    }
    packages
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
