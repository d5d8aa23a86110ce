//! The studies that are known: folders of their own, anywhere on this computer.

use std::path::{Path, PathBuf};

use windlass_study::Study;
use windlass_study::record::Runs;
use windlass_study::study::FILE;

use super::view::{RunOutcome, StudySummary};
use super::{StudyReport, case, study_folder};
use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};

impl Workshop {
    /// The studies that are known, newest first, each with how its runs stand.
    ///
    /// # Errors
    /// When the database cannot be read. A study that cannot be read is in the list, and says why.
    pub fn studies(&self) -> Result<Vec<StudySummary>> {
        let known: Vec<(String, String)> = {
            let connection = self.database.lock();
            let mut query =
                connection.prepare("SELECT path, added_at FROM study ORDER BY added_at DESC")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<std::result::Result<_, _>>()?
        };
        let summary = |(path, added_at)| self.summary(path, added_at);
        Ok(known.into_iter().map(summary).collect())
    }

    fn summary(&self, path: String, added_at: String) -> StudySummary {
        let folder = PathBuf::from(&path);
        let name = folder
            .file_name()
            .map_or_else(|| path.clone(), |name| name.to_string_lossy().into_owned());
        let mut summary = StudySummary {
            is_running: Runs::of(&folder).is_locked(),
            id: path,
            title: name,
            appliance: None,
            added_at,
            runs: Vec::new(),
            problem: None,
        };
        match Study::load(&folder) {
            Ok(read) => {
                summary.title = read.value.title.unwrap_or(summary.title);
                summary.appliance = read.value.appliance;
            }
            Err(error) => {
                summary.problem = Some(error.to_string());
                return summary;
            }
        }
        match self.study_runs(&folder) {
            Ok(runs) => summary.runs = runs.iter().map(RunOutcome::of).collect(),
            Err(error) => summary.problem = Some(error.message),
        }
        summary
    }

    /// Puts a study on the list, given its folder or its file; one that is there already stays.
    ///
    /// # Errors
    /// `NotFound` where there is no study; `Input` when its path is not UTF-8.
    pub fn study_add(&self, folder: &Path) -> Result<String> {
        let folder = study_folder(folder)?;
        let path = folder.to_str().ok_or_else(|| {
            AppError::new(ErrorKind::Input, "The folder's path is not valid UTF-8")
                .hinted("Rename the folder, or move it to another place")
        })?;
        self.database.lock().execute(
            "INSERT INTO study (path, added_at) VALUES (?1, ?2) ON CONFLICT (path) DO NOTHING",
            (path, crate::now()),
        )?;
        Ok(path.to_owned())
    }

    /// Takes a study off the list. Its folder stays.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn study_remove(&self, folder: &Path) -> Result<()> {
        let path = folder.to_string_lossy();
        let removed = self
            .database
            .lock()
            .execute("DELETE FROM study WHERE path = ?1", [&path])?;
        if removed == 0 {
            return Err(AppError::not_found("study", &path));
        }
        Ok(())
    }

    /// Makes a study of a case in a folder of Windlass's own, or adds the study that is there already; says its folder.
    ///
    /// # Errors
    /// `Input` when there is no case in what is given, or it is hostile.
    pub fn study_take(&self, from: &Path) -> Result<String> {
        let from = &case::tutorials::resolve(from);
        if from.file_name().is_some_and(|name| name == FILE) || from.join(FILE).is_file() {
            return self.study_add(from);
        }
        let named = if from.is_dir() {
            case::locate(from)?
        } else {
            from.to_owned()
        };
        let name = named.file_name().map_or_else(
            || "case".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let endings = [".zip", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar"];
        let name = endings
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .filter(|name| !name.is_empty())
            .unwrap_or(&name);
        let folder = self.free_folder(name)?;
        self.study_new(from, &folder).inspect_err(|_| {
            // Empty: nothing was taken.
            let _ = std::fs::remove_dir(&folder);
        })?;
        self.study_add(&folder)
    }

    /// A new folder, named so that it is none that is there: another process may be looking for one, too.
    fn free_folder(&self, name: &str) -> Result<PathBuf> {
        let studies = self.home.studies();
        std::fs::create_dir_all(&studies).doing("make the folder", &studies)?;
        let mut number = 1_u32;
        loop {
            let folder = studies.join(match number {
                1 => name.to_owned(),
                number => format!("{name}-{number}"),
            });
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                made => return made.doing("make the folder", &folder).map(|()| folder),
            }
        }
    }

    /// The text of a study's file.
    ///
    /// # Errors
    /// `NotFound` where there is no study.
    pub fn study_text(&self, folder: &Path) -> Result<String> {
        let path = study_folder(folder)?.join(FILE);
        std::fs::read_to_string(&path).doing("read", &path)
    }

    /// Replaces the text of a study's file, whole or not at all, and says what the study comes to now.
    ///
    /// # Errors
    /// `Input` when the text has a mistake; the file stays as it was.
    pub fn study_save_text(&self, folder: &Path, text: &str) -> Result<StudyReport> {
        let path = study_folder(folder)?.join(FILE);
        Study::parse(text, FILE)?;
        write_whole(&path, text.as_bytes())?;
        self.study_check(folder)
    }
}
