//! Asking registries what they have, and what they last said of it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use windlass_registry::Catalogue;

use super::{Record, store};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;
use crate::jobs::{Job, JobKind, Reporter, Request};

/// Registries that are being asked by this process.
#[derive(Debug, Default)]
pub(crate) struct Refreshing {
    ids: Mutex<HashSet<u32>>,
}

impl Refreshing {
    pub(super) fn contains(&self, id: u32) -> bool {
        self.lock().contains(&id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<u32>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What registries last said, as it was read from its files.
#[derive(Debug, Default)]
pub(crate) struct Catalogues {
    read: Mutex<HashMap<u32, (Stamp, Arc<Catalogue>)>>,
}

/// Tells whether a file is still the one that was read.
type Stamp = (Option<SystemTime>, u64);

impl Workshop {
    fn catalogue_file(&self, id: u32) -> PathBuf {
        self.home.registries().join(format!("{id}.catalogue"))
    }

    /// What a registry has, as it was last told; nothing where it was never asked.
    pub(crate) fn catalogue(&self, record: &Record) -> Option<Arc<Catalogue>> {
        let path = self.catalogue_file(record.id);
        let metadata = std::fs::metadata(&path).ok()?;
        let stamp = (metadata.modified().ok(), metadata.len());
        let mut read = self
            .catalogues
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, catalogue)) = read.get(&record.id)
            && *seen == stamp
        {
            return Some(Arc::clone(catalogue));
        }
        match Catalogue::load(&path) {
            Ok(Some(catalogue)) if catalogue.identity == record.config.identity() => {
                let catalogue = Arc::new(catalogue);
                read.insert(record.id, (stamp, Arc::clone(&catalogue)));
                Some(catalogue)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(registry = record.name(), %error, "a catalogue cannot be read");
                None
            }
        }
    }

    pub(super) fn forget_catalogue(&self, id: u32) {
        let mut read = self
            .catalogues
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        read.remove(&id);
        // What is not there needs no removing; what cannot be removed is of no registry any more.
        let _ = std::fs::remove_file(self.catalogue_file(id));
        let cache = self.home.registries().join(format!("{id}.cache"));
        let _ = std::fs::remove_dir_all(cache);
    }

    /// Asks one registry, or all that are enabled, what they have, as a job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_refresh(self: &Arc<Self>, id: Option<u32>) -> Result<Job> {
        let records = match id {
            Some(id) => vec![store::get(&self.database, id)?],
            None => self.enabled_registries()?,
        };
        let title = match records.as_slice() {
            [record] => format!("Ask {} what it has", record.name()),
            _ => "Ask registries what they have".to_owned(),
        };
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Refresh,
            title,
            None,
            Some(&Request::Refresh { registry: id }),
            async move |reporter| {
                let mut failed = Vec::new();
                let asked = records.len();
                for record in records {
                    reporter.check()?;
                    let name = record.name().to_owned();
                    match workshop.refresh(&record, &reporter).await {
                        Ok(()) => {}
                        Err(error) if error.kind == ErrorKind::Cancelled => return Err(error),
                        Err(error) => {
                            reporter.log(&format!("{name}: {}", error.message));
                            failed.push((name, error));
                        }
                    }
                }
                summary(failed, asked)
            },
        )
    }

    /// Asks one registry, and keeps what it says and how it answered.
    pub(crate) async fn refresh(&self, record: &Record, reporter: &Reporter) -> Result<()> {
        self.refreshing.lock().insert(record.id);
        self.events.send(Event::RegistriesChanged);
        reporter.step(&format!("Asking {}", record.name()));
        let outcome = self.refresh_now(record, reporter).await;
        self.refreshing.lock().remove(&record.id);
        self.events.send(Event::RegistriesChanged);
        outcome
    }

    async fn refresh_now(&self, record: &Record, reporter: &Reporter) -> Result<()> {
        let registry = match self.open_registry(record).await {
            Ok(registry) => registry,
            Err(error) => {
                store::answered(&self.database, record.id, None, Some((&error, false)))?;
                return Err(error);
            }
        };
        let file = self.catalogue_file(record.id);
        let (control, telling) = (reporter.control(), reporter.items());
        let answer = registry.refresh(&file, &control, &telling).await;
        let (refreshed, problem) = match answer {
            Ok(refreshed) => {
                let catalogue = refreshed.catalogue;
                let told = (catalogue.refreshed.to_string(), catalogue.entries.len());
                (Some(told), refreshed.problem)
            }
            Err(windlass_registry::Error::Cancelled) => return Err(AppError::cancelled()),
            Err(error) => (None, Some(error)),
        };
        let offline = problem
            .as_ref()
            .is_some_and(windlass_registry::Error::is_offline);
        let problem = problem.map(AppError::from);
        store::answered(
            &self.database,
            record.id,
            refreshed.as_ref().map(|(at, count)| (at.as_str(), *count)),
            problem.as_ref().map(|error| (error, offline)),
        )?;
        if let Some(error) = problem {
            return Err(error);
        }
        if let Some((_, count)) = refreshed {
            reporter.log(&format!(
                "{} has {count} packages and kernels",
                record.name()
            ));
        }
        Ok(())
    }
}

/// One error for all registries that did not answer.
fn summary(mut failed: Vec<(String, AppError)>, asked: usize) -> Result<Option<String>> {
    match failed.len() {
        0 => Ok(None),
        1 => {
            let (name, error) = failed.swap_remove(0);
            let mut shown =
                AppError::new(error.kind, format!("{name} did not answer as it should"));
            shown.chain = std::iter::once(error.message).chain(error.chain).collect();
            shown.hints = error.hints;
            Err(shown
                .hinted("What is in the library, and what the others have, is there all the same"))
        }
        count => {
            let mut shown = AppError::new(
                ErrorKind::Unavailable,
                format!("{count} of {asked} registries did not answer as they should"),
            );
            for (name, error) in failed {
                shown.chain.push(format!("{name}: {}", error.message));
                for hint in error.hints {
                    if !shown.hints.contains(&hint) {
                        shown.hints.push(hint);
                    }
                }
            }
            Err(shown.hinted("What is in the library is there all the same"))
        }
    }
}
