//! Jobs in the database.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{OptionalExtension, Row, types::Type};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Job, JobState, Request};
use crate::database::Database;
use crate::error::{AppError, ErrorKind, Result};

const COLUMNS: &str = "id, kind, title, subject, state, started_at, ended_at, done, total, unit, error, produced, retry";

/// An enum's name as serde writes it, for a text column.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}

fn from_word<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let word: String = row.get(column)?;
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Job> {
    let error: Option<String> = row.get(10)?;
    Ok(Job {
        id: row.get(0)?,
        kind: from_word(row, 1)?,
        title: row.get(2)?,
        subject: row.get(3)?,
        state: from_word(row, 4)?,
        step: None,
        started_at: row.get(5)?,
        ended_at: row.get(6)?,
        done: row.get::<_, i64>(7)?.try_into().unwrap_or(0),
        total: row
            .get::<_, Option<i64>>(8)?
            .and_then(|total| total.try_into().ok()),
        unit: from_word(row, 9)?,
        error: error.and_then(|text| serde_json::from_str(&text).ok()),
        produced: row.get(11)?,
        retry: row.get::<_, Option<String>>(12)?.is_some(),
        pausable: false,
    })
}

pub(super) fn insert(
    database: &Database,
    job: &Job,
    process: &str,
    request: Option<&Request>,
) -> Result<()> {
    let request = request
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
    database.lock().execute(
        "INSERT INTO job (id, kind, title, subject, state, process, started_at, unit, retry)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            &job.id,
            word(&job.kind),
            &job.title,
            &job.subject,
            word(&job.state),
            process,
            &job.started_at,
            word(&job.unit),
            request,
        ),
    )?;
    Ok(())
}

pub(super) fn finish(database: &Database, job: &Job) -> Result<()> {
    let error = job
        .error
        .as_ref()
        .and_then(|error| serde_json::to_string(error).ok());
    database.lock().execute(
        "UPDATE job SET state = ?2, ended_at = ?3, done = ?4, total = ?5, unit = ?6, error = ?7,
                        produced = ?8
         WHERE id = ?1",
        (
            &job.id,
            word(&job.state),
            &job.ended_at,
            i64::try_from(job.done).unwrap_or(i64::MAX),
            job.total
                .map(|total| i64::try_from(total).unwrap_or(i64::MAX)),
            word(&job.unit),
            error,
            &job.produced,
        ),
    )?;
    Ok(())
}

pub(super) fn get(database: &Database, id: &str) -> Result<Option<Job>> {
    let query = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
    Ok(database
        .lock()
        .query_row(&query, [id], from_row)
        .optional()?)
}

pub(super) fn request(database: &Database, id: &str) -> Result<Option<Request>> {
    let text: Option<String> = database
        .lock()
        .query_row("SELECT retry FROM job WHERE id = ?1", [id], |row| {
            row.get(0)
        })
        .optional()?
        .flatten();
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

pub(super) fn list(database: &Database, limit: u32, before: Option<&str>) -> Result<Vec<Job>> {
    // Ids are made in the order of time, so they page as well as sort.
    let query =
        format!("SELECT {COLUMNS} FROM job WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2");
    let connection = database.lock();
    let mut statement = connection.prepare_cached(&query)?;
    let jobs = statement.query_map((before, limit), from_row)?;
    Ok(jobs.collect::<rusqlite::Result<_>>()?)
}

/// What the name of a job's folder ends in that holds copies to be sent. A job that builds has another folder, which stays.
pub(crate) const SENT: &str = ".sent";

/// The folders that may be there among the images: of all builds, and of the jobs that run.
pub(super) fn builds_and_running(database: &Database) -> Result<HashSet<String>> {
    let connection = database.lock();
    let mut statement = connection.prepare_cached(
        "SELECT path FROM build UNION SELECT id FROM job WHERE state = ?1
         UNION SELECT id || ?2 FROM job WHERE state = ?1",
    )?;
    let running = word(&JobState::Running);
    let places = statement.query_map((running, SENT), |row| row.get::<_, String>(0))?;
    let folders = places.map(|place| {
        place.map(|place| match Path::new(&place).parent() {
            Some(folder) if folder.is_absolute() => name_of(folder),
            _ => place,
        })
    });
    Ok(folders.collect::<rusqlite::Result<_>>()?)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Ends every running job whose process is not among `alive`.
pub(super) fn bury(database: &Database, alive: &[String]) -> Result<()> {
    let error = AppError::new(ErrorKind::Internal, "Windlass ended before this was done")
        .hinted("Start it again; nothing half-written was left");
    let error = serde_json::to_string(&error)
        .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
    let alive = serde_json::to_string(alive)
        .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
    let buried = database.lock().execute(
        "UPDATE job SET state = ?1, ended_at = ?2, error = ?3
         WHERE state = ?4 AND process NOT IN (SELECT value FROM json_each(?5))",
        (
            word(&JobState::Failed),
            crate::now(),
            error,
            word(&JobState::Running),
            alive,
        ),
    )?;
    if buried > 0 {
        tracing::warn!(buried, "jobs of an earlier Windlass did not end");
    }
    Ok(())
}
