//! Small YAML files, read into a tree in which every value knows its place.
//!
//! `serde-saphyr` does the YAML; what is ours is that a mistake of any kind (syntax, a wrong type,
//! a missing field, a misspelt key) is told the same way, with the line and a mark below it:
//!
//! ```text
//! meta/run.yaml:1:10: `nodejs` is not a runtime
//!   |
//! 1 | runtime: nodejs
//!   |          ^^^^^^ did you mean `node`?
//! ```
//!
//! Scalars keep the text that was written: a version `1.10` stays `1.10`, and is not the number 1.1.

mod fields;
mod mistake;
mod node;
#[cfg(test)]
mod tests;

pub use fields::{Fields, Source};
pub use mistake::Mistake;
pub(crate) use mistake::nearest;
pub use node::{Node, Place, Value};

/// A YAML file larger than this is not one of ours.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

/// What a file says, and what was noticed on the way: unknown keys, mostly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// What the file says.
    pub value: T,
    /// Keys that nobody reads, and the like.
    pub notes: Vec<crate::Finding>,
}

/// Reads one document. An empty one is [`Value::Null`].
///
/// `file` is only for messages.
///
/// # Errors
///
/// When it is not YAML, has a key twice, nests deeper than 32 levels, or is a bomb of aliases.
pub fn parse(text: &str, file: &str) -> Result<Node, Box<Mistake>> {
    node::parse(text, file)
}

/// Writes a value as YAML that this program and Capstan read.
pub(crate) fn to_text<T: serde::Serialize>(
    value: &T,
    file: &std::path::Path,
) -> Result<String, crate::Error> {
    let mut text = serde_saphyr::to_string(value).map_err(|error| crate::Error::Io {
        doing: "write",
        path: file.to_path_buf(),
        source: std::io::Error::other(error),
    })?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
