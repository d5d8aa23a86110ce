//! What can be written, and how it is.

use std::fmt::Write as _;

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text; quoted where it would be taken for something else.
    Text(String),
    /// A number, or `true` and the like: written as it is.
    Plain(String),
    /// A list.
    List(Vec<Value>),
    /// A mapping, in this order.
    Map(Vec<(String, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Plain(value.to_string())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Plain(value.to_string())
    }
}

/// The quotes that a text had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    AsNeeded,
    Single,
    Double,
}

/// How blocks are written in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Whether the dashes of a list are below its key, and not two columns on.
    pub is_list_flush: bool,
    pub line_end: &'static str,
}

impl Value {
    /// Whether it takes one line even where there are blocks.
    pub(super) fn is_inline(&self) -> bool {
        match self {
            Self::Text(_) | Self::Plain(_) => true,
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }

    /// On one line, lists and mappings in brackets.
    pub(super) fn flow(&self) -> String {
        match self {
            Self::Text(text) => scalar(text, Quotes::AsNeeded),
            Self::Plain(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::flow).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{}: {}", self::key(key), value.flow()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    /// What follows the colon of a key in this column: a blank and the value, or lines below it.
    /// Without the last line end.
    pub(super) fn after_colon(&self, column: usize, style: Style) -> String {
        match self {
            Self::List(items) if !items.is_empty() => {
                let column = if style.is_list_flush {
                    column
                } else {
                    column + 2
                };
                let mut text = String::new();
                for item in items {
                    text.push_str(style.line_end);
                    text.push_str(&item.item(column, style));
                }
                text
            }
            Self::Map(entries) if !entries.is_empty() => {
                let mut text = String::new();
                for (key, value) in entries {
                    text.push_str(style.line_end);
                    text.push_str(&value.entry(key, column + 2, style));
                }
                text
            }
            inline => format!(" {}", inline.flow()),
        }
    }

    /// It as the value of a key in this column, without the last line end.
    pub(super) fn entry(&self, key: &str, column: usize, style: Style) -> String {
        format!(
            "{}{}:{}",
            " ".repeat(column),
            self::key(key),
            self.after_colon(column, style)
        )
    }

    /// It as an item whose dash is in this column, without the last line end.
    pub(super) fn item(&self, column: usize, style: Style) -> String {
        let margin = " ".repeat(column);
        let inner = match self {
            Self::List(items) if !items.is_empty() => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| item.item(column + 2, style))
                    .collect();
                items.join(style.line_end)
            }
            Self::Map(entries) if !entries.is_empty() => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| value.entry(key, column + 2, style))
                    .collect();
                entries.join(style.line_end)
            }
            inline => inline.flow(),
        };
        format!("{margin}- {}", inner.trim_start())
    }
}

/// A key.
pub(super) fn key(name: &str) -> String {
    scalar(name, Quotes::AsNeeded)
}

/// A text, without quotes only where nobody takes it for something else.
pub(super) fn scalar(text: &str, quotes: Quotes) -> String {
    if quotes == Quotes::AsNeeded && is_plain(text) {
        return text.to_owned();
    }
    if quotes == Quotes::Single && !text.chars().any(char::is_control) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    for sign in text.chars() {
        match sign {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            // Line ends to some readers of YAML, and what no reader takes as it is.
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(written, "\\u{:04X}", u32::from(sign));
            }
            sign if sign.is_control() => {
                let _ = write!(written, "\\u{:04X}", u32::from(sign));
            }
            sign => written.push(sign),
        }
    }
    written.push('"');
    written
}

/// Words that are something else to one reader of YAML or another.
const WORDS: [&str; 12] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity",
];

fn is_plain(text: &str) -> bool {
    let begins_as_text = text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || b"/_$".contains(&first));
    begins_as_text
        && !text.ends_with(' ')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-./+@%=()$;&^~ ".contains(&byte))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}
