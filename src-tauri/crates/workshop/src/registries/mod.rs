//! Registries: the places that packages and guest kernels come from, in the order in which they are
//! asked.
//!
//! ```text
//!   database: name, kind, address, order …       secret store: credentials
//!        └────────────────┬──────────────────────────┘
//!                    registry ──refresh (a job)──► registries/<id>.catalogue
//!                                                      │
//!                                  search, details ◄───┘  what was listed last; works offline
//! ```
//!
//! What a registry needs to be logged in to never gets into the database, a log or an error.

mod login;
mod model;
mod refresh;
mod store;

use std::path::PathBuf;

use windlass_registry::{Control, Credentials, RegistryConfig};

pub use model::{
    CredentialsForm, Registry, RegistryCheck, RegistryCheckStep, RegistryForm, RegistryKind,
    RegistryState,
};
pub(crate) use refresh::{Catalogues, Refreshing};
pub(crate) use store::Record;

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;

impl From<windlass_registry::Error> for AppError {
    fn from(error: windlass_registry::Error) -> Self {
        use windlass_registry::Error;
        let kind = match &error {
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Config { .. }
            | Error::Unsupported { .. }
            | Error::Package { .. }
            | Error::Image { .. } => ErrorKind::Input,
            Error::Status { status: 404, .. } => ErrorKind::NotFound,
            Error::Replaced { .. } | Error::Busy { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

fn text(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

impl RegistryForm {
    /// What the form says, without credentials. A registry that is open to all needs them to publish only.
    fn config(&self) -> Result<RegistryConfig> {
        let refuse = |what: &str, hint: &str| {
            Err(AppError::new(ErrorKind::Input, what.to_owned()).hinted(hint))
        };
        let (name, url) = (self.name.trim(), self.url.trim());
        if name.is_empty() || name.chars().any(char::is_control) {
            return refuse(
                "A registry has to have a name",
                "Give it one, such as `team`",
            );
        }
        if url.is_empty() {
            return refuse(
                "A registry has to be somewhere",
                "Give its address, or the path of its folder",
            );
        }
        let has_secret = url
            .split_once("://")
            .is_some_and(|(_, rest)| rest.split('/').next().unwrap_or(rest).contains('@'));
        if has_secret {
            return refuse(
                "An address must not have a password in it",
                "Give the name and the password as credentials: they go to the secret store",
            );
        }
        let config = RegistryConfig {
            name: name.to_owned(),
            kind: self.kind.into(),
            url: url.to_owned(),
            prefix: text(self.prefix.clone()),
            ca_file: text(self.ca_file.clone()).map(PathBuf::from),
            proxy: text(self.proxy.clone()),
            minisign_key: text(self.minisign_key.clone()),
            public: false,
        };
        windlass_registry::Registry::open(config.clone(), Credentials::None)?;
        Ok(config)
    }
}

impl Workshop {
    /// All registries, in the order in which they are asked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn registries(&self) -> Result<Vec<Registry>> {
        let records = store::list(&self.database)?;
        Ok(records.iter().map(|it| self.show_registry(it)).collect())
    }

    /// The registry of this name or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn registry(&self, wanted: &str) -> Result<Registry> {
        let registries = self.registries()?;
        let is_it = |it: &&Registry| it.name.eq_ignore_ascii_case(wanted);
        let found = registries
            .iter()
            .find(is_it)
            .or_else(|| registries.iter().find(|it| it.id.to_string() == wanted));
        found.cloned().ok_or_else(|| {
            AppError::not_found("registry", wanted)
                .hinted("`windlassctl registry list` shows those that there are")
        })
    }

    fn show_registry(&self, record: &Record) -> Registry {
        let config = record.config.clone();
        let state = if self.refreshing.contains(record.id) {
            RegistryState::Refreshing
        } else if record.offline {
            RegistryState::Offline
        } else if record.problem.is_some() {
            RegistryState::Failed
        } else if record.refreshed_at.is_none() {
            RegistryState::Never
        } else {
            RegistryState::Fresh
        };
        Registry {
            id: record.id,
            publishable: !matches!(
                config.kind,
                windlass_registry::RegistryKind::Http | windlass_registry::RegistryKind::GitHub
            ),
            name: config.name,
            kind: config.kind.into(),
            url: config.url,
            prefix: config.prefix,
            enabled: record.enabled,
            built_in: record.built_in,
            order: record.place,
            needs_login: record.has_login,
            ca_file: config.ca_file.map(|path| path.display().to_string()),
            proxy: config.proxy,
            minisign_key: config.minisign_key,
            state,
            refreshed: record.refreshed_at.clone(),
            packages: record.entry_count,
            problem: record.problem.clone(),
        }
    }

    /// Adds a registry, as the last one.
    ///
    /// # Errors
    /// `Input` when the name is taken or the address makes no sense.
    pub async fn add_registry(&self, form: RegistryForm) -> Result<Registry> {
        let config = form.config()?;
        let id = store::insert(&self.database, &config)?;
        if let Err(error) = self.set_login(id, form.credentials).await {
            // Without what it is to be logged in to with, it was not added.
            store::remove(&self.database, id)?;
            return Err(error);
        }
        self.events.send(Event::RegistriesChanged);
        Ok(self.show_registry(&store::get(&self.database, id)?))
    }

    async fn set_login(&self, id: u32, form: CredentialsForm) -> Result<()> {
        if form == CredentialsForm::None && !store::get(&self.database, id)?.has_login {
            return Ok(());
        }
        if let Some(has_login) = self.keep_login(id, form).await? {
            store::set_login(&self.database, id, has_login)?;
        }
        Ok(())
    }

    /// Changes a registry.
    ///
    /// # Errors
    /// `NotFound`; `Input` as in [`add_registry`](Self::add_registry).
    pub async fn update_registry(&self, id: u32, form: RegistryForm) -> Result<Registry> {
        let before = store::get(&self.database, id)?;
        let mut config = form.config()?;
        config.public = before.config.public && config.identity() == before.config.identity();
        let moved =
            config.identity() != before.config.identity() || config.prefix != before.config.prefix;
        // A password for one host is not for another: it has to be given anew.
        let credentials = if moved && form.credentials == CredentialsForm::Keep {
            CredentialsForm::None
        } else {
            form.credentials
        };
        self.set_login(id, credentials).await?;
        store::update(&self.database, id, &config, moved)?;
        if moved {
            self.forget_catalogue(id);
        }
        self.events.send(Event::RegistriesChanged);
        Ok(self.show_registry(&store::get(&self.database, id)?))
    }

    /// Forgets a registry, its credentials and what it had. What was fetched from it stays.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_registry(&self, id: u32) -> Result<()> {
        self.set_login(id, CredentialsForm::None).await?;
        store::remove(&self.database, id)?;
        self.forget_catalogue(id);
        self.events.send(Event::RegistriesChanged);
        Ok(())
    }

    /// Puts the registries into a new order.
    ///
    /// # Errors
    /// `Conflict` when not just the registries that there are are named.
    pub fn reorder_registries(&self, ids: &[u32]) -> Result<()> {
        store::reorder(&self.database, ids)?;
        self.events.send(Event::RegistriesChanged);
        Ok(())
    }

    /// Asks a registry from now on, or does not.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn enable_registry(&self, id: u32, enabled: bool) -> Result<()> {
        store::set_enabled(&self.database, id, enabled)?;
        self.events.send(Event::RegistriesChanged);
        Ok(())
    }

    /// Gives a registry other credentials.
    ///
    /// # Errors
    /// `NotFound`; when the secret store is locked.
    pub async fn log_in_registry(&self, id: u32, credentials: CredentialsForm) -> Result<Registry> {
        self.set_login(id, credentials).await?;
        self.events.send(Event::RegistriesChanged);
        Ok(self.show_registry(&store::get(&self.database, id)?))
    }

    /// Tries a registry step by step.
    ///
    /// # Errors
    /// `NotFound`. What is wrong with the registry is the answer, and no error.
    pub async fn check_registry(&self, id: u32) -> Result<RegistryCheck> {
        let record = store::get(&self.database, id)?;
        let registry = self.open_registry(&record).await?;
        let steps: Vec<_> = registry
            .check(&Control::default())
            .await
            .into_iter()
            .map(|step| {
                let (ok, said, hint) = match step.outcome {
                    Ok(said) => (true, said, None),
                    Err(error) => {
                        let hint = error.hint();
                        let error = AppError::from(error);
                        let said: Vec<_> =
                            std::iter::once(error.message).chain(error.chain).collect();
                        (false, said.join(": "), hint)
                    }
                };
                RegistryCheckStep {
                    what: step.what,
                    ok,
                    said,
                    hint,
                }
            })
            .collect();
        Ok(RegistryCheck {
            ok: steps.iter().all(|step| step.ok),
            steps,
        })
    }

    pub(crate) fn registry_record(&self, id: u32) -> Result<Record> {
        store::get(&self.database, id)
    }

    /// Those that are asked, in their order.
    pub(crate) fn enabled_registries(&self) -> Result<Vec<Record>> {
        let mut records = store::list(&self.database)?;
        records.retain(|record| record.enabled);
        Ok(records)
    }

    /// A registry, ready to be asked.
    pub(crate) async fn open_registry(
        &self,
        record: &Record,
    ) -> Result<windlass_registry::Registry> {
        let credentials = if record.has_login {
            self.login(record.id).await?
        } else {
            Credentials::None
        };
        let cache = self.home.registries().join(format!("{}.cache", record.id));
        let registry = windlass_registry::Registry::open(record.config.clone(), credentials)?;
        Ok(registry.caching_in(cache))
    }
}
