//! A mapping whose keys are taken one after the other; what is left over becomes notes.

use super::{Mistake, Node, Place, Value, nearest};
use crate::Finding;

type Result<T> = std::result::Result<T, Box<Mistake>>;

/// The source that a node came from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file, for messages only.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl Source<'_> {
    /// A mistake at this place of it.
    pub fn mistake(&self, place: Place, message: impl Into<String>) -> Box<Mistake> {
        Box::new(Mistake::new(self.file, self.text, place, message))
    }
}

/// The entries of a mapping that were not taken yet.
#[derive(Debug)]
pub struct Fields<'a> {
    source: Source<'a>,
    /// What the mapping is, for messages: "a manifest".
    what: &'static str,
    place: Place,
    entries: Vec<(String, Place, Node)>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The entries of `node`, which has to be a mapping; nothing at all is an empty one.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn new(node: Node, what: &'static str, text: &'a str, file: &'a str) -> Result<Self> {
        let source = Source { file, text };
        let entries = match node.value {
            Value::Null => Vec::new(),
            Value::Map(entries) => entries
                .into_iter()
                .map(|(key, value)| match key.value {
                    Value::Text(name) => Ok((name, key.place, value)),
                    other => Err(source.mistake(
                        key.place,
                        format!("{} cannot be a key of {what}", other.kind()),
                    )),
                })
                .collect::<Result<Vec<_>>>()?,
            other => {
                return Err(Box::new(
                    Mistake::new(
                        file,
                        text,
                        node.place,
                        format!("{what} has to be a mapping, and this is {}", other.kind()),
                    )
                    .help("Write lines of the form `key: value`."),
                ));
            }
        };
        Ok(Self {
            source,
            what,
            place: node.place,
            entries,
            known: Vec::new(),
        })
    }

    /// The source that the mapping came from.
    pub fn source(&self) -> Source<'a> {
        self.source
    }

    /// Where the mapping stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Takes the value of a key, if it is there and not null.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, ..)| name == key)?;
        let (_, _, node) = self.entries.remove(at);
        (node.value != Value::Null).then_some(node)
    }

    /// Every entry that is left, in order: for mappings whose keys the writer chooses.
    pub fn rest(self) -> Vec<(String, Place, Node)> {
        self.entries
    }

    /// The text of a key, if it is there.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>> {
        Ok(self.text_node(key)?.map(|(text, _)| text))
    }

    /// The same with its place.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn text_node(&mut self, key: &'static str) -> Result<Option<(String, Place)>> {
        let Some(node) = self.take(key) else {
            return Ok(None);
        };
        let place = node.place;
        text_of(node, key, self.source).map(|text| Some((text, place)))
    }

    /// A text that has to be there and not be empty.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn required_text(&mut self, key: &'static str) -> Result<String> {
        let found = self.text_node(key)?;
        match found {
            Some((text, _)) if !text.trim().is_empty() => Ok(text),
            Some((_, place)) => Err(self.source.mistake(place, format!("`{key}` is empty"))),
            None => Err(self.missing(key)),
        }
    }

    /// The mistake that a key is missing; a misspelt one is pointed at.
    pub fn missing(&self, key: &'static str) -> Box<Mistake> {
        let misspelt = self
            .entries
            .iter()
            .find(|(name, ..)| nearest(name, [key]).is_some());
        match misspelt {
            Some((name, place, _)) => Box::new(
                Mistake::new(
                    self.source.file,
                    self.source.text,
                    *place,
                    format!(
                        "`{key}` is missing, and `{name}` is not a key of {}",
                        self.what
                    ),
                )
                .suggest(Some(key)),
            ),
            None => Box::new(
                Mistake::new(
                    self.source.file,
                    self.source.text,
                    self.place,
                    format!("`{key}` is missing from {}", self.what),
                )
                .help(format!("Add a line `{key}: …` to {}.", self.source.file)),
            ),
        }
    }

    /// A list of texts; a single one stands for a list of one.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn texts(&mut self, key: &'static str) -> Result<Vec<String>> {
        Ok(self
            .text_nodes(key)?
            .into_iter()
            .map(|(text, _)| text)
            .collect())
    }

    /// The same, each with its place.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn text_nodes(&mut self, key: &'static str) -> Result<Vec<(String, Place)>> {
        let Some(node) = self.take(key) else {
            return Ok(Vec::new());
        };
        let items = match node.value {
            Value::List(items) => items,
            Value::Text(_) => vec![node],
            other => {
                return Err(self.source.mistake(
                    node.place,
                    format!("`{key}` has to be a list, and this is {}", other.kind()),
                ));
            }
        };
        items
            .into_iter()
            .map(|item| {
                let place = item.place;
                text_of(item, key, self.source).map(|text| (text, place))
            })
            .collect()
    }

    /// A mapping of names to texts, in order. Null is an empty text.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn text_map(&mut self, key: &'static str) -> Result<Vec<(String, String)>> {
        let entries = self.text_map_nodes(key)?;
        Ok(entries
            .into_iter()
            .map(|(name, value, _)| (name, value))
            .collect())
    }

    /// The same, each with the place of its value.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn text_map_nodes(&mut self, key: &'static str) -> Result<Vec<(String, String, Place)>> {
        let Some(node) = self.take(key) else {
            return Ok(Vec::new());
        };
        let Value::Map(entries) = node.value else {
            return Err(self.source.mistake(
                node.place,
                format!(
                    "`{key}` has to be a mapping, and this is {}",
                    node.value.kind()
                ),
            ));
        };
        entries
            .into_iter()
            .map(|(name, value)| {
                let name = text_of(name, key, self.source)?;
                let place = value.place;
                let value = match value.value {
                    Value::Null => String::new(),
                    _ => text_of(value, &name, self.source)?,
                };
                Ok((name, value, place))
            })
            .collect()
    }

    /// `true` or `false`, in YAML's ways of writing it.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn boolean(&mut self, key: &'static str) -> Result<Option<bool>> {
        let Some((text, place)) = self.text_node(key)? else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(Some(true)),
            "false" | "no" | "off" | "n" => Ok(Some(false)),
            _ => Err(self.source.mistake(
                place,
                format!("`{key}` has to be true or false, not `{text}`"),
            )),
        }
    }

    /// A whole number between two bounds.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn number(&mut self, key: &'static str, least: u32, most: u32) -> Result<Option<u32>> {
        let Some((text, place)) = self.text_node(key)? else {
            return Ok(None);
        };
        match text.parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(self.source.mistake(
                place,
                format!("`{key}` has to be a whole number from {least} to {most}, not `{text}`"),
            )),
        }
    }

    /// Notes about the keys that nobody took. Keys that begin with `x-` are anybody's own.
    pub fn finish(self, notes: &mut Vec<Finding>) {
        let Self {
            source,
            what,
            entries,
            known,
            ..
        } = self;
        for (name, place, _) in entries
            .into_iter()
            .filter(|(name, ..)| !name.starts_with("x-"))
        {
            let note = Finding::note(format!(
                "line {}: `{name}` is not a key of {what}, and is passed over",
                place.line
            ))
            .at(source.file);
            notes.push(match nearest(&name, known.iter().copied()) {
                Some(meant) => note.remedy(format!("Did you mean `{meant}`?")),
                None => note,
            });
        }
    }
}

fn text_of(node: Node, key: &str, source: Source<'_>) -> Result<String> {
    match node.value {
        Value::Text(text) => Ok(text),
        other => Err(source.mistake(
            node.place,
            format!("`{key}` has to be a text, and this is {}", other.kind()),
        )),
    }
}
