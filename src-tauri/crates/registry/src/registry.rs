//! A registry that is open: asked, fetched from, published to.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::StreamExt;

use crate::fetch;
use crate::kinds::{Kind, Known, Listing, Source, listing};
use crate::{
    Catalogue, Control, Credentials, Entry, Error, Fetched, Limits, Progress, Publication,
    Published, RegistryConfig, Trust,
};

/// A registry that is open. Cheap to open; nothing is asked before it is used.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    limits: Limits,
    cache: Option<PathBuf>,
    kind: Kind,
}

/// A refresh: the catalogue, and why it is an old one where it is.
#[derive(Debug)]
pub struct Refreshed {
    /// What the registry has, or had.
    pub catalogue: Catalogue,
    /// Why it could not be asked now, and the catalogue is that of the last refresh.
    pub problem: Option<Error>,
}

/// One step of a check.
#[derive(Debug)]
pub struct Check {
    /// What was tried, in words for a person.
    pub what: String,
    /// What came out: in words, or why not.
    pub outcome: Result<String, Error>,
}

impl Registry {
    /// Opens a registry.
    ///
    /// # Errors
    ///
    /// When its description is wrong: its URL, key, proxy or CA file cannot be used.
    pub fn open(config: RegistryConfig, credentials: Credentials) -> Result<Self, Error> {
        Self::open_with(config, credentials, Limits::default())
    }

