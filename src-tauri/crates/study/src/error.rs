//! What can go wrong with a study.

use std::io;
use std::path::PathBuf;

use windlass_package::yaml::Mistake;

use crate::dictionary::DictionaryError;

/// Why a study cannot be read, or its runs not be made.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// `study.yaml` has a mistake; its text shows the line and marks the place.
    #[error(transparent)]
    Mistake(#[from] Box<Mistake>),
    /// A formula cannot be calculated.
    #[error("the formula {formula} cannot be calculated: {reason}")]
    Formula {
        /// As it was written.
        formula: String,
        /// Why not.
        reason: String,
    },
    /// A range of values is none.
    #[error("{text} is not a range of values: {reason}")]
    Range {
        /// As it was written.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// The table of values cannot be read.
    #[error("the table {} cannot be read: {reason}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Formulas that need each other.
    #[error("the formulas of {} need each other", names.join(" and "))]
    Circle {
        /// The variables.
        names: Vec<String>,
    },
    /// Lists that go side by side, and are not of the same length.
    #[error(
        "{first} has {first_count} values and {second} {second_count}; side by side they have to be as many"
    )]
    Lengths {
        /// A variable.
        first: String,
        /// How many values it has.
        first_count: usize,
        /// Another one.
        second: String,
        /// How many it has.
        second_count: usize,
    },
    /// More runs than anybody wants.
    #[error("these are {count} runs, more than the {limit} that a study may have")]
    TooMany {
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A value cannot be written where it should be.
    #[error("{variable} cannot be set in {file}")]
    Place {
        /// The variable.
        variable: String,
        /// The file within the case.
        file: String,
        /// Why not.
        #[source]
        source: Box<DictionaryError>,
    },
    /// A pattern does not fit what it should.
    #[error("{pattern} does not fit anything in {file}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The file.
        file: String,
    },
    /// A path leads out of the case.
    #[error("{path} is not a path within the case")]
    Outside {
        /// What was written.
        path: String,
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

impl StudyError {
    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Formula { .. } => {
                "Write it as in 26*cos(alpha*degree), or, for a vector, (26*cos(alpha*degree) 0 0)"
                    .into()
            }
            Self::Range { .. } => "Write from:to:step, as in 0:12:4".into(),
            Self::Csv { .. } => {
                "Name the variables in the first line, and give every line as many values".into()
            }
            Self::Circle { .. } => "Give one of them values instead".into(),
            Self::Lengths { .. } => "Give them as many values each, or set combine: grid".into(),
            Self::TooMany { .. } => "Take fewer values, or combine: zip".into(),
            Self::Place { source, .. } => return source.hint(),
            Self::Pattern { .. } => {
                "A pattern is a regular expression; what is in its brackets is replaced".into()
            }
            Self::Outside { .. } => "Write it relative to the case, without ..".into(),
            Self::Mistake(_) | Self::Io { .. } => return None,
        })
    }
}
