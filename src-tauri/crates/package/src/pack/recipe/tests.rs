use super::*;

fn openfoam() -> &'static Recipe {
    &Recipe::shipped()[0]
}

#[test]
fn shipped_recipes_have_packages_with_what_they_require_before_them() {
    assert_eq!(Recipe::shipped().len(), SHIPPED.len());
    for recipe in Recipe::shipped() {
        assert!(recipe.parts.len() > 100, "{}", recipe.parts.len());
        for part in &recipe.parts {
            assert!(
                part.is_solver || !part.title.is_empty(),
                "{} has no title",
                part.name
            );
        }
        // No address of a server, and no path of whoever wrote it.
        let text = include_str!("openfoam-1912.yaml");
        assert!(!text.contains("://") && !text.contains("/home") && !text.contains("/tmp"));
    }
}

#[test]
fn a_program_and_a_library_lead_to_their_package() {
    let recipe = openfoam();
    let of_program = |name: &str| {
        recipe
            .part_with_program(name)
            .map(|part| part.name.as_str())
    };
    assert_eq!(of_program("icoFoam"), Some("openfoam.icofoam-1912"));
    assert_eq!(of_program("blockMesh"), Some("openfoam.mesh-1912"));
    assert_eq!(of_program("renumberMesh"), Some("openfoam.tools-1912"));
    assert_eq!(of_program("noFoam"), None);
    let of_library = |name: &str| {
        recipe
            .part_with_library(name)
            .map(|part| part.name.as_str())
    };
    assert_eq!(of_library("libforces.so"), Some("openfoam.functions-1912"));
    assert_eq!(of_library("forces"), Some("openfoam.functions-1912"));
    assert_eq!(of_library("fvMotionSolvers"), Some("openfoam.motion-1912"));
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let parts = recipe.with_required(&names);
        parts
            .iter()
            .map(|part| part.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&["openfoam.simplefoam-1912", "openfoam.mesh-1912"]),
        [
            "openfoam.core-1912",
            "openfoam.turbulence-1912",
            "openfoam.mesh-1912",
            "openfoam.simplefoam-1912"
        ]
    );
}

#[test]
fn what_is_wrong_with_a_recipe_is_said_with_its_place() {
    let said = |text: &str| {
        let text = format!("recipe: a-1\ntitle: A\nauthor: B\n{text}");
        Recipe::parse(&text, "a.yaml").unwrap_err().to_string()
    };
    insta::assert_debug_snapshot!([
        said("debs: [{name: a, version: 1, size_bytes: 1, sha256: abc}]\n"),
        said(
            "packages: [{name: a.b-1, title: T, require: [a.c-1], test: {command: x, prints: y}}]\n"
        ),
        said("packages: [{name: a.b-1, title: T}]\n"),
        said("solvers: [{solver: xFoam}, {solver: XFOAM}]\n"),
        said("packages: 3\n"),
    ]);
}
