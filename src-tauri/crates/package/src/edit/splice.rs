//! The changes: each finds the bytes that it is about, replaces them, and looks whether the text then
//! means what it should.

use std::ops::Range;

use super::draft::Draft;
use super::meaning::Meaning;
use super::tree::{self, Entry, Node, Shape, line_end, line_start};
use super::value::{self, Quotes};
use super::{EditError, Value};

type Result<T> = std::result::Result<T, EditError>;

pub(super) fn set(text: &str, path: &[&str], value: &Value) -> Result<String> {
    let draft = Draft::of(text, path)?;
    let mut meant = draft.meaning.clone();
    meant
        .set(path, value.into())
        .map_err(|found| draft.unfit(found))?;
    if !matches!(value, Value::Text(_) | Value::Plain(_)) && meant == draft.meaning {
        return Ok(text.to_owned());
    }
    draft.check(draft.set(path, value), &meant)
}

pub(super) fn remove(text: &str, path: &[&str]) -> Result<String> {
    let draft = Draft::of(text, path)?;
    let mut meant = draft.meaning.clone();
    if path.is_empty() || !meant.remove(path) {
        return Err(draft.not_there());
    }
    draft.check(draft.remove(path), &meant)
}

pub(super) fn rename(text: &str, path: &[&str], name: &str) -> Result<String> {
    let draft = Draft::of(text, path)?;
    let Some((old, parent)) = path.split_last() else {
        return Err(draft.not_there());
    };
    let Some(Meaning::Map(entries)) = draft.meaning.at(parent) else {
        return Err(draft.not_there());
    };
    let Some(at) = entries.iter().position(|(key, _)| key == old) else {
        return Err(draft.not_there());
    };
    if old != &name && entries.iter().any(|(key, _)| key == name) {
        return Err(EditError::NameTaken {
            name: name.to_owned(),
        });
    }
    let mut entries = entries.clone();
    name.clone_into(&mut entries[at].0);
    let mut meant = draft.meaning.clone();
    meant
        .set(parent, Meaning::Map(entries))
        .map_err(|found| draft.unfit(found))?;
    let renamed = draft.entry(path).map(|entry| {
        let quotes = quotes_at(text, &entry.key_bytes);
        draft.replaced(entry.key_bytes.clone(), &value::scalar(name, quotes))
    });
    draft.check(renamed, &meant)
}

pub(super) fn insert_item(text: &str, path: &[&str], at: usize, value: &Value) -> Result<String> {
    let draft = Draft::of(text, path)?;
    let mut items = match draft.meaning.at(path) {
        None | Some(Meaning::Nothing) => Vec::new(),
        Some(Meaning::List(items)) => items.clone(),
        Some(other) => return Err(draft.unfit(other.kind())),
    };
    if at > items.len() {
        return Err(draft.not_there());
    }
    if items.is_empty() {
        return set(text, path, &Value::List(vec![value.clone()]));
    }
    items.insert(at, value.into());
    let mut meant = draft.meaning.clone();
    meant
        .set(path, Meaning::List(items))
        .map_err(|found| draft.unfit(found))?;
    draft.check(draft.insert_item(path, at, value), &meant)
}

