//! The text of `study.yaml` to a [`Study`].

use std::path::{Path, PathBuf};

use windlass_package::Finding;
use windlass_package::settings::{MEMORY_MIB, VCPUS};
use windlass_package::yaml::{self, Fields, Mistake, Node, Parsed, Place, Source, Value};

use super::{Combine, Limits, ResultPart, ResultSource, Study, Target, Values, Variable};
use crate::StudyError;
use crate::formula::Formula;
use crate::parallel::{CORES, Method, Parallel};

type Result<T> = std::result::Result<T, Box<Mistake>>;

/// The most variables, steps and results of a study.
const MOST: usize = 200;

impl Study {
    /// Reads the text of a `study.yaml`. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// It is not YAML; a value is of the wrong kind, a formula or a pattern is none.
    pub fn parse(text: &str, file: &str) -> std::result::Result<Parsed<Self>, StudyError> {
        Ok(parse(text, file)?)
    }

    /// Reads the `study.yaml` of a folder, or the file itself.
    ///
    /// # Errors
    ///
    /// As [`Study::parse`]; the file cannot be read, or is too large to be one.
    pub fn load(path: &Path) -> std::result::Result<Parsed<Self>, StudyError> {
        let path = if path.is_dir() {
            path.join(super::FILE)
        } else {
            path.to_owned()
        };
        let io = |source| StudyError::Io {
            doing: "read",
            path: path.clone(),
            source,
        };
        let size = std::fs::metadata(&path).map_err(io)?.len();
        if size > yaml::FILE_MAX_BYTES {
            return Err(io(std::io::Error::from(std::io::ErrorKind::FileTooLarge)));
        }
        let text = std::fs::read_to_string(&path).map_err(io)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::parse(&text, &name)
    }
}

fn parse(text: &str, file: &str) -> Result<Parsed<Study>> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "a study", text, file)?;
    let source = fields.source();
    let mut notes = Vec::new();
    let study = Study {
        title: fields.text("title")?,
        case: path(&mut fields, "case")?,
        appliance: fields.text("appliance")?,
        steps: fields.texts("steps")?,
        parallel: match fields.take("parallel") {
            Some(node) => Some(parallel(node, source, &mut notes)?),
            None => None,
        },
        variables: list(&mut fields, "variables")?
            .into_iter()
            .map(|node| variable(node, source, &mut notes))
            .collect::<Result<_>>()?,
        combine: combine(&mut fields)?,
        table: path(&mut fields, "table")?,
        limits: match fields.take("limits") {
            Some(node) => limits(node, source, &mut notes)?,
            None => Limits::default(),
        },
        results: list(&mut fields, "results")?
            .into_iter()
            .map(|node| result(node, source, &mut notes))
            .collect::<Result<_>>()?,
    };
    let place = fields.place();
    for (index, variable) in study.variables.iter().enumerate() {
        if study.variables[..index]
            .iter()
            .any(|other| other.name == variable.name)
        {
            return Err(source.mistake(
                place,
                format!("there are two variables called `{}`", variable.name),
            ));
        }
    }
    fields.finish(&mut notes);
    Ok(Parsed {
        value: study,
        notes,
    })
}

fn parallel(node: Node, source: Source<'_>, notes: &mut Vec<Finding>) -> Result<Parallel> {
    let mut fields = Fields::new(node, "how a case is cut", source.text, source.file)?;
    let cores = fields.number("cores", CORES.0, CORES.1)?;
    let cores = cores.ok_or_else(|| fields.missing("cores"))?;
    let method = match fields.text_node("method")? {
        None => Method::default(),
        Some((name, place)) => Method::of(&name).ok_or_else(|| {
            source.mistake(
                place,
                format!("`method` has to be simple, hierarchical or scotch, not `{name}`"),
            )
        })?,
    };
    let place = fields.place();
    let texts = fields.texts("parts")?;
    let numbers: Vec<u32> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let parts = match (texts.len(), <[u32; 3]>::try_from(numbers)) {
        (0, _) => None,
        (3, Ok(parts)) if parts.iter().all(|part| (1..=CORES.1).contains(part)) => Some(parts),
        _ => {
            return Err(source.mistake(place, "`parts` has to be three numbers, such as [2, 2, 1]"));
        }
    };
    fields.finish(notes);
    Ok(Parallel {
        cores,
        method,
        parts,
    })
}

