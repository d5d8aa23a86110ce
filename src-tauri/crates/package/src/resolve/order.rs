//! The order in which packages lie over each other, and why each is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Candidate, Solution, Unsolvable};
use crate::Requirement;

/// Of a package that more require than this, no more paths are told.
const PATHS_MAX: usize = 100;

/// Lays the chosen packages: depth first, requirements before what requires them.
///
/// Own stack instead of recursion: how deep it goes is the registries' choice.
pub(super) fn lay(
    root: &[Requirement],
    chosen: &BTreeMap<String, Candidate>,
) -> Result<Solution, Unsolvable> {
    let why = why(root, chosen);
    let mut order: Vec<&str> = Vec::with_capacity(chosen.len());
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for Requirement { name, .. } in root {
        // The packages that are open, each with its requirements that are still to be looked at.
        let mut open: Vec<(&str, std::slice::Iter<'_, Requirement>)> = Vec::new();
        let mut next = Some(name.as_str());
        loop {
            if let Some(name) = next.take().filter(|name| !done.contains(name)) {
                if let Some(at) = open.iter().position(|(other, _)| *other == name) {
                    let open = open.get(at..).unwrap_or_default();
                    return Err(circle(open.iter().map(|(name, _)| *name).chain([name])));
                }
                let Some(candidate) = chosen.get(name) else {
                    continue;
                };
                open.push((&candidate.name, candidate.require.iter()));
            }
            let Some((name, requirements)) = open.last_mut() else {
                break;
            };
            if let Some(requirement) = requirements.next() {
                next = Some(&requirement.name);
            } else {
                done.insert(name);
                order.push(name);
                open.pop();
            }
        }
    }
    let order = order
        .into_iter()
        .filter_map(|name| chosen.get(name).cloned())
        .collect();
    Ok(Solution { order, why })
}

fn circle<'a>(path: impl Iterator<Item = &'a str>) -> Unsolvable {
    let circle: Vec<String> = path.map(str::to_owned).collect();
    Unsolvable {
        explanation: format!(
            "Packages require each other in a circle: {}.",
            circle.join(" -> ")
        ),
        circle,
        missing: Vec::new(),
    }
}

/// For everything that requires a package: the shortest path to it, and the package.
fn why(
    root: &[Requirement],
    chosen: &BTreeMap<String, Candidate>,
) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut shortest: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut why: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let mut queue: VecDeque<(Vec<String>, &[Requirement])> = VecDeque::from([(Vec::new(), root)]);
    while let Some((path, require)) = queue.pop_front() {
        for Requirement { name, .. } in require {
            let Some(candidate) = chosen.get(name) else {
                continue;
            };
            let mut path = path.clone();
            path.push(name.clone());
            let paths = why.entry(name.clone()).or_default();
            if paths.len() < PATHS_MAX && !paths.contains(&path) {
                paths.push(path.clone());
            }
            if !shortest.contains_key(name.as_str()) {
                shortest.insert(name, path.clone());
                queue.push_back((path, &candidate.require));
            }
        }
    }
    why
}
