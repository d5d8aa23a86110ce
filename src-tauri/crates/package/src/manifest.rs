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
//! ```
//!
//! A folder without this file is the package `App` of `Anonymous`, as it is for Capstan.

use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::yaml::{self, Fields, Mistake, Parsed};
use crate::{Error, Finding};

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
    let manifest = Manifest {
        name,
        title: fields.required_text("title")?,
        author: fields.required_text("author")?,
        version: fields.text("version")?,
        require: requirements(&mut fields)?,
        binary: fields.text_map("binary")?,
        created: fields.text("created")?,
        platform: fields.text("platform")?,
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

/// Names become paths in the library, so that a hostile one is an error and not a note.
fn requirements(fields: &mut Fields<'_>) -> Result<Vec<String>, Box<Mistake>> {
    let source = fields.source();
    let nodes = fields.text_nodes("require")?;
    nodes
        .into_iter()
        .map(|(name, place)| {
            if name.is_empty() || name.contains(['/', '\\', '\0']) || name.starts_with('.') {
                Err(source.mistake(place, format!("`{name}` cannot be the name of a package")))
            } else {
                Ok(name)
            }
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(text: &str) -> String {
        match Manifest::parse(text, FILE) {
            Ok(parsed) => {
                let notes: Vec<String> = parsed
                    .notes
                    .iter()
                    .map(|note| format!("{note}\n"))
                    .collect();
                let notes = notes.concat();
                format!("{}{notes}", parsed.value.to_yaml().unwrap())
            }
            Err(error) => format!("{error}\nhint: {}\n", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn manifests_and_their_mistakes() {
        let texts = [
            "name: app.node\ntitle: Node\nauthor: Jane\n",
            "name: a\ntitle: \"yes\"\nauthor: 1\nversion: 1.10\nrequire:\n- osv.cli\n- node-20\nbinary:\n  x: /x\ncreated: 2017-09-14T21:08:24Z\nplatform: Ubuntu-14.04\n",
            "name: a\ntitle: b\nauthor: c\nrequire: node-20\ncreated: 2017-09-14 21:08\n",
            "nmae: a\ntitle: b\nauthor: c\n",
            "name: a\ntitle:\nauthor: c\n",
            "name: \"\"\ntitle: b\nauthor: c\n",
            "name: a\nauthor: c\n",
            "name: [a]\ntitle: b\nauthor: c\n",
            "name: a\ntitle: b\nauthor: c\nrequire: {node: 20}\n",
            "name: a\ntitle: b\nauthor: c\nrequire: [../../etc]\n",
            "name: My App!\ntitle: b\nauthor: c\nrequires: [x]\nlicense: MIT\nx-icon: y\n",
        ];
        let told = texts.map(told).join("---\n");
        insta::assert_snapshot!(told);
    }

    #[test]
    fn names_are_made_valid() {
        for (text, name) in [
            ("node-20", "node-20"),
            ("My Service (old)", "my-service-old"),
            ("Größe", "gr-e"),
            ("日本", "package"),
            ("..", "package"),
            (".hidden", "hidden"),
            ("a--b__c", "a-b__c"),
        ] {
            assert_eq!(crate::name_from(text), name);
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_valid_name(text in "\\PC{0,150}") {
            let name = crate::name_from(&text);
            prop_assert!(crate::is_valid_name(&name), "{}", name);
        }

        #[test]
        fn what_is_written_is_read_as_the_same(
            name in "[a-z][a-z0-9.-]{0,10}",
            title in "[!-~][ -~äß\n]{0,30}",
            version in prop::option::of("[0-9]{1,3}(\\.[0-9]{1,3}){0,2}"),
            require in prop::collection::vec("[a-z][a-z0-9.-]{0,10}", 0..4),
            binary in prop::collection::vec(("[a-z]{1,4}[0-9]", "[ -~]{1,8}"), 0..2),
        ) {
            let mut binary = binary;
            binary.dedup_by(|one, other| one.0 == other.0);
            let manifest = Manifest { name, author: title.clone(), title, version, require, binary, ..Manifest::default() };
            let text = manifest.to_yaml().unwrap();
            let parsed = Manifest::parse(&text, FILE).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(parsed.value, manifest);
        }
    }
}
