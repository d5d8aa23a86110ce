//! An application credential for this computer, so that no password has to be kept.

use std::fmt;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{Call, Session};
use crate::error::Result;
use crate::profile::AuthType;
use crate::{Profile, Secrets, Service};

/// An application credential that was just made; its secret is told once.
pub struct Credential {
    /// Its id.
    pub id: String,
    secret: SecretString,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// The profile that logs in with it instead.
    pub fn profile(&self, before: &Profile) -> Profile {
        let mut profile = Profile {
            auth_type: AuthType::ApplicationCredential,
            ..before.clone()
        };
        profile.auth.clear();
        profile
            .auth
            .insert("application_credential_id".to_owned(), self.id.clone());
        profile
    }

    /// Its secret.
    pub fn secrets(&self) -> Secrets {
        Secrets::new().with("application_credential_secret", self.secret.expose_secret())
    }
}

#[derive(Deserialize)]
struct Made {
    id: String,
    secret: String,
}

/// Has Keystone make one, with the roles of the session, for its project.
///
/// # Errors
/// As Keystone refuses: who is logged in with one may not make another.
pub async fn make_credential(session: &Session, name: &str) -> Result<Credential> {
    let path = format!(
        "/users/{}/application_credentials",
        session.identity().user_id
    );
    let body =
        json!({ "application_credential": { "name": name, "description": "Made by Windlass" } });
    let call = Call::new(
        Service::Identity,
        Method::POST,
        path,
        "make an application credential",
    )
    .body(body);
    let made: Made = session.fetch(call, "application_credential").await?;
    Ok(Credential {
        id: made.id,
        secret: SecretString::from(made.secret),
    })
}
