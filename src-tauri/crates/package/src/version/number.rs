//! One version.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version is not longer than this.
const LENGTH_MAX_BYTES: usize = 100;

/// A version: numbers with dots between, perhaps `-` and what comes before the release, perhaps `+`
/// and which build it is. A `v` before it is passed over.
///
/// Totally ordered: `1.2-rc.1 < 1.2 = 1.2.0 < 1.2.0+build1 < 1.10`. It is written as it was read.
///
/// ```
/// # use windlass_package::Version;
/// let version = |text| Version::parse(text).unwrap();
/// assert!(version("1.9") < version("1.10"));
/// assert!(version("2.0-rc1") < version("2"));
/// assert_eq!(version("1.2"), version("v1.2.0"));
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    text: String,
    key: Key,
}

/// What versions are compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    /// Without the zeros at the end: `1.2` is `1.2.0`.
    numbers: Vec<u64>,
    stage: Stage,
    build: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    /// Below all that comes before the release: no version, but the end of a range.
    Floor,
    Before(Vec<Part>),
    Release,
}

/// Numbers order as such, and below words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Number(u64),
    Word(String),
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a version")]
pub struct VersionError {
    /// The text, cut where it is absurdly long.
    pub text: String,
}

impl VersionError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some("Write numbers with dots between, such as `1.2.0` or `2.0-rc1`.".into())
    }
}

impl Version {
    /// Reads a version; every one that Capstan knows is one.
    ///
    /// # Errors
    ///
    /// When it does not begin with numbers, or has signs that a version does not have.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        key(text).map_or_else(
            || {
                Err(VersionError {
                    text: text.chars().take(LENGTH_MAX_BYTES).collect(),
                })
            },
            |key| {
                Ok(Self {
                    text: text.to_owned(),
                    key,
                })
            },
        )
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it comes before a release.
    pub fn is_before_release(&self) -> bool {
        matches!(self.key.stage, Stage::Before(_))
    }

    /// Below everything that begins with these numbers, and what comes before their release.
    pub(super) fn floor(numbers: &[u64]) -> Self {
        let text: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut numbers = numbers.to_vec();
        strip_zeros(&mut numbers);
        Self {
            text: text.join("."),
            key: Key {
                numbers,
                stage: Stage::Floor,
                build: Vec::new(),
            },
        }
    }

    /// Its numbers as they were written, zeros at the end among them.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let text = self.text.strip_prefix(['v', 'V']).unwrap_or(&self.text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        text.get(..end)
            .unwrap_or_default()
            .split('.')
            .filter_map(|number| number.parse().ok())
            .collect()
    }
}

fn key(text: &str) -> Option<Key> {
    if text.len() > LENGTH_MAX_BYTES {
        return None;
    }
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, parts(build)?),
        None => (text, Vec::new()),
    };
    let (text, stage) = match text.split_once('-') {
        Some((text, before)) => (text, Stage::Before(parts(before)?)),
        None => (text, Stage::Release),
    };
    let mut numbers = text.split('.').map(number).collect::<Option<Vec<_>>>()?;
    strip_zeros(&mut numbers);
    Some(Key {
        numbers,
        stage,
        build,
    })
}

fn strip_zeros(numbers: &mut Vec<u64>) {
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
}

/// Digits and nothing else: no sign, which the library's own parser would take.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn parts(text: &str) -> Option<Vec<Part>> {
    text.split(['.', '-', '_'])
        .map(|part| match number(part) {
            Some(number) => Some(Part::Number(number)),
            None if !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'~') =>
            {
                Some(Part::Word(part.to_owned()))
            }
            None => None,
        })
        .collect()
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        Self::parse(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
