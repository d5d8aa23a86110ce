//! Which packages, in which versions, in which order: pure, over whatever has candidates.
//!
//! ```text
//!   you ask for web, node >=18         Source: a library, a registry's catalogue, a table in a test
//!        └── web 2.1 needs node <21 ──┐
//!            node: 22.3  20.11  18.19 ┴─ solve (PubGrub) ──> web 2.1, node 20.11
//!                                            └── order ──────> node, web      dependencies first
//! ```
//!
//! Of the versions that fit, the newest release is taken, and one that comes before a release only
//! where no release fits; but what a [`Lock`] names is kept as long as it fits. Where it does not
//! come out, the [`Unsolvable`] says why in sentences, or is the path that closes a circle.
//!
//! The order is Capstan's: depth first, the requirements of a package before itself, in the order of
//! its list; later ones lie over earlier ones, and the appliance over all. Capstan lays a package that
//! several require once for each of them; here it is there once, where it is first needed.

mod explain;
mod order;
mod solver;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::lock::Lock;
use crate::{Requirement, Version};

/// Where candidates come from.
pub trait Source {
    /// All packages of this name, newest first; of equal versions the first one is preferred.
    /// None at all where the name is not known.
    fn candidates(&self, name: &str) -> Vec<Candidate>;
}

impl<F: Fn(&str) -> Vec<Candidate>> Source for F {
    fn candidates(&self, name: &str) -> Vec<Candidate> {
        self(name)
    }
}

/// A package that could be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its version, where what it says of it is one. A package without fits only who asks for any.
    pub version: Option<Version>,
    /// What it requires, in order.
    pub require: Vec<Requirement>,
    /// Where it is: the library, or a registry's name. For people, and for who takes it.
    pub origin: String,
    /// The BLAKE3 digest of its tree in hexadecimal, where it is known.
    pub digest: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// The packages: dependencies first, each once, later ones over earlier ones.
    pub order: Vec<Candidate>,
    /// Why each package is there: for everything that requires it (the first hundred), a path from
    /// what was asked for, the package itself at its end.
    pub why: BTreeMap<String, Vec<Vec<String>>>,
}

impl Solution {
    /// The package of this name.
    pub fn find(&self, name: &str) -> Option<&Candidate> {
        self.order.iter().find(|candidate| candidate.name == name)
    }
}

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{explanation}")]
pub struct Unsolvable {
    /// In sentences, one a line.
    pub explanation: String,
    /// The packages of a circle, the first one again at its end; empty when it is no circle.
    pub circle: Vec<String>,
    /// The names that nobody has.
    pub missing: Vec<String>,
}

impl Unsolvable {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(if let Some(name) = self.circle.first() {
            format!("One of them has to do without the next: begin with what requires {name}.")
        } else if self.missing.is_empty() {
            "Allow other versions where you can, or fetch others.".into()
        } else {
            format!("Fetch or make {}.", self.missing.join(", "))
        })
    }
}

/// Finds packages for what is asked for, and lays them in order.
///
/// `locked` is kept to as long as it fits: the digest where a candidate has it, else the version.
///
/// # Errors
///
/// When a package is missing, no choice of versions fits, or packages require each other in a circle.
pub fn solve(
    root: &[Requirement],
    source: &dyn Source,
    locked: Option<&Lock>,
) -> Result<Solution, Unsolvable> {
    let chosen = solver::solve(root, source, locked)?;
    order::lay(root, &chosen)
}
