//! Which versions a requirement allows.

use std::fmt;
use std::str::FromStr;

use pubgrub::Ranges;
use serde::{Deserialize, Serialize};

use super::{Version, VersionError};

/// A constraint is not longer than this.
const LENGTH_MAX_BYTES: usize = 500;

/// Which versions a requirement allows, as it was written.
///
/// ```
/// # use windlass_package::{Constraint, Version};
/// let constraint = Constraint::parse(">=18, <21").unwrap();
/// assert!(constraint.allows(&Version::parse("20.11.1").unwrap()));
/// assert!(!constraint.allows(&Version::parse("21.0-rc1").unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Constraint {
    text: String,
    ranges: Ranges<Version>,
}

/// A text that is no constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` says of no version whether it will do")]
pub struct ConstraintError {
    /// The part that is wrong.
    pub text: String,
    /// What is wrong with the version in it, where that is it.
    #[source]
    pub source: Option<VersionError>,
}

impl ConstraintError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some("Write something like `1.2`, `^1.2`, `>=18, <21`, `=1.2.3` or `*`.".into())
    }
}

impl Constraint {
    /// Reads a constraint; an empty one allows everything.
    ///
    /// # Errors
    ///
    /// When a part of it is none of those in the table of the [module](super).
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::any());
        }
        if text.len() > LENGTH_MAX_BYTES {
            return Err(wrong(text, None));
        }
        let mut ranges = Ranges::empty();
        for alternative in text.split("||") {
            let mut both = Ranges::full();
            for part in alternative.split(',') {
                let part = part.trim();
                if part.is_empty() {
                    return Err(wrong(text, None));
                }
                both = both.intersection(&part_of(part)?);
            }
            ranges = ranges.union(&both);
        }
        Ok(Self {
            text: text.to_owned(),
            ranges,
        })
    }

    /// The one that allows everything.
    pub fn any() -> Self {
        Self {
            text: "*".to_owned(),
            ranges: Ranges::full(),
        }
    }

    /// The one that allows this version alone.
    pub fn exactly(version: &Version) -> Self {
        Self {
            text: format!("={version}"),
            ranges: Ranges::singleton(version.clone()),
        }
    }

    /// Whether this version will do.
    pub fn allows(&self, version: &Version) -> bool {
        self.ranges.contains(version)
    }

    /// Whether a package will do whose version is this, or which has none.
    pub fn allows_any_of(&self, version: Option<&Version>) -> bool {
        version.map_or_else(|| self.is_any(), |version| self.allows(version))
    }

    /// Whether it allows everything.
    pub fn is_any(&self) -> bool {
        self.ranges == Ranges::full()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn ranges(&self) -> &Ranges<Version> {
        &self.ranges
    }
}

impl Default for Constraint {
    fn default() -> Self {
        Self::any()
    }
}

fn wrong(text: &str, source: Option<VersionError>) -> ConstraintError {
    ConstraintError {
        text: text.chars().take(100).collect(),
        source,
    }
}

/// One part: an operator and a version, or the beginning of versions.
fn part_of(part: &str) -> Result<Ranges<Version>, ConstraintError> {
    let version = |text: &str| Version::parse(text).map_err(|source| wrong(part, Some(source)));
    for (operator, range) in OPERATORS {
        if let Some(text) = part.strip_prefix(operator) {
            return Ok(range(&version(text)?));
        }
    }
    if part == "*" {
        return Ok(Ranges::full());
    }
    match part.strip_suffix(".*") {
        Some(start) => {
            let start = version(start)?;
            if start.as_str().contains(['-', '+']) {
                return Err(wrong(part, None));
            }
            Ok(begins_with(&start))
        }
        None => Ok(begins_with(&version(part)?)),
    }
}

type RangeOf = fn(&Version) -> Ranges<Version>;

/// Longer operators before those that they begin with.
const OPERATORS: [(&str, RangeOf); 9] = [
    (">=", |version| Ranges::higher_than(version.clone())),
    ("<=", |version| Ranges::lower_than(version.clone())),
    ("!=", |version| {
        Ranges::singleton(version.clone()).complement()
    }),
    ("==", |version| Ranges::singleton(version.clone())),
    (">", |version| Ranges::strictly_higher_than(version.clone())),
    ("<", |version| Ranges::strictly_lower_than(below(version))),
    ("=", |version| Ranges::singleton(version.clone())),
    ("^", compatible),
    ("~", about),
];

/// The end of `<2`: without what comes before the release, unless it is named.
fn below(version: &Version) -> Version {
    if version.as_str().contains(['-', '+']) {
        version.clone()
    } else {
        Version::floor(&version.numbers())
    }
}

fn begins_with(version: &Version) -> Ranges<Version> {
    if version.as_str().contains(['-', '+']) {
        return Ranges::singleton(version.clone());
    }
    up_to(version, version.numbers().len().saturating_sub(1))
}

fn compatible(version: &Version) -> Ranges<Version> {
    let numbers = version.numbers();
    let first = numbers.iter().position(|number| *number != 0);
    up_to(
        version,
        first.unwrap_or_else(|| numbers.len().saturating_sub(1)),
    )
}

fn about(version: &Version) -> Ranges<Version> {
    up_to(version, version.numbers().len().saturating_sub(1).min(1))
}

/// From a version up to where the number at this place is the next one.
fn up_to(version: &Version, place: usize) -> Ranges<Version> {
    let mut numbers = version.numbers();
    numbers.truncate(place + 1);
    match numbers.last_mut().map(|last| (last.checked_add(1), last)) {
        Some((Some(next), last)) => *last = next,
        _ => return Ranges::higher_than(version.clone()),
    }
    Ranges::between(version.clone(), Version::floor(&numbers))
}

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Constraint {
    type Error = ConstraintError;

    fn try_from(text: String) -> Result<Self, ConstraintError> {
        Self::parse(&text)
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> Self {
        constraint.text
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
