//! Why a login failed.
//!
//! The SDK says "Service is not working" of everything between a typo in the host's name and a certificate that ended, and
//! Keystone answers 401 to a wrong password, user, domain and project alike. So Keystone is greeted without a login first, and
//! then asked again with less: who gets in without a project has named the wrong project; who gets in by the default domain
//! has named the wrong domain. One more question each, as too many wrong passwords lock an account.

use std::time::SystemTime;

use openstack_sdk::{OpenStackError, auth::AuthError};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::catalog::with_version;
use super::words;
use crate::error::{Error, Result};
use crate::profile::AuthType;
use crate::reach::{self, ANSWER};
use crate::{Profile, Secrets, Service};

/// What a Keystone says to anybody.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Its version, such as `v3.14`.
    pub(crate) version: String,
    /// Its clock.
    pub(crate) time: Option<SystemTime>,
}

pub(super) fn base(profile: &Profile) -> Result<Url> {
    let url = Url::parse(&profile.auth_url).map_err(|_| Error::Profile {
        cloud: profile.name.clone(),
        found: "has an address that is none".to_owned(),
        remedy: "Give it, such as https://cloud.example.org:5000/v3".to_owned(),
    })?;
    Ok(with_version(url, Service::Identity))
}

/// Greets Keystone, without a login.
pub(crate) async fn greet(profile: &Profile) -> Result<Door> {
    let client = reach::client(profile, Some(ANSWER))?;
    let url = base(profile)?;
    let answer = client
        .get(url.clone())
        .header("accept", "application/json")
        .send()
        .await
        .map_err(|it| reach::network(url.as_str(), it))?;
    let time = answer
        .headers()
        .get("date")
        .and_then(|it| httpdate::parse_http_date(it.to_str().ok()?).ok());
    let status = answer.status().as_u16();
    let body = answer
        .bytes()
        .await
        .map_err(|it| reach::network(url.as_str(), it))?;
    let strange = |found: String| Error::NotKeystone {
        url: url.to_string(),
        found,
    };
    match status {
        200 | 300 => {}
        502..=504 => {
            return Err(Error::Refused {
                service: Service::Identity,
                doing: "answer".to_owned(),
                status,
                said: words(&body),
                request: None,
            });
        }
        _ => return Err(strange(format!("it answers {status}"))),
    }
    let json: Value =
        serde_json::from_slice(&body).map_err(|_| strange("it answers with no JSON".to_owned()))?;
    let version = json.pointer("/version/id").and_then(Value::as_str);
    match version {
        Some(version) if version.starts_with("v3") => Ok(Door {
            version: version.to_owned(),
            time,
        }),
        _ => Err(strange("it has no version 3".to_owned())),
    }
}

/// Names of the projects that a token's user may choose from.
pub(super) async fn projects(profile: &Profile, token: &SecretString) -> Result<Vec<String>> {
    let client = reach::client(profile, Some(ANSWER))?;
    let url = format!("{}/auth/projects", base(profile)?);
    let answer = client
        .get(&url)
        .header("x-auth-token", token.expose_secret())
        .send()
        .await
        .map_err(|it| reach::network(&url, it))?;
    let body = answer
        .bytes()
        .await
        .map_err(|it| reach::network(&url, it))?;
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let names = json
        .get("projects")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    Ok(names
        .filter_map(|it| it.get("name")?.as_str().map(str::to_owned))
        .take(20)
        .collect())
}

/// Logs in with name and password, for no project.
async fn unscoped(
    client: &Client,
    profile: &Profile,
    secrets: &Secrets,
    domain: Option<Value>,
) -> Option<SecretString> {
    let password = secrets.get("password")?;
    let mut user = json!({ "password": password.expose_secret() });
    match (profile.said("user_id"), profile.said("username")) {
        (Some(id), _) => user["id"] = json!(id),
        (None, Some(name)) => {
            user["name"] = json!(name);
            user["domain"] = domain.or_else(|| {
                let id = profile.said("user_domain_id").map(|it| json!({ "id": it }));
                id.or_else(|| Some(json!({ "name": profile.said("user_domain_name")? })))
            })?;
        }
        (None, None) => return None,
    }
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": "unscoped",
    } });
    let url = format!("{}/auth/tokens", base(profile).ok()?);
    let answer = client.post(url).json(&body).send().await.ok()?;
    if answer.status().as_u16() != 201 {
        return None;
    }
    let token = answer.headers().get("x-subject-token")?.to_str().ok()?;
    Some(SecretString::from(token))
}

/// Forgets a token that only served a question.
async fn forget(client: &Client, profile: &Profile, token: &SecretString) {
    if let Ok(base) = base(profile) {
        let request = client
            .delete(format!("{base}/auth/tokens"))
            .header("x-auth-token", token.expose_secret())
            .header("x-subject-token", token.expose_secret());
        // It ends by itself in hours.
        let _ = request.send().await;
    }
}

