//! Changes to YAML text that leave everything else as it is: comments, order, blank lines, quotes.
//!
//! ```text
//!   text ── tree with the bytes of every value ── splice ── parse again ── is it what was meant?
//!                                                                              └ no: an error, no change
//! ```
//!
//! A place is a path of keys; within a list, the number of an item, from 0. What is written anew is
//! written in the style that is there: block where there are blocks, flow in `[…]` and `{…}`.

mod draft;
mod items;
mod meaning;
mod splice;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub use value::Value;

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not YAML.
    #[error(transparent)]
    Mistake(#[from] Box<crate::yaml::Mistake>),
    /// There is nothing at this place.
    #[error("there is no `{path}`")]
    NotThere {
        /// The path, with dots.
        path: String,
    },
    /// What is at this place cannot hold what is below it.
    #[error("`{path}` is {found}, where this cannot go")]
    Unfit {
        /// The path, with dots.
        path: String,
        /// What is there: "a list".
        found: &'static str,
    },
    /// Another key has the name already.
    #[error("there is a `{name}` already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// It is written in a way that cannot be changed without touching something else: anchors,
    /// aliases, tags and the like.
    #[error("`{path}` is written in a way that cannot be changed here")]
    TooIntricate {
        /// The path, with dots.
        path: String,
    },
}

impl EditError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mistake(mistake) => mistake.hint(),
            Self::NotThere { .. } | Self::Unfit { .. } => {
                Some("Look at the file: it may have changed meanwhile.".into())
            }
            Self::NameTaken { .. } => Some("Choose another name.".into()),
            Self::TooIntricate { .. } => Some("Change it in the text itself.".into()),
        }
    }
}

/// Sets the value at a path; mappings on the way to it are made where they are missing, and a new key
/// comes last. At the end of a path, the number one past a list's last item appends to it.
///
/// # Errors
///
/// When the text is not YAML, or the place cannot hold the value.
pub fn set(text: &str, path: &[&str], value: &Value) -> Result<String, EditError> {
    splice::set(text, path, value)
}

/// Removes a key with its value, or an item of a list, and the comment at its line; comments on lines of
/// their own stay. A mapping or list of which it was the last goes with it.
///
/// # Errors
///
/// When the text is not YAML, or there is nothing at the place.
pub fn remove(text: &str, path: &[&str]) -> Result<String, EditError> {
    splice::remove(text, path)
}

/// Gives a key another name.
///
/// # Errors
///
/// When the text is not YAML, there is nothing at the place, or the name is taken.
pub fn rename(text: &str, path: &[&str], name: &str) -> Result<String, EditError> {
    splice::rename(text, path, name)
}

/// Puts an item into a list, before the one that has this number now; the list is made where it is
/// missing.
///
/// # Errors
///
/// When the text is not YAML, or there is something else than a list, or a shorter one.
pub fn insert_item(
    text: &str,
    path: &[&str],
    at: usize,
    value: &Value,
) -> Result<String, EditError> {
    splice::insert_item(text, path, at, value)
}

/// Makes these the items of a list of texts; none at all removes it. Items that stay keep their lines,
/// with the comments at them and above them, wherever they go; comments above one that goes, go with it.
///
/// # Errors
///
/// When the text is not YAML, or there is something else than a list.
pub fn set_texts(text: &str, path: &[&str], items: &[&str]) -> Result<String, EditError> {
    splice::set_texts(text, path, items)
}
