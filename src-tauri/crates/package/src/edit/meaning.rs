//! What a text means, without places: a change is checked against it.

use super::Value;
use super::tree::number;
use crate::yaml;

/// What a text means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Also an empty mapping or list: where the last of something goes, it goes too.
    Nothing,
    Text(String),
    List(Vec<Meaning>),
    Map(Vec<(String, Meaning)>),
}

impl From<&Value> for Meaning {
    fn from(value: &Value) -> Self {
        match value {
            Value::Text(text) | Value::Plain(text) => Self::Text(text.clone()),
            Value::List(items) if items.is_empty() => Self::Nothing,
            Value::Map(entries) if entries.is_empty() => Self::Nothing,
            Value::List(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Map(entries) => Self::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::from(value)))
                    .collect(),
            ),
        }
    }
}

impl From<yaml::Value> for Meaning {
    fn from(value: yaml::Value) -> Self {
        match value {
            yaml::Value::Null => Self::Nothing,
            yaml::Value::Text(text) => Self::Text(text),
            yaml::Value::List(items) if items.is_empty() => Self::Nothing,
            yaml::Value::Map(entries) if entries.is_empty() => Self::Nothing,
            yaml::Value::List(items) => {
                Self::List(items.into_iter().map(|item| item.value.into()).collect())
            }
            yaml::Value::Map(entries) => Self::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key = match key.value {
                            yaml::Value::Text(key) => key,
                            other => format!("{other:?}"),
                        };
                        (key, value.value.into())
                    })
                    .collect(),
            ),
        }
    }
}

impl Meaning {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |meaning, step| match meaning {
            Self::Map(entries) => entries
                .iter()
                .find(|(key, _)| key == step)
                .map(|(_, value)| value),
            Self::List(items) => items.get(number(step)?),
            _ => None,
        })
    }

    /// Sets what is at a path; what was in the way of it is returned.
    pub fn set(&mut self, path: &[&str], value: Self) -> Result<(), &'static str> {
        let Some((step, rest)) = path.split_first() else {
            *self = value;
            return Ok(());
        };
        if *self == Self::Nothing {
            *self = Self::Map(Vec::new());
        }
        let place = match self {
            Self::Map(entries) => {
                let at = entries.iter().position(|(key, _)| key == step);
                let at = at.unwrap_or_else(|| {
                    entries.push(((*step).to_owned(), Self::Nothing));
                    entries.len() - 1
                });
                entries.get_mut(at).map(|(_, value)| value)
            }
            Self::List(items) => number(step).and_then(|at| {
                if at == items.len() {
                    items.push(Self::Nothing);
                }
                items.get_mut(at)
            }),
            _ => None,
        };
        match place {
            Some(place) => place.set(rest, value),
            None => Err(self.kind()),
        }
    }

    /// Removes what is at a path, with the mappings and lists of which it was the last.
    pub fn remove(&mut self, path: &[&str]) -> bool {
        let Some((step, rest)) = path.split_first() else {
            *self = Self::Nothing;
            return true;
        };
        let is_found = match self {
            Self::Map(entries) => {
                let Some(at) = entries.iter().position(|(key, _)| key == step) else {
                    return false;
                };
                let is_found = rest.is_empty() || entries[at].1.remove(rest);
                if is_found && (rest.is_empty() || entries[at].1 == Self::Nothing) {
                    entries.remove(at);
                }
                is_found
            }
            Self::List(items) => {
                let Some(at) = number(step).filter(|at| *at < items.len()) else {
                    return false;
                };
                let is_found = rest.is_empty() || items[at].remove(rest);
                if is_found && (rest.is_empty() || items[at] == Self::Nothing) {
                    items.remove(at);
                }
                is_found
            }
            _ => false,
        };
        if matches!(self, Self::Map(entries) if entries.is_empty())
            || matches!(self, Self::List(items) if items.is_empty())
        {
            *self = Self::Nothing;
        }
        is_found
    }
}
