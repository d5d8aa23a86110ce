//! From a command line to text that both guests read back as the same.

use std::fmt;

use super::parse::{ESCAPES, WORD_ENDS};
use super::{CommandLine, Terminator};

pub(super) fn command_line(line: &CommandLine, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut separator = "";
    for option in &line.options {
        write!(f, "{separator}--{}", quote_option(&option.key))?;
        if let Some(value) = &option.value {
            write!(f, "={}", quote_option(value))?;
        }
        separator = " ";
    }
    for (index, command) in line.commands.iter().enumerate() {
        f.write_str(separator)?;
        words(&command.words, f)?;
        let is_last = index + 1 == line.commands.len();
        f.write_str(match command.end {
            Terminator::Sequential if !is_last => ";",
            end => terminator(end),
        })?;
        separator = " ";
    }
    Ok(())
}

/// What stands behind a command; nothing where the end of the line says it.
pub(super) fn terminator(end: Terminator) -> &'static str {
    match end {
        Terminator::Sequential => "",
        Terminator::Background => " &",
        Terminator::Detached => " &!",
        Terminator::Abandon => " !",
    }
}

pub(super) fn words(words: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            f.write_str(" ")?;
        }
        // A program whose name begins with a dash would be taken for an option.
        let must_quote = index == 0 && word.starts_with('-');
        f.write_str(&quoted(word, must_quote))?;
    }
    Ok(())
}

/// Writes an option's value with a `\` before each character that would end it.
pub fn quote_option(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, ' ' | '\t' | '\n' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Writes a word so that it is read back as one: quoted where it has to be, control characters as escapes.
pub fn quote_word(word: &str) -> String {
    quoted(word, false)
}

fn quoted(word: &str, must_quote: bool) -> String {
    let quote = must_quote || word.is_empty() || word.contains(WORD_ENDS);
    let mut text = String::with_capacity(word.len() + 2);
    if quote {
        text.push('"');
    }
    for character in word.chars() {
        // The apostrophe has an escape too, and needs none.
        match ESCAPES
            .iter()
            .find(|(_, meaning)| *meaning == character && character != '\'')
        {
            Some((letter, _)) => text.extend(['\\', *letter]),
            None => text.push(character),
        }
    }
    if quote {
        text.push('"');
    }
    text
}