/// What the SDK's failure to log in means.
pub(super) async fn explain(profile: &Profile, secrets: &Secrets, error: &OpenStackError) -> Error {
    // What is on the way comes first: without Keystone nothing else can be told.
    if let Err(error) = greet(profile).await {
        return error;
    }
    if let Some(error) = reach::network_of(&profile.auth_url, error) {
        return error;
    }
    // Transparent, it hides what it holds from who walks the causes.
    if let OpenStackError::AuthError {
        source: AuthError::Reqwest { source },
    } = error
        && let Some(error) = reach::network_of(&profile.auth_url, source)
    {
        return error;
    }
    let login = |why: String, remedy: &str| Error::Login {
        why,
        remedy: remedy.to_owned(),
    };
    match error {
        OpenStackError::AuthError {
            source: AuthError::Identity(said),
        } if said.code == 401 => unauthorized(profile, secrets).await,
        OpenStackError::AuthError {
            source: AuthError::Identity(said),
        } => login(
            words_of(&said.message),
            "Ask the cloud's keeper; these are Keystone's words",
        ),
        OpenStackError::AuthError {
            source: AuthError::AuthReceipt(_),
        } => login(
            "it wants a second factor".to_owned(),
            "Make an application credential in Horizon (Identity), which needs none, and use that",
        ),
        other => {
            let mut said = other.to_string();
            for word in secrets.words() {
                if let Some(secret) = secrets.get(word) {
                    said = said.replace(secret.expose_secret(), "…");
                }
            }
            login(
                words_of(&said),
                "Look at the profile's form; if it is right, try `Test`",
            )
        }
    }
}

fn words_of(text: &str) -> String {
    words(text.as_bytes())
}

async fn unauthorized(profile: &Profile, secrets: &Secrets) -> Error {
    let login = |why: String, remedy: String| Error::Login { why, remedy };
    match profile.auth_type {
        AuthType::ApplicationCredential => login(
            "the application credential is unknown, its secret is wrong, or it has ended".to_owned(),
            "Make a new one (Horizon: Identity, Application Credentials), and give its id and secret".to_owned(),
        ),
        AuthType::Token => login(
            "the token has ended, or is for another cloud".to_owned(),
            "Get a new one, or use a password or an application credential".to_owned(),
        ),
        AuthType::Totp => login(
            "the code is wrong or has ended, or the user's name or domain is".to_owned(),
            "Try the next code; look at the clock of the device that shows it".to_owned(),
        ),
        AuthType::Password => password(profile, secrets).await,
        _ => login(
            "the identity provider's word is not accepted".to_owned(),
            "Ask the cloud's keeper for the names of the identity provider and of the protocol".to_owned(),
        ),
    }
}

async fn password(profile: &Profile, secrets: &Secrets) -> Error {
    let login = |why: String, remedy: String| Error::Login { why, remedy };
    let who = profile.who().to_owned();
    let Ok(client) = reach::client(profile, Some(ANSWER)) else {
        return login(
            "the name, the domain or the password is wrong".to_owned(),
            "Give them again".to_owned(),
        );
    };
    if let Some(token) = unscoped(&client, profile, secrets, None).await {
        let names = projects(profile, &token).await.unwrap_or_default();
        forget(&client, profile, &token).await;
        let project = profile.project().unwrap_or_default();
        let known = names.iter().any(|it| it == project);
        let why = if known {
            format!(
                "{who} and the password are right, and the project {project} is in another domain"
            )
        } else {
            format!("{who} and the password are right, but {project} is no project of this user")
        };
        let remedy = if names.is_empty() {
            "This user has no project yet: ask the cloud's keeper for a role in one".to_owned()
        } else if known {
            "Correct the project's domain".to_owned()
        } else {
            format!("Projects of this user: {}", names.join(", "))
        };
        return login(why, remedy);
    }
    let by_default = profile.said("user_domain_id") == Some("default")
        || profile
            .said("user_domain_name")
            .is_some_and(|it| it.eq_ignore_ascii_case("default"));
    if !by_default
        && profile.said("username").is_some()
        && let Some(token) =
            unscoped(&client, profile, secrets, Some(json!({ "id": "default" }))).await
    {
        forget(&client, profile, &token).await;
        let domain = profile
            .said("user_domain_name")
            .or_else(|| profile.said("user_domain_id"));
        return login(
            format!(
                "{who} is a user of the domain Default, and not of {}",
                domain.unwrap_or("the one named")
            ),
            "Set the user's domain to Default".to_owned(),
        );
    }
    let or_domain = if by_default { "" } else { ", or the domain," };
    login(
        format!("the password of {who}, or the name{or_domain} is wrong; Keystone does not say which"),
        "Give the password again. Where Horizon's login asks for a domain, it is the user's domain here".to_owned(),
    )
}
