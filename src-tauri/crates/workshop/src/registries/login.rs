//! What registries are logged in to with: in the secret store alone, by the registry's id.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_registry::{Credentials, Secret};

use super::CredentialsForm;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::secrets::{Backend, ExposeSecret, SecretStore, SecretString};

/// The kind that registries' secrets go by.
const KIND: &str = "registry";

/// Credentials as the secret store keeps them: JSON.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Kept {
    Basic {
        user: String,
        password: String,
    },
    Bearer {
        token: String,
    },
    S3 {
        access_key: String,
        secret_key: String,
        region: String,
    },
}

impl Workshop {
    /// The secret store, which is looked for when it is first needed.
    pub(crate) async fn secrets(&self) -> Result<Arc<SecretStore>> {
        let home = self.home.root().to_path_buf();
        let store = self
            .secrets
            .get_or_try_init(|| async move {
                let store = crate::blocking(move || SecretStore::open(&home)).await??;
                Ok::<_, AppError>(Arc::new(store))
            })
            .await?;
        Ok(Arc::clone(store))
    }

    /// What keeps passwords and keys here, and whether it wants a passphrase.
    ///
    /// # Errors
    /// When there is nothing that could.
    pub async fn secrets_backend(&self) -> Result<Backend> {
        let store = self.secrets().await?;
        crate::blocking(move || store.backend()).await
    }

    /// Opens the file of secrets with its passphrase; the first one makes it.
    ///
    /// # Errors
    /// When it is the wrong one.
    pub async fn unlock_secrets(&self, passphrase: String) -> Result<Backend> {
        let store = self.secrets().await?;
        crate::blocking(move || {
            store.unlock(&SecretString::from(passphrase))?;
            Ok(store.backend())
        })
        .await?
    }

    /// Keeps, or forgets, what a registry is logged in to with; whether there is anything then.
    pub(super) async fn keep_login(&self, id: u32, form: CredentialsForm) -> Result<Option<bool>> {
        let kept = match form {
            CredentialsForm::Keep => return Ok(None),
            CredentialsForm::None => None,
            CredentialsForm::Basic { user, password } => Some(Kept::Basic { user, password }),
            CredentialsForm::Bearer { token } => Some(Kept::Bearer { token }),
            CredentialsForm::S3 {
                access_key,
                secret_key,
                region,
            } => Some(Kept::S3 {
                access_key,
                secret_key,
                region,
            }),
        };
        let store = self.secrets().await?;
        crate::blocking(move || {
            let name = id.to_string();
            let Some(kept) = kept else {
                store.delete(KIND, &name)?;
                return Ok(Some(false));
            };
            // Its text is no part of an error.
            let text = serde_json::to_string(&kept).map_err(|_| unreadable())?;
            store.set(KIND, &name, &SecretString::from(text))?;
            Ok(Some(true))
        })
        .await?
    }

    /// All that registries are logged in to with, to be taken out of what leaves this computer.
    pub(crate) async fn registry_secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for registry in self.registries().unwrap_or_default() {
            match self.login(registry.id).await {
                Ok(Credentials::Basic { password, .. }) => secrets.push(password.expose().into()),
                Ok(Credentials::Bearer(token)) => secrets.push(token.expose().into()),
                Ok(Credentials::S3 {
                    access_key,
                    secret_key,
                    ..
                }) => secrets.extend([access_key, secret_key.expose().into()]),
                Ok(_) => {}
                // A store that is locked was not read for any job either.
                Err(error) => tracing::debug!(%error, "a login is not looked at"),
            }
        }
        secrets
    }

    /// What a registry is logged in to with.
    pub(crate) async fn login(&self, id: u32) -> Result<Credentials> {
        let store = self.secrets().await?;
        crate::blocking(move || {
            let Some(text) = store.get(KIND, &id.to_string())? else {
                return Ok(Credentials::None);
            };
            let kept: Kept =
                serde_json::from_str(text.expose_secret()).map_err(|_| unreadable())?;
            Ok(match kept {
                Kept::Basic { user, password } => Credentials::Basic {
                    user,
                    password: Secret::new(password),
                },
                Kept::Bearer { token } => Credentials::Bearer(Secret::new(token)),
                Kept::S3 {
                    access_key,
                    secret_key,
                    region,
                } => Credentials::S3 {
                    access_key,
                    secret_key: Secret::new(secret_key),
                    region,
                },
            })
        })
        .await?
    }
}

fn unreadable() -> AppError {
    AppError::new(
        ErrorKind::Internal,
        "What is kept to log in with cannot be understood",
    )
    .hinted("Give the credentials of this registry again")
}
