//! Clouds as the window and the command line show them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_cloud::profile::{AuthType, Profile};
use windlass_cloud::quota::Quota;

use super::store::Record;
use crate::error::Result;

/// How a cloud is logged in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum CloudAuth {
    /// A name and a password.
    Password,
    /// An application credential.
    ApplicationCredential,
    /// A token from elsewhere.
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

crate::guests::mirror!(CloudAuth, AuthType: Password, ApplicationCredential, Token, Totp, OidcAccessToken, OidcClientCredentials, WebSso);

/// A cloud as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Cloud {
    /// Its name for programs.
    pub id: u32,
    /// Its name for people.
    pub name: String,
    /// How it is logged in to.
    pub auth: CloudAuth,
    /// Keystone's address.
    pub auth_url: String,
    /// Who logs in: a user's name, or the id of an application credential.
    pub user: String,
    /// The user's domain.
    pub user_domain: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The project's domain.
    pub project_domain: Option<String>,
    /// The identity provider, where one vouches.
    pub identity_provider: Option<String>,
    /// How the identity provider is spoken to.
    pub protocol: Option<String>,
    /// The region; the first, where none is named.
    pub region: Option<String>,
    /// Which of a service's addresses is taken.
    pub interface: Option<String>,
    /// Certificates that it is trusted by, beside the system's.
    pub ca_file: Option<String>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// Whether a secret is kept for it.
    pub has_secret: bool,
    /// When it was last tried (RFC 3339).
    pub checked: Option<String>,
    /// What was wrong then.
    pub problem: Option<String>,
}

fn domain(profile: &Profile, side: &str) -> Option<String> {
    let said = |word: &str| profile.said(&format!("{side}_domain_{word}"));
    said("name").or_else(|| said("id")).map(str::to_owned)
}

impl Cloud {
    pub(super) fn of(record: Record) -> Self {
        let profile = &record.profile;
        Self {
            id: record.id,
            name: profile.name.clone(),
            auth: profile.auth_type.into(),
            auth_url: profile.auth_url.clone(),
            user: profile.who().to_owned(),
            user_domain: domain(profile, "user"),
            project: profile.project().map(str::to_owned),
            project_domain: domain(profile, "project"),
            identity_provider: profile.said("identity_provider").map(str::to_owned),
            protocol: profile.said("protocol").map(str::to_owned),
            region: profile.region.clone(),
            interface: profile.interface.clone(),
            ca_file: profile.ca_file.as_ref().map(|it| it.display().to_string()),
            insecure: profile.insecure,
            has_secret: record.has_secret,
            checked: record.checked_at,
            problem: record.check_failed,
        }
    }
}

/// The secret of a cloud. Only ever on its way into the secret store.
#[derive(Clone, PartialEq, Eq, Deserialize, Type)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum CloudSecret {
    /// What is kept stays.
    Keep,
    /// What is kept is forgotten.
    None,
    /// The password, the credential's secret, the token or the code.
    Given {
        /// The secret.
        secret: String,
    },
}

/// Never what is secret.
impl std::fmt::Debug for CloudSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::None => "None",
            Self::Given { .. } => "Given(…)",
        })
    }
}

/// What the user says of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudForm {
    /// Its name for people.
    pub name: String,
    /// How it is logged in to.
    pub auth: CloudAuth,
    /// Keystone's address.
    pub auth_url: String,
    /// Who logs in: a user's name, or the id of an application credential or client.
    pub user: String,
    /// The user's domain; `default` is the id of the domain that every Keystone has.
    pub user_domain: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The project's domain.
    pub project_domain: Option<String>,
    /// The identity provider, where one vouches.
    pub identity_provider: Option<String>,
    /// How the identity provider is spoken to.
    pub protocol: Option<String>,
    /// The region; the first, where none is named.
    pub region: Option<String>,
    /// Which of a service's addresses is taken.
    pub interface: Option<String>,
    /// Certificates that it is trusted by, beside the system's.
    pub ca_file: Option<String>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// The secret.
    pub secret: CloudSecret,
}

