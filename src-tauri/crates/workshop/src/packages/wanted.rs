//! Which versions of which packages a wish comes to, over the library and all registries.

use windlass_package::resolve::Source;
use windlass_package::{Candidate, Lock, Requirement, Solution, Unsolvable, Version, resolve};
use windlass_registry::Entry;

use super::offers::Offer;
use crate::error::{AppError, ErrorKind};
use crate::registries::Record;

/// What a candidate of the library says that it comes from; a registry's says its id.
const LIBRARY: &str = "library";

impl From<Unsolvable> for AppError {
    fn from(error: Unsolvable) -> Self {
        let kind = if error.missing.is_empty() {
            ErrorKind::Input
        } else {
            ErrorKind::NotFound
        };
        Self::from_error(kind, &error, error.hint())
    }
}

/// A package that is wished for.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    pub(super) name: String,
    /// Just this version.
    pub(super) version: Option<String>,
    /// From just this registry.
    pub(super) registry: Option<u32>,
}

/// A package that is to be fetched.
#[derive(Debug, Clone)]
pub(crate) struct ToFetch {
    pub(crate) record: Record,
    pub(crate) entry: Entry,
}

/// The library and the registries as candidates; of what is wished for, only what fits the wish.
struct Shelf<'a> {
    offer: &'a Offer,
    wishes: &'a [Wish],
}

impl Source for Shelf<'_> {
    fn candidates(&self, name: &str) -> Vec<Candidate> {
        let wish = self.wishes.iter().find(|wish| wish.name == name);
        let fits = |version: Option<&str>| {
            wish.and_then(|wish| wish.version.as_deref())
                .is_none_or(|wanted| version == Some(wanted))
        };
        let here = self
            .offer
            .installed()
            .iter()
            // What is wished for from a registry is fetched from it.
            .filter(|_| wish.is_none_or(|wish| wish.registry.is_none()))
            .filter(|package| package.name == name && fits(package.version.as_deref()))
            .map(|package| Candidate {
                name: name.to_owned(),
                version: parsed(package.version.as_deref()),
                require: package.require.clone(),
                origin: LIBRARY.to_owned(),
                digest: Some(package.digest.clone()),
            });
        let there = self
            .offer
            .packages_named(name)
            .filter(|(record, entry)| {
                let registry = wish.and_then(|wish| wish.registry);
                registry.is_none_or(|id| id == record.id) && fits(entry.version.as_deref())
            })
            .map(|(record, entry)| Candidate {
                name: name.to_owned(),
                version: entry.parsed_version(),
                require: entry.require.clone(),
                origin: record.id.to_string(),
                digest: None,
            });
        let mut all: Vec<Candidate> = here.chain(there).collect();
        // Stable: of equal versions the library's first, then the first registry's.
        all.sort_by(|one, other| other.version.cmp(&one.version));
        all
    }
}

fn parsed(version: Option<&str>) -> Option<Version> {
    Version::parse(version?).ok()
}

/// What is to be fetched for wishes and requirements, dependencies first. What the library has is kept to, but for
/// what is wished for.
pub(super) fn to_fetch(
    offer: &Offer,
    wishes: &[Wish],
    requirements: &[Requirement],
) -> Result<Vec<ToFetch>, AppError> {
    let shelf = Shelf { offer, wishes };
    let kept: Lock = offer
        .installed()
        .iter()
        .filter(|package| wishes.iter().all(|wish| wish.name != package.name))
        .rev()
        .map(|package| windlass_package::Locked {
            name: package.name.clone(),
            version: package.version.clone(),
            digest: package.digest.clone(),
            archive_sha256: None,
            origin: None,
        })
        .collect();
    let mut root: Vec<Requirement> = requirements.to_vec();
    root.extend(wishes.iter().map(|wish| Requirement::any(&wish.name)));
    let Solution { order, .. } = resolve::solve(&root, &shelf, Some(&kept))?;
    Ok(order
        .into_iter()
        .filter(|candidate| candidate.origin != LIBRARY)
        .filter_map(|candidate| {
            let (record, entry) =
                offer
                    .packages_named(&candidate.name)
                    .find(|(record, entry)| {
                        record.id.to_string() == candidate.origin
                            && entry.parsed_version() == candidate.version
                            && entry.require == candidate.require
                    })?;
            Some(ToFetch {
                record: record.clone(),
                entry: entry.clone(),
            })
        })
        .collect())
}
