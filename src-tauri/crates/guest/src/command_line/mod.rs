//! The boot command line: what a guest shall run, and how.
//!
//! One grammar, OSv's (its `core/commands.cc`, `core/options.cc` and `loader.cc`), for both guests:
//!
//! ```text
//! line     = { option } { command }
//! option   = "--" key [ "=" value ]         up to a blank; "\" takes the next character as it is; no quotes
//! command  = word { word } ( ";" | "&" | "&!" | "!" | end of line )
//! word     = '"' { escape | any but '"' } '"'   or   { escape | any but space ; & ! }
//! escape   = \a \b \f \n \r \t \v \\ \' \"      a "\" before anything else is itself
//! ```
//!
//! Options stand before the first command only. After parsing, everything behind the first `$` of a word is the name
//! of an environment variable ([`Command::expand`]). A command `runscript FILE` stands for the commands in that file
//! ([`script`]).
//!
//! Where OSv would pass over the rest of a line in silence, this parser says so instead; what it accepts, OSv reads in
//! the same way, but for what [`CommandLine::problems`] names and for a `?=` in the value of a script's `--env=K=V`.
//! Writing a [`CommandLine`] out and parsing it again gives the same value.

use std::fmt;

mod error;
mod parse;
mod render;
pub mod script;
#[cfg(test)]
mod tests;

pub use error::{CommandLineError, Problem};
pub use render::{quote_option, quote_word};

/// A whole boot command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The options of the kernel (of the first program, in a Linux guest), in order.
    pub options: Vec<BootOption>,
    /// The commands to run, in order.
    pub commands: Vec<Command>,
}

/// One option: `--key` or `--key=value`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BootOption {
    /// The name, without its dashes.
    pub key: String,
    /// The value; never empty.
    pub value: Option<String>,
}

/// One command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// The program's path and its arguments; never without a first word.
    pub words: Vec<String>,
    /// How the next command relates to it.
    pub end: Terminator,
}

/// What ends a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Terminator {
    /// `;` or the end of the line: the next command waits for this one.
    #[default]
    Sequential,
    /// `&`: the next command starts at once; the guest ends when this one has ended too.
    Background,
    /// `&!`: as `&`, but it is told to end when all others have ended.
    Detached,
    /// `!`: waited for; whatever threads (Linux: child processes) it leaves are ended before the next command.
    Abandon,
}

/// Whether a variable is set over what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnvMode {
    /// `K=V`
    Set,
    /// `K?=V`
    SetIfUnset,
}

impl CommandLine {
    /// Reads a command line.
    ///
    /// # Errors
    /// Where OSv would refuse the line, or pass over a part of it without a word.
    pub fn parse(line: &str) -> Result<Self, CommandLineError> {
        parse::command_line(line)
    }

    /// The same with one more environment variable, `--env=KEY=VALUE`. An earlier option for the same key is replaced.
    #[must_use]
    pub fn with_env(mut self, key: &str, value: &str) -> Self {
        let is_same = |option: &BootOption| {
            option.key == "env"
                && option
                    .value
                    .as_deref()
                    .and_then(split_env)
                    .is_some_and(|(other, ..)| other == key)
        };
        self.options.retain(|option| !is_same(option));
        self.with_option("env", Some(&format!("{key}={value}")))
    }

    /// The same with one more option at the end of the options. An empty value counts as none: OSv refuses it.
    #[must_use]
    pub fn with_option(mut self, key: &str, value: Option<&str>) -> Self {
        let value = value.filter(|value| !value.is_empty()).map(str::to_owned);
        self.options.push(BootOption {
            key: key.to_owned(),
            value,
        });
        self
    }

    /// The same with each value of an option changed; one that becomes nothing goes with its option.
    #[must_use]
    pub fn with_values_changed(
        mut self,
        key: &str,
        change: impl Fn(&str) -> Option<String>,
    ) -> Self {
        self.options.retain_mut(|option| {
            let Some(value) = option.value.as_deref().filter(|_| option.key == key) else {
                return true;
            };
            option.value = change(value);
            option.value.is_some()
        });
        self
    }

    /// Whether a flag or option of this name is there.
    pub fn has_option(&self, key: &str) -> bool {
        self.options.iter().any(|option| option.key == key)
    }

    /// The values of all options of this name, in order.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.options
            .iter()
            .filter(move |option| option.key == key)
            .filter_map(|option| option.value.as_deref())
    }

    /// The working directory, `--cwd=DIR`; the first one counts, as in OSv.
    pub fn cwd(&self) -> Option<&str> {
        self.values("cwd").next()
    }

    /// The environment variables of the `--env` options: key, value, mode. OSv knows `K?=V` in scripts only.
    pub fn env(&self) -> Vec<(String, String, EnvMode)> {
        self.values("env")
            .filter_map(split_env)
            .map(|(key, value, mode)| (key.to_owned(), value.to_owned(), mode))
            .collect()
    }

    /// The same with the `$NAME` of every word replaced, as [`Command::expand`] does.
    #[must_use]
    pub fn expand(&self, lookup: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            options: self.options.clone(),
            commands: self
                .commands
                .iter()
                .map(|command| command.expand(&lookup))
                .collect(),
        }
    }

    /// What OSv would stumble over although the grammar allows it: options that it does not know, text that its
    /// parser does not take. Empty when all is well.
    pub fn problems(&self) -> Vec<Problem> {
        error::problems(self)
    }
}

impl Command {
    /// A command that the next one waits for.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            end: Terminator::Sequential,
        }
    }

    /// The same with the `$NAME` in its words replaced as OSv does: everything behind the first `$` of a word is the
    /// name; a variable that is not set leaves nothing; there is no `${NAME}` and no end of a name within a word.
    #[must_use]
    pub fn expand(&self, lookup: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            words: self
                .words
                .iter()
                .map(|word| expand_word(word, &lookup))
                .collect(),
            end: self.end,
        }
    }
}

fn expand_word(word: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    match word.split_once('$') {
        Some((before, name)) => before.to_owned() + &lookup(name).unwrap_or_default(),
        None => word.to_owned(),
    }
}

/// Splits `K=V` or `K?=V` at the first `=`. OSv's scripts look for a `?=` first, wherever it stands: a `K=V` with one in
/// its value sets nothing there, and `K?=V` is the way to write it.
fn split_env(text: &str) -> Option<(&str, &str, EnvMode)> {
    let (key, value) = text.split_once('=')?;
    Some(match key.strip_suffix('?') {
        Some(key) => (key, value, EnvMode::SetIfUnset),
        None => (key, value, EnvMode::Set),
    })
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::command_line(self, f)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::words(&self.words, f)
    }
}
