//! Changes to lists.

use super::Value;
use super::draft::Draft;
use super::tree::{Item, Node, Shape, line_start};

impl Draft<'_> {
    pub fn insert_item(&self, path: &[&str], at: usize, value: &Value) -> Option<String> {
        let node = self.root.at(path)?;
        match &node.shape {
            Shape::List { items, .. } => self.insert_into(node, items, at, value),
            _ => None,
        }
    }

    pub fn insert_into(
        &self,
        list: &Node,
        items: &[Item],
        at: usize,
        value: &Value,
    ) -> Option<String> {
        if list.is_intricate {
            return None;
        }
        if matches!(list.shape, Shape::List { is_flow: true, .. }) {
            let written = value.flow();
            return Some(match (items.get(at), items.last()) {
                (Some(item), _) => {
                    let start = item.node.bytes.start;
                    self.replaced(start..start, &format!("{written}, "))
                }
                (None, Some(before)) => {
                    let end = before.node.bytes.end;
                    self.replaced(end..end, &format!(", {written}"))
                }
                (None, None) => {
                    let start = list.bytes.start + 1;
                    self.replaced(start..start, &written)
                }
            });
        }
        let column = self.column(items.first()?.dash);
        let place = if let Some(before) = at.checked_sub(1) {
            self.next_line(items.get(before)?.node.bytes.end)
        } else {
            let dash = items.first()?.dash;
            self.is_first(dash).then(|| line_start(self.text, dash))?
        };
        Some(self.with_lines(place, &value.item(column, self.style)))
    }

    /// Takes the items of a list apart, and puts those that stay together anew.
    pub fn set_texts(&self, path: &[&str], old: &[&str], new: &[&str]) -> Option<String> {
        let list = self.root.at(path)?;
        let Shape::List { is_flow, items } = &list.shape else {
            return None;
        };
        if list.is_intricate || items.iter().any(|item| item.node.is_intricate) {
            return None;
        }
        // Comments above an item go with it; those above the first one stay where it goes.
        let first = line_start(self.text, items.first()?.dash);
        let start = match self.entry(path) {
            Some(entry) if !is_flow => self.next_line(entry.after_colon).min(first),
            _ => first,
        };
        let mut parts: Vec<Option<(&str, &str)>> = Vec::with_capacity(items.len());
        let mut from = start;
        for (item, text) in items.iter().zip(old) {
            let part = if *is_flow {
                self.text.get(item.node.bytes.clone())
            } else if self.is_first(item.dash) {
                let to = self.next_line(item.node.bytes.end.max(item.dash));
                let part = self.text.get(from..to);
                from = to;
                part
            } else {
                None
            };
            parts.push(Some((*text, part?)));
        }
        let mut take = |text: &str| {
            let part = parts
                .iter_mut()
                .find(|part| part.is_some_and(|(other, _)| other == text))?;
            part.take().map(|(_, written)| written.to_owned())
        };
        if *is_flow {
            let written: Vec<String> = new
                .iter()
                .map(|text| take(text).unwrap_or_else(|| Value::from(*text).flow()))
                .collect();
            let first = items.first()?.node.bytes.start;
            return Some(self.replaced(first..items.last()?.node.bytes.end, &written.join(", ")));
        }
        let column = self.column(items.first()?.dash);
        let end = self.style.line_end;
        let mut written = String::new();
        if old.first().is_some_and(|text| !new.contains(text)) {
            written.push_str(self.text.get(start..first)?);
        }
        for text in new {
            let mut lines =
                take(text).unwrap_or_else(|| Value::from(*text).item(column, self.style));
            if !lines.ends_with('\n') {
                lines.push_str(end);
            }
            written.push_str(&lines);
        }
        let is_at_end = from == self.text.len();
        if is_at_end && !self.text.ends_with('\n') {
            written.truncate(written.trim_end_matches(['\r', '\n']).len());
        }
        Some(self.replaced(start..from, &written))
    }
}
