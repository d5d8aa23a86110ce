//! A case as several processes: cut into parts, solved by all of them, put together again.
//!
//! ```text
//!   parallel: {cores: 4, method: hierarchical, parts: [2, 2, 1]}
//!     steps   blockMesh, simpleFoam ──> blockMesh, decomposePar, mpirun -np 4 simpleFoam -parallel, reconstructPar
//!     files   system/decomposeParDict ─> the case's own with these values, or a new one; on the run's disk alone
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use windlass_package::Finding;
use windlass_package::pack::recipe::Recipe;

use crate::StudyError;
use crate::changes::ChangedFile;
use crate::dictionary::{Dictionary, DictionaryError, EntryPath, read_text};

/// The most processes of one machine.
pub const CORES: (u32, u32) = (2, 256);
const FILE: &str = "system/decomposeParDict";
const NEW: &str = "FoamFile\n{\n    version     2.0;\n    format      ascii;\n    class       dictionary;\n    object      decomposeParDict;\n}\n";
/// Programs by which steps say themselves how several processes are begun.
const OWN: [&str; 2] = ["mpirun", "redistributePar"];
/// Programs that are of use for several processes alone.
const CUTTING: [&str; 3] = ["decomposePar", "reconstructPar", "reconstructParMesh"];

/// How a case is cut into parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parallel {
    /// How many processes.
    pub cores: u32,
    /// By what it is cut.
    pub method: Method,
    /// How many parts in each direction; none: two directions, the first with more.
    pub parts: Option<[u32; 3]>,
}

/// By what a case is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Along all directions at once.
    Simple,
    /// One direction after the other, so that parts have as many cells each.
    #[default]
    Hierarchical,
    /// So that parts touch as little as can be.
    Scotch,
}

impl Method {
    /// Its name in a dictionary and in `study.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Hierarchical => "hierarchical",
            Self::Scotch => "scotch",
        }
    }

    /// The method of this name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Simple, Self::Hierarchical, Self::Scotch]
            .into_iter()
            .find(|method| method.name() == name)
    }
}

impl Parallel {
    /// How many parts in each direction. A mesh may be one cell deep in the third.
    pub fn parts(&self) -> [u32; 3] {
        self.parts.unwrap_or_else(|| {
            let across = (1..=self.cores)
                .take_while(|across| across * across <= self.cores)
                .filter(|across| self.cores.is_multiple_of(*across))
                .last()
                .unwrap_or(1);
            [self.cores / across, across, 1]
        })
    }

    /// The steps with the solver in several processes. Steps that begin these by themselves stay as they are.
    pub fn steps(&self, steps: Vec<String>) -> Vec<String> {
        if steps.iter().any(|step| OWN.contains(&program(step))) {
            return steps;
        }
        let steps = as_one(steps);
        let solves = |step: &String| {
            let mut recipes = Recipe::shipped().iter();
            let of_recipe = |recipe: &Recipe| {
                let part = recipe.part_with_program(program(step));
                part.is_some_and(|part| part.is_solver)
            };
            recipes.any(of_recipe)
        };
        let Some(last) = steps.iter().rposition(solves) else {
            return steps;
        };
        let mut all = Vec::with_capacity(steps.len() + 2);
        for (index, step) in steps.into_iter().enumerate() {
            if index == last {
                all.push("decomposePar -force".to_owned());
                all.push(format!(
                    "mpirun -np {} --oversubscribe {step} -parallel",
                    self.cores
                ));
                all.push("reconstructPar".to_owned());
            } else {
                all.push(step);
            }
        }
        all
    }

