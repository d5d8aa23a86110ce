//! What went wrong, on stderr and as an exit status.
//!
//! ```text
//! error: There is no appliance `helo`
//!   caused by: …
//!   hint: `windlassctl appliance list` shows those that there are
//! ```
//!
//! Capstan's 64 and 65, and for the rest what `sysexits.h` has.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use windlass_workshop::error::{AppError, ErrorKind};

/// The words were wrong.
pub(crate) const USAGE: u8 = 64;
/// What was given is wrong.
const DATA: u8 = 65;
/// What was named is not there.
const NO_INPUT: u8 = 66;
/// Something on this computer is missing.
const UNAVAILABLE: u8 = 69;
/// A fault of Windlass, the system, or the guest.
const SOFTWARE: u8 = 70;
/// Not in this state; later perhaps.
const TEMPORARY: u8 = 75;
/// Whoever read our output went away: as if SIGPIPE had ended us.
const BROKEN_PIPE: u8 = 141;
/// Cancelled, as a shell has it for SIGINT.
pub(crate) const CANCELLED: u8 = 130;

/// The part of `--help` about exit statuses.
pub(crate) const HELP: &str = "\
Exit status:
  0    done
  64   the command line was not understood
  65   what was given is wrong: a manifest with a mistake, a file of another kind
  66   what was named is not there
  69   something on this computer is missing: QEMU, a guest kernel, disk space
  70   a fault of Windlass or of the system; a guest that crashed
  75   not possible just now: the machine runs, the name is taken
  130  cancelled, by Ctrl+C (143 by SIGTERM)
  `run` in the foreground and `machine exec` pass on the status of what ran in the guest.";

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The workshop said no.
    App(AppError),
    /// The words cannot be followed as they are.
    Usage(AppError),
    /// Nobody reads our output any more.
    BrokenPipe,
}

/// A verb's end: the exit status, or why not.
pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage(AppError::new(ErrorKind::Input, message).hinted(hint))
    }

    fn status(&self) -> u8 {
        match self {
            Self::BrokenPipe => BROKEN_PIPE,
            Self::Usage(_) => USAGE,
            Self::App(error) => match error.kind {
                ErrorKind::Input => DATA,
                ErrorKind::NotFound => NO_INPUT,
                ErrorKind::Conflict => TEMPORARY,
                ErrorKind::Unavailable => UNAVAILABLE,
                ErrorKind::Cancelled => CANCELLED,
                ErrorKind::Internal => SOFTWARE,
            },
        }
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// Failures of our own input and output; those of files come from the workshop with their path.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        let mut shown = AppError::new(ErrorKind::Unavailable, "The terminal or a file failed");
        shown.chain.push(error.to_string());
        Self::App(shown)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::App(AppError::from_error(ErrorKind::Internal, &error, None))
    }
}

/// How failures are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rendering {
    /// As the workshop's error object instead of text.
    pub(crate) json: bool,
}

impl Rendering {
    /// Shows a failure and returns the exit status.
    pub(crate) fn show(self, failure: &Failure) -> u8 {
        let error = match failure {
            Failure::App(error) | Failure::Usage(error) => error,
            Failure::BrokenPipe => return failure.status(),
        };
        let mut stderr = std::io::stderr().lock();
        let text = if self.json {
            serde_json::to_string(error).unwrap_or_else(|_| error.message.clone()) + "\n"
        } else {
            let coloured = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            text(error, coloured)
        };
        // There is nowhere else to say it.
        let _ = stderr.write_all(text.as_bytes());
        failure.status()
    }
}

/// The error as a person reads it; colour only repeats what the words say.
pub(crate) fn text(error: &AppError, coloured: bool) -> String {
    let paint = |code: &str, word: &str| {
        if coloured {
            format!("\x1b[{code}m{word}\x1b[0m")
        } else {
            word.to_owned()
        }
    };
    let mut text = format!("{} {}\n", paint("1;31", "error:"), error.message.trim_end());
    for cause in &error.chain {
        let cause = cause.trim_end().replace('\n', "\n    ");
        let _ = writeln!(text, "  {} {cause}", paint("1", "caused by:"));
    }
    for hint in &error.hints {
        let _ = writeln!(text, "  {} {hint}", paint("1;36", "hint:"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_to_do() {
        let mut error =
            AppError::new(ErrorKind::Unavailable, "Cannot read `/x`").hinted("Try again");
        error.chain.push("permission denied".into());
        insta::assert_snapshot!(text(&error, false), @r"
        error: Cannot read `/x`
          caused by: permission denied
          hint: Try again
        ");
        assert_eq!(Failure::from(error).status(), 69);
    }
}
