//! `index.yaml`: what Capstan's repositories say of an image.
//!
//! ```yaml
//! format_version: "1"
//! version: v0.57.0
//! created: "2023-05-02 10:11"
//! description: OSv loader
//! build: make
//! ```
//!
//! All of it optional: a description is never in the way of what it describes.

use std::path::Path;

use serde::Serialize;

use crate::Error;
use crate::yaml::{self, Fields, Mistake, Parsed};

/// The file's name, beside the image.
pub const FILE: &str = "index.yaml";

/// What a repository says of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageIndex {
    /// The format of the file; Capstan writes `1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_version: Option<String>,
    /// The version of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was made, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What it is, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The command that built it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
}

impl ImageIndex {
    /// Reads the text of an `index.yaml`. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// When it is not YAML, or one of its values is not a text.
    pub fn parse(text: &str, file: &str) -> Result<Parsed<Self>, Error> {
        Ok(parse(text, file)?)
    }

    /// The text of an `index.yaml` that Capstan reads.
    ///
    /// # Errors
    ///
    /// Never for what was parsed; the serialiser's own failures are passed on.
    pub fn to_yaml(&self) -> Result<String, Error> {
        yaml::to_text(self, Path::new(FILE))
    }
}

fn parse(text: &str, file: &str) -> Result<Parsed<ImageIndex>, Box<Mistake>> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "an index", text, file)?;
    let mut notes = Vec::new();
    let index = ImageIndex {
        format_version: fields.text("format_version")?,
        version: fields.text("version")?,
        created: fields.text("created")?,
        description: fields.text("description")?,
        build: fields.text("build")?,
    };
    fields.finish(&mut notes);
    Ok(Parsed {
        value: index,
        notes,
    })
}
