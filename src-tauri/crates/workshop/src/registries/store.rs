//! Registries in the database.

use rusqlite::{OptionalExtension, Row};
use windlass_registry::RegistryConfig;

use crate::database::Database;
use crate::error::{AppError, ErrorKind, Result};

const COLUMNS: &str = "id, name, config, place, enabled, built_in, has_login, refreshed_at, entry_count, offline, problem";

/// A registry as the database has it.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column, and independent of the others"
)]
pub(crate) struct Record {
    pub(crate) id: u32,
    pub(crate) config: RegistryConfig,
    pub(crate) place: u32,
    pub(crate) enabled: bool,
    pub(crate) built_in: bool,
    pub(crate) has_login: bool,
    pub(crate) refreshed_at: Option<String>,
    pub(crate) entry_count: u32,
    pub(crate) offline: bool,
    pub(crate) problem: Option<AppError>,
}

impl Record {
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Record> {
    let name: String = row.get(1)?;
    let config: String = row.get(2)?;
    let config: RegistryConfig = serde_json::from_str(&config).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let problem: Option<String> = row.get(10)?;
    Ok(Record {
        id: row.get(0)?,
        config: RegistryConfig { name, ..config },
        place: row.get(3)?,
        enabled: row.get(4)?,
        built_in: row.get(5)?,
        has_login: row.get(6)?,
        refreshed_at: row.get(7)?,
        entry_count: row.get(8)?,
        offline: row.get(9)?,
        problem: problem.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))
}

/// All of them, in their order.
pub(super) fn list(database: &Database) -> Result<Vec<Record>> {
    let query = format!("SELECT {COLUMNS} FROM registry ORDER BY place, id");
    let connection = database.lock();
    let mut statement = connection.prepare_cached(&query)?;
    let records = statement.query_map([], from_row)?;
    Ok(records.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn get(database: &Database, id: u32) -> Result<Record> {
    let query = format!("SELECT {COLUMNS} FROM registry WHERE id = ?1");
    database
        .lock()
        .query_row(&query, [id], from_row)
        .optional()?
        .ok_or_else(|| AppError::not_found("registry", &id.to_string()))
}

/// A name that is taken, in words.
fn taken(error: rusqlite::Error, name: &str) -> AppError {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        return AppError::new(
            ErrorKind::Input,
            format!("There is a registry `{name}` already"),
        )
        .hinted("Give it another name");
    }
    error.into()
}

pub(super) fn insert(database: &Database, config: &RegistryConfig) -> Result<u32> {
    let text = json(config)?;
    let connection = database.lock();
    connection
        .execute(
            "INSERT INTO registry (name, config, place)
             VALUES (?1, ?2, (SELECT COALESCE(MAX(place), -1) + 1 FROM registry))",
            (&config.name, text),
        )
        .map_err(|error| taken(error, &config.name))?;
    Ok(u32::try_from(connection.last_insert_rowid()).unwrap_or(u32::MAX))
}

/// Writes what a registry is; with `moved`, what was known of what it has is forgotten.
pub(super) fn update(
    database: &Database,
    id: u32,
    config: &RegistryConfig,
    moved: bool,
) -> Result<()> {
    let text = json(config)?;
    let connection = database.lock();
    connection
        .execute(
            "UPDATE registry SET name = ?2, config = ?3 WHERE id = ?1",
            (id, &config.name, text),
        )
        .map_err(|error| taken(error, &config.name))?;
    if moved {
        connection.execute(
            "UPDATE registry SET refreshed_at = NULL, entry_count = 0, offline = 0, problem = NULL
             WHERE id = ?1",
            [id],
        )?;
    }
    Ok(())
}

pub(super) fn set_login(database: &Database, id: u32, has_login: bool) -> Result<()> {
    database.lock().execute(
        "UPDATE registry SET has_login = ?2 WHERE id = ?1",
        (id, has_login),
    )?;
    Ok(())
}

pub(super) fn set_enabled(database: &Database, id: u32, enabled: bool) -> Result<()> {
    let changed = database.lock().execute(
        "UPDATE registry SET enabled = ?2 WHERE id = ?1",
        (id, enabled),
    )?;
    if changed == 0 {
        return Err(AppError::not_found("registry", &id.to_string()));
    }
    Ok(())
}

/// Writes how a registry answered.
pub(super) fn answered(
    database: &Database,
    id: u32,
    refreshed: Option<(&str, usize)>,
    problem: Option<(&AppError, bool)>,
) -> Result<()> {
    let text = problem.map(|(error, _)| json(error)).transpose()?;
    let offline = problem.is_some_and(|(_, offline)| offline);
    let connection = database.lock();
    if let Some((at, count)) = refreshed {
        connection.execute(
            "UPDATE registry SET refreshed_at = ?2, entry_count = ?3 WHERE id = ?1",
            (id, at, u32::try_from(count).unwrap_or(u32::MAX)),
        )?;
    }
    connection.execute(
        "UPDATE registry SET offline = ?2, problem = ?3 WHERE id = ?1",
        (id, offline, text),
    )?;
    Ok(())
}

pub(super) fn remove(database: &Database, id: u32) -> Result<()> {
    let removed = database
        .lock()
        .execute("DELETE FROM registry WHERE id = ?1", [id])?;
    if removed == 0 {
        return Err(AppError::not_found("registry", &id.to_string()));
    }
    Ok(())
}

pub(super) fn reorder(database: &Database, ids: &[u32]) -> Result<()> {
    let mut there: Vec<u32> = list(database)?.iter().map(|record| record.id).collect();
    let mut wanted = ids.to_vec();
    there.sort_unstable();
    wanted.sort_unstable();
    if there != wanted {
        return Err(AppError::new(
            ErrorKind::Conflict,
            "These are not just the registries that there are",
        )
        .hinted("Read the list anew, then try again"));
    }
    let mut connection = database.lock();
    let transaction = connection.transaction()?;
    for (place, id) in ids.iter().enumerate() {
        transaction.execute(
            "UPDATE registry SET place = ?2 WHERE id = ?1",
            (id, u32::try_from(place).unwrap_or(u32::MAX)),
        )?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_registries_are_there_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("windlass.db")).unwrap();
        let records = list(&database).unwrap();
        let configs: Vec<_> = records.iter().map(|record| record.config.clone()).collect();
        assert_eq!(configs, windlass_registry::built_in());
        assert!(
            records
                .iter()
                .all(|record| record.built_in && record.enabled)
        );
    }

    #[test]
    fn names_are_taken_once_and_ids_are_never_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("windlass.db")).unwrap();
        let mut config = windlass_registry::built_in().remove(0);
        config.name = "osv".to_owned();
        let error = insert(&database, &config).unwrap_err();
        assert_eq!(error.message, "There is a registry `osv` already");
        config.name = "mine".to_owned();
        let first = insert(&database, &config).unwrap();
        remove(&database, first).unwrap();
        assert!(insert(&database, &config).unwrap() > first);
        assert!(reorder(&database, &[1, 2]).is_err());
    }
}
