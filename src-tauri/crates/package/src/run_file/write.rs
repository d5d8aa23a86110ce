//! From [`RunFile`] to text.

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{FILE, RunConfiguration, RunFile, Settings};
use crate::{Error, yaml};

pub(super) fn to_yaml(run: &RunFile) -> Result<String, Error> {
    yaml::to_text(&Document(run), Path::new(FILE))
}

struct Document<'a>(&'a RunFile);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("runtime", self.0.runtime.name())?;
        map.serialize_entry("config_set", &ConfigSet(&self.0.config_set))?;
        if !self.0.config_set_default.is_empty() {
            map.serialize_entry("config_set_default", &self.0.config_set_default.join(","))?;
        }
        map.end()
    }
}

struct ConfigSet<'a>(&'a [RunConfiguration]);

impl Serialize for ConfigSet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for configuration in self.0 {
            map.serialize_entry(&configuration.name, &Body(configuration))?;
        }
        map.end()
    }
}

struct Body<'a>(&'a RunConfiguration);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(base) = &self.0.base {
            map.serialize_entry("base", &base.to_string())?;
        }
        match &self.0.settings {
            Settings::Native { bootcmd, by_guest } => {
                text(&mut map, "bootcmd", bootcmd.as_deref())?;
                if !by_guest.is_empty() {
                    let pairs: Vec<_> = by_guest
                        .iter()
                        .map(|(guest, command)| (guest.to_string(), command.clone()))
                        .collect();
                    map.serialize_entry("x-bootcmd", &Pairs(&pairs))?;
                }
            }
            Settings::Node {
                main,
                node_args,
                args,
                shell,
            } => {
                text(&mut map, "main", main.as_deref())?;
                list(&mut map, "node_args", node_args)?;
                list(&mut map, "args", args)?;
                flag(&mut map, "shell", *shell)?;
            }
            Settings::Java {
                main,
                xms,
                xmx,
                classpath,
                jvm_args,
                args,
            } => {
                text(&mut map, "main", main.as_deref())?;
                text(&mut map, "xms", xms.as_deref())?;
                text(&mut map, "xmx", xmx.as_deref())?;
                list(&mut map, "classpath", classpath)?;
                list(&mut map, "jvm_args", jvm_args)?;
                list(&mut map, "args", args)?;
            }
            Settings::Python {
                main,
                python_args,
                args,
                shell,
            } => {
                text(&mut map, "main", main.as_deref())?;
                list(&mut map, "python_args", python_args)?;
                list(&mut map, "args", args)?;
                flag(&mut map, "shell", *shell)?;
            }
        }
        if !self.0.env.is_empty() {
            map.serialize_entry("env", &Pairs(&self.0.env))?;
        }
        map.end()
    }
}

struct Pairs<'a>(&'a [(String, String)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::manifest::as_map(self.0, serializer)
    }
}

fn text<M: SerializeMap>(map: &mut M, key: &str, value: Option<&str>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, value))
}

fn list<M: SerializeMap>(map: &mut M, key: &str, values: &[String]) -> Result<(), M::Error> {
    if values.is_empty() {
        Ok(())
    } else {
        map.serialize_entry(key, values)
    }
}

fn flag<M: SerializeMap>(map: &mut M, key: &str, value: bool) -> Result<(), M::Error> {
    if value {
        map.serialize_entry(key, &true)
    } else {
        Ok(())
    }
}
