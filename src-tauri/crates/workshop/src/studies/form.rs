//! A study's file as a form: what varies and how much of this computer the runs may take. What is not in the form, and
//! every comment, stays as it is in the file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_machine::HostUsage;
use windlass_package::edit::{self, EditError, Value};
use windlass_study::record;
use windlass_study::study::{Combine, FILE, Limits, Target, Values, Variable};
use windlass_study::{Study, case};

use super::{StudyReport, case_folder, study_folder};
use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// The name of a table of values that was loaded.
const TABLE: &str = "runs.csv";
/// A table of ten thousand runs is smaller.
const TABLE_MAX_BYTES: u64 = 16 << 20;

/// What varies in a study, and how much of this computer its runs may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudyForm {
    /// What varies.
    pub variables: Vec<StudyVariable>,
    /// How several variables with values go together.
    pub combine: StudyCombine,
    /// The CSV file of values, beside the study's own file.
    pub table: Option<String>,
    /// How much of this computer the runs may take.
    pub limits: StudyLimits,
}

/// Something that differs from run to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct StudyVariable {
    /// Its name, in formulas and tables.
    pub name: String,
    /// Where it is written.
    pub place: VariablePlace,
    /// Its values.
    pub values: VariableValues,
}

/// Where the value of a variable goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", tag = "at")]
pub enum VariablePlace {
    /// An entry of an OpenFOAM dictionary.
    Entry {
        /// The file within the case.
        file: String,
        /// The path of the entry.
        entry: String,
    },
    /// A place in any text file.
    Pattern {
        /// The file within the case.
        file: String,
        /// A regular expression, line by line.
        pattern: String,
    },
    /// The environment of the program.
    Environment {
        /// The name there.
        key: String,
    },
    /// Nowhere: formulas use it.
    Nowhere,
}

/// The values of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", tag = "from")]
pub enum VariableValues {
    /// These, as they are written.
    List {
        /// At least one.
        values: Vec<String>,
    },
    /// `from:to:step`.
    Range {
        /// The text.
        range: String,
    },
    /// Calculated from other variables.
    Formula {
        /// The text.
        formula: String,
    },
    /// A column of the table.
    Table,
}

/// How lists of values go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum StudyCombine {
    /// Every value with every other.
    Grid,
    /// The first values together, then the second ones.
    Zip,
}

/// How much of this computer the runs may take; what is `None` is decided where they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudyLimits {
    /// How many run at the same time.
    pub at_once: Option<u32>,
    /// The most minutes of a run.
    pub minutes: Option<u32>,
    /// Memory of a machine.
    pub memory_mib: Option<u32>,
    /// Processors of a machine.
    pub vcpus: Option<u32>,
    /// Whether a run that diverges is stopped at once.
    pub stop_when_diverged: bool,
}

/// What this computer has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudyRoom {
    /// Its processors.
    pub processors: u32,
    /// Memory that is free, in MiB.
    pub free_mib: u32,
    /// How many runs go at the same time where the study says nothing.
    pub at_once: u32,
    /// Memory of a machine where the study says nothing, in MiB.
    pub memory_mib: u32,
    /// Processors of a machine where the study says nothing.
    pub vcpus: u32,
}

/// A file of a case with the values that can vary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
pub struct StudyCaseFile {
    /// Its path within the case.
    pub path: String,
    /// Its entries, in the order of the file.
    pub entries: Vec<StudyCaseEntry>,
}

/// An entry of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
pub struct StudyCaseEntry {
    /// Its path within the file.
    pub path: String,
    /// Its value.
    pub value: String,
    /// Its line, from 1.
    pub line: u32,
}

impl Workshop {
    /// What varies in a study, and how much its runs may take.
    ///
    /// # Errors
    /// `NotFound` where there is no study; `Input` when its file has a mistake.
    pub fn study_form(&self, folder: &Path) -> Result<StudyForm> {
        let study = Study::load(&study_folder(folder)?)?.value;
        Ok(StudyForm::of(&study))
    }

