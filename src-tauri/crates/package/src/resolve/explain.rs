//! Why no choice of versions fits, in sentences.

use std::ops::Bound;

use pubgrub::{
    DefaultStringReporter, DerivationTree, Derived, External, Map, ReportFormatter, Reporter, Term,
};

use super::solver::{Node, Set, Slot};

type Tree = DerivationTree<Node, Set, String>;
type Terms = Map<Node, Term<Set>>;
type Fact = External<Node, Set, String>;

/// Explains a derivation, one sentence a line. `slots` are the versions that there are of a name.
pub(super) fn explain(tree: &Tree, slots: &dyn Fn(&str) -> Vec<Slot>) -> String {
    let words = Words { slots };
    let text = DefaultStringReporter::report_with_formatter(tree, &words);
    if matches!(tree, DerivationTree::External(_)) {
        return sentence(&text);
    }
    text
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
        let none = if *set == Set::full() {
            format!("no version of {name} is left")
        } else {
            format!("there is no {}", wanted(&name, set))
        };
        format!("{none} (only {}{more})", shown.join(", "))
    }

    fn because(&self, first: &str, second: &str, terms: &Terms) -> String {
        // What is asked for comes first, as a person would tell it.
        let (first, second) = if second.starts_with("you ") {
            (second, first)
        } else {
            (first, second)
        };
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
        format!(
            "And because {}, and {}, {}.",
            self.format_external(prior),
            self.format_external(external),
            self.terms(terms)
        )
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
        return format!("no version of {name}");
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
