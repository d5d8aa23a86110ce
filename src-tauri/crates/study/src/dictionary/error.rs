//! What can be wrong with a dictionary, or with what is asked of it.

use std::io;
use std::path::PathBuf;

/// What is wrong with the text of a dictionary, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (byte {offset}): {kind}")]
pub struct SyntaxError {
    /// Bytes before it.
    pub offset: usize,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: SyntaxErrorKind,
}

/// The ways a dictionary can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxErrorKind {
    /// `/*` without `*/`.
    #[error("the comment that begins here is not ended by */")]
    OpenComment,
    /// A string without its second quote on the same line.
    #[error("the string that begins here has no closing quote on its line")]
    OpenString,
    /// `#{` without `#}`.
    #[error("the code that begins here is not ended by #}}")]
    OpenVerbatim,
    /// A bracket that is not closed.
    #[error("the {0:?} that is opened here is never closed")]
    OpenBracket(char),
    /// A closing bracket that nothing opened, or something else did.
    #[error("there is a {0:?} here that closes nothing")]
    StrayBracket(char),
    /// A value without `;`.
    #[error("the value of the entry that begins here is not ended by ;")]
    NoSemicolon,
    /// Something stands where a keyword should.
    #[error("a keyword is expected here")]
    NoKeyword,
    /// Nested too deep.
    #[error("brackets are nested more than {} deep here", super::MAXIMUM_DEPTH)]
    TooDeep,
    /// Bytes that are no text, as in a field written with `format binary`.
    #[error("this is binary data, not text")]
    Binary,
}

/// Why an entry could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DictionaryError {
    /// The text is no dictionary.
    #[error("{} is not a dictionary that can be read", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: SyntaxError,
    },
    /// There is no such entry.
    #[error("there is no entry {path}{}", match near { Some(near) => format!("; is {near} meant?"), None => String::new() })]
    NoEntry {
        /// What was looked for.
        path: String,
        /// An entry of nearly that name.
        near: Option<String>,
    },
    /// The entry is a dictionary, where a value was expected.
    #[error("{path} is a dictionary, and has no value of its own")]
    IsDictionary {
        /// The entry.
        path: String,
    },
    /// The new value would be read as something else than one value.
    #[error("{text:?} cannot be a value: {reason}")]
    Value {
        /// What was to be written.
        text: String,
        /// Why not.
        reason: String,
    },
    /// A path that names nothing, such as an empty one.
    #[error("{text:?} is not the path of an entry")]
    Path {
        /// What was given.
        text: String,
    },
    /// The file is larger than a dictionary may be.
    #[error("{} is larger than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit_bytes: u64,
    },
    /// The operating system refused.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl DictionaryError {
    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Syntax { source, .. } if source.kind == SyntaxErrorKind::Binary => {
                "Convert the case to text: set writeFormat to ascii in system/controlDict, and call foamFormatConvert"
                    .into()
            }
            Self::Syntax { source, .. } => format!("Look at line {} of the file", source.line),
            Self::NoEntry { .. } => "Names are separated by a slash, as in solvers/p/tolerance".into(),
            Self::IsDictionary { path } => format!("Name an entry of it, as in {path}/name"),
            Self::Value { .. } => "Write it as it would stand in the file, without the semicolon".into(),
            Self::Path { .. } => "Write it as in boundaryField/inlet/value or internalField[1][0]".into(),
            Self::TooLarge { .. } => "Take a case with a coarser mesh, or one that makes its mesh itself".into(),
            Self::Io { .. } => return None,
        })
    }
}
