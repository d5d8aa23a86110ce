//! From text to a command line.

use super::{BootOption, Command, CommandLine, CommandLineError, Terminator};

/// What OSv's loader takes as blanks between options.
const OPTION_BLANKS: [char; 3] = [' ', '\t', '\n'];

/// What may follow a `\` in a word, and what the two stand for.
pub(super) const ESCAPES: [(char, char); 10] = [
    ('a', '\x07'),
    ('b', '\x08'),
    ('f', '\x0c'),
    ('n', '\n'),
    ('r', '\r'),
    ('t', '\t'),
    ('v', '\x0b'),
    ('\\', '\\'),
    ('\'', '\''),
    ('"', '"'),
];

/// What ends a word that is not quoted. Other white space does not: only before a word is it passed over.
pub(super) const WORD_ENDS: [char; 4] = [' ', ';', '&', '!'];

pub(super) fn command_line(line: &str) -> Result<CommandLine, CommandLineError> {
    if let Some(position) = line.find('\0') {
        return Err(CommandLineError::Nul { position });
    }
    let mut rest = line;
    let mut options: Vec<BootOption> = Vec::new();
    loop {
        let token = rest.trim_start_matches(OPTION_BLANKS);
        if !token.starts_with('-') {
            break;
        }
        let position = line.len() - token.len();
        let (text, length) = option_text(token, position)?;
        let option = option(text, position)?;
        let contradicts = |other: &BootOption| {
            other.key == option.key && other.value.is_some() != option.value.is_some()
        };
        if options.iter().any(contradicts) {
            return Err(CommandLineError::FlagAndValue {
                position,
                key: option.key,
            });
        }
        options.push(option);
        rest = &token[length..];
    }
    let commands = commands(rest, line.len() - rest.len())?;
    Ok(CommandLine { options, commands })
}

/// Takes one option off the text, its escapes resolved; returns it with the length that it had.
fn option_text(token: &str, position: usize) -> Result<(String, usize), CommandLineError> {
    let mut text = String::new();
    let mut characters = token.char_indices();
    while let Some((offset, character)) = characters.next() {
        if OPTION_BLANKS.contains(&character) {
            return Ok((text, offset));
        }
        if character == '\\' {
            let Some((_, escaped)) = characters.next() else {
                return Err(CommandLineError::DanglingEscape {
                    position: position + offset,
                });
            };
            text.push(escaped);
        } else {
            text.push(character);
        }
    }
    Ok((text, token.len()))
}

fn option(text: String, position: usize) -> Result<BootOption, CommandLineError> {
    let Some(option) = text.strip_prefix("--") else {
        return Err(CommandLineError::NotAnOption {
            position,
            word: text,
        });
    };
    let (key, value) = match option.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (option, None),
    };
    if key.is_empty() {
        return Err(CommandLineError::NotAnOption {
            position,
            word: text,
        });
    }
    if value == Some("") {
        return Err(CommandLineError::EmptyValue {
            position,
            key: key.to_owned(),
        });
    }
    Ok(BootOption {
        key: key.to_owned(),
        value: value.map(str::to_owned),
    })
}

/// Reads the commands in `text`, which begins at `start` of the whole line.
pub(super) fn commands(text: &str, start: usize) -> Result<Vec<Command>, CommandLineError> {
    let mut commands = Vec::new();
    let mut reader = Reader { text, offset: 0 };
    // A line of nothing but blanks and semicolons is an empty one.
    while !reader
        .rest()
        .chars()
        .all(|character| is_space(character) || character == ';')
    {
        let mut words = Vec::new();
        let end = loop {
            reader.skip_space();
            if let Some(end) = reader.terminator() {
                break end;
            }
            words.push(
                reader
                    .word()
                    .map_err(|position| CommandLineError::UnclosedQuote {
                        position: start + position,
                    })?,
            );
        };
        if words.is_empty() {
            let found = reader.text[..reader.offset]
                .chars()
                .next_back()
                .unwrap_or(';');
            let position = start + reader.offset - found.len_utf8();
            return Err(CommandLineError::EmptyCommand { position, found });
        }
        commands.push(Command { words, end });
    }
    // OSv refuses a line that begins with a semicolon, unless there is nothing else in it.
    Ok(commands)
}

/// White space as C has it: Rust's own notion leaves out the vertical tab.
fn is_space(character: char) -> bool {
    character.is_ascii_whitespace() || character == '\x0b'
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn skip_space(&mut self) {
        self.offset += self.rest().len() - self.rest().trim_start_matches(is_space).len();
    }

    fn terminator(&mut self) -> Option<Terminator> {
        let rest = self.rest();
        let (end, length) = if rest.is_empty() {
            (Terminator::Sequential, 0)
        } else if rest.starts_with(';') {
            (Terminator::Sequential, 1)
        } else if rest.starts_with("&!") {
            (Terminator::Detached, 2)
        } else if rest.starts_with('&') {
            (Terminator::Background, 1)
        } else if rest.starts_with('!') {
            (Terminator::Abandon, 1)
        } else {
            return None;
        };
        self.offset += length;
        Some(end)
    }

    /// A word; there is one, since neither a blank nor a terminator stands here. Fails with the position of a quote
    /// that is never closed.
    fn word(&mut self) -> Result<String, usize> {
        if let Some(inner) = self.rest().strip_prefix('"') {
            let (word, length, is_closed) = unescape(inner, |character| character == '"');
            if !is_closed {
                return Err(self.offset);
            }
            self.offset += 1 + length + 1;
            return Ok(word);
        }
        let (word, length, _) = unescape(self.rest(), |character| WORD_ENDS.contains(&character));
        self.offset += length;
        Ok(word)
    }
}

/// The text up to a character that ends it, escapes resolved; its length as written; whether such a character came.
fn unescape(text: &str, is_end: impl Fn(char) -> bool) -> (String, usize, bool) {
    let mut word = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let escaped = rest.strip_prefix('\\').and_then(|after| {
            ESCAPES
                .iter()
                .find(|(letter, _)| after.starts_with(*letter))
                .map(|(_, meaning)| *meaning)
        });
        if let Some(meaning) = escaped {
            word.push(meaning);
            rest = &rest[2..];
        } else if is_end(character) {
            return (word, text.len() - rest.len(), true);
        } else {
            word.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    (word, text.len(), false)
}
