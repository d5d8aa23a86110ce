//! A [`Study`] to the text of a `study.yaml`.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::parallel::Parallel;

use super::{Combine, Limits, ResultPart, ResultSource, Study, Target, Values, Variable};

impl Study {
    /// The text of a `study.yaml`, which [`Study::parse`] reads as the same.
    ///
    /// # Errors
    ///
    /// Never for a study that was read; the serialiser's own failures are passed on.
    pub fn to_yaml(&self) -> Result<String, crate::StudyError> {
        serde_saphyr::to_string(self).map_err(|error| crate::StudyError::Io {
            doing: "write",
            path: super::FILE.into(),
            source: std::io::Error::other(error),
        })
    }
}

impl Serialize for Study {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut text = |key: &'static str, value: Option<&str>| match value {
            Some(value) => map.serialize_entry(key, value),
            None => Ok(()),
        };
        text("title", self.title.as_deref())?;
        text(
            "case",
            self.case.as_deref().and_then(std::path::Path::to_str),
        )?;
        text("appliance", self.appliance.as_deref())?;
        if !self.steps.is_empty() {
            map.serialize_entry("steps", &self.steps)?;
        }
        if let Some(parallel) = &self.parallel {
            map.serialize_entry("parallel", parallel)?;
        }
        if !self.variables.is_empty() {
            map.serialize_entry("variables", &self.variables)?;
        }
        if self.combine == Combine::Zip {
            map.serialize_entry("combine", "zip")?;
        }
        if let Some(table) = self.table.as_deref().and_then(std::path::Path::to_str) {
            map.serialize_entry("table", table)?;
        }
        if self.limits != Limits::default() {
            map.serialize_entry("limits", &self.limits)?;
        }
        if !self.results.is_empty() {
            map.serialize_entry("results", &self.results)?;
        }
        map.end()
    }
}

impl Serialize for Parallel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cores", &self.cores)?;
        map.serialize_entry("method", self.method.name())?;
        if let Some(parts) = &self.parts {
            map.serialize_entry("parts", parts)?;
        }
        map.end()
    }
}

impl Serialize for Variable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        match &self.target {
            Some(Target::Entry { file, entry }) => {
                map.serialize_entry("file", file)?;
                map.serialize_entry("entry", entry)?;
            }
            Some(Target::Pattern { file, pattern }) => {
                map.serialize_entry("file", file)?;
                map.serialize_entry("pattern", pattern)?;
            }
            Some(Target::Environment { name }) => map.serialize_entry("environment", name)?,
            None => {}
        }
        match &self.values {
            Values::List(values) => map.serialize_entry("values", values)?,
            Values::Range(range) => map.serialize_entry("range", range)?,
            Values::Formula(formula) => map.serialize_entry("formula", formula)?,
            Values::Table => {}
        }
        map.end()
    }
}

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let numbers = [
            ("at_once", self.at_once),
            ("minutes", self.minutes),
            ("memory_mib", self.memory_mib),
            ("vcpus", self.vcpus),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                map.serialize_entry(key, &number)?;
            }
        }
        if let Some(stop) = self.stop_when_diverged {
            map.serialize_entry("stop_when_diverged", &stop)?;
        }
        map.end()
    }
}

impl Serialize for ResultSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        if let Some(file) = &self.file {
            map.serialize_entry("file", file)?;
        }
        match &self.of {
            ResultPart::Column(column) => map.serialize_entry("column", column)?,
            ResultPart::Pattern(pattern) => map.serialize_entry("pattern", pattern)?,
            ResultPart::Whole => {}
        }
        map.end()
    }
}