fn path(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<PathBuf>> {
    Ok(fields.text(key)?.map(PathBuf::from))
}

fn list(fields: &mut Fields<'_>, key: &'static str) -> Result<Vec<Node>> {
    let source = fields.source();
    let Some(node) = fields.take(key) else {
        return Ok(Vec::new());
    };
    match node.value {
        Value::List(items) if items.len() <= MOST => Ok(items),
        Value::List(_) => {
            Err(source.mistake(node.place, format!("`{key}` has more than {MOST} entries")))
        }
        _ => Err(source.mistake(node.place, format!("`{key}` has to be a list"))),
    }
}

fn combine(fields: &mut Fields<'_>) -> Result<Combine> {
    let source = fields.source();
    match fields.text_node("combine")? {
        None => Ok(Combine::Grid),
        Some((text, _)) if text == "grid" => Ok(Combine::Grid),
        Some((text, _)) if text == "zip" => Ok(Combine::Zip),
        Some((text, place)) => Err(source.mistake(
            place,
            format!("`combine` has to be grid or zip, not `{text}`"),
        )),
    }
}

fn variable(node: Node, source: Source<'_>, notes: &mut Vec<Finding>) -> Result<Variable> {
    let place = node.place;
    let mut fields = Fields::new(node, "a variable", source.text, source.file)?;
    let name = fields.required_text("name")?;
    let is_name = name.starts_with(|char: char| char.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.len() <= 64;
    if !is_name {
        return Err(source.mistake(
            place,
            format!("`{name}` cannot be the name of a variable: letters, digits and _ can"),
        ));
    }
    let target = target(&mut fields, place)?;
    let has_values = fields.take("values");
    let range = fields.text_node("range")?;
    let formula = fields.text_node("formula")?;
    let values = match (has_values, range, formula) {
        (Some(node), None, None) => Values::List(values(node, source)?),
        (None, Some((text, place)), None) => {
            crate::runs::range(&text).map_err(|error| source.mistake(place, error.to_string()))?;
            Values::Range(text)
        }
        (None, None, Some((text, place))) => {
            Formula::parse(&text).map_err(|error| source.mistake(place, error.to_string()))?;
            Values::Formula(text)
        }
        (None, None, None) => Values::Table,
        _ => {
            return Err(source.mistake(
                place,
                "a variable has `values`, a `range` or a `formula`, and only one of them",
            ));
        }
    };
    fields.finish(notes);
    Ok(Variable {
        name,
        target,
        values,
    })
}

fn target(fields: &mut Fields<'_>, place: Place) -> Result<Option<Target>> {
    let source = fields.source();
    let file = fields.text("file")?;
    let entry = fields.text_node("entry")?;
    let pattern = fields.text_node("pattern")?;
    let environment = fields.text("environment")?;
    Ok(match (file, entry, pattern, environment) {
        (None, None, None, None) => None,
        (Some(file), Some((entry, place)), None, None) => {
            entry
                .parse::<crate::dictionary::EntryPath>()
                .map_err(|error| source.mistake(place, error.to_string()))?;
            Some(Target::Entry { file, entry })
        }
        (Some(file), None, Some((pattern, place)), None) => {
            check_pattern(&pattern, place, source)?;
            Some(Target::Pattern { file, pattern })
        }
        (None, None, None, Some(name)) => Some(Target::Environment { name }),
        _ => {
            return Err(source.mistake(
                place,
                "a variable is an `entry` or a `pattern` of a `file`, or an `environment` variable",
            ));
        }
    })
}

fn check_pattern(pattern: &str, place: Place, source: Source<'_>) -> Result<()> {
    match crate::changes::pattern(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(source.mistake(
            place,
            format!("the pattern is no regular expression: {error}"),
        )),
    }
}

fn values(node: Node, source: Source<'_>) -> Result<Vec<String>> {
    let place = node.place;
    let items = match node.value {
        Value::List(items) => items,
        value => vec![Node { place, value }],
    };
    let values = items.into_iter().map(|item| match item.value {
        Value::Text(text) => Ok(text),
        other => Err(source.mistake(
            item.place,
            format!("a value has to be a text, and this is {}", other.kind()),
        )),
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    if values.is_empty() {
        return Err(source.mistake(place, "there are no values"));
    }
    Ok(values)
}

fn limits(node: Node, source: Source<'_>, notes: &mut Vec<Finding>) -> Result<Limits> {
    let mut fields = Fields::new(node, "the limits", source.text, source.file)?;
    let limits = Limits {
        at_once: fields.number("at_once", 1, 1000)?,
        minutes: fields.number("minutes", 1, 1_000_000)?,
        memory_mib: fields.number("memory_mib", MEMORY_MIB.0, MEMORY_MIB.1)?,
        vcpus: fields.number("vcpus", VCPUS.0, VCPUS.1)?,
        stop_when_diverged: fields.boolean("stop_when_diverged")?,
    };
    fields.finish(notes);
    Ok(limits)
}

fn result(node: Node, source: Source<'_>, notes: &mut Vec<Finding>) -> Result<ResultSource> {
    let place = node.place;
    let mut fields = Fields::new(node, "a result", source.text, source.file)?;
    let name = fields.required_text("name")?;
    let file = fields.text("file")?;
    let of = match (fields.text("column")?, fields.text_node("pattern")?) {
        (Some(column), None) => ResultPart::Column(column),
        (None, Some((pattern, place))) => {
            check_pattern(&pattern, place, source)?;
            ResultPart::Pattern(pattern)
        }
        (None, None) if file.is_some() => ResultPart::Whole,
        (None, None) => {
            return Err(source.mistake(
                place,
                "a result is read from a `file`, or found by a `pattern`",
            ));
        }
        _ => return Err(source.mistake(place, "a result is a `column` or a `pattern`, not both")),
    };
    fields.finish(notes);
    Ok(ResultSource { name, file, of })
}
