//! Why no choice of versions fits, in sentences.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use pubgrub::{
    DefaultStringReporter, DerivationTree, Derived, External, Map, ReportFormatter, Reporter, Term,
};

use super::solver::{Node, Set, Slot};

type Tree = DerivationTree<Node, Set, String>;
type Terms = Map<Node, Term<Set>>;
type Fact = External<Node, Set, String>;

/// Nobody reads an explanation that nests deeper, and telling it recurses.
const DEPTH_MAX: usize = 200;

/// Explains a derivation, one sentence a line. `slots` are the versions that there are of a name.
pub(super) fn explain(tree: Tree, slots: &dyn Fn(&str) -> Vec<Slot>) -> String {
    let tree = Arc::new(tree);
    if is_deep(&tree) {
        // Dropping it would recurse as well: as deep as whoever wrote the packages wants.
        std::mem::forget(tree);
        return format!(
            "No choice of versions fits, and why takes more than {DEPTH_MAX} steps to tell."
        );
    }
    let mut facts = Facts {
        slots,
        needed: HashMap::new(),
        simple: HashMap::new(),
    };
    facts.gather(&tree);
    let tree = facts.simplify(&tree);
    let words = Words { slots };
    let text = DefaultStringReporter::report_with_formatter(&tree, &words);
    if matches!(*tree, DerivationTree::External(_)) {
        return sentence(&text);
    }
    text
}

fn is_deep(tree: &Arc<Tree>) -> bool {
    let mut level = vec![tree];
    for _ in 0..DEPTH_MAX {
        let mut seen = HashSet::new();
        level = level
            .into_iter()
            .filter_map(|tree| match &**tree {
                DerivationTree::Derived(derived) => Some([&derived.cause1, &derived.cause2]),
                DerivationTree::External(_) => None,
            })
            .flatten()
            .filter(|tree| seen.insert(Arc::as_ptr(tree)))
            .collect();
        if level.is_empty() {
            return false;
        }
    }
    true
}

/// What a person need not be told, found and left out.
///
/// To the solver there could be more versions than there are. Where it has ruled out those that there
/// are, one by one, it says "and there is no version beside these", which nobody doubts.
struct Facts<'a> {
    slots: &'a dyn Fn(&str) -> Vec<Slot>,
    /// What is needed of each package, anywhere in the tree.
    needed: HashMap<Node, Vec<Set>>,
    /// Parts of the tree that are simple already: it shares them, and is large as a tree of its own.
    simple: HashMap<*const Tree, Arc<Tree>>,
}

impl Facts<'_> {
    fn gather(&mut self, tree: &Arc<Tree>) {
        let mut seen = HashSet::new();
        let mut open = vec![tree];
        while let Some(tree) = open.pop() {
            if !seen.insert(Arc::as_ptr(tree)) {
                continue;
            }
            match &**tree {
                DerivationTree::External(External::FromDependencyOf(_, _, what, needed)) => {
                    let sets = self.needed.entry(what.clone()).or_default();
                    if !sets.contains(needed) {
                        sets.push(needed.clone());
                    }
                }
                DerivationTree::External(_) => {}
                DerivationTree::Derived(derived) => open.extend([&derived.cause1, &derived.cause2]),
            }
        }
    }

    /// Whether a fact says only that there is no version beside those that there are.
    fn is_trivial(&self, tree: &Tree) -> bool {
        let DerivationTree::External(External::NoVersions(node, set)) = tree else {
            return false;
        };
        // What is needed, without what was ruled out for other reasons.
        let needed = self
            .needed
            .get(node)
            .into_iter()
            .flatten()
            .filter(|needed| set.subset_of(needed))
            .fold(Set::full(), |all, needed| all.intersection(needed));
        (self.slots)(&node.to_string())
            .iter()
            .any(|slot| needed.contains(slot))
    }

    fn simplify(&mut self, tree: &Arc<Tree>) -> Arc<Tree> {
        let DerivationTree::Derived(derived) = &**tree else {
            return Arc::clone(tree);
        };
        if let Some(simple) = self.simple.get(&Arc::as_ptr(tree)) {
            return Arc::clone(simple);
        }
        let other = if self.is_trivial(&derived.cause1) {
            Some(&derived.cause2)
        } else if self.is_trivial(&derived.cause2) {
            Some(&derived.cause1)
        } else {
            None
        };
        let mut simple = match other {
            Some(other) => (*self.simplify(other)).clone(),
            None => DerivationTree::Derived(Derived {
                cause1: self.simplify(&derived.cause1),
                cause2: self.simplify(&derived.cause2),
                ..derived.clone()
            }),
        };
        // The conclusion is that of the whole.
        if let DerivationTree::Derived(simple) = &mut simple {
            simple.terms.clone_from(&derived.terms);
            simple.shared_id = derived.shared_id;
        }
        let simple = Arc::new(simple);
        self.simple.insert(Arc::as_ptr(tree), Arc::clone(&simple));
        simple
    }
}