    /// What keeps it from running.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.method == Method::Scotch {
            findings.push(
                Finding::error("Debian's OpenFOAM is built without scotch")
                    .at("study.yaml")
                    .remedy("Choose the method hierarchical or simple"),
            );
        }
        let product = self
            .parts()
            .iter()
            .map(|&parts| u64::from(parts))
            .product::<u64>();
        if product != u64::from(self.cores) {
            findings.push(
                Finding::error(format!(
                    "the parts are {product}, and the cores {}",
                    self.cores
                ))
                .at("study.yaml")
                .remedy("Choose parts whose product is the number of cores"),
            );
        }
        findings
    }

    /// The dictionary that says so, as runs have it: the case's own with these values, or a new one.
    pub(crate) fn file(&self, case: &Path) -> Result<ChangedFile, StudyError> {
        let place = |source: DictionaryError| StudyError::Place {
            variable: "parallel".into(),
            file: FILE.into(),
            source: Box::new(source),
        };
        let packed = format!("{FILE}.gz");
        let name = [FILE, &packed]
            .into_iter()
            .find(|name| fs::symlink_metadata(case.join(name)).is_ok_and(|it| it.is_file()));
        let (before, compressed) = match name {
            Some(name) => read_text(&case.join(name)).map_err(place)?,
            None => (Vec::new(), false),
        };
        let text = self.text(&before).map_err(place)?;
        let file = PathBuf::from(name.unwrap_or(FILE));
        Ok(ChangedFile::new(file, before, text, compressed))
    }

    fn text(&self, before: &[u8]) -> Result<Vec<u8>, DictionaryError> {
        let text = if before.is_empty() {
            NEW.as_bytes()
        } else {
            before
        };
        let mut dictionary = Dictionary::parse(text).map_err(|source| DictionaryError::Syntax {
            path: FILE.into(),
            source,
        })?;
        let put = |dictionary: &mut Dictionary, key: &str, value: &str| {
            if dictionary.get(key).is_some() {
                dictionary.set(&EntryPath::new([key]), value)
            } else {
                dictionary.insert(&[], &format!("{key} {value};"))
            }
        };
        put(
            &mut dictionary,
            "numberOfSubdomains",
            &self.cores.to_string(),
        )?;
        put(&mut dictionary, "method", self.method.name())?;
        if self.method == Method::Scotch {
            return Ok(dictionary.text().to_vec());
        }
        // OpenFOAM takes METHODCoeffs before coeffs.
        let [x, y, z] = self.parts();
        let coefficients = format!("{}Coeffs", self.method.name());
        let parts = format!("({x} {y} {z})");
        let path = EntryPath::new([coefficients.as_str(), "n"]);
        if dictionary.find(&path).is_ok() {
            dictionary.set(&path, &parts)?;
        } else if dictionary.dictionary(&[&coefficients]).is_some() {
            dictionary.insert(&[&coefficients], &format!("n {parts};"))?;
        } else {
            let order = match self.method {
                Method::Hierarchical => " order xyz;",
                _ => "",
            };
            let entry = format!("{coefficients} {{ n {parts}; delta 0.001;{order} }}");
            dictionary.insert(&[], &entry)?;
        }
        Ok(dictionary.text().to_vec())
    }
}

fn program(step: &str) -> &str {
    step.split_whitespace().next().unwrap_or_default()
}

/// The steps of a case that is solved as one process: what cuts it into parts is left out.
pub fn as_one(mut steps: Vec<String>) -> Vec<String> {
    if !steps.iter().any(|step| OWN.contains(&program(step))) {
        steps.retain(|step| !CUTTING.contains(&program(step)));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parallel(cores: u32, method: Method) -> Parallel {
        Parallel {
            cores,
            method,
            parts: None,
        }
    }

    #[test]
    fn parts_go_into_two_directions() {
        let parts = [2, 3, 4, 6, 8, 12, 16].map(|cores| parallel(cores, Method::Simple).parts());
        let wanted = [
            [2, 1, 1],
            [3, 1, 1],
            [2, 2, 1],
            [3, 2, 1],
            [4, 2, 1],
            [4, 3, 1],
            [4, 4, 1],
        ];
        assert_eq!(parts, wanted);
    }

    #[test]
    fn the_solver_alone_becomes_several_processes() {
        let steps = |lines: &[&str]| {
            let lines = lines.iter().map(|&line| line.to_owned()).collect();
            parallel(2, Method::Simple).steps(lines).join("; ")
        };
        assert_eq!(
            steps(&["blockMesh", "simpleFoam", "foamToVTK"]),
            "blockMesh; decomposePar -force; mpirun -np 2 --oversubscribe simpleFoam -parallel; reconstructPar; foamToVTK"
        );
        let own = ["decomposePar", "mpirun -np 3 simpleFoam -parallel"];
        assert_eq!(steps(&own), own.join("; "));
        // As the Allrun of a tutorial has them.
        let cut = ["decomposePar", "simpleFoam", "reconstructPar"];
        assert_eq!(steps(&cut), steps(&["simpleFoam"]));
        assert_eq!(as_one(cut.map(str::to_owned).to_vec()), ["simpleFoam"]);
        assert_eq!(steps(&["blockMesh"]), "blockMesh");
    }

    #[test]
    fn what_the_case_says_otherwise_stays() {
        let text = |before: &str, method| {
            let text = parallel(4, method).text(before.as_bytes()).unwrap();
            String::from_utf8(text).unwrap()
        };
        let new = text("", Method::Hierarchical);
        assert_eq!(
            new.strip_prefix(NEW)
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            "numberOfSubdomains 4; method hierarchical; hierarchicalCoeffs { n (2 2 1); delta 0.001; order xyz; }"
        );
        let own = "// six\nnumberOfSubdomains 6;\nmethod hierarchical;\nhierarchicalCoeffs { n (3 2 1); order yxz; }\nconstraints { a { type preservePatches; } }\n";
        assert_eq!(
            text(own, Method::Hierarchical),
            own.replace("omains 6", "omains 4")
                .replace("(3 2 1)", "(2 2 1)")
        );
        let simple = text(own, Method::Simple);
        assert!(
            simple.contains("(3 2 1)") && simple.contains("simpleCoeffs"),
            "{simple}"
        );
    }
}
