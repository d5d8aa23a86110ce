//! What can be set in a package's environment: typed, so that a form can be made of it.
//!
//! ```yaml
//! x-environment:
//! - name: PORT                  # required
//!   type: port                  # text, integer, number, boolean, choice, path, port or secret
//!   default: 8080
//!   description: Where the service listens
//!   required: false
//! - {name: LOG, type: choice, choices: [info, debug]}
//! ```
//!
//! Capstan's packages have this as a table in their README, for people alone.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Finding;
use crate::yaml::{Fields, Mistake, Value, nearest};

type Result<T> = std::result::Result<T, Box<Mistake>>;

/// What the value of a variable may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VariableKind {
    /// Anything on one line.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// A number, such as `-1.5e3`.
    Number,
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// An absolute path in the guest.
    Path,
    /// A port, 1 to 65535.
    Port,
    /// A text that is not shown, and not stored with the settings.
    Secret,
}

impl VariableKind {
    const NAMES: [&'static str; 8] = [
        "text", "integer", "number", "boolean", "choice", "path", "port", "secret",
    ];

    /// As it is written after `type:`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Choice(_) => "choice",
            Self::Path => "path",
            Self::Port => "port",
            Self::Secret => "secret",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "choice" => Self::Choice(Vec::new()),
            "path" => Self::Path,
            "port" => Self::Port,
            "secret" => Self::Secret,
            _ => return None,
        })
    }

    /// What is wrong with this value, as the rest of a sentence ("is not a whole number").
    pub fn objection(&self, value: &str) -> Option<String> {
        if value.contains(['\0', '\n', '\r']) {
            return Some("is not one line".into());
        }
        let fits = match self {
            Self::Text | Self::Secret => true,
            Self::Integer => value.parse::<i64>().is_ok(),
            Self::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Boolean => matches!(value, "true" | "false"),
            Self::Choice(choices) => choices.iter().any(|choice| choice == value),
            Self::Path => value.starts_with('/'),
            Self::Port => value.parse::<u16>().is_ok_and(|port| port != 0),
        };
        if fits {
            return None;
        }
        Some(match self {
            Self::Integer => "is not a whole number".into(),
            Self::Number => "is not a number".into(),
            Self::Boolean => "is neither `true` nor `false`".into(),
            Self::Choice(choices) => format!("is none of {}", choices.join(", ")),
            Self::Path => "does not begin with a slash".into(),
            Self::Port => "is not a port, 1 to 65535".into(),
            Self::Text | Self::Secret => return None,
        })
    }
}

/// A variable that can be set when a package runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentVariable {
    /// Its name, without blanks and `=`.
    pub name: String,
    /// What its value may be.
    pub kind: VariableKind,
    /// Its value where nothing else is said.
    pub default: Option<String>,
    /// What it does, for a person.
    pub description: Option<String>,
    /// Whether it has to be set, where it has no default.
    pub required: bool,
}

impl EnvironmentVariable {
    /// What is wrong when it is set to this, or not at all; as the rest of a sentence.
    pub fn objection(&self, value: Option<&str>) -> Option<String> {
        match value {
            None | Some("") if self.required && self.default.is_none() => {
                Some("has to be set".into())
            }
            None | Some("") => None,
            Some(value) => self.kind.objection(value),
        }
    }
}

pub(super) fn parse(
    manifest: &mut Fields<'_>,
    notes: &mut Vec<Finding>,
) -> Result<Vec<EnvironmentVariable>> {
    let source = manifest.source();
    let Some(node) = manifest.take("x-environment") else {
        return Ok(Vec::new());
    };
    let Value::List(items) = node.value else {
        return Err(source.mistake(
            node.place,
            format!(
                "`x-environment` has to be a list, and this is {}",
                node.value.kind()
            ),
        ));
    };
    let mut variables: Vec<EnvironmentVariable> = Vec::with_capacity(items.len());
    for item in items {
        let place = item.place;
        let mut fields = Fields::new(item, "a variable", source.text, source.file)?;
        let variable = variable(&mut fields)?;
        fields.finish(notes);
        if variables.iter().any(|other| other.name == variable.name) {
            return Err(source.mistake(place, format!("`{}` is there twice", variable.name)));
        }
        variables.push(variable);
    }
    Ok(variables)
}

fn variable(fields: &mut Fields<'_>) -> Result<EnvironmentVariable> {
    let source = fields.source();
    let place = fields.place();
    let name = fields.required_text("name")?;
    if name.ends_with('?') || name.contains(['=', ' ', '\t', '\n', '\0']) {
        return Err(source.mistake(place, format!("`{name}` cannot be the name of a variable")));
    }
    let mut kind = VariableKind::Text;
    if let Some((text, place)) = fields.text_node("type")? {
        kind = VariableKind::from_name(&text).ok_or_else(|| {
            let mut mistake = source.mistake(place, format!("`{text}` is not a type"));
            mistake.suggestion = nearest(&text, VariableKind::NAMES).map(str::to_owned);
            mistake.help = Some(format!("There are {}.", VariableKind::NAMES.join(", ")));
            mistake
        })?;
    }
    let choices = fields.texts("choices")?;
    if matches!(kind, VariableKind::Choice(_)) {
        if choices.is_empty() {
            return Err(fields.missing("choices"));
        }
        kind = VariableKind::Choice(choices);
    }
    let default = fields.text_node("default")?;
    if let Some((value, place)) = &default
        && let Some(objection) = kind.objection(value)
    {
        return Err(source.mistake(*place, format!("the default of `{name}` {objection}")));
    }
    Ok(EnvironmentVariable {
        name,
        kind,
        default: default.map(|(value, _)| value),
        description: fields.text("description")?,
        required: fields.boolean("required")?.unwrap_or(false),
    })
}

impl Serialize for EnvironmentVariable {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        if self.kind != VariableKind::Text {
            map.serialize_entry("type", self.kind.name())?;
        }
        if let VariableKind::Choice(choices) = &self.kind {
            map.serialize_entry("choices", choices)?;
        }
        if let Some(default) = &self.default {
            map.serialize_entry("default", default)?;
        }
        if let Some(description) = &self.description {
            map.serialize_entry("description", description)?;
        }
        if self.required {
            map.serialize_entry("required", &true)?;
        }
        map.end()
    }
}
