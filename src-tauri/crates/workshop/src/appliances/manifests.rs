//! The two texts that describe an appliance, for an editor: read, checked while they are written,
//! and saved where nobody else changed them meanwhile.

use std::path::Path;

use windlass_package::yaml::Mistake;
use windlass_package::{Manifest, RunFile, manifest, run_file};

use super::{ManifestFile, ManifestSaved, ManifestText, Severity, TextMistake};
use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};

impl ManifestFile {
    /// Where it is, within a package.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Package => manifest::FILE,
            Self::Run => run_file::FILE,
        }
    }
}

/// By which a change of somebody else is noticed.
pub(super) fn text_digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The text of a manifest; empty where there is no such file.
pub(super) fn read_text(folder: &Path, file: ManifestFile) -> Result<String> {
    let path = folder.join(file.path());
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        text => text.doing("read", &path),
    }
}

/// Writes a manifest, unless the file is not the one of `digest` any more.
pub(super) fn write_text(
    folder: &Path,
    file: ManifestFile,
    text: &str,
    digest: &str,
) -> Result<()> {
    if text_digest(&read_text(folder, file)?) != digest {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("{} was changed by another program meanwhile", file.path()),
        )
        .hinted("Read it anew, then make the change again"));
    }
    let path = folder.join(file.path());
    if let Some(meta) = path.parent() {
        std::fs::create_dir_all(meta).doing("create the folder", meta)?;
    }
    write_whole(&path, text.as_bytes())
}

impl Workshop {
    /// The text of a manifest.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn manifest_text(&self, id: &str, file: ManifestFile) -> Result<ManifestText> {
        let text = read_text(&self.appliance_record(id)?.path, file)?;
        Ok(ManifestText {
            digest: text_digest(&text),
            text,
        })
    }

    /// Writes a manifest that has no mistake.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the file is not the one of `digest` any more.
    pub fn save_manifest(
        &self,
        id: &str,
        file: ManifestFile,
        text: &str,
        digest: &str,
    ) -> Result<ManifestSaved> {
        let record = self.appliance_record(id)?;
        let mistakes = self.check_manifest(id, file, text)?;
        let ok = mistakes
            .iter()
            .all(|mistake| mistake.severity != Severity::Error);
        if ok {
            write_text(&record.path, file, text, digest)?;
            self.plans.forget(id);
            self.tell_appliance(id);
        }
        Ok(ManifestSaved {
            ok,
            digest: if ok {
                text_digest(text)
            } else {
                digest.to_owned()
            },
            mistakes,
        })
    }

    /// The mistakes of a text that is being written, and what is odd about it.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn check_manifest(
        &self,
        id: &str,
        file: ManifestFile,
        text: &str,
    ) -> Result<Vec<TextMistake>> {
        self.appliance_record(id)?;
        Ok(self.check_text(file, text))
    }

    /// The mistakes of the text of any manifest, and what is odd about it.
    pub fn check_text(&self, file: ManifestFile, text: &str) -> Vec<TextMistake> {
        let notes = match file {
            ManifestFile::Package => {
                let parsed = match Manifest::parse(text, file.path()) {
                    Ok(parsed) => parsed,
                    Err(error) => return vec![mistake(error)],
                };
                let mut notes = parsed.notes;
                notes.extend(self.missing(&parsed.value));
                notes
            }
            // An appliance that only brings data has no run file.
            ManifestFile::Run if text.trim().is_empty() => Vec::new(),
            ManifestFile::Run => match RunFile::parse(text, file.path()) {
                Ok(parsed) => parsed.notes,
                Err(error) => return vec![mistake(error)],
            },
        };
        notes.iter().map(|note| placed(note, text)).collect()
    }

    /// What is required and not in the library.
    fn missing(&self, manifest: &Manifest) -> Vec<windlass_package::Finding> {
        manifest
            .require
            .iter()
            .filter(|name| self.library.package(name).is_err())
            .map(|name| {
                windlass_package::Finding::note(format!("`{name}` is not in the library"))
                    .remedy("A build fetches it, where a registry has it")
            })
            .collect()
    }

    /// The JSON Schema of a manifest, from which an editor completes words.
    pub fn manifest_schema(file: ManifestFile) -> String {
        match file {
            ManifestFile::Package => include_str!("schema/package.json"),
            ManifestFile::Run => include_str!("schema/run.json"),
        }
        .to_owned()
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn mistake(error: windlass_package::Error) -> TextMistake {
    let hint = error.hint();
    match error {
        windlass_package::Error::Mistake(mistake) => {
            let Mistake {
                line,
                column,
                marked,
                message,
                ..
            } = *mistake;
            TextMistake {
                line: number(line),
                column: number(column),
                end_column: number(column + marked),
                message,
                hint,
                severity: Severity::Error,
            }
        }
        error => TextMistake {
            line: 1,
            column: 1,
            end_column: 2,
            message: AppError::from(error).message,
            hint,
            severity: Severity::Error,
        },
    }
}

/// A note, at the first place of the text that has the word that the note is about.
fn placed(note: &windlass_package::Finding, text: &str) -> TextMistake {
    let word = note.message.split('`').nth(1).unwrap_or_default();
    let found = text
        .lines()
        .enumerate()
        .find_map(|(index, line)| {
            let at = line.find(word).filter(|_| !word.is_empty())?;
            Some((index + 1, line[..at].chars().count() + 1))
        })
        .unwrap_or((1, 1));
    TextMistake {
        line: number(found.0),
        column: number(found.1),
        end_column: number(found.1 + word.chars().count().max(1)),
        message: note.message.clone(),
        hint: note.remedy.clone(),
        severity: note.severity.into(),
    }
}
