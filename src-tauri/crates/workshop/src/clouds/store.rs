//! Clouds in the database, and what was made in them.

use rusqlite::{OptionalExtension, Row};
use windlass_cloud::Profile;

use crate::database::Database;
use crate::error::{AppError, ErrorKind, Result};

const COLUMNS: &str = "id, name, profile, has_secret, checked_at, check_failed";

/// A cloud as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: u32,
    pub(crate) profile: Profile,
    pub(crate) has_secret: bool,
    pub(crate) checked_at: Option<String>,
    pub(crate) check_failed: Option<String>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Record> {
    let profile: String = row.get(2)?;
    let profile: Profile = serde_json::from_str(&profile).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok(Record {
        id: row.get(0)?,
        profile: Profile {
            name: row.get(1)?,
            ..profile
        },
        has_secret: row.get(3)?,
        checked_at: row.get(4)?,
        check_failed: row.get(5)?,
    })
}

fn json(profile: &Profile) -> Result<String> {
    serde_json::to_string(profile)
        .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))
}

/// All of them, by name.
pub(super) fn list(database: &Database) -> Result<Vec<Record>> {
    let query = format!("SELECT {COLUMNS} FROM cloud ORDER BY name, id");
    let connection = database.lock();
    let mut statement = connection.prepare_cached(&query)?;
    let records = statement.query_map([], from_row)?;
    Ok(records.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn get(database: &Database, id: u32) -> Result<Record> {
    let query = format!("SELECT {COLUMNS} FROM cloud WHERE id = ?1");
    database
        .lock()
        .query_row(&query, [id], from_row)
        .optional()?
        .ok_or_else(|| AppError::not_found("cloud", &id.to_string()))
}

/// A name that is taken, in words.
fn taken(error: rusqlite::Error, name: &str) -> AppError {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        return AppError::new(
            ErrorKind::Input,
            format!("There is a cloud `{name}` already"),
        )
        .hinted("Give it another name");
    }
    error.into()
}

pub(super) fn insert(database: &Database, profile: &Profile) -> Result<u32> {
    let text = json(profile)?;
    let connection = database.lock();
    connection
        .execute(
            "INSERT INTO cloud (name, profile) VALUES (?1, ?2)",
            (&profile.name, text),
        )
        .map_err(|error| taken(error, &profile.name))?;
    Ok(u32::try_from(connection.last_insert_rowid()).unwrap_or(u32::MAX))
}

/// Writes what a cloud is; how it answered before is forgotten.
pub(super) fn update(database: &Database, id: u32, profile: &Profile) -> Result<()> {
    let text = json(profile)?;
    database
        .lock()
        .execute(
            "UPDATE cloud SET name = ?2, profile = ?3, checked_at = NULL, check_failed = NULL WHERE id = ?1",
            (id, &profile.name, text),
        )
        .map_err(|error| taken(error, &profile.name))?;
    Ok(())
}

pub(super) fn set_has_secret(database: &Database, id: u32, has_secret: bool) -> Result<()> {
    database.lock().execute(
        "UPDATE cloud SET has_secret = ?2 WHERE id = ?1",
        (id, has_secret),
    )?;
    Ok(())
}

/// Writes how a cloud answered when it was tried.
pub(super) fn checked(database: &Database, id: u32, wrong: Option<&str>) -> Result<()> {
    database.lock().execute(
        "UPDATE cloud SET checked_at = ?2, check_failed = ?3 WHERE id = ?1",
        (id, crate::now(), wrong),
    )?;
    Ok(())
}

pub(super) fn remove(database: &Database, id: u32) -> Result<()> {
    let connection = database.lock();
    connection.execute("DELETE FROM cloud_item WHERE cloud_id = ?1", [id])?;
    connection.execute("DELETE FROM cloud WHERE id = ?1", [id])?;
    Ok(())
}

/// Something that was made in a cloud, or may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Our name for it.
    pub(crate) id: String,
    pub(crate) cloud_id: u32,
    /// What it belongs to.
    pub(crate) deployment: Option<String>,
    /// What sort of thing: `image`, `server`, …
    pub(crate) kind: String,
    /// Its name there.
    pub(crate) name: String,
    /// Its id there, as soon as it is known.
    pub(crate) remote_id: Option<String>,
}

/// The same, with when it was written down (RFC 3339).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) deployment: Option<String>,
    pub(crate) remote_id: Option<String>,
    pub(crate) made_at: String,
}

/// Writes that something is about to be made.
pub(crate) fn intend(database: &Database, item: &Item) -> Result<()> {
    database.lock().execute(
        "INSERT OR REPLACE INTO cloud_item (id, cloud_id, deployment, kind, name, remote_id, made_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            &item.id,
            item.cloud_id,
            &item.deployment,
            &item.kind,
            &item.name,
            &item.remote_id,
            crate::now(),
        ),
    )?;
    Ok(())
}

/// Forgets something that is there no more, or never was.
pub(crate) fn forget(database: &Database, id: &str) -> Result<()> {
    database
        .lock()
        .execute("DELETE FROM cloud_item WHERE id = ?1", [id])?;
    Ok(())
}

/// Writes the id that something has there.
pub(crate) fn made(database: &Database, id: &str, remote_id: &str) -> Result<()> {
    database.lock().execute(
        "UPDATE cloud_item SET remote_id = ?2 WHERE id = ?1",
        (id, remote_id),
    )?;
    Ok(())
}

/// Forgets what has this id there.
pub(crate) fn forget_remote(database: &Database, cloud_id: u32, remote_id: &str) -> Result<()> {
    database.lock().execute(
        "DELETE FROM cloud_item WHERE cloud_id = ?1 AND remote_id = ?2",
        (cloud_id, remote_id),
    )?;
    Ok(())
}

/// Forgets all of a deployment.
pub(crate) fn forget_deployment(database: &Database, deployment: &str) -> Result<()> {
    database
        .lock()
        .execute("DELETE FROM cloud_item WHERE deployment = ?1", [deployment])?;
    Ok(())
}

/// What was made, or may have been, in a cloud.
pub(crate) fn items(database: &Database, cloud_id: u32) -> Result<Vec<Known>> {
    let connection = database.lock();
    let mut statement = connection.prepare_cached(
        "SELECT id, deployment, remote_id, made_at FROM cloud_item WHERE cloud_id = ?1 ORDER BY made_at, id",
    )?;
    let items = statement.query_map([cloud_id], |row| {
        Ok(Known {
            id: row.get(0)?,
            deployment: row.get(1)?,
            remote_id: row.get(2)?,
            made_at: row.get(3)?,
        })
    })?;
    Ok(items.collect::<rusqlite::Result<_>>()?)
}
