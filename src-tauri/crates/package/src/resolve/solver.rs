//! `PubGrub`, asked about packages.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use pubgrub::{
    Dependencies, DependencyProvider, PackageResolutionStatistics, PubGrubError, Ranges,
};

use super::{Candidate, Source, Unsolvable, explain};
use crate::lock::Lock;
use crate::{Constraint, Requirement, Version};

/// More packages than this are refused: explanations nest as deep as requirements.
const PACKAGES_MAX: usize = 2000;
/// More steps than this are refused: a hostile registry can make any solver think for ever.
const STEPS_MAX: usize = 100_000;

/// What versions are chosen for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// Whoever asks.
    You,
    Package(String),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::You => "you",
            Self::Package(name) => name,
        })
    }
}

/// A version, or none, which is below all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(pub Option<Version>);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(version) => version.fmt(f),
            None => f.write_str("without a version"),
        }
    }
}

pub(super) type Set = Ranges<Slot>;
type Chosen = BTreeMap<String, Candidate>;

/// What came to an end before the solver did.
#[derive(Debug, thiserror::Error)]
#[error("it comes to too many packages")]
pub(super) struct TooMuch;

pub(super) fn solve(
    root: &[Requirement],
    source: &dyn Source,
    locked: Option<&Lock>,
) -> Result<Chosen, Unsolvable> {
    let provider = Provider {
        root,
        source,
        locked,
        known: RefCell::default(),
        steps: Cell::new(0),
    };
    let failed = match pubgrub::resolve(&provider, Node::You, Slot(None)) {
        Ok(selected) => {
            return Ok(selected
                .into_iter()
                .filter_map(|(node, slot)| match node {
                    Node::You => None,
                    Node::Package(name) => Some((provider.candidate(&name, &slot)?, name)),
                })
                .map(|(candidate, name)| (name, candidate))
                .collect());
        }
        Err(failed) => failed,
    };
    let explanation = match failed {
        PubGrubError::NoSolution(tree) => explain::explain(tree, &|name| provider.slots(name)),
        _ => {
            format!("This takes more than {STEPS_MAX} steps, or more than {PACKAGES_MAX} packages.")
        }
    };
    Err(Unsolvable {
        explanation,
        circle: Vec::new(),
        missing: provider.missing(),
    })
}

pub(super) struct Provider<'a> {
    root: &'a [Requirement],
    source: &'a dyn Source,
    locked: Option<&'a Lock>,
    /// What the source said: one candidate for each version.
    known: RefCell<BTreeMap<String, Rc<BTreeMap<Slot, Candidate>>>>,
    steps: Cell<usize>,
}

impl Provider<'_> {
    fn candidates(&self, name: &str) -> Rc<BTreeMap<Slot, Candidate>> {
        if let Some(known) = self.known.borrow().get(name) {
            return Rc::clone(known);
        }
        let locked = self.locked.and_then(|lock| lock.find(name));
        let mut found: BTreeMap<Slot, Candidate> = BTreeMap::new();
        for candidate in self.source.candidates(name) {
            let is_locked = locked.is_some_and(|locked| locked.is(&candidate));
            let slot = Slot(candidate.version.clone());
            if is_locked || !found.contains_key(&slot) {
                found.insert(slot, candidate);
            }
        }
        let found = Rc::new(found);
        self.known
            .borrow_mut()
            .insert(name.to_owned(), Rc::clone(&found));
        found
    }

    fn candidate(&self, name: &str, slot: &Slot) -> Option<Candidate> {
        self.candidates(name).get(slot).cloned()
    }

    fn slots(&self, name: &str) -> Vec<Slot> {
        self.candidates(name).keys().cloned().collect()
    }

    fn missing(&self) -> Vec<String> {
        self.known
            .borrow()
            .iter()
            .filter(|(_, candidates)| candidates.is_empty())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// What the lock names, where it fits; else the newest release; else the newest of all.
    fn choose(&self, name: &str, range: &Set) -> Option<Slot> {
        let candidates = self.candidates(name);
        let fitting = || {
            candidates
                .iter()
                .rev()
                .filter(|(slot, _)| range.contains(slot))
        };
        let locked = self
            .locked
            .and_then(|lock| lock.find(name))
            .and_then(|locked| {
                let version = || locked.version.as_deref();
                fitting()
                    .find(|(_, candidate)| locked.is(candidate))
                    .or_else(|| {
                        fitting()
                            .find(|(slot, _)| slot.0.as_ref().map(Version::as_str) == version())
                    })
            });
        let is_release = |slot: &Slot| {
            slot.0
                .as_ref()
                .is_some_and(|version| !version.is_before_release())
        };
        locked
            .or_else(|| fitting().find(|(slot, _)| is_release(slot)))
            .or_else(|| fitting().next())
            .map(|(slot, _)| slot.clone())
    }
}

