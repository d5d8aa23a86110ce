//! Every dictionary of OpenFOAM's own tutorials (Debian's `openfoam-examples`), some of them packed.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;
use windlass_study::case::tutorials::{list, resolve};
use windlass_study::case::{Case, take};
use windlass_study::dictionary::{Dictionary, SyntaxErrorKind, read_text};

/// Where the distribution puts them, or where `WINDLASS_OPENFOAM_EXAMPLES` says.
pub fn folder() -> Option<PathBuf> {
    let told = std::env::var_os("WINDLASS_OPENFOAM_EXAMPLES").map(PathBuf::from);
    let folder = told.unwrap_or_else(|| "/usr/share/doc/openfoam-examples/examples".into());
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: openfoam-examples is not installed");
    None
}

fn is_dictionary(path: &Path, text: &[u8]) -> bool {
    let within = |name: &str| path.components().any(|part| part.as_os_str() == name);
    let head = &text[..text.len().min(4096)];
    // What m4 makes a dictionary of is none yet.
    let is_template = path.to_string_lossy().contains(".m4");
    !within("triSurface") && !is_template && head.windows(8).any(|word| word == b"FoamFile")
        || path.ends_with("system/controlDict")
}

#[test]
fn every_dictionary_of_the_tutorials_is_read_and_changed_back_to_the_same_bytes() {
    let Some(folder) = folder() else { return };
    let mut refused = Vec::new();
    let (mut read, mut packed, mut values, mut changed) = (0, 0, 0, 0);
    for entry in WalkDir::new(&folder).into_iter().map(Result::unwrap) {
        if !entry.file_type().is_file() {
            continue;
        }
        let Ok((text, compressed)) = read_text(entry.path()) else {
            continue;
        };
        if !is_dictionary(entry.path(), &text) {
            continue;
        }
        let shown = entry.path().display();
        let mut dictionary = match Dictionary::parse(text.clone()) {
            Ok(dictionary) => dictionary,
            Err(error) if error.kind == SyntaxErrorKind::Binary => {
                println!("binary: {shown}");
                continue;
            }
            Err(error) => {
                refused.push(format!("{shown}: {error}"));
                continue;
            }
        };
        assert!(dictionary.text() == text, "{shown}");
        read += 1;
        packed += i32::from(compressed);
        let leaves = dictionary.leaves();
        values += leaves.len();
        // The last value with a number in it is changed and changed back.
        let number = |text: &str| text.parse::<f64>().is_ok();
        let leaf = leaves
            .iter()
            .rfind(|leaf| leaf.value.as_deref().is_some_and(number));
        if let Some(leaf) = leaf
            && text.len() < 100_000
        {
            let before = leaf.value.clone().unwrap();
            assert_eq!(
                dictionary.value(&leaf.path).unwrap(),
                before,
                "{shown}: {}",
                leaf.path
            );
            dictionary.set(&leaf.path, "123456.75").unwrap();
            assert_eq!(
                dictionary.text().len() + before.len(),
                text.len() + 9,
                "{shown}: {}",
                leaf.path
            );
            dictionary.set(&leaf.path, &before).unwrap();
            assert!(dictionary.text() == text, "{shown}: {}", leaf.path);
            changed += 1;
        }
    }
    // OpenFOAM's own examples of dictionaries that it does not read either.
    refused.retain(|told: &String| !told.contains("/IO/dictionary/fatal-"));
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    println!(
        "{read} dictionaries, {packed} of them packed, {values} values, {changed} changed and changed back"
    );
    assert!(read > 4000 && packed > 100 && changed > 2000);
}

#[test]
fn tutorials_are_listed_with_their_solvers_and_one_becomes_a_case() {
    let Some(folder) = folder() else { return };
    let tutorials = list(&folder);
    assert!(tutorials.len() > 250, "{}", tutorials.len());
    let find = |name: &str| tutorials.iter().find(|tutorial| tutorial.name == name);
    let cavity = find("incompressible/icoFoam/cavity/cavity").unwrap();
    assert_eq!(cavity.solver, "icoFoam");
    let about = "Transient solver for incompressible, laminar flow of Newtonian fluids";
    assert_eq!(cavity.about.as_deref(), Some(about));
    let pitz = find("incompressible/simpleFoam/pitzDaily").unwrap();
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("case");
    take(&pitz.folder, &into).unwrap();
    assert!(Case::inspect(&into).unwrap().can_run());
    // Whatever is there comes before a tutorial of the same name.
    assert_eq!(resolve(place.path()), place.path());
    assert_eq!(resolve(Path::new("../cavity")), Path::new("../cavity"));
}
