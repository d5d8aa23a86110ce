//! Changing a dictionary: only the bytes of the value named are other ones afterwards.

use std::ops::Range;

use super::error::DictionaryError;
use super::path::EntryPath;
use super::{Body, Dictionary, Entry, Item, Lexer, TokenKind};

impl Dictionary {
    /// Writes another value at a path.
    ///
    /// `uniform` and dimensions stay, unless the new value brings its own.
    ///
    /// # Errors
    ///
    /// There is no such entry; the text is not one value.
    pub fn set(&mut self, path: &EntryPath, text: &str) -> Result<(), DictionaryError> {
        let text = text.trim();
        let refuse = |reason: String| DictionaryError::Value {
            text: text.into(),
            reason,
        };
        let value =
            Self::parse(format!("x {text};")).map_err(|error| refuse(error.kind.to_string()))?;
        let brings_its_own = match value.entries.as_slice() {
            [
                Entry {
                    body: Body::Value(span),
                    ..
                },
            ] if !text.is_empty() && value.at(span.clone()) == text => value.is_complete(span),
            _ => return Err(refuse("it is more than one value, or none".into())),
        };
        let span = if brings_its_own && path.indices.is_empty() {
            self.find_whole(path)?
        } else {
            self.find(path)?
        };
        let mut changed = Vec::with_capacity(self.text.len() + text.len());
        changed.extend_from_slice(&self.text[..span.start]);
        if span.is_empty() && !changed.last().is_some_and(u8::is_ascii_whitespace) {
            changed.push(b' ');
        }
        let start = changed.len();
        changed.extend_from_slice(text.as_bytes());
        let written = start..changed.len();
        changed.extend_from_slice(&self.text[span.end..]);
        // Read again, and held against what was there: nothing but this value may have changed.
        let changed = Self::parse(changed).map_err(|error| refuse(error.kind.to_string()))?;
        let found = changed.find(path).ok();
        let same = found
            .is_some_and(|found| found == written || brings_its_own && found.end == written.end);
        if !same || changed.shape() != self.shape() {
            return Err(refuse(
                "the entries around it would be read differently".into(),
            ));
        }
        *self = changed;
        Ok(())
    }

    /// Whether a value has `uniform` or dimensions of its own.
    fn is_complete(&self, span: &Range<usize>) -> bool {
        self.items(span.clone())
            .is_ok_and(|items| match items.as_slice() {
                [Item::Token(token), _, ..]
                    if matches!(&self.text[token.span.clone()], b"uniform" | b"nonuniform") =>
                {
                    true
                }
                items => items
                    .iter()
                    .take(2)
                    .any(|item| matches!(item, Item::List { open: b'[', .. })),
            })
    }

    /// Adds an entry at the end of a dictionary (of the file, where no name is given), indented as its neighbours.
    ///
    /// # Errors
    ///
    /// There is no such dictionary; the text is not one entry.
    pub fn insert(&mut self, within: &[&str], entry: &str) -> Result<(), DictionaryError> {
        let entry = entry.trim();
        let refuse = |reason: String| DictionaryError::Value {
            text: entry.into(),
            reason,
        };
        let parsed = Self::parse(entry).map_err(|error| refuse(error.kind.to_string()))?;
        if parsed.entries.len() != 1 {
            return Err(refuse("it is not one entry".into()));
        }
        let path = EntryPath::new(within.iter().copied());
        let entries = self.dictionary(within).ok_or_else(|| self.missing(&path))?;
        let (at, depth) = match entries.last() {
            Some(last) => (last.span.end, within.len()),
            None => match self.closing(within) {
                Some(at) => (at, within.len()),
                None => (self.text.len(), 0),
            },
        };
        let indent = "    ".repeat(depth);
        let mut text = String::from("\n");
        for line in entry.lines() {
            text.push_str(&indent);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if entries.last().is_some() {
            text.pop();
        }
        let mut changed = self.text.clone();
        changed.splice(at..at, text.into_bytes());
        *self = Self::parse(changed).map_err(|error| refuse(error.kind.to_string()))?;
        Ok(())
    }

    /// Where the `}` of an empty dictionary stands.
    fn closing(&self, names: &[&str]) -> Option<usize> {
        let (last, before) = names.split_last()?;
        let around = self.dictionary(before)?;
        let entry = around.iter().rev().find(|entry| {
            matches!(entry.body, Body::Dictionary(_)) && self.keyword(entry) == *last
        })?;
        entry.span.end.checked_sub(1)
    }

    /// The keywords and brackets, without the values: what an edit of a value leaves as it is.
    fn shape(&self) -> Vec<(usize, String)> {
        fn walk(
            dictionary: &Dictionary,
            entries: &[Entry],
            depth: usize,
            shape: &mut Vec<(usize, String)>,
        ) {
            for entry in entries {
                shape.push((depth, dictionary.at(entry.keyword.clone()).into_owned()));
                if let Body::Dictionary(inner) = &entry.body {
                    walk(dictionary, inner, depth + 1, shape);
                }
            }
        }
        let mut shape = Vec::new();
        walk(self, &self.entries, 0, &mut shape);
        shape
    }

    /// The macros that would follow a change of this value: `$internalField`, `${nu}`, with their lines.
    pub fn followers(&self, path: &EntryPath) -> Vec<usize> {
        let Some(name) = path.names.last() else {
            return Vec::new();
        };
        let mut lexer = Lexer::new(&self.text, 0..self.text.len());
        let mut lines = Vec::new();
        while let Ok(Some(token)) = lexer.token() {
            if token.kind == TokenKind::Variable {
                let text = self.at(token.span.clone());
                let called = text
                    .trim_start_matches(['$', '{', ':', '.'])
                    .trim_end_matches('}');
                if called == name || called.rsplit('.').next() == Some(name.as_str()) {
                    lines.push(self.line(token.span.start));
                }
            }
        }
        lines
    }
}
