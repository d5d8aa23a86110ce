//! What a run changes in its case: shown first, written later.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::StudyError;
use crate::dictionary::{Dictionary, DictionaryError, EntryPath, read_text, write_text};
use crate::runs::Run;
use crate::study::{Study, Target};

/// A line that is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The file within the case.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// How it was.
    pub before: String,
    /// How it is in this run.
    pub after: String,
}

/// A file of a case as a run has it.
#[derive(Debug, Clone)]
pub struct ChangedFile {
    /// The file within the case, with `.gz` where it has it.
    pub file: PathBuf,
    text: Vec<u8>,
    compressed: bool,
    before: Vec<u8>,
}

/// A pattern of a study, line by line, bounded in size.
pub(crate) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text)
        .multi_line(true)
        .size_limit(1 << 20)
        .build()
}

/// A path within a case: relative, without `..`, and through no link.
///
/// # Errors
///
/// It leads somewhere else.
pub fn within(case: &Path, file: &str) -> Result<PathBuf, StudyError> {
    let outside = || StudyError::Outside { path: file.into() };
    let mut path = case.to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => continue,
            _ => return Err(outside()),
        }
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(outside());
        }
    }
    if path == case {
        Err(outside())
    } else {
        Ok(path)
    }
}

impl Study {
    /// The files of the case that this run changes, as they will be. Nothing is written.
    ///
    /// # Errors
    ///
    /// A file is not there, or has no such entry.
    pub fn changes(&self, case: &Path, run: &Run) -> Result<Vec<ChangedFile>, StudyError> {
        let mut files: BTreeMap<PathBuf, ChangedFile> = BTreeMap::new();
        for variable in &self.variables {
            let (Some(target), Some(value)) = (&variable.target, run.value(&variable.name)) else {
                continue;
            };
            let (Target::Entry { file, .. } | Target::Pattern { file, .. }) = target else {
                continue;
            };
            let place = |source| StudyError::Place {
                variable: variable.name.clone(),
                file: file.clone(),
                source: Box::new(source),
            };
            let mut path = within(case, file)?;
            if !path.exists() && matches!(target, Target::Entry { .. }) {
                let packed = within(case, &format!("{file}.gz"))?;
                if packed.exists() {
                    path = packed;
                }
            }
            if !files.contains_key(&path) {
                let (text, compressed) = read_text(&path).map_err(place)?;
                let changed = ChangedFile {
                    file: path.strip_prefix(case).unwrap_or(&path).to_owned(),
                    before: text.clone(),
                    text,
                    compressed,
                };
                files.insert(path.clone(), changed);
            }
            let Some(changed) = files.get_mut(&path) else {
                continue;
            };
            changed.text = match target {
                Target::Entry { entry, .. } => {
                    set_entry(&path, &changed.text, entry, value).map_err(place)?
                }
                Target::Pattern { pattern, .. } => set_pattern(&changed.text, pattern, value)
                    .ok_or_else(|| StudyError::Pattern {
                        pattern: pattern.clone(),
                        file: file.clone(),
                    })?,
                Target::Environment { .. } => continue,
            };
        }
        let mut files: Vec<ChangedFile> = files.into_values().collect();
        if let Some(parallel) = &self.parallel {
            let file = parallel.file(case)?;
            // A study that varies how the case is cut says so itself.
            if files.iter().all(|other| other.file != file.file) {
                files.push(file);
            }
        }
        Ok(files)
    }
}

fn set_entry(
    path: &Path,
    text: &[u8],
    entry: &str,
    value: &str,
) -> Result<Vec<u8>, DictionaryError> {
    let mut dictionary = Dictionary::parse(text).map_err(|source| DictionaryError::Syntax {
        path: path.into(),
        source,
    })?;
    dictionary.set(&entry.parse::<EntryPath>()?, value)?;
    Ok(dictionary.text().to_vec())
}

fn set_pattern(text: &[u8], pattern: &str, value: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let pattern = self::pattern(pattern).ok()?;
    let mut changed = String::with_capacity(text.len());
    let mut from = 0;
    for found in pattern.captures_iter(text) {
        let place = found.get(1).or_else(|| found.get(0))?;
        changed.push_str(&text[from..place.start()]);
        changed.push_str(value);
        from = place.end();
    }
    if from == 0 && !pattern.is_match(text) {
        return None;
    }
    changed.push_str(&text[from..]);
    Some(changed.into_bytes())
}

impl ChangedFile {
    /// A file of a case with another text.
    ///
    /// # Errors
    ///
    /// It cannot be read, or the text cannot be made of its own.
    pub fn by(
        case: &Path,
        file: &str,
        change: impl FnOnce(&[u8]) -> Result<Vec<u8>, DictionaryError>,
    ) -> Result<Self, StudyError> {
        let path = within(case, file)?;
        let place = |source: DictionaryError| StudyError::Io {
            doing: "change",
            path: path.clone(),
            source: std::io::Error::other(source),
        };
        let (before, compressed) = read_text(&path).map_err(place)?;
        Ok(Self {
            file: PathBuf::from(file),
            text: change(&before).map_err(place)?,
            compressed,
            before,
        })
    }

    /// The same with a text that is made of its own.
    ///
    /// # Errors
    ///
    /// The text cannot be made.
    pub fn changed(
        mut self,
        change: impl FnOnce(&[u8]) -> Result<Vec<u8>, DictionaryError>,
    ) -> Result<Self, DictionaryError> {
        self.text = change(&self.text)?;
        Ok(self)
    }

    /// A file that was `before`; nothing, where the case does not have it.
    pub(crate) fn new(file: PathBuf, before: Vec<u8>, text: Vec<u8>, compressed: bool) -> Self {
        Self {
            file,
            text,
            compressed,
            before,
        }
    }

    /// Whether the case does not have it.
    pub fn is_new(&self) -> bool {
        self.before.is_empty()
    }

    /// The lines that differ from the case's own.
    pub fn differences(&self) -> Vec<Difference> {
        let lines = |text: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(text);
            text.split('\n')
                .map(|line| line.trim_end().chars().take(500).collect())
                .collect()
        };
        let (before, after) = (lines(&self.before), lines(&self.text));
        let file = self.file.to_string_lossy().into_owned();
        before
            .into_iter()
            .zip(after)
            .enumerate()
            .filter(|(_, (before, after))| before != after)
            .map(|(index, (before, after))| Difference {
                file: file.clone(),
                line: index + 1,
                before,
                after,
            })
            .collect()
    }

    /// The bytes that it will have, unpacked.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The bytes that its file has: packed where it was.
    ///
    /// # Errors
    ///
    /// Never but for want of memory; the compressor's own failures are passed on.
    pub fn bytes(&self) -> Result<Vec<u8>, StudyError> {
        if !self.compressed {
            return Ok(self.text.clone());
        }
        crate::dictionary::packed(&self.text).map_err(|source| StudyError::Io {
            doing: "pack",
            path: self.file.clone(),
            source,
        })
    }

    /// Writes it into a copy of the case, packed as it was.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, copy: &Path) -> Result<(), StudyError> {
        let path = copy.join(&self.file);
        write_text(&path, &self.text, self.compressed).map_err(|source| StudyError::Io {
            doing: "write",
            path,
            source: std::io::Error::other(source),
        })
    }
}
