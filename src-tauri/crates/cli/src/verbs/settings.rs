//! `settings`: those of Windlass as a whole, by the names that the window's file has.

use clap::Subcommand;
use serde_json::{Map, Value};
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::settings::Settings;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::fields;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show all settings, or one
    Get {
        /// The setting's name
        name: Option<String>,
    },
    /// Change a setting
    Set {
        /// The setting's name
        name: String,
        /// Its value; an empty one where nothing is chosen
        value: String,
    },
}

impl Verb {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let settings = context.workshop.settings()?;
        let mut object = as_object(&settings)?;
        match self {
            Self::Get { name: None } => {
                context.output.show(&object, |object| {
                    let rows: Vec<_> = object
                        .iter()
                        .map(|(name, value)| (name.as_str(), text(value)))
                        .collect();
                    fields(&rows)
                })?;
            }
            Self::Get { name: Some(name) } => {
                let value = object.get(&name).ok_or_else(|| unknown(&name, &object))?;
                context.output.show(value, text)?;
            }
            Self::Set { name, value } => {
                let old = object.get(&name).ok_or_else(|| unknown(&name, &object))?;
                let new = if old.is_number() {
                    serde_json::from_str(&value).unwrap_or(Value::String(value))
                } else if value.is_empty() {
                    Value::Null
                } else {
                    Value::String(value)
                };
                let shown = text(&new);
                object.insert(name.clone(), new);
                let changed: Settings =
                    serde_json::from_value(Value::Object(object)).map_err(|error| {
                        let mut shown = AppError::new(
                            ErrorKind::Input,
                            format!("`{shown}` cannot be the value of `{name}`"),
                        );
                        shown.chain.push(error.to_string());
                        Failure::from(shown)
                    })?;
                let kept = as_object(&context.workshop.set_settings(changed)?)?;
                let value = kept.get(&name).cloned().unwrap_or_default();
                context
                    .output
                    .show(&value, |value| format!("{name}: {}", text(value)))?;
            }
        }
        Ok(0)
    }
}

fn as_object(settings: &Settings) -> Result<Map<String, Value>, Failure> {
    Ok(match serde_json::to_value(settings)? {
        Value::Object(object) => object,
        _ => Map::new(),
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn unknown(name: &str, object: &Map<String, Value>) -> AppError {
    let names: Vec<_> = object.keys().map(String::as_str).collect();
    AppError::not_found("setting", name).hinted(format!("There are {}", names.join(", ")))
}
