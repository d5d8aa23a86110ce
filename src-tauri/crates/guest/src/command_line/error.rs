//! What can be wrong with a command line.

use super::{BootOption, CommandLine};

/// Why a command line cannot be read. Each variant carries its position in bytes from the beginning of the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// A word that begins with one dash stands among the options.
    #[error("`{word}` at byte {position} is not an option")]
    NotAnOption {
        /// Where it begins.
        position: usize,
        /// What is there.
        word: String,
    },
    /// `--key=` with nothing behind it.
    #[error("the option `--{key}=` at byte {position} has no value")]
    EmptyValue {
        /// Where the option begins.
        position: usize,
        /// The option's name.
        key: String,
    },
    /// One option is given both as a flag and with a value.
    #[error("the option `--{key}` at byte {position} is given both with a value and without one")]
    FlagAndValue {
        /// Where the second one begins.
        position: usize,
        /// The option's name.
        key: String,
    },
    /// A `\` ends the line where it should take the next character as it is.
    #[error("the `\\` at byte {position} has nothing to escape")]
    DanglingEscape {
        /// Where it stands.
        position: usize,
    },
    /// `;`, `&`, `&!` or `!` with no command before it.
    #[error("there is no command before the `{found}` at byte {position}")]
    EmptyCommand {
        /// Where the terminator stands.
        position: usize,
        /// The terminator.
        found: char,
    },
    /// A `"` that is never closed: OSv makes something of it that nobody means.
    #[error("the quote at byte {position} is never closed")]
    UnclosedQuote {
        /// Where it stands.
        position: usize,
    },
    /// An `--env` of a script that is not `KEY=VALUE`.
    #[error("`--env={text}` at byte {position} is not `--env=NAME=VALUE`")]
    BadEnv {
        /// Where it begins.
        position: usize,
        /// What is there.
        text: String,
    },
    /// An option that a script may not have.
    #[error("`{word}` at byte {position} is not an option that a script can have")]
    NotAScriptOption {
        /// Where it begins.
        position: usize,
        /// What is there.
        word: String,
    },
    /// A NUL byte, at which a guest stops reading.
    #[error("there is a NUL byte at byte {position}")]
    Nul {
        /// Where it stands.
        position: usize,
    },
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
            | Self::UnclosedQuote { position }
            | Self::BadEnv { position, .. }
            | Self::NotAScriptOption { position, .. }
            | Self::Nul { position } => *position,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAnOption { word, .. } => format!(
                "options are `--name` or `--name=value`, and stand before the program; quote a program whose name \
                 begins with a dash: `\"{word}\"`"
            ),
            Self::EmptyValue { key, .. } => {
                format!("give it a value, as in `--{key}=VALUE`, or leave it out")
            }
            Self::FlagAndValue { .. } => "keep one of the two".to_owned(),
            Self::DanglingEscape { .. } => {
                "write `\\\\` for a backslash, or `\\ ` for a blank within a value".to_owned()
            }
            Self::EmptyCommand { .. } => {
                "put a command there or take the sign away; within an argument it has to be quoted: `\"a;b\"`".to_owned()
            }
            Self::UnclosedQuote { .. } => {
                "close it, or write `\\\"` for a quote that is meant".to_owned()
            }
            Self::BadEnv { .. } => "write `--env=NAME=VALUE`, or `--env=NAME?=VALUE` for a default".to_owned(),
            Self::NotAScriptOption { .. } => {
                "a script knows `--env=NAME=VALUE` only; other options belong to the boot command line".to_owned()
            }
            Self::Nul { .. } => "take it away".to_owned(),
        })
    }
}

/// What OSv would stumble over in a line that its grammar allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in words.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// OSv's options (its `loader.cc`) that are flags.
const FLAGS: &[&str] = &[
    "bootchart",
    "disable_rofs_cache",
    "extra-zfs-pools",
    "help",
    "leak",
    "noinit",
    "nomount",
    "nopci",
    "nopivot",
    "norandom",
    "noshutdown",
    "power-off-on-abort",
    "preload-zfs-library",
    "strace",
    "trace-backtrace",
    "trace-list",
    "verbose",
];

/// OSv's options that take a value.
const VALUED: &[&str] = &[
    "console",
    "cwd",
    "defaultgw",
    "delay",
    "env",
    "ip",
    "maxnic",
    "mount-fs",
    "nameserver",
    "redirect",
    "rootfs",
    "sampler",
    "trace",
];

pub(super) fn problems(line: &CommandLine) -> Vec<Problem> {
    let mut problems: Vec<Problem> = line.options.iter().filter_map(option_problem).collect();
    for command in &line.commands {
        if let Some(word) = command.words.iter().find(|word| !word.is_ascii()) {
            problems.push(Problem {
                message: format!("OSv cannot read `{word}`: it takes ASCII only in commands"),
                remedy: format!(
                    "put it in a variable: `--env=NAME={word}`, and `$NAME` in the command"
                ),
            });
        }
    }
    problems
}

fn option_problem(option: &BootOption) -> Option<Problem> {
    let BootOption { key, value } = option;
    let (message, remedy) = match value.as_deref() {
        None if FLAGS.contains(&key.as_str()) => return None,
        None if VALUED.contains(&key.as_str()) => (
            format!("`--{key}` has no value"),
            format!("write `--{key}=VALUE`"),
        ),
        Some(_) if FLAGS.contains(&key.as_str()) => (
            format!("`--{key}` takes no value"),
            format!("write `--{key}`"),
        ),
        None | Some(_) if !VALUED.contains(&key.as_str()) => (
            format!("OSv does not know the option `--{key}`, and powers off when it meets it"),
            "leave it out, or put it behind the program if it is the program's".to_owned(),
        ),
        Some(text) if key == "env" && (text.starts_with('=') || !text.contains('=')) => (
            format!("`--env={text}` sets no variable"),
            "write `--env=NAME=VALUE`".to_owned(),
        ),
        Some(text)
            if key == "env" && text.split('=').next().is_some_and(|key| key.ends_with('?')) =>
        {
            (
                format!("`--env={text}`: OSv knows `?=` in scripts only"),
                "write `=` instead of `?=`".to_owned(),
            )
        }
        Some(text) if key == "console" && !matches!(text, "serial" | "vga" | "all") => (
            format!("OSv has no console `{text}`, and aborts"),
            "use `serial`, `vga` or `all`".to_owned(),
        ),
        _ => return None,
    };
    Some(Problem { message, remedy })
}
