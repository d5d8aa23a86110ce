//! The path of an entry: `solvers/p/tolerance`, `boundaryField/"inlet.*"/value`, `internalField[1][0]`.
//!
//! Names are separated by a slash, which no keyword holds unless it is quoted. Numbers in square brackets
//! count the items of a value, and of the list that an item is, from 0.

use std::fmt;
use std::str::FromStr;

use super::error::DictionaryError;

/// Where an entry, or a part of its value, is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath {
    /// The keywords, from the outside in; quoted where the file quotes them.
    pub names: Vec<String>,
    /// Which item of the value, and which item of that.
    pub indices: Vec<usize>,
}

impl EntryPath {
    /// Of these keywords.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            indices: Vec::new(),
        }
    }

    /// The same, one item of the value (or of the item) further in.
    #[must_use]
    pub fn item(mut self, index: usize) -> Self {
        self.indices.push(index);
        self
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("/"))?;
        self.indices
            .iter()
            .try_for_each(|index| write!(f, "[{index}]"))
    }
}

impl FromStr for EntryPath {
    type Err = DictionaryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || DictionaryError::Path { text: text.into() };
        let mut rest = text.trim();
        let mut indices = Vec::new();
        while let Some((before, index)) = rest
            .strip_suffix(']')
            .and_then(|rest| rest.rsplit_once('['))
        {
            indices.insert(0, index.parse().map_err(|_| wrong())?);
            rest = before;
        }
        let mut names = vec![String::new()];
        let mut quoted = false;
        for char in rest.chars() {
            match char {
                '/' if !quoted => names.push(String::new()),
                char => {
                    quoted ^= char == '"';
                    if let Some(name) = names.last_mut() {
                        name.push(char);
                    }
                }
            }
        }
        if quoted || names.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { names, indices })
    }
}
