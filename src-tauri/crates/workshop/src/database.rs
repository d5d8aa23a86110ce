//! The database: what Windlass remembers of appliances, builds, jobs and settings.
//!
//! Files and folders are the truth for everything that has one (an appliance's manifest, a
//! machine's record); the database holds what has no other place. Several processes may have it
//! open: write-ahead log, short transactions, and a busy timeout.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::error::{AppError, ErrorKind, IoContext, Result};

/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const STEPS: &[M<'static>] = &[
    M::up(
        "CREATE TABLE appliance (
        id TEXT PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        added_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE build (
        id TEXT PRIMARY KEY,
        appliance_id TEXT NOT NULL,
        guest TEXT NOT NULL,
        root_fs TEXT NOT NULL,
        kernel_id TEXT NOT NULL,
        path TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        content_bytes INTEGER NOT NULL,
        file_count INTEGER NOT NULL,
        digest TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        started_at TEXT NOT NULL,
        duration_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX build_by_appliance ON build (appliance_id, started_at DESC);
    CREATE TABLE job (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        subject TEXT,
        state TEXT NOT NULL,
        process TEXT NOT NULL,
        started_at TEXT NOT NULL,
        ended_at TEXT,
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER,
        unit TEXT NOT NULL,
        error TEXT,
        produced TEXT,
        retry TEXT
    ) STRICT;
    CREATE INDEX job_by_start ON job (started_at DESC, id DESC);
    CREATE INDEX job_by_state ON job (state);
    CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;",
    ),
    // Builds and machines name an appliance by its id, so that a folder that comes back has to get its own.
    M::up("ALTER TABLE appliance ADD COLUMN removed_at TEXT;"),
    // An id is never given again: credentials are kept by it.
    M::up(
        r#"CREATE TABLE registry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        config TEXT NOT NULL,
        place INTEGER NOT NULL,
        enabled INTEGER NOT NULL DEFAULT 1,
        built_in INTEGER NOT NULL DEFAULT 0,
        has_login INTEGER NOT NULL DEFAULT 0,
        refreshed_at TEXT,
        entry_count INTEGER NOT NULL DEFAULT 0,
        offline INTEGER NOT NULL DEFAULT 0,
        problem TEXT
    ) STRICT;
    INSERT INTO registry (name, config, place, built_in) VALUES
        ('OSv', '{"name":"OSv","kind":"gitHub","url":"https://github.com/cloudius-systems/osv","public":true}', 0, 1),
        ('MIKELANGELO', '{"name":"MIKELANGELO","kind":"s3","url":"https://mikelangelo-capstan.s3.amazonaws.com/","public":true}', 1, 1);"#,
    ),
    // What was different from the build before, as JSON, and which build took the image over.
    M::up(
        "ALTER TABLE build ADD COLUMN changes TEXT;
    ALTER TABLE build ADD COLUMN replaced_by TEXT;",
    ),
    // Which build's image is being updated in its place, and the build that it will be.
    M::up(
        "CREATE TABLE build_update (
        id TEXT PRIMARY KEY,
        base TEXT NOT NULL,
        draft TEXT NOT NULL
    ) STRICT;",
    ),
    // An id is never given again: secrets are kept by it. An item is written before it is made in the cloud, and names what it
    // belongs to; without a remote id it is not known whether it came about.
    M::up(
        "CREATE TABLE cloud (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        profile TEXT NOT NULL,
        has_secret INTEGER NOT NULL DEFAULT 0,
        checked_at TEXT,
        check_failed TEXT
    ) STRICT;
    CREATE TABLE cloud_item (
        id TEXT PRIMARY KEY,
        cloud_id INTEGER NOT NULL,
        deployment TEXT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        remote_id TEXT,
        made_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX cloud_item_by_cloud ON cloud_item (cloud_id, deployment);",
    ),
    // A study is its folder; this is the list of those that the window shows.
    M::up(
        "CREATE TABLE study (
        path TEXT PRIMARY KEY,
        added_at TEXT NOT NULL
    ) STRICT;",
    ),
];

const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// The open database. Queries are short; the lock is never held across an `await`.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Mutex<Connection>,
}

impl Database {
    /// Opens or creates it and brings its tables up to date.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // One process at a time: two that find no tables would both make them.
        let beside = path.with_extension("lock");
        let lock = File::create(&beside).doing("create the file", &beside)?;
        lock.lock().doing("lock the file", &beside)?;
        Self::prepare(Connection::open(path)?).map_err(|error| {
            let mut error = error.hinted(format!(
                "If `{}` is damaged, move it away: appliances stay in their folders",
                path.display()
            ));
            "The database of Windlass cannot be opened".clone_into(&mut error.message);
            error
        })
    }

    fn prepare(mut connection: Connection) -> Result<Self> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        MIGRATIONS.to_latest(&mut connection).map_err(|error| {
            AppError::from_error(
                ErrorKind::Internal,
                &error,
                Some("It may have been written by a newer Windlass".to_owned()),
            )
        })?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// The connection, for one short piece of work.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere does not spoil the connection: SQLite rolls back what was open.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_valid() {
        MIGRATIONS.validate().unwrap();
    }

    #[test]
    fn opening_a_file_that_is_no_database_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("windlass.db");
        std::fs::write(
            &path,
            "not a database, but long enough to have a header page",
        )
        .unwrap();
        let error = Database::open(&path).unwrap_err();
        assert_eq!(error.message, "The database of Windlass cannot be opened");
        assert!(error.hints[0].contains("windlass.db"), "{error:?}");
    }
}
