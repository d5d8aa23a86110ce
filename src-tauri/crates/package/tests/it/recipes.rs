//! Packages by recipe, out of real package files, where `WINDLASS_TEST_OPENFOAM_DEBS` says that they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use windlass_package::closure::Elf;
use windlass_package::pack::recipe::{DebSource, Recipe, Unpacked};
use windlass_package::pack::{Content, Plan};
use windlass_package::{Error, Manifest};

/// The folder of package files.
fn debs() -> Option<PathBuf> {
    let folder = std::env::var_os("WINDLASS_TEST_OPENFOAM_DEBS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: there are no package files of OpenFOAM");
    }
    folder
}

fn file(content: &Content) -> Option<&Path> {
    match content {
        Content::Copy(path) | Content::Unpacked(path) => Some(path),
        _ => None,
    }
}

/// Every package with those it requires is whole: whatever one of its objects needs is in it, where a guest's linker looks.
#[test]
fn slow_every_package_of_openfoam_has_all_that_it_needs_and_no_more() {
    let Some(folder) = debs() else { return };
    let recipe = &Recipe::shipped()[0];
    let scratch = tempfile::tempdir().unwrap();
    let source = DebSource::Folder(folder);
    let unpacked = Unpacked::open(recipe, &source, scratch.path(), &mut ()).unwrap();
    let plans: BTreeMap<String, Plan> = recipe
        .parts
        .iter()
        .map(|part| {
            (
                part.name.clone(),
                unpacked.plan(&part.name, &mut ()).unwrap(),
            )
        })
        .collect();
    for part in &recipe.parts {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut needed: BTreeMap<String, PathBuf> = BTreeMap::new();
        let own = std::slice::from_ref(&part.name);
        for other in recipe.with_required(own) {
            for entry in &plans[&other.name].entries {
                names.insert(
                    entry
                        .guest
                        .file_name()
                        .unwrap()
                        .to_string_lossy()
                        .into_owned(),
                );
                let Some(elf) = file(&entry.content).and_then(|path| Elf::open(path).ok()) else {
                    continue;
                };
                for name in elf.needed {
                    needed.insert(name, entry.guest.clone());
                }
            }
        }
        for (name, by) in needed {
            assert!(
                names.contains(&name),
                "{}: {} needs {name}",
                part.name,
                by.display()
            );
        }
    }
    let mebibytes = |name: &str| plans[name].total_bytes() >> 20;
    let sizes: Vec<(&str, u64)> = recipe
        .parts
        .iter()
        .map(|part| (part.name.as_str(), mebibytes(&part.name)))
        .collect();
    println!("{sizes:?}");
    // The sizes that make it worth while: a laminar case is less than half of a turbulent one's image.
    assert!((60..90).contains(&mebibytes("openfoam.core-1912")));
    assert!((40..65).contains(&mebibytes("openfoam.turbulence-1912")));
    assert!(mebibytes("openfoam.icofoam-1912") < 2);
    assert!(mebibytes("openfoam.mesh-1912") < 20);
    // What it was made of is in its manifest.
    let manifest = &plans["openfoam.icofoam-1912"].package_yaml;
    let manifest = Manifest::parse(manifest, "package.yaml").unwrap().value;
    let openfoam = &recipe.debs[0];
    let said = format!("openfoam {} sha256:{}", openfoam.version, openfoam.sha256);
    assert_eq!(manifest.source, [said]);
    assert_eq!(manifest.require, ["openfoam.core-1912"]);
}

#[test]
fn a_package_file_that_is_another_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let recipe = Recipe::parse(
        "recipe: a-1\ntitle: A\nauthor: B\ndebs:\n- {name: tiny, version: 1.0-1, size_bytes: 3, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n",
        "a.yaml",
    )
    .unwrap();
    let source = DebSource::Folder(folder.path().into());
    let open = || Unpacked::open(&recipe, &source, scratch.path(), &mut ()).unwrap_err();
    assert_eq!(open().to_string(), "tiny is not there");
    std::fs::write(folder.path().join("tiny_1.0-1_all.deb"), "abd").unwrap();
    let error = open();
    assert!(
        error
            .to_string()
            .contains("is another one than the recipe's: version 1.0-1"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("ba7816bf"));
    // The right one comes to be unpacked, and is no package file at all.
    std::fs::write(folder.path().join("tiny_1.0-1_all.deb"), "abc").unwrap();
    assert!(matches!(
        open(),
        Error::Unsuitable { .. } | Error::NoProgram { .. }
    ));
    assert!(
        folder.path().join("tiny_1.0-1_all.deb").exists(),
        "the user's files stay"
    );
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
