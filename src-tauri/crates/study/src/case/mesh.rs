//! The mesh: there, or how it is made.

use windlass_package::Finding;

use super::files::Files;
use crate::dictionary::{Body, Dictionary, Entry, Item};

/// The files of a mesh.
const PARTS: [&str; 5] = ["points", "faces", "owner", "neighbour", "boundary"];

/// A patch of the mesh's boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its name.
    pub name: String,
    /// `patch`, `wall`, `empty`, `symmetry` …
    pub kind: String,
    /// Groups that it is in, by which fields may name it.
    pub groups: Vec<String>,
}

/// The mesh of a case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mesh {
    /// Whether it is there.
    pub is_there: bool,
    /// The program that makes it, where something says how.
    pub made_by: Vec<&'static str>,
    /// Its cells, where that can be said without making it.
    pub cells: Option<u64>,
    /// Its patches, as far as they are known before.
    pub patches: Vec<Patch>,
    /// Whether they are all of them.
    pub all_patches: bool,
}

pub(super) fn find(files: &mut Files) -> Mesh {
    let mut mesh = Mesh::default();
    let here: Vec<bool> = PARTS
        .iter()
        .map(|part| files.has(&format!("constant/polyMesh/{part}")))
        .collect();
    mesh.is_there = here.iter().all(|here| *here);
    let block = ["system/blockMeshDict", "constant/polyMesh/blockMeshDict"]
        .into_iter()
        .find(|name| files.has(name));
    if block.is_some() && !mesh.is_there {
        mesh.made_by.push("blockMesh");
    }
    if files.has("system/snappyHexMeshDict") && !mesh.is_there {
        mesh.made_by.push("snappyHexMesh");
    }
    if mesh.is_there {
        if let Some(boundary) = files.get("constant/polyMesh/boundary") {
            mesh.patches = of_boundary(boundary);
            mesh.all_patches = !mesh.patches.is_empty();
        }
    } else if let Some(dictionary) = block.and_then(|name| files.get(name)) {
        let (patches, all) = of_block_mesh(dictionary);
        mesh.patches = patches;
        mesh.all_patches = all && mesh.made_by == ["blockMesh"];
        mesh.cells = cells(dictionary);
    }
    // Patches come and go where other programs work on the mesh.
    mesh.all_patches &= !is_changed_later(files);
    let some = here.iter().any(|here| *here) && !mesh.is_there;
    if some && mesh.made_by.is_empty() {
        let missing: Vec<_> = PARTS
            .iter()
            .zip(&here)
            .filter(|(_, here)| !**here)
            .map(|(part, _)| *part)
            .collect();
        let message = format!(
            "the mesh is not complete: {} is missing",
            missing.join(", ")
        );
        files
            .findings
            .push(Finding::error(message).at("constant/polyMesh"));
    } else if !mesh.is_there
        && mesh.made_by.is_empty()
        && !files.has("Allrun")
        && !files.has("system/extrudeMeshDict")
    {
        files.findings.push(
            Finding::error("there is no mesh in constant/polyMesh, and nothing that makes one")
                .remedy("Bring constant/polyMesh, or system/blockMeshDict"),
        );
    }
    mesh
}

fn is_changed_later(files: &Files) -> bool {
    const PROGRAMS: [&str; 12] = [
        "createPatch",
        "createBaffles",
        "extrude",
        "mergeMeshes",
        "mirrorMesh",
        "subsetMesh",
        "stitchMesh",
        "autoPatch",
        "splitMeshRegions",
        "collapseEdges",
        "attachMesh",
        "changeDictionary",
    ];
    let script = std::fs::read_to_string(files.folder.join("Allrun")).unwrap_or_default();
    let prepared = std::fs::read_to_string(files.folder.join("Allrun.pre")).unwrap_or_default();
    PROGRAMS.iter().any(|program| {
        script.contains(program)
            || prepared.contains(program)
            || files.has(&format!("system/{program}Dict"))
    })
}