fn text(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

impl CloudForm {
    /// The profile that the form describes; what it has no field for stays as it was.
    pub(super) fn profile(self, before: Option<&Profile>) -> Result<Profile> {
        let auth_type: AuthType = self.auth.into();
        let mut auth: BTreeMap<String, String> = before
            .filter(|it| it.auth_type == auth_type)
            .map(|it| it.auth.clone())
            .unwrap_or_default();
        let mut say = |words: &[&str], value: Option<String>, word: &str| {
            // What is as it was shown stays as it was said, by name or by id.
            let as_before =
                value.is_some() && words.iter().any(|it| auth.get(*it) == value.as_ref());
            if as_before {
                return;
            }
            for word in words {
                auth.remove(*word);
            }
            if let Some(value) = value {
                auth.insert(word.to_owned(), value);
            }
        };
        let user = text(Some(self.user));
        let named = matches!(auth_type, AuthType::Password | AuthType::Totp);
        match auth_type {
            AuthType::Password | AuthType::Totp => {
                say(&["username", "user_id"], user.clone(), "username");
            }
            AuthType::ApplicationCredential => say(
                &["application_credential_id", "application_credential_name"],
                user,
                "application_credential_id",
            ),
            AuthType::OidcClientCredentials => say(&["client_id"], user, "client_id"),
            AuthType::Token | AuthType::OidcAccessToken | AuthType::WebSso => {}
        }
        let domain_word = |side: &str, value: &Option<String>| {
            let kind = if value.as_deref() == Some("default") {
                "id"
            } else {
                "name"
            };
            format!("{side}_domain_{kind}")
        };
        let project = text(self.project);
        let default = |wanted: bool, value: Option<String>| match text(value) {
            None if wanted => Some("default".to_owned()),
            value => value,
        };
        let user_domain = default(named, self.user_domain);
        let project_domain = default(project.is_some(), self.project_domain);
        let word = domain_word("user", &user_domain);
        say(&["user_domain_name", "user_domain_id"], user_domain, &word);
        let word = domain_word("project", &project_domain);
        say(
            &["project_domain_name", "project_domain_id"],
            project_domain,
            &word,
        );
        say(&["project_name", "project_id"], project, "project_name");
        say(
            &["identity_provider"],
            text(self.identity_provider),
            "identity_provider",
        );
        say(&["protocol"], text(self.protocol), "protocol");
        let profile = Profile {
            name: self.name.trim().to_owned(),
            auth_type,
            auth_url: self.auth_url.trim().to_owned(),
            auth,
            region: text(self.region),
            interface: text(self.interface),
            ca_file: text(self.ca_file).map(PathBuf::from),
            insecure: self.insecure,
            other: before.map(|it| it.other.clone()).unwrap_or_default(),
        };
        profile.validate()?;
        Ok(profile)
    }
}

/// A cloud of a file, before it is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudImported {
    /// Its name.
    pub name: String,
    /// Keystone's address.
    pub auth_url: String,
    /// How it is logged in to.
    pub auth: CloudAuth,
    /// Who logs in.
    pub user: String,
    /// The project.
    pub project: Option<String>,
    /// Whether the file has its secret.
    pub has_secret: bool,
    /// Whether there is one of that name, which it would replace.
    pub replaces: bool,
}

/// One thing that was tried of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudCheckStep {
    /// What was tried.
    pub what: String,
    /// Whether it did.
    pub ok: bool,
    /// What came back, in words.
    pub said: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Whether a cloud answers as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudCheck {
    /// Whether all of it did.
    pub ok: bool,
    /// What was tried, in order, up to what failed.
    pub steps: Vec<CloudCheckStep>,
}

/// A share of something that a project has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudQuota {
    /// Who counts it, such as `Nova`.
    pub service: String,
    /// What is counted.
    pub what: String,
    /// How much is used.
    pub used: u64,
    /// How much there may be; without, as much as there is.
    pub limit: Option<u64>,
}

impl CloudQuota {
    pub(super) fn of(quota: &Quota) -> Self {
        Self {
            service: quota.service.to_string(),
            what: quota.what.to_owned(),
            used: quota.used,
            limit: quota.limit,
        }
    }
}

/// An image of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudImage {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands: `active`, `saving`, …
    pub status: String,
    /// Who sees it: `private`, `shared`, `community` or `public`.
    pub visibility: String,
    /// Its format.
    pub format: Option<String>,
    /// Its size in bytes.
    pub size_bytes: Option<u64>,
    /// The smallest disk that it fits on, in GiB.
    pub min_disk_gib: u64,
    /// The least memory that it runs in, in MiB.
    pub min_memory_mib: u64,
    /// The beginning of its hash.
    pub hash: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its properties for the hypervisor, and ours.
    pub properties: BTreeMap<String, String>,
    /// When it was made (RFC 3339).
    pub made: String,
    /// Whether Windlass made it.
    pub ours: bool,
}

impl CloudImage {
    pub(super) fn of(image: &windlass_cloud::images::Image) -> Self {
        Self {
            id: image.id.clone(),
            name: image.shown().to_owned(),
            status: image.status.clone(),
            visibility: image.visibility.clone(),
            format: image.disk_format.clone(),
            size_bytes: image.size,
            min_disk_gib: image.min_disk,
            min_memory_mib: image.min_ram,
            hash: image
                .os_hash_value
                .as_ref()
                .map(|it| it.chars().take(16).collect()),
            tags: image.tags.clone(),
            properties: image.properties(),
            made: image.created_at.clone(),
            ours: image.is_ours(),
        }
    }
}