    /// Changes what varies, and how much the runs may take; says what the study comes to then.
    ///
    /// # Errors
    /// `Input` when a value has a mistake, or does not go with the case: the file stays as it was then.
    pub fn study_save_form(&self, folder: &Path, form: &StudyForm) -> Result<StudyReport> {
        let folder = study_folder(folder)?;
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).doing("read", &path)?;
        let now = StudyForm::of(&Study::parse(&text, FILE)?.value);
        let text = form.written(&now, &text)?;
        let check = self.checked_text(&folder, Study::parse(&text, FILE)?)?;
        write_whole(&path, text.as_bytes())?;
        Ok(check.report(self))
    }

    /// Takes a CSV file as the table of a study's values; says what varies then.
    ///
    /// # Errors
    /// `Input` when it is no table, or too large: the study stays as it was then.
    pub fn study_load_table(&self, folder: &Path, csv: &Path) -> Result<StudyForm> {
        let folder = study_folder(folder)?;
        let size_bytes = std::fs::metadata(csv).doing("read", csv)?.len();
        if size_bytes > TABLE_MAX_BYTES {
            let message = format!("{} is too large to be a table of values", csv.display());
            return Err(AppError::new(ErrorKind::Input, message)
                .hinted("A table has a column for each variable and a line for each run"));
        }
        let names = windlass_study::runs::columns(csv)?;
        let bytes = std::fs::read(csv).doing("read", csv)?;
        let mut form = self.study_form(&folder)?;
        form.table = Some(TABLE.to_owned());
        for name in names {
            match form.variables.iter_mut().find(|one| one.name == name) {
                Some(variable) => variable.values = VariableValues::Table,
                None => form.variables.push(StudyVariable {
                    name,
                    place: VariablePlace::Nowhere,
                    values: VariableValues::Table,
                }),
            }
        }
        let path = folder.join(TABLE);
        let before = std::fs::read(&path).ok();
        write_whole(&path, &bytes)?;
        self.study_save_form(&folder, &form).inspect_err(|_| {
            let _ = match &before {
                Some(before) => write_whole(&path, before),
                None => std::fs::remove_file(&path).doing("remove", &path),
            };
        })?;
        Ok(form)
    }

    /// The values of a study's case, of which any can be made to vary; none where it is not one of OpenFOAM.
    ///
    /// # Errors
    /// `NotFound` where there is no study; when the case cannot be read.
    pub fn study_case(&self, folder: &Path) -> Result<Vec<StudyCaseFile>> {
        let folder = study_folder(folder)?;
        let study = Study::load(&folder)?.value;
        let Some(case) = case_folder(&study, &folder).filter(|case| case::locate(case).is_ok())
        else {
            return Ok(Vec::new());
        };
        let files = case::entries(&case)?.into_iter();
        let entry = |entry: case::CaseEntry| StudyCaseEntry {
            path: entry.path,
            value: entry.value,
            line: u32::try_from(entry.line).unwrap_or(u32::MAX),
        };
        Ok(files
            .map(|file| StudyCaseFile {
                path: file.path,
                entries: file.entries.into_iter().map(entry).collect(),
            })
            .collect())
    }

    /// What this computer has room for, with the settings of the study's appliance.
    ///
    /// # Errors
    /// `NotFound` where there is no study; `Input` when its file has a mistake.
    pub fn study_room(&self, folder: &Path) -> Result<StudyRoom> {
        let study = Study::load(&study_folder(folder)?)?.value;
        let appliance = study.appliance.as_deref();
        let settings = appliance
            .and_then(|name| self.find_appliance(name).ok())
            .and_then(|appliance| self.run_form(&appliance.id).ok())
            .map(|form| form.settings);
        let settings = match settings {
            Some(settings) => settings,
            None => self.settings_of(&windlass_package::BuildSettings::default())?,
        };
        let usage = HostUsage::now();
        let processors = usage.as_ref().map_or(1, |usage| usage.processors);
        let free_mib = usage.map_or(0, |usage| usage.memory_available_bytes >> 20);
        let (memory_mib, vcpus) = (
            study.limits.memory_mib.unwrap_or(settings.memory_mib),
            study.limits.vcpus.unwrap_or(settings.vcpus),
        );
        Ok(StudyRoom {
            processors,
            free_mib: u32::try_from(free_mib).unwrap_or(u32::MAX),
            at_once: record::at_once(None, vcpus, memory_mib, processors, free_mib),
            memory_mib: settings.memory_mib,
            vcpus: settings.vcpus,
        })
    }
}

