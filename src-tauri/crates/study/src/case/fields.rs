//! The fields that a run begins with, held against the patches of the mesh.

use windlass_package::Finding;

use super::files::Files;
use super::mesh::{Mesh, Patch};
use crate::dictionary::{Body, Dictionary, Entry};

/// Patches whose fields must be of the same kind.
const CONSTRAINTS: [&str; 8] = [
    "empty",
    "symmetry",
    "symmetryPlane",
    "wedge",
    "cyclic",
    "cyclicAMI",
    "processor",
    "cyclicACMI",
];

/// The names of the fields; what is wrong with them goes to the findings.
pub(super) fn check(files: &mut Files, mesh: &Mesh) -> Vec<String> {
    let folder = if files.folder.join("0").is_dir() {
        "0"
    } else {
        "0.orig"
    };
    if !files.folder.join(folder).is_dir() {
        let is_solver = files
            .value("system/controlDict", "application")
            .is_some_and(|name| name.ends_with("Foam") && name != "chemFoam");
        if is_solver && !starts_elsewhere(files) {
            files.findings.push(
                Finding::error(
                    "there is neither a folder 0 nor 0.orig, with the fields to begin with",
                )
                .remedy("Bring the folder 0 along"),
            );
        }
        return Vec::new();
    }
    let mut names = Vec::new();
    let mut findings = Vec::new();
    for (path, dictionary) in files.all() {
        let Some(name) = path
            .strip_prefix(folder)
            .and_then(|path| path.strip_prefix('/'))
        else {
            continue;
        };
        let Some(boundary) = dictionary.dictionary(&["boundaryField"]) else {
            continue;
        };
        // Fields of points and of films have other meshes.
        let class = dictionary.get("FoamFile/class");
        if class.is_some_and(|class| !class.starts_with("vol")) {
            continue;
        }
        names.push(name.to_owned());
        // A region of its own has a mesh of its own.
        if mesh.all_patches && !name.contains('/') {
            for patch in &mesh.patches {
                if let Some(finding) = of_patch(dictionary, &boundary, patch) {
                    findings.push(finding.at(path));
                }
            }
        }
    }
    files.findings.extend(findings);
    names
}

/// A case that goes on from a time of its own.
fn starts_elsewhere(files: &Files) -> bool {
    let is_time = |name: &str| name.parse::<f64>().is_ok();
    std::fs::read_dir(&files.folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| is_time(&entry.file_name().to_string_lossy()) && entry.path().is_dir())
    })
}

fn of_patch(dictionary: &Dictionary, boundary: &[Entry], patch: &Patch) -> Option<Finding> {
    let decided_elsewhere = boundary
        .iter()
        .any(|entry| matches!(entry.body, Body::Directive(_) | Body::Macro));
    let constraint = CONSTRAINTS.contains(&patch.kind.as_str());
    // As GenericBoundaryField.C: names first, then groups (the kind is one), then patterns; but an empty patch needs none.
    let plain = |name: &str| {
        boundary.iter().rev().find(|entry| {
            let keyword = dictionary.at(entry.keyword.clone());
            keyword == name && matches!(entry.body, Body::Dictionary(_))
        })
    };
    let mut groups = patch
        .groups
        .iter()
        .map(String::as_str)
        .chain([patch.kind.as_str()]);
    let entry = plain(&patch.name).or_else(|| groups.find_map(plain));
    if entry.is_none() && (patch.kind == "empty" || constraint && decided_elsewhere) {
        return None;
    }
    let Some(entry) = entry.or_else(|| dictionary.lookup(boundary, &patch.name)) else {
        let message = format!(
            "the patch {} of the mesh is not in its boundaryField",
            patch.name
        );
        let remedy = format!("Add an entry for {} to boundaryField", patch.name);
        return (!decided_elsewhere).then(|| Finding::error(message).remedy(remedy));
    };
    let Body::Dictionary(inner) = &entry.body else {
        return None;
    };
    let kind = inner
        .iter()
        .rev()
        .find(|entry| dictionary.keyword(entry) == "type")?;
    let Body::Value(kind) = &kind.body else {
        return None;
    };
    let kind = dictionary.at(kind.clone());
    let differs =
        (constraint || CONSTRAINTS.contains(&&*kind)) && kind != patch.kind && !kind.contains('$');
    // A nonconformal or overset patch takes values of its own beside the constraint.
    let both_cyclic = kind.starts_with("cyclic") && patch.kind.starts_with("cyclic");
    (differs && !both_cyclic && !patch.kind.is_empty()).then(|| {
        Finding::error(format!(
            "the patch {} is {} in the mesh and {kind} here; both have to be the same",
            patch.name, patch.kind
        ))
    })
}