struct Words<'a> {
    slots: &'a dyn Fn(&str) -> Vec<Slot>,
}

impl Words<'_> {
    /// A package with those of its versions that there are: `node 18.19 or 20.11`.
    fn package(&self, node: &Node, set: &Set) -> String {
        let Node::Package(name) = node else {
            return "what you ask for".into();
        };
        let slots = (self.slots)(name);
        let fitting: Vec<&Slot> = slots.iter().filter(|slot| set.contains(slot)).collect();
        match fitting.as_slice() {
            [] => wanted(name, set),
            all if all.len() == slots.len() && all.len() > 1 => format!("every {name}"),
            [Slot(None)] => name.clone(),
            [only] => format!("{name} {only}"),
            [one, other] => format!("{name} {one} or {other}"),
            _ => wanted(name, &set.simplify(slots.iter())),
        }
    }

    fn needs(&self, who: &Node, set: &Set, what: &Node, needed: &Set) -> String {
        let what = wanted(&what.to_string(), needed);
        match who {
            Node::You => format!("you ask for {what}"),
            Node::Package(_) => format!("{} needs {what}", self.package(who, set)),
        }
    }

    fn there_is_none(&self, node: &Node, set: &Set) -> String {
        let name = node.to_string();
        let slots = (self.slots)(&name);
        if slots.is_empty() {
            return format!("there is no package {name}");
        }
        let shown: Vec<String> = slots.iter().rev().take(5).map(Slot::to_string).collect();
        let more = if slots.len() > 5 { " …" } else { "" };
        let fact = if *set == Set::full() {
            format!("no version of {name} is left")
        } else {
            format!("there is no {}", wanted(&name, set))
        };
        format!("{fact} (only {}{more})", shown.join(", "))
    }

    fn because(&self, first: &str, second: &str, terms: &Terms) -> String {
        let (first, second) = in_order(first, second);
        format!("Because {first}, and {second}, {}.", self.terms(terms))
    }

    fn terms(&self, terms: &Terms) -> String {
        let mut terms: Vec<(&Node, &Term<Set>)> = terms.iter().collect();
        terms.sort_by_key(|(node, _)| node.to_string());
        match terms.as_slice() {
            [] | [(Node::You, _)] => "it cannot be done".into(),
            [(node, Term::Positive(set))] => format!("{} cannot be taken", self.package(node, set)),
            [(node, Term::Negative(set))] => {
                format!("{} is needed", wanted(&node.to_string(), set))
            }
            [(who, Term::Positive(set)), (what, Term::Negative(needed))]
            | [(what, Term::Negative(needed)), (who, Term::Positive(set))] => {
                self.needs(who, set, what, needed)
            }
            many => {
                let parts: Vec<String> = many
                    .iter()
                    .map(|(node, term)| match term {
                        Term::Positive(set) => self.package(node, set),
                        Term::Negative(set) => format!("no {}", wanted(&node.to_string(), set)),
                    })
                    .collect();
                format!("{} do not go together", parts.join(" and "))
            }
        }
    }
}

