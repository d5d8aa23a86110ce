//! The files that `runscript FILE` names, and those in `/init`.
//!
//! Each line holds commands as a boot command line does. Each *command* may begin with options of its own, and `--env` is
//! the only one: `--env=K=V` sets a variable, `--env=K?=V` sets it where it is not set. OSv applies the options of all
//! scripts before it runs any command, so that a later script's value holds for the commands of an earlier one too.
//!
//! Options are words here, not what they are on the boot command line: a blank in a value is kept by quotes around the
//! whole option, `"--env=K?=a b"`, and not by a `\`. [`ScriptCommand`]'s `Display` writes them so.

use std::fmt;

use super::parse::commands;
use super::render::{self, quote_word};
use super::{Command, CommandLineError, EnvMode, split_env};

/// The word that stands for the commands of a file.
pub const RUNSCRIPT: &str = "runscript";

/// One command of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCommand {
    /// The variables that it sets, in order; a `$NAME` in a value has yet to be replaced.
    pub env: Vec<(String, String, EnvMode)>,
    /// The command; absent where there are only options.
    pub command: Option<Command>,
}

/// Writes the command as a line of its own; its terminator too, unless it is the usual one.
impl fmt::Display for ScriptCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (key, value, mode) in &self.env {
            let sign = match mode {
                EnvMode::Set => "=",
                EnvMode::SetIfUnset => "?=",
            };
            write!(
                f,
                "{separator}{}",
                quote_word(&format!("--env={key}{sign}{value}"))
            )?;
            separator = " ";
        }
        if let Some(command) = &self.command {
            write!(f, "{separator}{command}{}", render::terminator(command.end))?;
        }
        Ok(())
    }
}

/// A fault in a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the script cannot be read")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub source: CommandLineError,
}

impl ScriptError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.source.hint()
    }
}

/// Reads a script.
///
/// # Errors
/// At the first line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<ScriptCommand>, ScriptError> {
    let mut script = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let commands = parse_line(line).map_err(|source| ScriptError {
            line: index + 1,
            source,
        })?;
        script.extend(commands);
    }
    Ok(script)
}

/// Reads one line of a script.
///
/// # Errors
/// As [`super::CommandLine::parse`], and for options that are not `--env=NAME=VALUE`.
pub fn parse_line(line: &str) -> Result<Vec<ScriptCommand>, CommandLineError> {
    if let Some(position) = line.find('\0') {
        return Err(CommandLineError::Nul { position });
    }
    commands(line, 0)?
        .into_iter()
        .map(|command| split_options(command, line))
        .collect()
}

fn split_options(mut command: Command, line: &str) -> Result<ScriptCommand, CommandLineError> {
    let count = command
        .words
        .iter()
        .take_while(|word| word.starts_with('-'))
        .count();
    let rest = command.words.split_off(count);
    let mut env = Vec::new();
    for word in command.words {
        let position = line.find(&word).unwrap_or(0);
        let Some(text) = word.strip_prefix("--env=") else {
            return Err(CommandLineError::NotAScriptOption { position, word });
        };
        let Some((key, value, mode)) = split_env(text).filter(|(key, ..)| !key.is_empty()) else {
            return Err(CommandLineError::BadEnv {
                position,
                text: text.to_owned(),
            });
        };
        env.push((key.to_owned(), value.to_owned(), mode));
    }
    let command = (!rest.is_empty()).then_some(Command {
        words: rest,
        end: command.end,
    });
    Ok(ScriptCommand { env, command })
}
