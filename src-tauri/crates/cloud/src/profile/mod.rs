//! What a cloud is reached and logged in with: the public part, and apart from it the secrets.
//!
//! The words are those of `clouds.yaml`, so that what is read is what is written back.

mod clouds_yaml;
mod environment;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub use clouds_yaml::{Imported, read_clouds, read_folder, write_clouds, write_secure};
pub use environment::{read_environment, read_openrc};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How Keystone is told who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthType {
    /// A name and a password.
    #[default]
    Password,
    /// An application credential: an id and a secret, for one project.
    ApplicationCredential,
    /// A token from elsewhere; it ends soon.
    Token,
    /// A name and a one-time code.
    Totp,
    /// An access token of an identity provider.
    OidcAccessToken,
    /// A client's id and secret at an identity provider.
    OidcClientCredentials,
    /// The identity provider's page in a browser.
    WebSso,
}

impl AuthType {
    /// As `clouds.yaml` and the SDK spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "v3password",
            Self::ApplicationCredential => "v3applicationcredential",
            Self::Token => "v3token",
            Self::Totp => "v3totp",
            Self::OidcAccessToken => "v3oidcaccesstoken",
            Self::OidcClientCredentials => "v3oidcclientcredentials",
            Self::WebSso => "v3websso",
        }
    }

    /// Reads any spelling that tools know.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "password" | "v3password" => Self::Password,
            "v3applicationcredential" | "applicationcredential" | "application_credential" => {
                Self::ApplicationCredential
            }
            "token" | "v3token" | "admin_token" => Self::Token,
            "totp" | "v3totp" => Self::Totp,
            "v3oidcaccesstoken" | "accesstoken" => Self::OidcAccessToken,
            "v3oidcclientcredentials" | "clientcredentials" => Self::OidcClientCredentials,
            "v3websso" | "websso" => Self::WebSso,
            _ => return None,
        })
    }
}

/// A cloud, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    /// Its name here.
    pub name: String,
    /// How it is logged in to.
    pub auth_type: AuthType,
    /// Keystone's address.
    pub auth_url: String,
    /// What else goes with the login, by the words of `clouds.yaml`: `username`, `project_name`, `user_domain_name` …
    pub auth: BTreeMap<String, String>,
    /// The region; the first, where none is named.
    pub region: Option<String>,
    /// Which of a service's addresses is taken: `public`, `internal` or `admin`.
    pub interface: Option<String>,
    /// Certificates (PEM) that it is trusted by, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// What else the file said; written back as it was.
    pub other: BTreeMap<String, serde_json::Value>,
}

/// The words of a login that are secret.
pub const SECRET_WORDS: [&str; 6] = [
    "password",
    "application_credential_secret",
    "token",
    "passcode",
    "access_token",
    "client_secret",
];

/// The secrets of a profile, by their words in `clouds.yaml`.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// No secrets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; a word that is not of [`SECRET_WORDS`], or an empty secret, is left out.
    pub fn set(&mut self, word: &str, secret: impl Into<String>) {
        let secret = secret.into();
        if SECRET_WORDS.contains(&word) && !secret.is_empty() {
            self.0.insert(word.to_owned(), SecretString::from(secret));
        }
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, word: &str, secret: impl Into<String>) -> Self {
        self.set(word, secret);
        self
    }

    /// One of them.
    pub fn get(&self, word: &str) -> Option<&SecretString> {
        self.0.get(word)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their words, without the secrets.
    pub fn words(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// As a secret store keeps them.
    pub fn to_kept(&self) -> SecretString {
        let plain: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(word, secret)| (word.as_str(), secret.expose_secret()))
            .collect();
        SecretString::from(serde_json::to_string(&plain).unwrap_or_default())
    }

    /// What a secret store kept.
    pub fn from_kept(text: &SecretString) -> Option<Self> {
        let plain: BTreeMap<String, String> = serde_json::from_str(text.expose_secret()).ok()?;
        let mut secrets = Self::new();
        for (word, secret) in plain {
            secrets.set(&word, secret);
        }
        Some(secrets)
    }
}

/// Names the words; never the secrets.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Profile {
    /// What secret this way to log in needs.
    pub fn needed_secret(&self) -> Option<&'static str> {
        match self.auth_type {
            AuthType::Password => Some("password"),
            AuthType::ApplicationCredential => Some("application_credential_secret"),
            AuthType::Token => Some("token"),
            AuthType::Totp => Some("passcode"),
            AuthType::OidcAccessToken => Some("access_token"),
            AuthType::OidcClientCredentials => Some("client_secret"),
            AuthType::WebSso => None,
        }
    }

    /// A word of the login, where it is said.
    pub fn said(&self, word: &str) -> Option<&str> {
        self.auth
            .get(word)
            .map(String::as_str)
            .filter(|it| !it.is_empty())
    }

    /// The project, by name or id, where one is named.
    pub fn project(&self) -> Option<&str> {
        self.said("project_name")
            .or_else(|| self.said("project_id"))
    }

    /// Who logs in, in words.
    pub fn who(&self) -> &str {
        [
            "username",
            "user_id",
            "application_credential_name",
            "application_credential_id",
            "client_id",
        ]
        .into_iter()
        .find_map(|word| self.said(word))
        .unwrap_or("")
    }

    /// Sees whether enough is said to try it.
    ///
    /// # Errors
    /// [`Error::Profile`], with what is missing.
    pub fn validate(&self) -> Result<()> {
        let refuse = |found: &str, remedy: &str| {
            Err(Error::Profile {
                cloud: self.name.clone(),
                found: found.to_owned(),
                remedy: remedy.to_owned(),
            })
        };
        if self.name.is_empty() || self.name.len() > 200 || self.name.chars().any(char::is_control)
        {
            return refuse("has no name", "Give it one, such as `work`");
        }
        let url = url::Url::parse(&self.auth_url);
        let Ok(url) = url else {
            return refuse(
                "has no address of its Keystone",
                "Give it, such as https://cloud.example.org:5000/v3",
            );
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return refuse(
                "has an address that is neither http nor https",
                "Correct it",
            );
        }
        if url.password().is_some() || !url.username().is_empty() {
            return refuse(
                "has a password in its address",
                "Give it in its own field: it goes to the secret store",
            );
        }
        if self
            .auth
            .keys()
            .any(|word| SECRET_WORDS.contains(&word.as_str()))
        {
            return refuse(
                "has a secret among its public settings",
                "Give it in its own field",
            );
        }
        let has = |words: &[&str]| words.iter().any(|word| self.said(word).is_some());
        match self.auth_type {
            AuthType::Password | AuthType::Totp if !has(&["username", "user_id"]) => {
                refuse("does not say who logs in", "Give the user's name")
            }
            AuthType::ApplicationCredential
                if !has(&["application_credential_id", "application_credential_name"]) =>
            {
                refuse("does not name its application credential", "Give its id")
            }
            AuthType::OidcAccessToken | AuthType::OidcClientCredentials
                if !has(&["identity_provider"]) || !has(&["protocol"]) =>
            {
                refuse(
                    "does not name its identity provider and protocol",
                    "Ask the cloud's keeper for both",
                )
            }
            AuthType::WebSso if !has(&["protocol"]) => refuse(
                "does not name its protocol",
                "Ask the cloud's keeper; often it is `openid`",
            ),
            _ => Ok(()),
        }
    }
}