impl ReportFormatter<Node, Set, String> for Words<'_> {
    type Output = String;

    fn format_external(&self, external: &Fact) -> String {
        match external {
            External::NotRoot(..) => "this is what you ask for".into(),
            External::NoVersions(node, set) => self.there_is_none(node, set),
            External::FromDependencyOf(who, set, what, needed) => {
                self.needs(who, set, what, needed)
            }
            External::Custom(node, set, reason) => {
                format!("{} cannot be taken: {reason}", self.package(node, set))
            }
        }
    }

    fn format_terms(&self, terms: &Terms) -> String {
        self.terms(terms)
    }

    fn explain_both_external(&self, one: &Fact, other: &Fact, terms: &Terms) -> String {
        self.because(
            &self.format_external(one),
            &self.format_external(other),
            terms,
        )
    }

    fn explain_both_ref(
        &self,
        one: usize,
        first: &Derived<Node, Set, String>,
        other: usize,
        second: &Derived<Node, Set, String>,
        terms: &Terms,
    ) -> String {
        let first = format!("{} ({one})", self.terms(&first.terms));
        let second = format!("{} ({other})", self.terms(&second.terms));
        self.because(&first, &second, terms)
    }

    fn explain_ref_and_external(
        &self,
        reference: usize,
        derived: &Derived<Node, Set, String>,
        external: &Fact,
        terms: &Terms,
    ) -> String {
        let first = format!("{} ({reference})", self.terms(&derived.terms));
        self.because(&first, &self.format_external(external), terms)
    }

    fn and_explain_external(&self, external: &Fact, terms: &Terms) -> String {
        format!(
            "And because {}, {}.",
            self.format_external(external),
            self.terms(terms)
        )
    }

    fn and_explain_ref(
        &self,
        reference: usize,
        derived: &Derived<Node, Set, String>,
        terms: &Terms,
    ) -> String {
        format!(
            "And because {} ({reference}), {}.",
            self.terms(&derived.terms),
            self.terms(terms)
        )
    }

    fn and_explain_prior_and_external(
        &self,
        prior: &Fact,
        external: &Fact,
        terms: &Terms,
    ) -> String {
        let (prior, external) = (self.format_external(prior), self.format_external(external));
        let (first, second) = in_order(&prior, &external);
        format!("And because {first}, and {second}, {}.", self.terms(terms))
    }
}

/// As a person would tell it: what is asked for, what that needs, and that it is not there.
fn in_order<'t>(first: &'t str, second: &'t str) -> (&'t str, &'t str) {
    let rank = |fact: &str| match fact {
        fact if fact.starts_with("you ask") => 0,
        fact if fact.starts_with("there is no") => 2,
        _ => 1,
    };
    if rank(second) < rank(first) {
        (second, first)
    } else {
        (first, second)
    }
}

/// A package with the versions that are wanted, in the words of a constraint.
fn wanted(name: &str, set: &Set) -> String {
    if *set == Set::full() {
        return name.to_owned();
    }
    let parts: Vec<String> = set
        .iter()
        .map(|(start, end)| match (start, end) {
            (Bound::Included(start), Bound::Included(end)) if start == end => start.to_string(),
            (start, end) => {
                let start = match start {
                    Bound::Included(slot) => Some(format!(">={slot}")),
                    Bound::Excluded(Slot(None)) | Bound::Unbounded => None,
                    Bound::Excluded(slot) => Some(format!(">{slot}")),
                };
                let end = match end {
                    Bound::Included(slot) => Some(format!("<={slot}")),
                    Bound::Excluded(slot) => Some(format!("<{slot}")),
                    Bound::Unbounded => None,
                };
                let both: Vec<String> = start.into_iter().chain(end).collect();
                if both.is_empty() {
                    "with a version".into()
                } else {
                    both.join(", ")
                }
            }
        })
        .collect();
    if parts.is_empty() {
        return format!("versions of {name} that exclude each other");
    }
    format!("{name} {}", parts.join(" or "))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