    /// Opens a registry with limits of one's own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(
        config: RegistryConfig,
        credentials: Credentials,
        limits: Limits,
    ) -> Result<Self, Error> {
        let kind = Kind::open(&config, credentials, &limits)?;
        Ok(Self {
            config,
            limits,
            cache: None,
            kind,
        })
    }

    /// Keeps what servers said in this folder, so that it is asked for only when it changed.
    #[must_use]
    pub fn caching_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// What it was opened by.
    pub fn config(&self) -> &RegistryConfig {
        &self.config
    }

    /// How long it waits and how much it takes.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Asks for all that it has.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, refuses, or what it says cannot be understood; when it was cancelled.
    pub async fn list(
        &self,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Catalogue, Error> {
        self.list_after(None, self.cache.clone(), control, progress)
            .await
    }

    async fn list_after(
        &self,
        previous: Option<&Catalogue>,
        answers: Option<PathBuf>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Catalogue, Error> {
        progress.step(&format!("Listing {}", self.config.name));
        let known = Known { previous, answers };
        let mut entries =
            listing::entries(&self.kind, &known, &self.limits, control, progress).await?;
        Catalogue::sort(&mut entries);
        Ok(Catalogue {
            registry: self.config.name.clone(),
            identity: self.config.identity(),
            refreshed: jiff::Timestamp::now(),
            entries,
        })
    }

    /// Asks for all that it has and keeps that in a file; the file's content where the registry does not answer.
    ///
    /// # Errors
    ///
    /// When it cannot be asked and there is no file; when it was cancelled; when the file cannot be written.
    pub async fn refresh(
        &self,
        file: &Path,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Refreshed, Error> {
        // A damaged file is as none: it is written anew.
        let previous = Catalogue::load(file).unwrap_or(None);
        let previous = previous.filter(|previous| previous.identity == self.config.identity());
        let answers = self
            .cache
            .clone()
            .unwrap_or_else(|| file.with_extension("answers"));
        let listed = self
            .list_after(previous.as_ref(), Some(answers), control, progress)
            .await;
        match (listed, previous) {
            (Ok(catalogue), _) => {
                catalogue.save(file)?;
                Ok(Refreshed {
                    catalogue,
                    problem: None,
                })
            }
            (Err(problem), Some(catalogue)) if !matches!(problem, Error::Cancelled) => {
                Ok(Refreshed {
                    catalogue,
                    problem: Some(problem),
                })
            }
            (Err(problem), _) => Err(problem),
        }
    }

    /// Fetches an entry's file into a new folder in a folder, under [its own name](Entry::file_name). What an earlier try
    /// left in the folder is taken up.
    ///
    /// # Errors
    ///
    /// When it cannot be had, or is not what the registry, its signature or `trust` says: then there is no such file.
    pub async fn fetch(
        &self,
        entry: &Entry,
        folder: &Path,
        trust: &dyn Trust,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Fetched, Error> {
        let job = fetch::Job {
            kind: &self.kind,
            config: &self.config,
            limits: &self.limits,
            entry,
            apart: true,
            control,
            progress,
        };
        job.run(folder, trust).await
    }

    /// Fetches several entries' files into a folder, some at once, and says of each what came of it, in their order.
    /// Progress is in bytes of all.
    pub async fn fetch_all(
        &self,
        entries: &[&Entry],
        folder: &Path,
        trust: &dyn Trust,
        control: &Control,
        progress: &dyn Progress,
    ) -> Vec<Result<Fetched, Error>> {
        let sum = Sum::of(entries, progress);
        let sum = &sum;
        // Made before they are waited for, as a stream's closure may not borrow what moves between threads.
        let fetches: Vec<_> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| async move {
                let share = Share { sum, at };
                self.fetch(entry, folder, trust, control, &share).await
            })
            .collect();
        futures_util::stream::iter(fetches)
            .buffered(self.limits.parallel.max(1))
            .collect()
            .await
    }

    /// Publishes a package.
    ///
    /// # Errors
    ///
    /// When the registry is of a kind that cannot be published to, does not let us, or has this version already.
    pub async fn publish(
        &self,
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Published, Error> {
        self.kind.publish(publication, control, progress).await
    }

    /// Tries the registry step by step, and says of each what came out. Ends with the first that fails.
    pub async fn check(&self, control: &Control) -> Vec<Check> {
        let mut checks = Vec::new();
        if let Some(key) = &self.config.minisign_key {
            let outcome = match fetch::public_key(key) {
                Some(_) => Ok("Everything has to be signed with it.".to_owned()),
                None => Err(fetch::wrong_key(&self.config.name)),
            };
            let failed = outcome.is_err();
            checks.push(Check {
                what: "Read the key".to_owned(),
                outcome,
            });
            if failed {
                return checks;
            }
        }
        let known = Known::default();
        let listed = self.kind.list(&known, control, &()).await;
        let outcome = match listed {
            Ok(Listing::Entries(entries)) => Ok(format!("{} packages and kernels.", entries.len())),
            Ok(Listing::Files(files)) => Ok(format!("{} files.", files.len())),
            Ok(Listing::Both(entries, files)) => {
                Ok(format!("{} files.", entries.len() + files.len()))
            }
            Err(error) => Err(error),
        };
        checks.push(Check {
            what: format!("List {}", self.config.url),
            outcome,
        });
        checks
    }
}

/// Progress of several fetches as one.
struct Sum<'a> {
    each: Vec<AtomicU64>,
    total: Option<u64>,
    progress: &'a dyn Progress,
}

struct Share<'a> {
    sum: &'a Sum<'a>,
    at: usize,
}

impl<'a> Sum<'a> {
    fn of(entries: &[&Entry], progress: &'a dyn Progress) -> Self {
        Self {
            each: entries.iter().map(|_| AtomicU64::new(0)).collect(),
            total: entries.iter().map(|entry| entry.size_bytes).sum(),
            progress,
        }
    }
}

impl Progress for Share<'_> {
    fn step(&self, text: &str) {
        self.sum.progress.step(text);
    }

    fn at(&self, done: u64, _total: Option<u64>) {
        self.sum.each[self.at].store(done, Relaxed);
        let done = self.sum.each.iter().map(|each| each.load(Relaxed)).sum();
        self.sum.progress.at(done, self.sum.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs run on any thread.
    #[test]
    fn all_work_may_move_between_threads() {
        fn is_send<T: Send>(_: &T) {}
        let config = RegistryConfig::new(crate::RegistryKind::Folder, "r", "/srv");
        let registry = Registry::open(config, Credentials::None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trust = crate::TrustFile::open(folder.path().join("trust")).unwrap();
        let control = Control::default();
        let path = Path::new("/nowhere");
        is_send(&registry.refresh(path, &control, &()));
        is_send(&registry.list(&control, &()));
        let entry = Entry::new(crate::EntryKind::Package, "a", crate::Locator::at("a"));
        is_send(&registry.fetch(&entry, path, &trust, &control, &()));
        let publication = Publication {
            archive: path.to_path_buf(),
            manifest: String::new(),
            signature: None,
            replace: false,
        };
        is_send(&registry.publish(&publication, &control, &()));
        is_send(&registry.fetch_all(&[], path, &trust, &control, &()));
        is_send(&registry.check(&control));
    }
}
