//! The tree of a YAML text, with the bytes of every value.
//!
//! Made of the scanner's events. What these do not say (where a dash or a colon is, where a value
//! that is not written would be) is found in the bytes between them, which are blanks, comments, and
//! properties such as `&anchor` and `!tag`. Whatever has those, or a key with `?`, is *intricate*:
//! nothing is changed in it.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// From its first byte to its last; of what is not written, the place after its colon or dash.
    pub bytes: Range<usize>,
    pub shape: Shape,
    pub is_intricate: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Nothing is written.
    Absent,
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// After `|` or `>`.
    Lines,
    List {
        is_flow: bool,
        items: Vec<Item>,
    },
    Map {
        is_flow: bool,
        entries: Vec<Entry>,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its dash; in flow style, its first byte.
    pub dash: usize,
    pub node: Node,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_bytes: Range<usize>,
    /// The byte after its colon, or after the key where there is none.
    pub after_colon: usize,
    pub node: Node,
}

impl Node {
    /// What the value at a number or key is, one step down.
    pub fn child(&self, step: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Map { entries, .. } => entries
                .iter()
                .find(|entry| entry.key == step)
                .map(|entry| &entry.node),
            Shape::List { items, .. } => items.get(number(step)?).map(|item| &item.node),
            _ => None,
        }
    }

    /// The value at a path.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| node.child(step))
    }
}

/// The number of an item.
pub(super) fn number(step: &str) -> Option<usize> {
    let is_number = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| step.parse().ok()).flatten()
}

/// The tree of a text that was parsed already, so that its depth is bounded. `None` where its bytes
/// are not understood.
pub(super) fn build(text: &str) -> Option<Node> {
    let mut builder = Builder {
        text,
        parser: Parser::new_from_str(text),
        cursor: 0,
    };
    loop {
        match builder.event()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => {
                return Some(Node {
                    bytes: text.len()..text.len(),
                    shape: Shape::Absent,
                    is_intricate: false,
                });
            }
            (event, span) => return builder.node(&event, &span),
        }
    }
}

struct Builder<'t> {
    text: &'t str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    /// What is before this byte is part of something already.
    cursor: usize,
}

impl<'t> Builder<'t> {
    /// The next event that is no comment.
    fn event(&mut self) -> Option<(Event<'t>, Span)> {
        loop {
            match self.parser.next_event()?.ok()? {
                (Event::Comment(..), _) => {}
                other => return Some(other),
            }
        }
    }

    fn node(&mut self, event: &Event<'_>, span: &Span) -> Option<Node> {
        let range = span.byte_range()?;
        Some(match event {
            Event::Scalar(_, style, anchor, tag) => {
                let is_intricate = *anchor != 0 || tag.is_some();
                let shape = match style {
                    ScalarStyle::Plain if range.is_empty() => Shape::Absent,
                    ScalarStyle::Plain => Shape::Plain,
                    ScalarStyle::SingleQuoted => Shape::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Shape::DoubleQuoted,
                    _ => Shape::Lines,
                };
                let bytes = match shape {
                    Shape::Absent => self.cursor..self.cursor,
                    Shape::Lines => self.lines(&range)?,
                    _ => range,
                };
                self.cursor = bytes.end.max(self.cursor);
                Node {
                    bytes,
                    shape,
                    is_intricate,
                }
            }
            Event::Alias(_) => {
                self.cursor = range.end;
                Node {
                    bytes: range,
                    shape: Shape::Plain,
                    is_intricate: true,
                }
            }
            Event::SequenceStart(style, anchor, tag) => {
                let is_intricate = *anchor != 0 || tag.is_some();
                self.list(*style == StructureStyle::Flow, &range, is_intricate)?
            }
            Event::MappingStart(style, anchor, tag) => {
                let is_intricate = *anchor != 0 || tag.is_some();
                self.map(*style == StructureStyle::Flow, &range, is_intricate)?
            }
            _ => return None,
        })
    }