impl DependencyProvider for Provider<'_> {
    type P = Node;
    type V = Slot;
    type VS = Set;
    type Priority = (u32, Reverse<usize>);
    type M = String;
    type Err = TooMuch;

    fn prioritize(
        &self,
        node: &Node,
        range: &Set,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let Node::Package(name) = node else {
            return (u32::MAX, Reverse(0));
        };
        let candidates = self.candidates(name);
        match candidates
            .keys()
            .filter(|slot| range.contains(slot))
            .count()
        {
            0 => (u32::MAX, Reverse(0)),
            count => (statistics.conflict_count(), Reverse(count)),
        }
    }

    fn choose_version(&self, node: &Node, range: &Set) -> Result<Option<Slot>, TooMuch> {
        Ok(match node {
            Node::You => Some(Slot(None)),
            Node::Package(name) => self.choose(name, range),
        })
    }

    fn get_dependencies(
        &self,
        node: &Node,
        slot: &Slot,
    ) -> Result<Dependencies<Node, Set, String>, TooMuch> {
        let candidate = match node {
            Node::You => None,
            Node::Package(name) => self.candidate(name, slot),
        };
        // The solver takes it for granted that nothing depends on itself.
        if let Some(candidate) = &candidate
            && candidate
                .require
                .iter()
                .any(|requirement| requirement.name == candidate.name)
        {
            return Ok(Dependencies::Unavailable("it requires itself".into()));
        }
        let require = candidate
            .as_ref()
            .map_or(self.root, |candidate| &candidate.require);
        // A name that is there twice has to satisfy both.
        let mut sets: Vec<(Node, Set)> = Vec::with_capacity(require.len());
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for Requirement { name, versions } in require {
            let set = set_of(versions);
            if seen.insert(name) {
                sets.push((Node::Package(name.clone()), set));
            } else if let Some((_, both)) = sets
                .iter_mut()
                .find(|(other, _)| *other == Node::Package(name.clone()))
            {
                *both = both.intersection(&set);
            }
        }
        Ok(Dependencies::Available(sets.into_iter().collect()))
    }

    fn should_cancel(&self) -> Result<(), TooMuch> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > STEPS_MAX || self.known.borrow().len() > PACKAGES_MAX {
            Err(TooMuch)
        } else {
            Ok(())
        }
    }
}

/// A constraint, over what may have no version: only who takes any takes that.
fn set_of(constraint: &Constraint) -> Set {
    if constraint.is_any() {
        return Set::full();
    }
    let slot = |version: &Version| Slot(Some(version.clone()));
    constraint
        .ranges()
        .iter()
        .map(|(start, end)| {
            let start = match start {
                Bound::Included(version) => Bound::Included(slot(version)),
                Bound::Excluded(version) => Bound::Excluded(slot(version)),
                Bound::Unbounded => Bound::Excluded(Slot(None)),
            };
            let end = match end {
                Bound::Included(version) => Bound::Included(slot(version)),
                Bound::Excluded(version) => Bound::Excluded(slot(version)),
                Bound::Unbounded => Bound::Unbounded,
            };
            Set::from_range_bounds((start, end))
        })
        .fold(Set::empty(), |all, part| all.union(&part))
}
