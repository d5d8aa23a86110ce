//! Windlass's own log: a file a day in the home's `logs/`, the last seven kept.

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use windlass_workshop::home::Home;

/// How many days are kept.
const DAYS_KEPT: usize = 7;

/// Starts logging; what is pending is written when the guard is dropped.
///
/// `WINDLASS_LOG` chooses what is logged, in the syntax of `tracing_subscriber::EnvFilter`.
pub(crate) fn start(home: &Home) -> Option<WorkerGuard> {
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .max_log_files(DAYS_KEPT)
        .filename_prefix("windlass")
        .filename_suffix("log")
        .build(home.logs())
        .ok()?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    let filter = EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(writer)
        .try_init()
        .ok()?;
    Some(guard)
}
