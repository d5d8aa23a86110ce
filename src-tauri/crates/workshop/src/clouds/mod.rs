//! Clouds: saved profiles, what they are logged in to with, and what was made there.
//!
//! ```text
//!   database: profile          secret store: secrets, by the cloud's id
//!        └───────────┬───────────────┘
//!                 session, kept while the profile stays as it is
//!                    │
//!     check, quotas, images, servers ◄┴► cloud_item: written before anything is made there
//! ```

mod appliance;
mod check;
mod deploy;
mod images;
mod import;
mod model;
mod secrets;
mod server_changes;
mod servers;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_cloud::profile::AuthType;
use windlass_cloud::{Error as CloudError, Profile, Secrets, Session, quota};

pub use deploy::{CleanUp, CloudFlavor, CloudThing, DeployChoices, DeployFrom, DeployOptions};
pub use images::{CloudImageFilter, CloudImagePage, PushOptions};
pub use model::{
    Cloud, CloudAuth, CloudCheck, CloudCheckStep, CloudForm, CloudImage, CloudImported, CloudQuota,
    CloudSecret,
};
pub use server_changes::CloudServerChange;
pub use servers::{
    CloudServer, CloudServerAction, CloudServerChoices, CloudServerDeed, CloudServerFlavor,
    CloudServerPage, CloudVolume, ServerConsole,
};

use self::store::Record;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;

impl From<CloudError> for AppError {
    fn from(error: CloudError) -> Self {
        let kind = match &error {
            CloudError::Cancelled => ErrorKind::Cancelled,
            CloudError::Profile { .. }
            | CloudError::File { .. }
            | CloudError::Input { .. }
            | CloudError::Login { .. }
            | CloudError::Ambiguous { .. }
            | CloudError::Refused { status: 400, .. } => ErrorKind::Input,
            CloudError::NotFound { .. } | CloudError::Refused { status: 404, .. } => {
                ErrorKind::NotFound
            }
            CloudError::Quota { .. } | CloudError::Refused { status: 409, .. } => {
                ErrorKind::Conflict
            }
            _ => ErrorKind::Unavailable,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

/// Sessions that are logged in, by the cloud's id.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<u32, Arc<Session>>>,
}

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workshop {
    /// All clouds, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn clouds(&self) -> Result<Vec<Cloud>> {
        Ok(store::list(&self.database)?
            .into_iter()
            .map(Cloud::of)
            .collect())
    }

    /// The cloud of this name or id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn cloud(&self, wanted: &str) -> Result<Cloud> {
        let clouds = self.clouds()?;
        let found = clouds
            .iter()
            .find(|it| it.name.eq_ignore_ascii_case(wanted))
            .or_else(|| clouds.iter().find(|it| it.id.to_string() == wanted));
        found.cloned().ok_or_else(|| {
            AppError::not_found("cloud", wanted)
                .hinted("`windlassctl cloud list` shows those that there are, `windlassctl cloud import` reads clouds.yaml")
        })
    }

    /// Adds a cloud.
    ///
    /// # Errors
    /// `Input` when the name is taken or something is missing; when the secret store is locked.
    pub async fn add_cloud(&self, form: CloudForm) -> Result<Cloud> {
        let secret = form.secret.clone();
        let profile = form.profile(None)?;
        let secrets = secrets_of(&profile, secret);
        let id = store::insert(&self.database, &profile)?;
        if let Err(error) = self.keep_cloud_secrets(id, secrets).await {
            // Without what it is to be logged in to with, it was not added.
            store::remove(&self.database, id)?;
            return Err(error);
        }
        self.events.send(Event::CloudsChanged);
        Ok(Cloud::of(store::get(&self.database, id)?))
    }

