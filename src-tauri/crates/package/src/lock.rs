//! `meta/windlass.lock`: the very packages that builds of an appliance use, until somebody wants others.
//!
//! ```yaml
//! # Written by Windlass: the very packages that builds use. Keep it with the appliance.
//! version: 1
//! packages:
//! - name: node-20
//!   version: 20.11.1
//!   digest: 0f2b…                  # BLAKE3 of the unpacked tree, 64 hexadecimal digits
//!   archive_sha256: 9c1e…          # of the archive that it came in
//!   origin: https://…/node-20.mpm
//! ```
//!
//! By name, each once, and always written the same way: what did not change makes no difference
//! between two versions of the file.

use std::path::Path;

use serde::Serialize;

use crate::yaml::{self, Fields, Mistake, Parsed, Value};
use crate::{Candidate, Error};

/// Where the lock is, within an appliance.
pub const FILE: &str = "meta/windlass.lock";

const HEADER: &str =
    "# Written by Windlass: the very packages that builds use. Keep it with the appliance.\n";
const FORMAT: u32 = 1;
const DIGEST_CHARACTERS: usize = 64;

/// The very packages that an appliance is built from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    packages: Vec<Locked>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version, as written, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The BLAKE3 digest of its tree, in 64 lower-case hexadecimal digits.
    pub digest: String,
    /// The SHA-256 digest of the archive that it came in, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_sha256: Option<String>,
    /// Where it came from, in words or as a URL without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Locked {
    /// Whether this candidate is the very package.
    pub fn is(&self, candidate: &Candidate) -> bool {
        candidate.name == self.name && candidate.digest.as_deref() == Some(&self.digest)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    packages: &'a [Locked],
}

impl Lock {
    /// Reads the text of a lock. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// When it is not YAML, of a later format, or an entry has no name or no digest, or is there twice.
    pub fn parse(text: &str, file: &str) -> Result<Parsed<Self>, Error> {
        Ok(parse(text, file)?)
    }

    /// The text of the lock; the same for the same packages, whatever order they came in.
    ///
    /// # Errors
    ///
    /// Never for what was parsed; the serialiser's own failures are passed on.
    pub fn to_yaml(&self) -> Result<String, Error> {
        let document = Document {
            version: FORMAT,
            packages: &self.packages,
        };
        Ok(HEADER.to_owned() + &yaml::to_text(&document, Path::new(FILE))?)
    }

    /// Its packages, by name.
    pub fn packages(&self) -> &[Locked] {
        &self.packages
    }

    /// The package of this name.
    pub fn find(&self, name: &str) -> Option<&Locked> {
        let at = self.position(name).ok()?;
        self.packages.get(at)
    }

    /// The names of packages that a solution has otherwise than locked, or that only one of both has.
    pub fn stale(&self, order: &[Candidate]) -> Vec<String> {
        let is_taken = |locked: &Locked| order.iter().any(|candidate| locked.is(candidate));
        let gone = self.packages.iter().filter(|locked| !is_taken(locked));
        let new = order
            .iter()
            .filter(|candidate| self.find(&candidate.name).is_none());
        let mut names: Vec<String> = gone
            .map(|locked| locked.name.clone())
            .chain(new.map(|candidate| candidate.name.clone()))
            .collect();
        names.sort();
        names
    }

    /// Puts a package in, instead of the one that has its name.
    pub fn insert(&mut self, package: Locked) {
        match self.position(&package.name) {
            Ok(at) => self.packages[at] = package,
            Err(at) => self.packages.insert(at, package),
        }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.packages
            .binary_search_by(|package| package.name.as_str().cmp(name))
    }
}

impl FromIterator<Locked> for Lock {
    fn from_iter<I: IntoIterator<Item = Locked>>(packages: I) -> Self {
        let mut lock = Self::default();
        for package in packages {
            lock.insert(package);
        }
        lock
    }
}

fn parse(text: &str, file: &str) -> Result<Parsed<Lock>, Box<Mistake>> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "a lock", text, file)?;
    let source = fields.source();
    let mut notes = Vec::new();
    match fields.text_node("version")? {
        Some((version, _)) if version == FORMAT.to_string() => {}
        Some((version, place)) => {
            let mut mistake = source.mistake(
                place,
                format!("a lock of version `{version}` was written by another Windlass"),
            );
            mistake.help = Some("Use the Windlass that wrote it, or lock again.".into());
            return Err(mistake);
        }
        None => return Err(fields.missing("version")),
    }
    let mut lock = Lock::default();
    if let Some(node) = fields.take("packages") {
        let Value::List(items) = node.value else {
            return Err(source.mistake(node.place, "`packages` has to be a list"));
        };
        for item in items {
            let place = item.place;
            let mut entry = Fields::new(item, "a locked package", text, file)?;
            let package = locked(&mut entry)?;
            entry.finish(&mut notes);
            if lock.find(&package.name).is_some() {
                return Err(source.mistake(place, format!("`{}` is there twice", package.name)));
            }
            lock.insert(package);
        }
    }
    fields.finish(&mut notes);
    Ok(Parsed { value: lock, notes })
}

