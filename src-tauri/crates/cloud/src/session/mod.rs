//! Being logged in to a cloud.
//!
//! ```text
//!   connect ─► SDK: discover Keystone, log in ─► token + catalogue
//!                 └ fails: what further questions say of why (`refusal`)
//!   call ─► SDK adds the token ─► service ──┬─ 2xx ─► Answer
//!             ▲ logs in again ◄── 401 ──────┤
//!             └ waits ◄── 429, 503, cut ────┘ (what only reads)
//! ```

mod call;
mod catalog;
mod credential;
mod methods;
mod refusal;

use std::fmt;
use std::time::Duration;

use http::Method;
use openstack_sdk::AsyncOpenStack;
use openstack_sdk::api::AsyncClient;
use openstack_sdk::config::CloudConfig;
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

pub(crate) use call::words;
pub use call::{Answer, Call};
pub use credential::{Credential, make_credential};
pub(crate) use refusal::{Door, greet};

use self::catalog::{Catalog, Entry};
use crate::error::{Error, Result};
use crate::reach::{self, ANSWER, CONNECT};
use crate::{Profile, Secrets, Service};

/// How often what only reads is asked again, and how long is waited before, at first.
const AGAIN: u32 = 3;
const PAUSE: Duration = Duration::from_millis(400);
/// No service is waited for longer than this because it says so.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How many things are asked for at once.
const PAGE: &str = "500";
/// A list longer than this many pages does not end.
const MOST_PAGES: usize = 1000;

/// Who is logged in, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user: String,
    /// The project's id.
    pub project_id: String,
    /// The project's name.
    pub project: String,
    /// The roles there, by name.
    pub roles: Vec<String>,
    /// When the token ends (RFC 3339).
    pub expires: String,
}

/// A page of a list.
#[derive(Debug)]
pub struct Part<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The id after which the next page begins; nothing after the last.
    pub next: Option<String>,
    /// When it was made, by the service's clock.
    pub(crate) date: Option<String>,
}

