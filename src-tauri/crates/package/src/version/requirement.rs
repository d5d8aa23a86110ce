//! A package that another one needs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Constraint, ConstraintError};

/// A package that another one needs: its name, and which of its versions will do.
///
/// In a manifest the name is in `require`, as Capstan has it, and the constraint below `x-versions`.
/// As one text, of a command line for instance, it is `node-20` or `node >=18, <21`.
///
/// ```
/// # use windlass_package::Requirement;
/// let requirement: Requirement = "node >=18, <21".parse().unwrap();
/// assert_eq!((requirement.name.as_str(), requirement.versions.as_str()), ("node", ">=18, <21"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The name of the package.
    pub name: String,
    /// Which of its versions will do.
    #[serde(default)]
    pub versions: Constraint,
}

/// A text that is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// It does not begin with the name of a package.
    #[error("`{text}` does not begin with the name of a package")]
    Name {
        /// The text.
        text: String,
    },
    /// What follows the name is no constraint.
    #[error("which versions of {name} will do cannot be read")]
    Versions {
        /// The name of the package.
        name: String,
        /// What is wrong.
        #[source]
        source: ConstraintError,
    },
}

impl RequirementError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name { .. } => {
                Some("Write a name, such as `node-20`, or a name and versions: `node >=18`.".into())
            }
            Self::Versions { source, .. } => source.hint(),
        }
    }
}

impl Requirement {
    /// Any version of a package.
    pub fn any(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            versions: Constraint::any(),
        }
    }

    /// Reads a name, and the constraint that follows it where there is one.
    ///
    /// # Errors
    ///
    /// When it does not begin with a name, or what follows is no constraint.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let text = text.trim();
        let end = text
            .find(|sign: char| !(sign.is_ascii_alphanumeric() || "._-+".contains(sign)))
            .unwrap_or(text.len());
        let (name, versions) = text.split_at(end);
        if !crate::is_valid_name(name) {
            return Err(RequirementError::Name {
                text: text.chars().take(100).collect(),
            });
        }
        let versions = versions.trim_start();
        let versions = Constraint::parse(versions.strip_prefix('@').unwrap_or(versions)).map_err(
            |source| RequirementError::Versions {
                name: name.to_owned(),
                source,
            },
        )?;
        Ok(Self {
            name: name.to_owned(),
            versions,
        })
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        Self::parse(text)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.versions.is_any() {
            write!(f, " {}", self.versions)?;
        }
        Ok(())
    }
}
