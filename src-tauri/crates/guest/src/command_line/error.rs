//! What can be wrong with a command line.

use super::CommandLine;

/// Why a command line cannot be read. Each variant carries its position in bytes from the beginning of the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// A word that begins with one dash stands among the options.
    #[error("`{word}` at character {position} is not an option")]
    NotAnOption {
        /// Where it begins.
        position: usize,
        /// What is there.
        word: String,
    },
    /// `--key=` with nothing behind it.
    #[error("the option `--{key}=` at character {position} has no value")]
    EmptyValue {
        /// Where the option begins.
        position: usize,
        /// The option's name.
        key: String,
    },
    /// One option is given both as a flag and with a value.
    #[error(
        "the option `--{key}` at character {position} is given both with a value and without one"
    )]
    FlagAndValue {
        /// Where the second one begins.
        position: usize,
        /// The option's name.
        key: String,
    },
    /// A `\` ends the line where it should take the next character as it is.
    #[error("the `\\` at character {position} has nothing to escape")]
    DanglingEscape {
        /// Where it stands.
        position: usize,
    },
    /// `;`, `&`, `&!` or `!` with no command before it.
    #[error("there is no command before the `{found}` at character {position}")]
    EmptyCommand {
        /// Where the terminator stands.
        position: usize,
        /// The terminator.
        found: char,
    },
    /// An `--env` that is not `KEY=VALUE`.
    #[error("`--env={text}` at character {position} is not `--env=NAME=VALUE`")]
    BadEnv {
        /// Where it begins.
        position: usize,
        /// What is there.
        text: String,
    },
    /// An option that a script may not have.
    #[error("`{word}` at character {position} is not an option that a script can have")]
    NotAScriptOption {
        /// Where it begins.
        position: usize,
        /// What is there.
        word: String,
    },
    /// A NUL byte, at which a guest stops reading.
    #[error("there is a NUL byte at character {position}")]
    Nul {
        /// Where it stands.
        position: usize,
    },
}

/// What OSv would stumble over in a line that its grammar allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in words.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

pub(super) fn problems(_line: &CommandLine) -> Vec<Problem> {
    Vec::new()
}

impl CommandLineError {
    /// Where the fault is, in bytes from the beginning of the line.
    pub fn position(&self) -> usize {
        match self {
            Self::NotAnOption { position, .. }
            | Self::EmptyValue { position, .. }
            | Self::FlagAndValue { position, .. }
            | Self::DanglingEscape { position }
            | Self::EmptyCommand { position, .. }
            | Self::BadEnv { position, .. }
            | Self::NotAScriptOption { position, .. }
            | Self::Nul { position } => *position,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
