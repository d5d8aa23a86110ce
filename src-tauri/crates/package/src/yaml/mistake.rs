//! A mistake in a YAML file, and how it is shown.

use std::fmt;

use super::Place;

/// A line longer than this is cut in messages.
const LINE_SHOWN_CHARACTERS: usize = 120;

/// A mistake in a YAML file: what, where, and perhaps what was meant.
///
/// Its `Display` is the whole transcript: message, line, caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as it is known to the reader of the message.
    pub file: String,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What is wrong, without place and without full stop.
    pub message: String,
    /// The source line, as it stands in the file.
    pub source_line: String,
    /// How many characters are marked, at least one.
    pub marked: usize,
    /// What was probably meant, such as the right spelling of a key.
    pub suggestion: Option<String>,
    /// What to do, where it is not a matter of spelling.
    pub help: Option<String>,
}

impl Mistake {
    pub(crate) fn new(file: &str, text: &str, place: Place, message: impl Into<String>) -> Self {
        let line = place.line.max(1);
        let source_line = text.lines().nth(line - 1).unwrap_or_default().to_owned();
        Self {
            file: file.to_owned(),
            line,
            column: place.column.max(1),
            message: message.into(),
            source_line,
            marked: place.characters.max(1),
            suggestion: None,
            help: None,
        }
    }

    pub(crate) fn suggest(mut self, suggestion: Option<&str>) -> Self {
        self.suggestion = suggestion.map(str::to_owned);
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The line with the mark below it, as text of several lines.
    pub fn snippet(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let shown: String = self
            .source_line
            .chars()
            .take(LINE_SHOWN_CHARACTERS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let width = shown.chars().count();
        let column = (self.column - 1).min(width);
        let marks = "^".repeat(self.marked.min(width - column).max(1));
        let mut snippet = format!("{margin} |\n{number} | {shown}\n{margin} | ");
        snippet.push_str(&" ".repeat(column));
        snippet.push_str(&marks);
        if let Some(suggestion) = &self.suggestion {
            snippet.push_str(" did you mean `");
            snippet.push_str(suggestion);
            snippet.push_str("`?");
        }
        snippet
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.help.clone().or_else(|| {
            self.suggestion.as_ref().map(|suggestion| {
                format!(
                    "Write `{suggestion}` in line {} of {}.",
                    self.line, self.file
                )
            })
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {message}\n{}", self.snippet())
    }
}

impl std::error::Error for Mistake {}

/// The candidate that is so like `word` that it was probably meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A stranger's word may be long, and the distance is quadratic.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            let prefixed = candidate.len() >= 3
                && (word.starts_with(candidate)
                    || (word.len() >= 3 && candidate.starts_with(&word)));
            (if prefixed { distance.min(2) } else { distance }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
