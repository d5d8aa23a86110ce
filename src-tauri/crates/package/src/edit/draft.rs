//! A text that is to be changed, and what the changes ask of it.

use std::ops::Range;

use super::EditError;
use super::meaning::Meaning;
use super::tree::{self, Entry, Node, Shape, line_end, line_start};
use super::value::Style;
use crate::yaml;

/// For messages of mistakes; whoever calls knows which file it is.
const FILE: &str = "the text";

/// A text that is to be changed at a path.
pub(super) struct Draft<'a> {
    pub text: &'a str,
    pub path: &'a [&'a str],
    pub meaning: Meaning,
    pub root: Node,
    pub style: Style,
}

impl<'a> Draft<'a> {
    pub fn of(text: &'a str, path: &'a [&'a str]) -> Result<Self, EditError> {
        // First, for it bounds depth and number.
        let meaning = Meaning::from(yaml::parse(text, FILE)?.value);
        let intricate = || EditError::TooIntricate {
            path: path.join("."),
        };
        let root = tree::build(text).ok_or_else(intricate)?;
        let style = Style {
            is_list_flush: is_list_flush(&root, text).unwrap_or(true),
            line_end: if text.contains("\r\n") { "\r\n" } else { "\n" },
        };
        Ok(Self {
            text,
            path,
            meaning,
            root,
            style,
        })
    }

    pub fn not_there(&self) -> EditError {
        EditError::NotThere {
            path: self.path.join("."),
        }
    }

    /// That the last of what is there on the path cannot hold what is to be below it.
    pub fn unfit(&self, found: &'static str) -> EditError {
        let there = (0..=self.path.len())
            .rev()
            .filter_map(|length| self.path.get(..length))
            .find(|path| self.meaning.at(path).is_some());
        EditError::Unfit {
            path: there.unwrap_or_default().join("."),
            found,
        }
    }

    /// The text, if it means what it should.
    pub fn check(&self, changed: Option<String>, meant: &Meaning) -> Result<String, EditError> {
        changed
            .filter(|text| {
                yaml::parse(text, FILE).is_ok_and(|node| Meaning::from(node.value) == *meant)
            })
            .ok_or_else(|| EditError::TooIntricate {
                path: self.path.join("."),
            })
    }

    pub fn replaced(&self, bytes: Range<usize>, by: &str) -> String {
        let before = self.text.get(..bytes.start).unwrap_or_default();
        let after = self.text.get(bytes.end..).unwrap_or_default();
        [before, by, after].concat()
    }

    /// Puts whole lines in, before the line that begins at this byte.
    pub fn with_lines(&self, at: usize, lines: &str) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let is_open = !before.is_empty() && !before.ends_with('\n');
        let end = self.style.line_end;
        if is_open {
            self.replaced(at..at, &format!("{end}{lines}"))
        } else {
            self.replaced(at..at, &format!("{lines}{end}"))
        }
    }

    /// The place of the entry at a path, where all on the way to it can be changed.
    pub fn entry(&self, path: &[&str]) -> Option<&Entry> {
        let (key, parent) = path.split_last()?;
        let node = self.root.at(parent)?;
        match &node.shape {
            Shape::Map { entries, .. } if !node.is_intricate => {
                entries.iter().find(|entry| entry.key == *key)
            }
            _ => None,
        }
    }

    pub fn column(&self, at: usize) -> usize {
        let start = line_start(self.text, at);
        self.text
            .get(start..at)
            .map_or(0, |before| before.chars().count())
    }

    /// Whether nothing but blanks is before this byte in its line.
    pub fn is_first(&self, at: usize) -> bool {
        self.text
            .get(line_start(self.text, at)..at)
            .is_some_and(|before| before.trim().is_empty())
    }

    /// The start of the line after the one that this byte is in.
    pub fn next_line(&self, at: usize) -> usize {
        (line_end(self.text, at) + 1).min(self.text.len())
    }

    /// Whether a node is in brackets, or its last step is.
    pub fn is_in_flow(&self, path: &[&str]) -> bool {
        (0..path.len()).any(|length| {
            let node = path.get(..length).and_then(|path| self.root.at(path));
            matches!(
                node.map(|node| &node.shape),
                Some(Shape::List { is_flow: true, .. } | Shape::Map { is_flow: true, .. })
            )
        })
    }
}

/// Whether the first list below a key has its dashes below the key itself.
fn is_list_flush(node: &Node, text: &str) -> Option<bool> {
    let column = |at: usize| at - line_start(text, at);
    match &node.shape {
        Shape::Map { entries, .. } => entries.iter().find_map(|entry| {
            if let Shape::List {
                is_flow: false,
                items,
            } = &entry.node.shape
            {
                return Some(column(items.first()?.dash) == column(entry.key_bytes.start));
            }
            is_list_flush(&entry.node, text)
        }),
        Shape::List { items, .. } => items
            .iter()
            .find_map(|item| is_list_flush(&item.node, text)),
        _ => None,
    }
}
