//! Which packages a `require` list brings in, and in which order.

use std::collections::HashSet;

use super::InstalledPackage;
use crate::error::Error;

/// A package on the way from the root to the one that is looked at, and which of its needs is next.
struct Visit {
    package: InstalledPackage,
    next: usize,
}

/// Walks depth first, what a package needs before it; a package that several need comes where it is first needed.
pub(super) fn resolve(
    require: &[String],
    find: &dyn Fn(&str) -> Result<InstalledPackage, Error>,
) -> Result<Vec<InstalledPackage>, Error> {
    let mut ordered = Vec::new();
    let mut done = HashSet::new();
    for root in require {
        // A stack of our own: the depth is the user's, and may be anything.
        let mut path: Vec<Visit> = Vec::new();
        enter(root, &mut path, &done, find)?;
        while let Some(visit) = path.last_mut() {
            if let Some(need) = visit.package.require.get(visit.next).cloned() {
                visit.next += 1;
                enter(&need, &mut path, &done, find)?;
            } else if let Some(visit) = path.pop() {
                done.insert(visit.package.name.clone());
                ordered.push(visit.package);
            }
        }
    }
    Ok(ordered)
}

fn enter(
    name: &str,
    path: &mut Vec<Visit>,
    done: &HashSet<String>,
    find: &dyn Fn(&str) -> Result<InstalledPackage, Error>,
) -> Result<(), Error> {
    if done.contains(name) {
        return Ok(());
    }
    if let Some(start) = path.iter().position(|visit| visit.package.name == name) {
        let mut circle: Vec<String> = path[start..]
            .iter()
            .map(|visit| visit.package.name.clone())
            .collect();
        circle.push(name.to_owned());
        return Err(Error::Cycle { path: circle });
    }
    let package = find(name).map_err(|error| match error {
        Error::NoPackage { name, .. } => Error::NoPackage {
            name,
            required_by: path
                .iter()
                .map(|visit| visit.package.name.clone())
                .collect(),
        },
        error => error,
    })?;
    path.push(Visit { package, next: 0 });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines `name: need need …`.
    fn library(text: &str) -> Vec<InstalledPackage> {
        text.split(';')
            .map(|line| {
                let (name, needs) = line.split_once(':').unwrap();
                InstalledPackage {
                    name: name.trim().to_owned(),
                    version: None,
                    title: String::new(),
                    require: needs.split_whitespace().map(str::to_owned).collect(),
                    path: std::path::PathBuf::new(),
                }
            })
            .collect()
    }

    fn order(library: &[InstalledPackage], require: &str) -> String {
        let require: Vec<String> = require.split_whitespace().map(str::to_owned).collect();
        let find = |name: &str| {
            library
                .iter()
                .find(|package| package.name == name)
                .cloned()
                .ok_or(Error::NoPackage {
                    name: name.to_owned(),
                    required_by: Vec::new(),
                })
        };
        match resolve(&require, &find) {
            Ok(packages) => packages
                .iter()
                .map(|package| package.name.as_str())
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("{error}\nhint: {}", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn what_a_package_needs_comes_before_it_and_once() {
        let library = library("app: node tools; node: base; tools: base node; base: ; other: base");
        assert_eq!(
            order(&library, "app other base"),
            "base node tools app other"
        );
        assert_eq!(order(&library, ""), "");
    }

    #[test]
    fn a_circle_is_named_by_the_path_that_closes_it() {
        let library = library("app: a; a: b; b: c; c: a; self: self");
        insta::assert_snapshot!(order(&library, "app"), @"
        packages need each other in a circle: a -> b -> c -> a
        hint: Take one of them out of the `require` list of the one before it, such as a out of that of c.
        ");
        insta::assert_snapshot!(order(&library, "self"), @"
        packages need each other in a circle: self -> self
        hint: Take one of them out of the `require` list of the one before it, such as self out of that of self.
        ");
    }

    #[test]
    fn a_missing_package_is_named_with_who_needs_it() {
        let library = library("app: node; node: icu");
        insta::assert_snapshot!(order(&library, "app"), @"
        there is no package icu in the library, which app -> node needs
        hint: Pack or import icu, or take it out of the `require` list of node.
        ");
        insta::assert_snapshot!(order(&library, "nowhere"), @"
        there is no package nowhere in the library
        hint: Pack or import nowhere, or check how it is spelled.
        ");
    }

    #[test]
    fn depth_is_no_limit() {
        let mut text: Vec<String> = (0..5000).map(|at| format!("p{at}: p{}", at + 1)).collect();
        text.push("p5000:".to_owned());
        let library = library(&text.join(";"));
        assert!(order(&library, "p0").starts_with("p5000 p4999"));
    }
}