/// A cloud that we are logged in to.
pub struct Session {
    sdk: AsyncOpenStack,
    catalog: Catalog,
    identity: Identity,
    profile: Profile,
    /// Without a limit to how long an answer may take: for images.
    transfer: Client,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("cloud", &self.profile.name)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

fn config(profile: &Profile, secrets: &Secrets) -> Result<CloudConfig> {
    let mut auth = Map::new();
    auth.insert(
        "auth_url".to_owned(),
        Value::String(profile.auth_url.clone()),
    );
    for (word, said) in &profile.auth {
        if !said.is_empty() {
            auth.insert(word.clone(), Value::String(said.clone()));
        }
    }
    for word in secrets.words() {
        if let Some(secret) = secrets.get(word) {
            auth.insert(
                word.to_owned(),
                Value::String(secret.expose_secret().to_owned()),
            );
        }
    }
    let keystone = refusal::base(profile)?;
    let config = serde_json::json!({
        "auth": auth,
        "auth_type": profile.auth_type.as_str(),
        "region_name": profile.region,
        "interface": profile.interface.as_deref().unwrap_or("public"),
        "name": profile.name,
        "cacert": profile.ca_file,
        "verify": !profile.insecure,
        // Tokens stay in memory.
        "auth_cache": false,
        // Keystone is where the profile says. What it says of itself is wrong behind many a proxy that speaks TLS for it.
        "identity_endpoint_override": format!("{keystone}/"),
        "identity_skip_discovery": true,
    });
    serde_json::from_value(config).map_err(|_| Error::Profile {
        cloud: profile.name.clone(),
        found: "has a login that cannot be understood".to_owned(),
        remedy: "Fill in its form anew".to_owned(),
    })
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// What is wrong with the profile, the way to its Keystone, or the login, as far as questions tell.
    pub async fn connect(profile: &Profile, secrets: &Secrets) -> Result<Self> {
        profile.validate()?;
        if let Some(word) = profile.needed_secret()
            && secrets.get(word).is_none()
        {
            return Err(Error::Profile {
                cloud: profile.name.clone(),
                found: format!(
                    "is logged in to with a secret ({}), which is not known",
                    word.replace('_', " ")
                ),
                remedy: "Give it: it goes to the secret store".to_owned(),
            });
        }
        let transfer = reach::client(profile, None)?;
        let connected = AsyncOpenStack::builder(&config(profile, secrets)?)
            .disable_auth_cache(true)
            .http_timeout(ANSWER)
            .http_connect_timeout(CONNECT)
            .connect()
            .await;
        let sdk = match connected {
            Ok(sdk) => sdk,
            Err(error) => return Err(refusal::explain(profile, secrets, &error).await),
        };
        let Some(token) = sdk.get_auth_info().map(|it| it.token) else {
            return Err(Error::Answer {
                service: Service::Identity,
                doing: "log in".to_owned(),
                found: "it gave no token".to_owned(),
            });
        };
        let project = token.project;
        let mut roles: Vec<_> = token
            .roles
            .into_iter()
            .flatten()
            .map(|it| it.name)
            .collect();
        // Keystone tells them in any order.
        roles.sort();
        let identity = Identity {
            user_id: token.user.id,
            user: token.user.name,
            project_id: project
                .as_ref()
                .and_then(|it| it.id.clone())
                .unwrap_or_default(),
            project: project.and_then(|it| it.name).unwrap_or_default(),
            roles,
            expires: token.expires_at.to_rfc3339(),
        };
        let entries = token.catalog.into_iter().flatten().flat_map(|service| {
            let kind = service.service_type;
            service.endpoints.into_iter().map(move |it| Entry {
                kind: kind.clone(),
                interface: it.interface,
                region: it.region,
                url: it.url,
            })
        });
        let session = Self {
            catalog: Catalog::new(profile, entries.collect()),
            sdk,
            identity,
            profile: profile.clone(),
            transfer,
        };
        if session.catalog.is_empty() {
            return Err(session.without_project().await);
        }
        Ok(session)
    }

    /// A login that is for no project sees no services.
    async fn without_project(&self) -> Error {
        let mut names = Vec::new();
        if let Some(token) = self.sdk.get_auth_token()
            && let Ok(found) = refusal::projects(&self.profile, &token).await
        {
            names = found;
        }
        Error::Login {
            why: "it is for no project, and without one no service can be used".to_owned(),
            remedy: if names.is_empty() {
                "Name a project in the profile".to_owned()
            } else {
                format!(
                    "Name a project in the profile; yours are {}",
                    names.join(", ")
                )
            },
        }
    }

    /// Who is logged in.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it was connected with.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Regions of the catalogue.
    pub fn regions(&self) -> Vec<String> {
        self.catalog.regions()
    }

    /// A service's address, as the catalogue has it.
    pub(crate) fn address(&self, service: Service) -> Result<Url> {
        self.catalog.address(service)
    }

    /// Whether the cloud has a service.
    pub fn has(&self, service: Service) -> bool {
        self.catalog.address(service).is_ok()
    }

    /// The client for bytes, where a transfer goes, and the token it goes with. A cheap call is made first: it logs in again
    /// where the token has ended, which a stream that has begun could not.
    pub(crate) async fn transfer(
        &self,
        service: Service,
        path: &str,
    ) -> Result<(Client, Url, SecretString)> {
        self.call(Call::get(service, "/images", "log in").with("limit", "1"))
            .await?;
        let token = self.sdk.get_auth_token().ok_or_else(|| Error::Answer {
            service: Service::Identity,
            doing: "log in".to_owned(),
            found: "it gave no token".to_owned(),
        })?;
        Ok((self.transfer.clone(), self.url(service, path)?, token))
    }

    fn url(&self, service: Service, path: &str) -> Result<Url> {
        let mut url = self.catalog.base(service)?;
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        Ok(url)
    }

    /// Asks, and takes what is no error.
    ///
    /// # Errors
    /// As the service refuses, or the way to it ends.
    pub async fn call(&self, call: Call) -> Result<Answer> {
        let reads = call.method == Method::GET;
        let mut attempt = 0;
        loop {
            let (error, wait) = match self.send(&call).await {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                Ok(answer) => {
                    let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
                    (call.refused(&answer), wait.map(Duration::from_secs))
                }
                Err(error) => (error, None),
            };
            // 429 and 503 with a time to wait were not begun; what only reads may be asked any number of times.
            let again = error.is_passing() && (reads || wait.is_some());
            let pause = wait.unwrap_or(PAUSE * 2_u32.pow(attempt));
            if !again || attempt + 1 >= AGAIN || pause > LONGEST_PAUSE {
                return Err(error);
            }
            attempt += 1;
            tracing::debug!(cloud = self.profile.name, %error, ?pause, "asking again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn send(&self, call: &Call) -> Result<Answer> {
        let mut url = self.url(call.service, &call.path)?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(url.as_str())
            .header("accept", "application/json");
        if let Some(version) = call.version_header() {
            request = request.header("openstack-api-version", version);
        }
        let mut body = Vec::new();
        if let Some(value) = &call.body {
            request = request.header("content-type", call.content_type);
            body = value.to_string().into_bytes();
        }
        let answer = self.sdk.rest_async(request, body).await.map_err(|error| {
            reach::network_of(url.as_str(), &error).unwrap_or_else(|| Error::Answer {
                service: call.service,
                doing: call.doing.clone(),
                found: error.to_string(),
            })
        })?;
        let (parts, body) = answer.into_parts();
        Ok(Answer::new(
            call,
            parts.status.as_u16(),
            parts.headers,
            body,
        ))
    }

    /// Asks, and reads what is under a key of the answer.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Error::Answer`].
    pub async fn fetch<T: DeserializeOwned>(&self, call: Call, key: &str) -> Result<T> {
        self.call(call).await?.under(key)
    }

    /// All of a list, page by page.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub async fn list<T: DeserializeOwned>(&self, call: Call, key: &str) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let part = self.page(&call, key, last.as_deref()).await?;
            all.extend(part.items);
            if part.next.is_none() || part.next == last {
                return Ok(all);
            }
            last = part.next;
        }
        Ok(all)
    }

    /// One page of a list, after the thing of that id.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub async fn page<T: DeserializeOwned>(
        &self,
        call: &Call,
        key: &str,
        marker: Option<&str>,
    ) -> Result<Part<T>> {
        let mut page = call.clone().with("limit", PAGE);
        if let Some(marker) = marker {
            page = page.with("marker", marker);
        }
        let answer = self.call(page).await?;
        let date = answer.header("date");
        let mut json = answer.json()?;
        let wrong = |found: String| Error::Answer {
            service: call.service,
            doing: call.doing.clone(),
            found,
        };
        let Some(Value::Array(items)) = json.get_mut(key).map(Value::take) else {
            return Err(wrong(format!("it has no list `{key}`")));
        };
        // Glance says `next`; Nova, Neutron and Cinder have a link with that relation.
        let links = json.get(format!("{key}_links")).and_then(Value::as_array);
        let more = json.get("next").is_some()
            || links.is_some_and(|it| {
                it.iter()
                    .any(|link| link.get("rel").is_some_and(|rel| rel == "next"))
            });
        let last = items.last().and_then(|it| it.get("id"));
        let next = last.and_then(Value::as_str).filter(|_| more);
        let next = next.map(str::to_owned);
        let items: Result<_, _> = items.into_iter().map(serde_json::from_value).collect();
        let items = items.map_err(|error| wrong(error.to_string()))?;
        Ok(Part { items, next, date })
    }

    /// Deletes something; that it is gone already is no error.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn remove(&self, call: Call) -> Result<()> {
        match self.call(call).await {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
