use std::fs;

use windlass_library::Error;
use windlass_package::Requirement;

use crate::support::{Place, show_error};

fn pack(place: &Place, folder: &str, name: &str, require: &[&str]) -> std::path::PathBuf {
    let mut manifest =
        format!("name: {name}\ntitle: The {name}\nauthor: Anonymous\nversion: 1.0\n");
    if !require.is_empty() {
        manifest += "require:\n";
        manifest.extend(require.iter().map(|need| format!("  - {need}\n")));
    }
    place.write(&format!("{folder}/meta/package.yaml"), manifest.as_bytes());
    place.write(&format!("{folder}/usr/bin/{name}"), folder.as_bytes());
    place.path(folder)
}

#[test]
fn a_packed_folder_moves_in_beside_its_predecessor() {
    let place = Place::new();
    let first = place
        .library
        .install_package(&pack(&place, "first", "node-20", &[]))
        .unwrap();
    assert_eq!(
        (first.name.as_str(), first.title.as_str()),
        ("node-20", "The node-20")
    );
    assert!(!place.path("first").exists());
    place
        .library
        .install_package(&pack(&place, "second", "node-20", &["icu"]))
        .unwrap();
    let packages = place.library.packages().unwrap().entries;
    let needs = packages.iter().map(|package| package.require.len());
    assert_eq!(needs.collect::<Vec<_>>(), [1, 0], "the last one first");
    let newest = place.library.package("node-20").unwrap();
    assert_eq!(newest, packages[0]);
    let program =
        |path: &std::path::Path| fs::read_to_string(path.join("usr/bin/node-20")).unwrap();
    assert_eq!(program(&newest.path), "second");
    assert_eq!(program(&first.path), "first");
    assert_eq!(
        place
            .library
            .package_version("node-20", &first.digest[..8])
            .unwrap(),
        first
    );

    place.library.remove_package("node-20").unwrap();
    assert_eq!(
        place.tree(),
        [
            "kernels/",
            "library.lock",
            "objects/",
            "packages/",
            "temporary/"
        ]
        .map(str::to_owned)
    );
}

#[test]
fn a_folder_that_is_no_package_stays_where_it_is() {
    let place = Place::new();
    place.write("folder/file", b"");
    let nameless = place
        .library
        .install_package(&place.path("folder"))
        .unwrap_err();
    place.write("bad/meta/package.yaml", b"name: [\n");
    let broken = place
        .library
        .install_package(&place.path("bad"))
        .unwrap_err();
    assert!(matches!(nameless, Error::NoManifest { .. }), "{nameless}");
    assert!(matches!(broken, Error::Package { .. }), "{broken}");
    assert!(place.path("folder/file").exists());
    assert!(place.library.packages().unwrap().entries.is_empty());
}

#[test]
fn a_broken_package_does_not_hide_the_others() {
    let place = Place::new();
    place
        .library
        .install_package(&pack(&place, "folder", "good", &[]))
        .unwrap();
    place.write("home/packages/bad/meta/package.yaml", b"title: [\n");
    place.write(
        "home/packages/.new-unfinished/meta/package.yaml",
        b"name: x\n",
    );
    let packages = place.library.packages().unwrap();
    assert_eq!(packages.entries.len(), 1);
    assert_eq!(packages.broken.len(), 1);
}

#[test]
fn requirements_are_resolved_in_the_library() {
    let place = Place::new();
    for (name, require) in [
        ("icu", &[][..]),
        ("node", &["icu"]),
        ("tools", &["icu", "node"]),
        ("lonely", &["missing"]),
    ] {
        place
            .library
            .install_package(&pack(&place, name, name, require))
            .unwrap();
    }
    let order: Vec<String> = place
        .library
        .resolve(&[Requirement::any("tools"), Requirement::any("icu")], None)
        .unwrap()
        .packages
        .into_iter()
        .map(|package| package.name)
        .collect();
    assert_eq!(order, ["icu", "node", "tools"]);
    let errors: Vec<String> = ["lonely", "../kernels", "nowhere"]
        .iter()
        .map(|name| {
            show_error(
                &place
                    .library
                    .resolve(&[Requirement::any(*name)], None)
                    .unwrap_err(),
                place.folder.path(),
            )
        })
        .collect();
    insta::assert_snapshot!(errors.join("\n\n"), @"
    error: Because lonely 1.0 needs missing, and there is no package missing, lonely 1.0 cannot be taken.
    And because you ask for lonely, it cannot be done.
    hint: Fetch or make missing.

    error: `../kernels` cannot be the name of a package
    hint: Use letters, digits, and any of . _ - + after the first.

    error: Because you ask for nowhere, and there is no package nowhere, it cannot be done.
    hint: Fetch or make nowhere.
    ");
}

#[test]
fn a_package_that_is_in_its_place_already_stays_there() {
    let place = Place::new();
    let package = place
        .library
        .install_package(&pack(&place, "folder", "node-20", &[]))
        .unwrap();
    let again = place.library.install_package(&package.path).unwrap();
    assert_eq!(again, package);
    assert!(package.path.join("usr/bin/node-20").exists());
}