fn text(dictionary: &Dictionary, entries: &[Entry], keyword: &str) -> Option<String> {
    let entry = entries
        .iter()
        .rev()
        .find(|entry| dictionary.keyword(entry) == keyword)?;
    match &entry.body {
        Body::Value(value) => Some(dictionary.at(value.clone()).into_owned()),
        _ => None,
    }
}

fn patch(dictionary: &Dictionary, name: &str, entries: &[Entry]) -> Patch {
    let groups = text(dictionary, entries, "inGroups").unwrap_or_default();
    Patch {
        name: name.to_owned(),
        kind: text(dictionary, entries, "type").unwrap_or_default(),
        groups: groups
            .split(|char: char| char.is_whitespace() || "()".contains(char))
            .filter(|word| !word.is_empty() && word.parse::<u32>().is_err())
            .map(ToOwned::to_owned)
            .collect(),
    }
}

fn lists(items: &[Item]) -> impl Iterator<Item = &[Item]> {
    items.iter().filter_map(|item| match item {
        Item::List {
            open: b'(', items, ..
        } => Some(items.as_slice()),
        _ => None,
    })
}

/// `constant/polyMesh/boundary`: a list of dictionaries with names.
fn of_boundary(dictionary: &Dictionary) -> Vec<Patch> {
    let mut patches = Vec::new();
    for entry in dictionary
        .entries()
        .iter()
        .filter(|entry| entry.keyword.is_empty())
    {
        let Body::Value(value) = &entry.body else {
            continue;
        };
        let items = dictionary.items(value.clone()).unwrap_or_default();
        for list in lists(&items) {
            patches.extend(
                dictionary
                    .named(list)
                    .map(|(name, entries)| patch(dictionary, &name, entries)),
            );
        }
    }
    patches
}

/// `blockMeshDict`: its `boundary`, or, in the older form, its `patches`; and whether these are surely all.
fn of_block_mesh(dictionary: &Dictionary) -> (Vec<Patch>, bool) {
    let value = |keyword: &str| {
        let entry = dictionary.lookup(dictionary.entries(), keyword)?;
        match &entry.body {
            Body::Value(value) => dictionary.items(value.clone()).ok(),
            _ => None,
        }
    };
    let computed = !dictionary.includes().is_empty()
        || text(dictionary, dictionary.entries(), "defaultPatch").is_some();
    if let Some(items) = value("boundary") {
        let patches = lists(&items).flat_map(|list| {
            let named = dictionary
                .named(list)
                .map(|(name, entries)| patch(dictionary, &name, entries));
            named.collect::<Vec<_>>()
        });
        return (patches.collect(), !computed);
    }
    let items = value("patches").unwrap_or_default();
    let mut patches = Vec::new();
    for list in lists(&items) {
        for three in list.windows(3) {
            if let [Item::Token(kind), Item::Token(name), Item::List { .. }] = three {
                patches.push(Patch {
                    name: dictionary.at(name.span.clone()).into_owned(),
                    kind: dictionary.at(kind.span.clone()).into_owned(),
                    groups: Vec::new(),
                });
            }
        }
    }
    let all = !computed && !patches.is_empty();
    (patches, all)
}

/// The product of each block's three counts, added up; none where one of them is a macro.
fn cells(dictionary: &Dictionary) -> Option<u64> {
    let entry = dictionary.lookup(dictionary.entries(), "blocks")?;
    let Body::Value(value) = &entry.body else {
        return None;
    };
    let items = dictionary.items(value.clone()).ok()?;
    let mut sum = 0_u64;
    for list in lists(&items) {
        for (index, item) in list.iter().enumerate() {
            let is_block =
                matches!(item, Item::Token(token) if dictionary.at(token.span.clone()) == "hex");
            if !is_block {
                continue;
            }
            // hex (vertices) [zone] (counts): the second list.
            let counts = lists(&list[index + 1..]).nth(1)?;
            let mut product = 1_u64;
            for count in counts {
                product = product.checked_mul(dictionary.at(count.span()).parse().ok()?)?;
            }
            sum = sum.checked_add(product)?;
        }
    }
    (sum > 0).then_some(sum)
}
