//! What is read of a run when it is done: the last value of a table's column, or what a pattern finds.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use crate::StudyError;
use crate::changes::{pattern, within};
use crate::dictionary::read_text;
use crate::log::Table;
use crate::study::{ResultPart, ResultSource};

/// A result that is shown as it is, is not longer than this.
const WHOLE_BYTES: usize = 1000;

impl ResultSource {
    /// Reads it from the files of a run that is done, or from what its programs said. None where the run did not write it.
    ///
    /// # Errors
    ///
    /// The path leads out of the folder, or the file cannot be read.
    pub fn read(&self, files: &Path, console: &Path) -> Result<Option<String>, StudyError> {
        let path = match &self.file {
            Some(file) => find(files, file)?,
            None => Some(console.to_owned()).filter(|console| console.is_file()),
        };
        let Some(path) = path else {
            return Ok(None);
        };
        let (text, _) = read_text(&path).map_err(|source| StudyError::Io {
            doing: "read",
            path: path.clone(),
            source: std::io::Error::other(source),
        })?;
        let text = String::from_utf8_lossy(&text);
        Ok(match &self.of {
            ResultPart::Whole => Some(text.trim())
                .filter(|text| text.len() <= WHOLE_BYTES)
                .map(ToOwned::to_owned),
            ResultPart::Column(column) => Table::parse(&text)
                .ok()
                .and_then(|table| table.last(column))
                .map(|value| value.to_string()),
            ResultPart::Pattern(expression) => pattern(expression).ok().and_then(|pattern| {
                let found = pattern.captures_iter(&text).last()?;
                Some(
                    found
                        .get(1)
                        .or_else(|| found.get(0))?
                        .as_str()
                        .trim()
                        .to_owned(),
                )
            }),
        })
    }
}

/// The file that a path with `*` stands for: of several the last, numbers in their order.
fn find(folder: &Path, file: &str) -> Result<Option<PathBuf>, StudyError> {
    if file.starts_with('/') {
        return Err(StudyError::Outside { path: file.into() });
    }
    let mut found = String::new();
    for part in file.split('/') {
        let part = if part.contains('*') {
            let within_now = if found.is_empty() {
                folder.to_owned()
            } else {
                within(folder, &found)?
            };
            let Ok(entries) = fs::read_dir(&within_now) else {
                return Ok(None);
            };
            let names = entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned());
            let Some(last) = names
                .filter(|name| matches(part, name))
                .max_by(|a, b| order(a, b))
            else {
                return Ok(None);
            };
            last
        } else {
            part.to_owned()
        };
        if !found.is_empty() {
            found.push('/');
        }
        found.push_str(&part);
    }
    let path = within(folder, &found)?;
    let packed = within(folder, &format!("{found}.gz"))?;
    Ok([path, packed].into_iter().find(|path| path.is_file()))
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, end)) = pattern.split_once('*') else {
        return pattern == name;
    };
    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
}

/// By number where both are one: times are the names of folders.
fn order(a: &str, b: &str) -> Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        (Ok(_), Err(_)) => Ordering::Greater,
        (Err(_), Ok(_)) => Ordering::Less,
        _ => a.cmp(b),
    }
}
