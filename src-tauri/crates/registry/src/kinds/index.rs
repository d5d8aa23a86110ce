//! `packages.json`: all that a folder or web server has, in one file.
//!
//! ```json
//! {"format": 1, "packages": [
//!   {"file": "packages/hello.mpm", "name": "hello", "version": "1.2", "sizeBytes": 4242,
//!    "sha256": "9c1e…", "signed": true, "require": ["node >=18"], "title": "Hello", …}]}
//! ```
//!
//! We write it where we publish. Capstan passes over it, and we do without it where it is not.

use serde::{Deserialize, Serialize};
use windlass_package::Requirement;

use crate::{Entry, EntryKind, Locator, Sha256};

/// The file's name, at the root of the registry.
pub(crate) const FILE: &str = "packages.json";
const FORMAT: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    format: u32,
    pub(crate) packages: Vec<Indexed>,
}

/// One file that it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Indexed {
    /// Its path below the registry's root.
    pub(crate) file: String,
    pub(crate) name: String,
    #[serde(default = "package")]
    pub(crate) kind: EntryKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) architecture: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<Sha256>,
    /// Whether there is a `.minisig` beside it.
    #[serde(default)]
    pub(crate) signed: bool,
    /// As `node` or `node >=18, <21`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) require: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
}

fn package() -> EntryKind {
    EntryKind::Package
}

impl Default for Index {
    fn default() -> Self {
        Self {
            format: FORMAT,
            packages: Vec::new(),
        }
    }
}

impl Index {
    /// Reads the file's text; what is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let index: Self = serde_json::from_str(text)
            .map_err(|error| format!("it is no list of packages: {error}"))?;
        if index.format != FORMAT {
            return Err(format!(
                "its format is {}, and only {FORMAT} is known",
                index.format
            ));
        }
        if let Some(wrong) = index
            .packages
            .iter()
            .find(|package| !is_below(&package.file))
        {
            return Err(format!("`{}` leads out of the registry", wrong.file));
        }
        Ok(index)
    }

    /// The file's text, in order of the files.
    pub(crate) fn render(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Puts in what it says of a file, instead of what it said.
    pub(crate) fn insert(&mut self, package: Indexed) {
        self.packages.retain(|other| other.file != package.file);
        self.packages.push(package);
        self.packages
            .sort_by(|left, right| left.file.cmp(&right.file));
    }
}

impl Indexed {
    /// The entry; `locate` makes a locator of a path below the root.
    pub(crate) fn entry(self, locate: &dyn Fn(&str) -> Option<Locator>) -> Option<Entry> {
        let signature = format!("{}.minisig", self.file);
        Some(Entry {
            title: self.title,
            version: self.version,
            architecture: self.architecture,
            size_bytes: self.size_bytes,
            signature: if self.signed {
                locate(&signature)
            } else {
                None
            },
            digest: self.sha256,
            require: self
                .require
                .iter()
                .filter_map(|text| Requirement::parse(text).ok())
                .collect(),
            description: self.description,
            author: self.author,
            runtime: self.runtime,
            created: self.created,
            platform: self.platform,
            ..Entry::new(self.kind, self.name, locate(&self.file)?)
        })
    }
}

/// Whether a path stays below the root: no empty part, no `..`, nothing absolute.
pub(crate) fn is_below(path: &str) -> bool {
    !path.contains(['\\', '\0', ':', '?', '#'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_leads_out_is_refused() {
        for path in [
            "../a",
            "a/../b",
            "/a",
            "a//b",
            "",
            "C:\\a",
            "http://x/a",
            "a/.",
        ] {
            assert!(!is_below(path), "{path}");
        }
        assert!(is_below("packages/a..b.mpm"));
        let text = r#"{"format":1,"packages":[{"file":"../x.mpm","name":"x"}]}"#;
        assert_eq!(
            Index::parse(text).unwrap_err(),
            "`../x.mpm` leads out of the registry"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(files in proptest::collection::vec(("[a-z]{1,9}", ".*", any::<Option<u64>>()), 0..9)) {
            let mut index = Index::default();
            for (file, name, size_bytes) in files {
                let text = serde_json::json!({"file": file, "name": name, "sizeBytes": size_bytes});
                index.insert(serde_json::from_value(text).unwrap());
            }
            prop_assert_eq!(Index::parse(&index.render().unwrap()), Ok(index));
        }
    }
}
