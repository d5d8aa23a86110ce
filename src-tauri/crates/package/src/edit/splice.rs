//! The changes.

use super::{EditError, Value};

fn intricate(path: &[&str]) -> EditError {
    EditError::TooIntricate {
        path: path.join("."),
    }
}

pub(super) fn set(_text: &str, path: &[&str], _value: &Value) -> Result<String, EditError> {
    Err(intricate(path))
}

pub(super) fn remove(_text: &str, path: &[&str]) -> Result<String, EditError> {
    Err(intricate(path))
}

pub(super) fn rename(_text: &str, path: &[&str], _name: &str) -> Result<String, EditError> {
    Err(intricate(path))
}

pub(super) fn insert_item(
    _text: &str,
    path: &[&str],
    _at: usize,
    _value: &Value,
) -> Result<String, EditError> {
    Err(intricate(path))
}

pub(super) fn set_texts(_text: &str, path: &[&str], _items: &[&str]) -> Result<String, EditError> {
    Err(intricate(path))
}
