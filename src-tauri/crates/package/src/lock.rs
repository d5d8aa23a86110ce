//! `meta/windlass.lock`: the very packages that an appliance was last built from.
//!
//! ```yaml
//! # Written by Windlass: the packages of the last build. Keep it with the appliance.
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
    "# Written by Windlass: the packages of the last build. Keep it with the appliance.\n";
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
    if fields.number("version", 1, FORMAT)?.is_none() {
        return Err(fields.missing("version"));
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