    /// From the `|` or `>` to the last byte that is no blank.
    fn lines(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let before = self.text.get(self.cursor..range.start)?;
        let start = self.cursor + before.find(['|', '>'])?;
        let written = self.text.get(start..range.end)?.trim_end();
        Some(start..start + written.len())
    }

    fn list(&mut self, is_flow: bool, range: &Range<usize>, intricate: bool) -> Option<Node> {
        let mut is_intricate = intricate;
        let mut items: Vec<Item> = Vec::new();
        if is_flow {
            self.cursor = range.end;
        }
        loop {
            let (event, span) = self.event()?;
            if matches!(event, Event::SequenceEnd) {
                let end = self.end_of(is_flow, &span)?;
                let first = items.first().map(|item| item.dash);
                let start = if is_flow { range.start } else { first? };
                return Some(Node {
                    bytes: start..end,
                    shape: Shape::List { is_flow, items },
                    is_intricate,
                });
            }
            let mut dash = None;
            if !is_flow {
                let at = self.skip_to(b'-', &mut is_intricate)?;
                self.cursor = at + 1;
                dash = Some(at);
            }
            let node = self.node(&event, &span)?;
            let dash = dash.unwrap_or(node.bytes.start);
            items.push(Item { dash, node });
        }
    }

    fn map(&mut self, is_flow: bool, range: &Range<usize>, intricate: bool) -> Option<Node> {
        // In `[a: b]` is a mapping without brackets of its own.
        let mut is_intricate = intricate || is_flow && self.text.get(range.clone()) != Some("{");
        let mut entries: Vec<Entry> = Vec::new();
        if is_flow {
            self.cursor = range.end;
        }
        loop {
            let (event, span) = self.event()?;
            if matches!(event, Event::MappingEnd) {
                let end = self.end_of(is_flow, &span)?;
                let first = entries.first().map(|entry| entry.key_bytes.start);
                let start = if is_flow { range.start } else { first? };
                return Some(Node {
                    bytes: start..end,
                    shape: Shape::Map { is_flow, entries },
                    is_intricate,
                });
            }
            let Event::Scalar(key, ..) = &event else {
                return None;
            };
            let key = key.clone().into_owned();
            let before = self.cursor;
            let key_node = self.node(&event, &span)?;
            let gap = self.text.get(before..key_node.bytes.start)?;
            is_intricate |= key_node.is_intricate
                || matches!(key_node.shape, Shape::Absent | Shape::Lines)
                || gap.lines().any(|line| {
                    line.split('#')
                        .next()
                        .is_some_and(|code| code.contains('?'))
                });
            let (event, span) = self.event()?;
            let is_written = span.byte_range().is_some_and(|bytes| !bytes.is_empty())
                || !matches!(event, Event::Scalar(..));
            if let Some(colon) = self.skip_to(b':', &mut is_intricate) {
                self.cursor = colon + 1;
            } else if is_written || !is_flow {
                return None;
            }
            let after_colon = self.cursor;
            let node = self.node(&event, &span)?;
            entries.push(Entry {
                key,
                key_bytes: key_node.bytes,
                after_colon,
                node,
            });
        }
    }

    /// Of what is in brackets, behind the bracket; of the rest, behind the last value.
    fn end_of(&mut self, is_flow: bool, span: &Span) -> Option<usize> {
        if is_flow {
            self.cursor = span.byte_range()?.end;
        }
        Some(self.cursor)
    }

    /// The place of a sign, behind blanks, comments and properties alone.
    fn skip_to(&self, sign: u8, is_intricate: &mut bool) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = self.cursor;
        loop {
            match *bytes.get(at)? {
                found if found == sign => return Some(at),
                b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                b'#' => at = line_end(self.text, at),
                b'&' | b'!' => {
                    *is_intricate = true;
                    while bytes
                        .get(at)
                        .is_some_and(|byte| !byte.is_ascii_whitespace())
                    {
                        at += 1;
                    }
                }
                _ => return None,
            }
        }
    }
}

/// The end of the line that a byte is in, before its line feed.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text.get(at..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |length| at + length)
}

/// The start of the line that a byte is in.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |feed| feed + 1)
}
