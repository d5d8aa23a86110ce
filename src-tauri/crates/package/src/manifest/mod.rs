//! `meta/package.yaml`: who a package is and what it needs.
//!
//! ```yaml
//! name: app.hello-node          # required
//! title: Hello from Node        # required
//! author: Jane Doe              # required
//! version: "1.2.0"              # up to three numbers of up to three digits; else it is always "older"
//! require: [node-20, osv.httpserver]
//! binary: {hello: /hello}       # kept, used by nobody
//! created: 2017-09-14T21:08:24Z # or "2017-09-14 21:08"
//! platform: Ubuntu-14.04
//! license: MIT                  # ours, as all that follows: an SPDX expression
//! icon: /meta/icon.svg          # a path in the package
//! x-source: [libopenfoam 1912.200626-1+b1 sha256:f804a7…]  # what it was made of
//! x-versions:                   # which versions of what is required will do
//!   node-20: ">=20.11, <21"
//! x-environment:                # what can be set when it runs             [environment]
//! - {name: PORT, type: port, default: 8080, description: Where it listens}
//! ```
//!
//! `require` stays a list of names, so that Capstan, which knows no more, still finds them. Where a
//! person wrote `node >=18` into it, that is understood, and written the other way.
//!
//! A folder without this file is the package `App` of `Anonymous`, as it is for Capstan.

mod environment;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::version::{ConstraintError, RequirementError};
use crate::yaml::{self, Fields, Mistake, Parsed, Place, Source};
use crate::{Constraint, Error, Finding, Requirement};

pub use environment::{EnvironmentVariable, VariableKind};

/// Where the manifest is, within a package.
pub const FILE: &str = "meta/package.yaml";

/// Who a package is and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// What other packages require it by.
    pub name: String,
    /// What a person reads.
    pub title: String,
    /// Who made it.
    pub author: String,
    /// Its version, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Names of the packages that lie below this one, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<String>,
    /// Named binaries; Capstan has the key and never uses it.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub binary: Vec<(String, String)>,
    /// When it was made: RFC 3339, or Capstan's older `2006-01-02 15:04`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// On what it was made, such as `Ubuntu-14.04`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Under which terms it may be used: an SPDX expression, or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// A picture of it: a path in the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// Which versions of the packages in `require` will do; of those that are not here, all.
    #[serde(rename = "x-versions", skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, Constraint>,
    /// What can be set in its environment, for forms.
    #[serde(rename = "x-environment", skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<EnvironmentVariable>,
    /// What it was made of: package files with their digests.
    #[serde(rename = "x-source", skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<String>,
}

impl Default for Manifest {
    /// What a folder without a manifest is.
    fn default() -> Self {
        Self {
            name: "App".into(),
            title: "App".into(),
            author: "Anonymous".into(),
            version: None,
            require: Vec::new(),
            binary: Vec::new(),
            created: None,
            platform: None,
            license: None,
            icon: None,
            versions: BTreeMap::new(),
            environment: Vec::new(),
            source: Vec::new(),
        }
    }
}

impl Manifest {
    /// Reads the text of a `package.yaml`. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// When it is not YAML, or `name`, `title` or `author` is missing or empty.
    pub fn parse(text: &str, file: &str) -> Result<Parsed<Self>, Error> {
        Ok(parse(text, file)?)
    }

    /// What it requires, in order, each with the versions that will do.
    pub fn requirements(&self) -> Vec<Requirement> {
        self.require
            .iter()
            .map(|name| Requirement {
                name: name.clone(),
                versions: self.versions.get(name).cloned().unwrap_or_default(),
            })
            .collect()
    }

    /// Makes these what it requires.
    pub fn set_requirements(&mut self, requirements: Vec<Requirement>) {
        self.require.clear();
        self.versions.clear();
        for Requirement { name, versions } in requirements {
            if !versions.is_any() {
                self.versions.insert(name.clone(), versions);
            }
            self.require.push(name);
        }
    }

    /// The text of a `package.yaml` that this program and Capstan read.
    ///
    /// # Errors
    ///
    /// Never for a manifest that was parsed; the serialiser's own failures are passed on.
    pub fn to_yaml(&self) -> Result<String, Error> {
        yaml::to_text(self, Path::new(FILE))
    }
}