fn locked(entry: &mut Fields<'_>) -> Result<Locked, Box<Mistake>> {
    let name = entry.required_text("name")?;
    if !crate::is_valid_name(&name) {
        let source = entry.source();
        return Err(source.mistake(
            entry.place(),
            format!("`{name}` cannot be the name of a package"),
        ));
    }
    let Some(tree_digest) = digest(entry, "digest")? else {
        return Err(entry.missing("digest"));
    };
    Ok(Locked {
        name,
        version: entry.text("version")?,
        digest: tree_digest,
        archive_sha256: digest(entry, "archive_sha256")?,
        origin: entry.text("origin")?,
    })
}

fn digest(entry: &mut Fields<'_>, key: &'static str) -> Result<Option<String>, Box<Mistake>> {
    let source = entry.source();
    let Some((text, place)) = entry.text_node(key)? else {
        return Ok(None);
    };
    let is_digest = text.len() == DIGEST_CHARACTERS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if is_digest {
        Ok(Some(text))
    } else {
        Err(source.mistake(
            place,
            format!("`{key}` has to be {DIGEST_CHARACTERS} lower-case hexadecimal digits"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(text: &str) -> String {
        match Lock::parse(text, FILE) {
            Ok(parsed) => {
                let notes: Vec<String> = parsed
                    .notes
                    .iter()
                    .map(|note| format!("{note}\n"))
                    .collect();
                parsed.value.to_yaml().unwrap() + &notes.concat()
            }
            Err(error) => format!("{error}\nhint: {}\n", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn locks_and_their_mistakes() {
        let digest = "0123456789abcdef".repeat(4);
        let texts = [
            format!(
                "version: 1\npackages:\n- {{name: node, digest: {digest}}}\n- name: app\n  version: 1.10\n  digest: {digest}\n  archive_sha256: {digest}\n  origin: https://example.org/app.mpm\n"
            ),
            "version: 1\n".into(),
            "packages: []\n".into(),
            format!("version: 2\npackages:\n- {{name: a, digest: {digest}}}\n"),
            "version: 1\npackages:\n- {name: a}\n".into(),
            "version: 1\npackages:\n- {name: a, digest: 0123}\n".into(),
            format!("version: 1\npackages:\n- {{name: ../a, digest: {digest}}}\n"),
            format!(
                "version: 1\npackages:\n- {{name: a, digest: {digest}}}\n- {{name: a, digest: {digest}}}\n"
            ),
            format!("version: 1\npackages:\n- {{name: a, digest: {digest}, orign: x}}\n"),
        ];
        let told: Vec<String> = texts.iter().map(|text| told(text)).collect();
        insta::assert_snapshot!(told.join("---\n"));
    }

    #[test]
    fn what_differs_is_stale() {
        let locked = |name: &str, digest: &str| Locked {
            name: name.into(),
            version: None,
            digest: digest.into(),
            archive_sha256: None,
            origin: None,
        };
        let candidate = |name: &str, digest: &str| Candidate {
            name: name.into(),
            version: None,
            require: Vec::new(),
            origin: String::new(),
            digest: Some(digest.into()),
        };
        let lock: Lock = [
            locked("same", "1"),
            locked("other", "1"),
            locked("gone", "1"),
        ]
        .into_iter()
        .collect();
        let order = [
            candidate("same", "1"),
            candidate("other", "2"),
            candidate("new", "1"),
        ];
        assert_eq!(lock.stale(&order), ["gone", "new", "other"]);
    }

    prop_compose! {
        fn locked()(
            name in "[a-z][a-z0-9.-]{0,6}",
            version in prop::option::of("[ -~]{1,8}"),
            digest in "[0-9a-f]{64}",
            archive_sha256 in prop::option::of("[0-9a-f]{64}"),
            origin in prop::option::of("[ -~]{1,20}"),
        ) -> Locked {
            Locked { name, version, digest, archive_sha256, origin }
        }
    }

    proptest! {
        /// Whatever order they come in, the text is the same, and is read as the same.
        #[test]
        fn what_is_written_is_read_as_the_same(packages in prop::collection::vec(locked(), 0..6)) {
            let lock: Lock = packages.into_iter().collect();
            let text = lock.to_yaml().unwrap();
            let turned: Lock = lock.packages().iter().rev().cloned().collect();
            prop_assert_eq!(&turned.to_yaml().unwrap(), &text);
            let parsed = Lock::parse(&text, FILE).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(parsed.value, lock);
        }
    }
}
