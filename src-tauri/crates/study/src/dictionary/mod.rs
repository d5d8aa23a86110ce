//! OpenFOAM's dictionaries: read, searched and changed without disturbing a byte that was not meant.
//!
//! A dictionary is kept as its text and a tree of where things stand in it. What is never changed is never
//! written, so that comments, columns, macros, code and mistakes of taste stay as their author had them.
//!
//! ```text
//!   FoamFile { version 2.0; format ascii; … }     an entry that is a dictionary
//!   #include "conditions"                         a directive
//!   U $velocity;  $defaults;                      a value that is a macro; entries of another dictionary
//!   nu  [0 2 -1 0 0 0 0] 0.01;                    dimensions and a number: only the number is the value
//!   internalField uniform (10 0 0);               likewise the vector
//!   "(p|U).*" { solver smoothSolver; }            a keyword that is a pattern
//!   4 ( inlet { type patch; } … )                 a list that is the whole file: its dictionaries have names
//! ```
//!
//! Nothing is expanded: what a macro, an `#include` or `#calc` would give is OpenFOAM's to say. Source of the format:
//! OpenFOAM's User Guide 2.2, and `ISstream.C`, `dictionaryIO.C`, `entryIO.C` and `primitiveEntryIO.C` of version 1912.

mod edit;
mod error;
mod file;
mod lexer;
mod parse;
mod path;
mod search;
#[cfg(test)]
mod tests;

pub use error::{DictionaryError, SyntaxError, SyntaxErrorKind};
pub(crate) use file::packed;
pub use file::{DictionaryFile, FILE_LIMIT_BYTES, read_text, write_text};
pub use lexer::{Lexer, Token, TokenKind};
pub use parse::{Body, Entry, Item};
pub use path::EntryPath;
pub use search::Leaf;
pub(crate) use search::fits;

use std::borrow::Cow;
use std::ops::Range;

use parse::Parser;

/// How deep brackets may be nested. The deepest of OpenFOAM's own tutorials are 8 deep.
pub const MAXIMUM_DEPTH: usize = 64;

/// The text of a dictionary, and where its entries stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionary {
    text: Vec<u8>,
    entries: Vec<Entry>,
}

impl Dictionary {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// Where a bracket, string, comment or `;` is missing; where it holds binary data.
    pub fn parse(text: impl Into<Vec<u8>>) -> Result<Self, SyntaxError> {
        let text = text.into();
        let entries = Parser::new(&text, 0..text.len()).entries(None, 0)?;
        Ok(Self { text, entries })
    }

    /// The text, byte for byte as it was read or changed.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The entries of the outermost level.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What stands there; bytes that are no UTF-8 are shown as such.
    pub fn at(&self, span: Range<usize>) -> Cow<'_, str> {
        String::from_utf8_lossy(self.text.get(span).unwrap_or_default())
    }

    /// The keyword of an entry, without quotes.
    pub fn keyword(&self, entry: &Entry) -> Cow<'_, str> {
        match self.at(entry.keyword.clone()) {
            Cow::Borrowed(text) => Cow::Borrowed(unquoted(text)),
            Cow::Owned(text) => Cow::Owned(unquoted(&text).to_owned()),
        }
    }

    /// The line of a byte, from 1.
    pub fn line(&self, offset: usize) -> usize {
        lexer::line_of(&self.text, offset)
    }

    /// The parts of a value. A large field has one for each of its numbers.
    ///
    /// # Errors
    ///
    /// Where a dictionary within the value is none.
    pub fn items(&self, value: Range<usize>) -> Result<Vec<Item>, SyntaxError> {
        Parser::new(&self.text, value).items(None, 0)
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}