pub(super) fn set_texts(text: &str, path: &[&str], items: &[&str]) -> Result<String> {
    let draft = Draft::of(text, path)?;
    let list = Value::List(items.iter().map(|item| Value::from(*item)).collect());
    let old = match draft.meaning.at(path) {
        None | Some(Meaning::Nothing) if items.is_empty() => return Ok(text.to_owned()),
        // Where several are asked for, a single one stands for a list of one.
        None | Some(Meaning::Nothing | Meaning::Text(_)) => return set(text, path, &list),
        Some(Meaning::List(_)) if items.is_empty() => return remove(text, path),
        Some(Meaning::List(old)) => old,
        Some(other) => return Err(draft.unfit(other.kind())),
    };
    let old: Option<Vec<&str>> = old
        .iter()
        .map(|item| match item {
            Meaning::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let Some(old) = old else {
        return set(text, path, &list);
    };
    if old == items {
        return Ok(text.to_owned());
    }
    let mut meant = draft.meaning.clone();
    meant
        .set(path, Meaning::from(&list))
        .map_err(|found| draft.unfit(found))?;
    draft.check(draft.set_texts(path, &old, items), &meant)
}

impl Draft<'_> {
    fn set(&self, path: &[&str], value: &Value) -> Option<String> {
        if let Some(node) = self.root.at(path) {
            return self.set_there(path, node, value);
        }
        let (step, parent_path) = path.split_last()?;
        let Some(parent) = self.root.at(parent_path) else {
            // The mapping in between is missing as well.
            let inner = Value::Map(vec![((*step).to_owned(), value.clone())]);
            return self.set(parent_path, &inner);
        };
        if parent.is_intricate {
            return None;
        }
        match &parent.shape {
            Shape::Absent => {
                let inner = Value::Map(vec![((*step).to_owned(), value.clone())]);
                self.set_there(parent_path, parent, &inner)
            }
            Shape::Plain => {
                // `~`, or there would have been no meaning.
                let inner = Value::Map(vec![((*step).to_owned(), value.clone())]);
                self.set_there(parent_path, parent, &inner)
            }
            Shape::List { items, .. } => self.insert_into(parent, items, items.len(), value),
            Shape::Map {
                is_flow: true,
                entries,
            } => {
                let written = format!("{}: {}", value::key(step), value.flow());
                let (at, written) = match entries.last() {
                    Some(last) => (
                        last.node.bytes.end.max(last.key_bytes.end),
                        format!(", {written}"),
                    ),
                    None => (parent.bytes.start + 1, written),
                };
                Some(self.replaced(at..at, &written))
            }
            Shape::Map { entries, .. } => {
                let column = self.column(entries.first()?.key_bytes.start);
                let at = self.next_line(entries.last()?.node.bytes.end);
                Some(self.with_lines(at, &value.entry(step, column, self.style)))
            }
            _ => None,
        }
    }

    /// Sets a value that is there.
    fn set_there(&self, path: &[&str], node: &Node, value: &Value) -> Option<String> {
        if node.is_intricate {
            return None;
        }
        if path.is_empty() {
            return self.set_root(node, value);
        }
        let is_collection = matches!(
            node.shape,
            Shape::List { is_flow: false, .. } | Shape::Map { is_flow: false, .. }
        );
        let is_flow = self.is_in_flow(path)
            || matches!(
                node.shape,
                Shape::List { is_flow: true, .. } | Shape::Map { is_flow: true, .. }
            );
        if value.is_inline() || is_flow {
            let written = match (value, &node.shape) {
                (Value::Text(text), Shape::SingleQuoted) => value::scalar(text, Quotes::Single),
                (Value::Text(text), Shape::DoubleQuoted) => value::scalar(text, Quotes::Double),
                _ => value.flow(),
            };
            return Some(match (is_collection, self.entry(path)) {
                (true, Some(entry)) => {
                    let kept = self.comment_at(entry);
                    self.replaced(
                        entry.after_colon..node.bytes.end,
                        &format!(" {written}{kept}"),
                    )
                }
                _ if matches!(node.shape, Shape::Absent) => {
                    let colon = self.entry(path).filter(|entry| !self.has_colon(entry));
                    let before = if colon.is_some() { ": " } else { " " };
                    let at = node.bytes.start;
                    self.replaced(at..at, &format!("{before}{written}"))
                }
                _ => self.replaced(node.bytes.clone(), &written),
            });
        }
        let Some(entry) = self.entry(path) else {
            let (step, parent) = path.split_last()?;
            let Shape::List { items, .. } = &self.root.at(parent)?.shape else {
                return None;
            };
            let dash = items.get(tree::number(step)?)?.dash;
            let written = value.item(self.column(dash), self.style);
            return Some(self.replaced(dash..node.bytes.end, written.trim_start()));
        };
        let column = self.column(entry.key_bytes.start);
        let lines = value.after_colon(column, self.style);
        // A comment at the key stays there, above the lines that become its value.
        let (kept, end) = if is_collection || matches!(node.shape, Shape::Lines) {
            (self.comment_at(entry), node.bytes.end)
        } else {
            let end = line_end(self.text, node.bytes.end);
            let kept = self.text.get(node.bytes.end..end).unwrap_or_default();
            (kept.trim_end(), end)
        };
        Some(self.replaced(entry.after_colon..end, &format!("{kept}{lines}")))
    }

    /// The comment behind the key of lines, with the blanks before it.
    fn comment_at(&self, entry: &Entry) -> &str {
        let rest = entry.after_colon..line_end(self.text, entry.after_colon);
        let rest = self.text.get(rest).unwrap_or_default().trim_end();
        if rest.trim_start().starts_with('#') {
            rest
        } else {
            ""
        }
    }

    fn has_colon(&self, entry: &Entry) -> bool {
        self.text
            .get(..entry.after_colon)
            .is_some_and(|before| before.ends_with(':'))
    }

    fn set_root(&self, node: &Node, value: &Value) -> Option<String> {
        let Value::Map(entries) = value else {
            return None;
        };
        let lines: Vec<String> = entries
            .iter()
            .map(|(key, value)| value.entry(key, 0, self.style))
            .collect();
        let lines = lines.join(self.style.line_end);
        match node.shape {
            Shape::Absent => Some(self.with_lines(self.text.len(), &lines)),
            _ => Some(self.replaced(node.bytes.clone(), &lines)),
        }
    }

    fn remove(&self, path: &[&str]) -> Option<String> {
        let (step, parent_path) = path.split_last()?;
        let parent = self.root.at(parent_path)?;
        if parent.is_intricate {
            return None;
        }
        // Where each child begins and ends.
        let (is_flow, children): (bool, Vec<Range<usize>>) = match &parent.shape {
            Shape::Map { is_flow, entries } => (
                *is_flow,
                entries
                    .iter()
                    .map(|entry| {
                        let end = entry.node.bytes.end.max(entry.after_colon);
                        entry.key_bytes.start..end
                    })
                    .collect(),
            ),
            Shape::List { is_flow, items } => (
                *is_flow,
                items
                    .iter()
                    .map(|item| item.dash..item.node.bytes.end.max(item.dash + 1))
                    .collect(),
            ),
            _ => return None,
        };
        let at = match &parent.shape {
            Shape::Map { entries, .. } => entries.iter().position(|entry| entry.key == *step)?,
            _ => tree::number(step)?,
        };
        let child = children.get(at)?.clone();
        if let [_] = children.as_slice()
            && !parent_path.is_empty()
        {
            return self.remove(parent_path);
        }
        let next = children.get(at + 1);
        if is_flow {
            let before = at.checked_sub(1).and_then(|at| children.get(at));
            return Some(match (before, next) {
                (_, Some(next)) => self.replaced(child.start..next.start, ""),
                (Some(before), None) => self.replaced(before.end..child.end, ""),
                (None, None) => self.replaced(child, ""),
            });
        }
        if self.is_first(child.start) {
            let lines = line_start(self.text, child.start)..self.next_line(child.end);
            return Some(self.replaced(lines, ""));
        }
        // The first key behind a dash: the next one takes its place, or the comment above that.
        let next = next?.start;
        let below = self.next_line(child.end).min(next);
        let comment = self.text.get(below..next).and_then(|gap| gap.find('#'));
        let to = comment.map_or(next, |at| below + at);
        Some(self.replaced(child.start..to, ""))
    }
}

fn quotes_at(text: &str, bytes: &Range<usize>) -> Quotes {
    match text.as_bytes().get(bytes.start) {
        Some(b'\'') => Quotes::Single,
        Some(b'"') => Quotes::Double,
        _ => Quotes::AsNeeded,
    }
}