    /// Changes a cloud. Where it moves to another Keystone, its secret has to be given anew.
    ///
    /// # Errors
    /// `NotFound`; `Input` as in [`add_cloud`](Self::add_cloud).
    pub async fn update_cloud(&self, id: u32, form: CloudForm) -> Result<Cloud> {
        let before = store::get(&self.database, id)?;
        let secret = form.secret.clone();
        let profile = form.profile(Some(&before.profile))?;
        let moved = profile.auth_url != before.profile.auth_url
            || profile.auth_type != before.profile.auth_type;
        let secrets = match secret {
            CloudSecret::Keep if moved => Some(Secrets::new()),
            secret => secrets_of(&profile, secret),
        };
        self.keep_cloud_secrets(id, secrets).await?;
        store::update(&self.database, id, &profile)?;
        self.cloud_sessions.lock().remove(&id);
        self.events.send(Event::CloudsChanged);
        Ok(Cloud::of(store::get(&self.database, id)?))
    }

    /// Forgets a cloud and its secret. What is in the cloud stays there.
    ///
    /// # Errors
    /// `NotFound`; when the secret store is locked.
    pub async fn remove_cloud(&self, id: u32) -> Result<()> {
        store::get(&self.database, id)?;
        self.keep_cloud_secrets(id, Some(Secrets::new())).await?;
        store::remove(&self.database, id)?;
        self.cloud_sessions.lock().remove(&id);
        self.events.send(Event::CloudsChanged);
        Ok(())
    }

    /// How much of the project's shares is used.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_quotas(&self, id: u32) -> Result<Vec<CloudQuota>> {
        let session = self.cloud_session(id).await?;
        let quotas = quota::quotas(&session).await?;
        Ok(quotas.iter().map(CloudQuota::of).collect())
    }

    /// Has Keystone make an application credential for this computer, and logs in with it from now on: the password is
    /// forgotten here.
    ///
    /// # Errors
    /// When Keystone refuses; when the secret store is locked.
    pub async fn make_cloud_credential(&self, id: u32) -> Result<Cloud> {
        let session = self.cloud_session(id).await?;
        let record = store::get(&self.database, id)?;
        if record.profile.auth_type == AuthType::ApplicationCredential {
            return Err(AppError::new(
                ErrorKind::Conflict,
                format!(
                    "{} is logged in to with an application credential already",
                    record.profile.name
                ),
            ));
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("windlass {} {}", host.trim(), &crate::new_id()[..12]);
        let made = windlass_cloud::session::make_credential(&session, &name).await?;
        let profile = made.profile(&record.profile);
        self.keep_cloud_secrets(id, Some(made.secrets())).await?;
        store::update(&self.database, id, &profile)?;
        self.cloud_sessions.lock().remove(&id);
        self.events.send(Event::CloudsChanged);
        Ok(Cloud::of(store::get(&self.database, id)?))
    }

    /// The cloud, logged in to; the session is kept.
    pub(crate) async fn cloud_session(&self, id: u32) -> Result<Arc<Session>> {
        let record = store::get(&self.database, id)?;
        if let Some(session) = self.cloud_sessions.lock().get(&id)
            && *session.profile() == record.profile
        {
            return Ok(Arc::clone(session));
        }
        let secrets = self.cloud_secrets(&record).await?;
        let session = Arc::new(Session::connect(&record.profile, &secrets).await?);
        self.cloud_sessions.lock().insert(id, Arc::clone(&session));
        Ok(session)
    }

    async fn cloud_secrets(&self, record: &Record) -> Result<Secrets> {
        if record.has_secret {
            self.kept_cloud_secrets(record.id).await
        } else {
            Ok(Secrets::new())
        }
    }
}

/// The secrets that a form gives; `None` where what is kept stays.
fn secrets_of(profile: &Profile, secret: CloudSecret) -> Option<Secrets> {
    match secret {
        CloudSecret::Keep => None,
        CloudSecret::None => Some(Secrets::new()),
        CloudSecret::Given { secret } => {
            let word = profile.needed_secret().unwrap_or("password");
            Some(Secrets::new().with(word, secret))
        }
    }
}