impl StudyForm {
    fn of(study: &Study) -> Self {
        Self {
            variables: study.variables.iter().map(StudyVariable::of).collect(),
            combine: match study.combine {
                Combine::Grid => StudyCombine::Grid,
                Combine::Zip => StudyCombine::Zip,
            },
            table: study
                .table
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            limits: StudyLimits::of(study.limits),
        }
    }

    /// The text with what differs from `now` written anew.
    fn written(&self, now: &Self, text: &str) -> std::result::Result<String, EditError> {
        let mut text = text.to_owned();
        if self.variables.is_empty() {
            text = without(&text, "variables")?;
        } else if now.variables.is_empty() {
            let all = self.variables.iter().map(StudyVariable::value).collect();
            text = edit::set(&text, &["variables"], &Value::List(all))?;
        } else {
            for gone in (self.variables.len()..now.variables.len()).rev() {
                text = edit::remove(&text, &["variables", &gone.to_string()])?;
            }
            for (index, variable) in self.variables.iter().enumerate() {
                if now.variables.get(index) != Some(variable) {
                    let path = ["variables", &index.to_string()];
                    text = edit::set(&text, &path, &variable.value())?;
                }
            }
        }
        if self.combine != now.combine {
            text = match self.combine {
                StudyCombine::Grid => without(&text, "combine")?,
                StudyCombine::Zip => edit::set(&text, &["combine"], &"zip".into())?,
            };
        }
        if self.table != now.table {
            text = match &self.table {
                None => without(&text, "table")?,
                Some(table) => edit::set(&text, &["table"], &table.as_str().into())?,
            };
        }
        self.limits.written(now.limits, text)
    }
}

/// The text without a key that may not be there.
fn without(text: &str, key: &str) -> std::result::Result<String, EditError> {
    match edit::remove(text, &[key]) {
        Err(EditError::NotThere { .. }) => Ok(text.to_owned()),
        changed => changed,
    }
}

impl StudyVariable {
    fn of(variable: &Variable) -> Self {
        Self {
            name: variable.name.clone(),
            place: match &variable.target {
                None => VariablePlace::Nowhere,
                Some(Target::Entry { file, entry }) => VariablePlace::Entry {
                    file: file.clone(),
                    entry: entry.clone(),
                },
                Some(Target::Pattern { file, pattern }) => VariablePlace::Pattern {
                    file: file.clone(),
                    pattern: pattern.clone(),
                },
                Some(Target::Environment { name }) => {
                    VariablePlace::Environment { key: name.clone() }
                }
            },
            values: match &variable.values {
                Values::List(values) => VariableValues::List {
                    values: values.clone(),
                },
                Values::Range(range) => VariableValues::Range {
                    range: range.clone(),
                },
                Values::Formula(formula) => VariableValues::Formula {
                    formula: formula.clone(),
                },
                Values::Table => VariableValues::Table,
            },
        }
    }

    /// As an item of `variables`.
    fn value(&self) -> Value {
        let mut entries = vec![("name".to_owned(), self.name.as_str().into())];
        let mut text = |key: &str, text: &str| entries.push((key.to_owned(), text.trim().into()));
        match &self.place {
            VariablePlace::Entry { file, entry } => {
                text("file", file);
                text("entry", entry);
            }
            VariablePlace::Pattern { file, pattern } => {
                text("file", file);
                text("pattern", pattern);
            }
            VariablePlace::Environment { key } => text("environment", key),
            VariablePlace::Nowhere => {}
        }
        match &self.values {
            VariableValues::List { values } => {
                let values = values.iter().map(|value| number_or_text(value.trim()));
                entries.push(("values".to_owned(), Value::List(values.collect())));
            }
            VariableValues::Range { range } => text("range", range),
            VariableValues::Formula { formula } => text("formula", formula),
            VariableValues::Table => {}
        }
        Value::Map(entries)
    }
}