fn parse(text: &str, file: &str) -> Result<Parsed<Manifest>, Box<Mistake>> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "a manifest", text, file)?;
    let mut notes = Vec::new();
    let name = fields.required_text("name")?;
    let (require, versions) = requirements(&mut fields, &mut notes)?;
    let manifest = Manifest {
        name,
        title: fields.required_text("title")?,
        author: fields.required_text("author")?,
        version: fields.text("version")?,
        require,
        binary: fields.text_map("binary")?,
        created: fields.text("created")?,
        platform: fields.text("platform")?,
        license: fields.text("license")?,
        icon: icon(&mut fields)?,
        versions,
        environment: environment::parse(&mut fields, &mut notes)?,
        source: fields.texts("x-source")?,
    };
    if !crate::is_valid_name(&manifest.name) {
        notes.push(
            Finding::warning(format!(
                "`{}` is not a good name for a package",
                manifest.name
            ))
            .at(file)
            .remedy(format!("Call it `{}`.", crate::name_from(&manifest.name))),
        );
    }
    fields.finish(&mut notes);
    Ok(Parsed {
        value: manifest,
        notes,
    })
}

type Require = (Vec<String>, BTreeMap<String, Constraint>);

/// Names become paths in the library, so that a hostile one is an error and not a note.
fn requirements(
    fields: &mut Fields<'_>,
    notes: &mut Vec<Finding>,
) -> Result<Require, Box<Mistake>> {
    let source = fields.source();
    let mut names: Vec<String> = Vec::new();
    let mut versions = BTreeMap::new();
    for (entry, place) in fields.text_nodes("require")? {
        let (name, constraint) = match Requirement::parse(&entry) {
            Ok(requirement) => (requirement.name, requirement.versions),
            // Capstan takes any name; only those that could lead elsewhere are refused.
            Err(RequirementError::Name { .. }) if is_file_name(&entry) => {
                (entry.clone(), Constraint::any())
            }
            Err(RequirementError::Versions { .. })
                if is_file_name(&entry) && !entry.contains(['<', '>', '=', '^', '~', '*']) =>
            {
                (entry.clone(), Constraint::any())
            }
            Err(RequirementError::Versions { source: error, .. }) => {
                return Err(unreadable_versions(source, place, &error));
            }
            Err(RequirementError::Name { .. }) => {
                return Err(
                    source.mistake(place, format!("`{entry}` cannot be the name of a package"))
                );
            }
        };
        if !constraint.is_any() {
            notes.push(
                Finding::note(format!(
                    "line {}: Capstan takes all of `{entry}` for a name",
                    place.line
                ))
                .at(source.file)
                .remedy(format!(
                    "Write `{name}`, and its versions below `x-versions`."
                )),
            );
            versions.insert(name.clone(), constraint);
        }
        names.push(name);
    }
    for (name, text, place) in fields.text_map_nodes("x-versions")? {
        let constraint =
            Constraint::parse(&text).map_err(|error| unreadable_versions(source, place, &error))?;
        if names.contains(&name) {
            versions.insert(name, constraint);
        } else {
            let note = Finding::note(format!(
                "line {}: `{name}` has versions but is not in `require`",
                place.line
            ));
            notes.push(note.at(source.file));
        }
    }
    versions.retain(|_, constraint| !constraint.is_any());
    Ok((names, versions))
}

fn unreadable_versions(source: Source<'_>, place: Place, error: &ConstraintError) -> Box<Mistake> {
    let mut mistake = source.mistake(place, error.to_string());
    mistake.help = error.hint();
    mistake
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.')
}

/// A path in the package, so that nobody is led to read another file.
fn icon(fields: &mut Fields<'_>) -> Result<Option<String>, Box<Mistake>> {
    let source = fields.source();
    let Some((path, place)) = fields.text_node("icon")? else {
        return Ok(None);
    };
    if path.is_empty() || path.contains('\0') || path.split('/').any(|part| part == "..") {
        return Err(source.mistake(place, format!("`{path}` is no path in the package")));
    }
    Ok(Some(path))
}

/// Writes pairs as a mapping, in their order.
pub(crate) fn as_map<S: Serializer>(
    pairs: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (key, value) in pairs {
        map.serialize_entry(key, value)?;
    }
    map.end()
}