/// A number needs no quotes; the reader takes it for the text that it is.
fn number_or_text(value: &str) -> Value {
    let is_number = value.parse::<f64>().is_ok_and(f64::is_finite)
        && value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if is_number {
        Value::Plain(value.to_owned())
    } else {
        value.into()
    }
}

impl StudyLimits {
    fn of(limits: Limits) -> Self {
        Self {
            at_once: limits.at_once,
            minutes: limits.minutes,
            memory_mib: limits.memory_mib,
            vcpus: limits.vcpus,
            stop_when_diverged: limits.stop_when_diverged.unwrap_or(true),
        }
    }

    fn written(self, now: Self, mut text: String) -> std::result::Result<String, EditError> {
        let numbers = [
            ("at_once", self.at_once, now.at_once),
            ("minutes", self.minutes, now.minutes),
            ("memory_mib", self.memory_mib, now.memory_mib),
            ("vcpus", self.vcpus, now.vcpus),
        ];
        for (key, wanted, there) in numbers {
            if wanted != there {
                text = match wanted {
                    Some(number) => edit::set(&text, &["limits", key], &i64::from(number).into())?,
                    None => edit::remove(&text, &["limits", key])?,
                };
            }
        }
        if self.stop_when_diverged != now.stop_when_diverged {
            let path = ["limits", "stop_when_diverged"];
            text = if self.stop_when_diverged {
                edit::remove(&text, &path)?
            } else {
                edit::set(&text, &path, &false.into())?
            };
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Lift over angle
title: Polar
variables:
# the angle
- {name: alpha, range: 0:12:4}
- {name: U, file: 0/U, entry: internalField, formula: (26*cos(alpha*degree) 26*sin(alpha*degree) 0)}
limits: {at_once: 2}
";

    fn form() -> StudyForm {
        StudyForm::of(&Study::parse(TEXT, FILE).unwrap().value)
    }

    fn written(change: impl FnOnce(&mut StudyForm)) -> String {
        let mut form = form();
        change(&mut form);
        let text = form.written(&self::form(), TEXT).unwrap();
        let read = StudyForm::of(&Study::parse(&text, FILE).unwrap().value);
        assert_eq!(read, form, "{text}");
        text
    }

    #[test]
    fn what_does_not_change_stays_byte_for_byte() {
        assert_eq!(written(|_| {}), TEXT);
    }

    #[test]
    fn a_variable_is_added_and_another_one_changed() {
        let text = written(|form| {
            form.variables[0].values = VariableValues::List {
                values: vec!["0".into(), "-4.5e0".into(), "fast one".into()],
            };
            form.variables.push(StudyVariable {
                name: "nu".into(),
                place: VariablePlace::Entry {
                    file: "constant/transportProperties".into(),
                    entry: "nu".into(),
                },
                values: VariableValues::Range {
                    range: "0.01:0.04:0.01".into(),
                },
            });
            form.combine = StudyCombine::Zip;
        });
        insta::assert_snapshot!(text, @r#"
        # Lift over angle
        title: Polar
        variables:
        # the angle
        - {name: alpha, values: [0, -4.5e0, fast one]}
        - {name: U, file: 0/U, entry: internalField, formula: (26*cos(alpha*degree) 26*sin(alpha*degree) 0)}
        - name: nu
          file: constant/transportProperties
          entry: nu
          range: "0.01:0.04:0.01"
        limits: {at_once: 2}
        combine: zip
        "#);
    }

    #[test]
    fn the_first_variable_begins_the_list() {
        for text in ["title: Cavity\n", "variables: []\n", ""] {
            let now = StudyForm::of(&Study::parse(text, FILE).unwrap().value);
            let wanted = form();
            let text = wanted.written(&now, text).unwrap();
            let read = Study::parse(&text, FILE).unwrap().value;
            assert_eq!(StudyForm::of(&read), wanted, "{text}");
        }
    }

    #[test]
    fn all_of_it_goes() {
        let text = written(|form| {
            form.variables.clear();
            form.limits = StudyLimits {
                minutes: Some(60),
                ..StudyLimits::default()
            };
        });
        insta::assert_snapshot!(text, @"
        # Lift over angle
        title: Polar
        limits:
          minutes: 60
          stop_when_diverged: false
        ");
    }
}
