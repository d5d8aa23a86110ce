//! Talking to one OCI registry: its URLs, its login, its manifests and blobs.
//!
//! ```text
//!   request ──> 401 with challenge ──┬─ Basic ───> name and password, to the registry itself
//!                                    └─ Bearer ──> a token for this scope, from the realm that the registry names
//!   request with that ──> answer      (tokens are kept as long as they hold)
//! ```
//!
//! Credentials are shown only to who asks for them, and with a public registry for publishing only. The realm may be
//! another host: that is how the protocol has it (<https://distribution.github.io/distribution/spec/auth/token/>).
//! It is not followed from a secure connection to one that is not.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{
    ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RANGE,
};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::challenge::{Challenge, Realm};
use super::manifest::{self, Descriptor, Tagged};
use crate::http::{Ask, Client, basic, bearer, shown};
use crate::kinds::Opened;
use crate::{Control, Credentials, Error, Limits, RegistryConfig, Secret, Sha256};

/// What a token holds for at least, where nothing is said (the specification's words).
const TOKEN_SECONDS: u64 = 60;
/// A token that ends while a request is on its way is of no use.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// List the repositories.
    Catalogue,
    /// Read a repository.
    Pull(&'a str),
    /// Write to a repository.
    Push(&'a str),
}

/// One registry and how to get in.
pub(super) struct Session {
    client: Client,
    base: Url,
    credentials: Credentials,
    public: bool,
    tokens: Mutex<HashMap<String, Token>>,
}

struct Token {
    header: HeaderValue,
    until: Instant,
}

/// A manifest as it came.
#[derive(Debug)]
pub(super) struct Manifested {
    pub(super) digest: Sha256,
    pub(super) media_type: Option<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) tagged: Tagged,
}

impl Session {
    /// Opens a registry at the origin of this URL. Nothing is asked yet.
    pub(super) fn open(
        config: &RegistryConfig,
        mut base: Url,
        credentials: Credentials,
        limits: &Limits,
    ) -> Result<Self, Error> {
        if matches!(credentials, Credentials::S3 { .. }) {
            return Err(Error::Config {
                registry: config.name.clone(),
                found: "its login is one for S3, and it is an OCI registry".to_owned(),
                remedy: "Give a name and a password, or a token.".to_owned(),
            });
        }
        base.set_path("/");
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self {
            client: Client::new(config, limits)?,
            base,
            credentials,
            public: config.public,
            tokens: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        self.client.limits()
    }

    /// A URL of this registry; `path` is what follows `v2/`.
    pub(super) fn url(&self, path: &str) -> Result<Url, Error> {
        let url = self.base.join(&format!("v2/{path}"));
        url.map_err(|_| {
            Error::malformed(shown(&self.base), format!("`{path}` is no part of a URL"))
        })
    }

    /// Asks, logs in where that is wanted, and takes any answer that is not passing trouble.
    pub(super) async fn ask(
        &self,
        mut ask: Ask,
        scope: Scope<'_>,
        control: &Control,
    ) -> Result<Response, Error> {
        if ask.url.origin() != self.base.origin() {
            return self.client.send_any(ask, control).await;
        }
        ask.authorization = self.known(scope);
        let response = self.client.send_any(ask.clone(), control).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        match self
            .log_in(&ask.url, response.headers(), scope, control)
            .await?
        {
            Some(header) => {
                ask.authorization = Some(header);
                self.client.send_any(ask, control).await
            }
            None => Ok(response),
        }
    }

    /// The same, and takes what is no error.
    pub(super) async fn send(
        &self,
        ask: Ask,
        scope: Scope<'_>,
        control: &Control,
    ) -> Result<Response, Error> {
        let url = ask.url.clone();
        let response = self.ask(ask, scope, control).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(&url, response, scope, control).await)
    }

    /// What a refusal means.
    pub(super) async fn refused(
        &self,
        url: &Url,
        response: Response,
        scope: Scope<'_>,
        control: &Control,
    ) -> Error {
        let with_credentials = self.usable(scope).is_some();
        self.client
            .refused(url, response, with_credentials, control)
            .await
    }

    /// Reads an answer whole.
    pub(super) async fn read(
        &self,
        url: &Url,
        response: Response,
        control: &Control,
    ) -> Result<Vec<u8>, Error> {
        self.client.read(url, response, control).await
    }

    /// The credentials, where this may use them.
    fn usable(&self, scope: Scope<'_>) -> Option<&Credentials> {
        let hidden = self.public && !matches!(scope, Scope::Push(_));
        (!hidden && !matches!(self.credentials, Credentials::None)).then_some(&self.credentials)
    }

    fn known(&self, scope: Scope<'_>) -> Option<HeaderValue> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.until > Instant::now());
        tokens
            .get(&scope.to_string())
            .map(|token| token.header.clone())
    }

    /// Does what a challenge wants; `None` when that cannot be done.
    async fn log_in(
        &self,
        url: &Url,
        headers: &HeaderMap,
        scope: Scope<'_>,
        control: &Control,
    ) -> Result<Option<HeaderValue>, Error> {
        let (header, seconds) = match (Challenge::of(headers), self.usable(scope)) {
            (Some(_), Some(Credentials::Bearer(token))) => (bearer(token), u64::from(u32::MAX)),
            (Some(Challenge::Basic), Some(Credentials::Basic { user, password })) => {
                (basic(user, password), u64::from(u32::MAX))
            }
            (Some(Challenge::Bearer(realm)), login) => {
                let (token, seconds) = self.token(url, &realm, scope, login, control).await?;
                (bearer(&token), seconds)
            }
            _ => return Ok(None),
        };
        let header = header.ok_or_else(|| {
            Error::malformed(shown(url), "its login has signs that cannot be sent")
        })?;
        let holds = Duration::from_secs(seconds).saturating_sub(TOKEN_MARGIN);
        let token = Token {
            header: header.clone(),
            until: Instant::now() + holds,
        };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(scope.to_string(), token);
        Ok(Some(header))
    }

    /// A token for a scope, and how many seconds it holds.
    async fn token(
        &self,
        url: &Url,
        realm: &Realm,
        scope: Scope<'_>,
        login: Option<&Credentials>,
        control: &Control,
    ) -> Result<(Secret, u64), Error> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let place = url
            .join(&realm.url)
            .map_err(|_| Error::malformed(shown(url), "it wants a login at what is no URL"))?;
        let mut place = guard(url, place)?;
        let asked = match (scope, &realm.scope) {
            // How the right to list is called differs.
            (Scope::Catalogue, Some(scope)) => scope.clone(),
            _ => scope.to_string(),
        };
        if let Some(service) = &realm.service {
            place.query_pairs_mut().append_pair("service", service);
        }
        place.query_pairs_mut().append_pair("scope", &asked);
        let mut ask = Ask::get(place.clone());
        if let Some(Credentials::Basic { user, password }) = login {
            place.query_pairs_mut().append_pair("account", user);
            ask = Ask::get(place.clone());
            ask.authorization = basic(user, password);
        }
        let bytes = {
            let response = self.client.send(ask, control).await?;
            zeroize::Zeroizing::new(self.client.read(&place, response, control).await?)
        };
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| Error::malformed(shown(&place), "its answer is no token"))?;
        let token = answer.token.or(answer.access_token).map(Secret::from);
        let token = token
            .filter(|token| !token.expose().is_empty())
            .ok_or_else(|| Error::malformed(shown(&place), "its answer has no token"))?;
        let seconds = answer.expires_in.unwrap_or(TOKEN_SECONDS);
        Ok((token, seconds.clamp(TOKEN_SECONDS, u64::from(u32::MAX))))
    }

    /// The manifest of a tag or digest; `None` where there is none.
    pub(super) async fn manifest(
        &self,
        repository: &str,
        target: &str,
        scope: Scope<'_>,
        control: &Control,
    ) -> Result<Option<Manifested>, Error> {
        let url = self.url(&format!("{repository}/manifests/{target}"))?;
        let ask = Ask::get(url.clone()).header(ACCEPT, manifest::ACCEPT);
        let response = self.ask(ask, scope, control).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(self.refused(&url, response, scope, control).await);
        }
        let said = header(response.headers(), &CONTENT_DIGEST);
        let media_type = header(response.headers(), &CONTENT_TYPE);
        let bytes = self.read(&url, response, control).await?;
        if bytes.len() as u64 > manifest::MANIFEST_MAX_BYTES {
            return Err(Error::TooLarge {
                place: shown(&url),
                limit_bytes: manifest::MANIFEST_MAX_BYTES,
            });
        }
        let found = Sha256::of(&bytes);
        for expected in [said.as_deref(), Some(target)].into_iter().flatten() {
            same(&shown(&url), expected, found)?;
        }
        let tagged = manifest::parse(&bytes, media_type.as_deref())
            .map_err(|found| Error::malformed(shown(&url), found))?;
        Ok(Some(Manifested {
            digest: found,
            media_type,
            bytes,
            tagged,
        }))
    }

    /// A small blob, whole and as its descriptor says.
    pub(super) async fn blob(
        &self,
        repository: &str,
        blob: &Descriptor,
        limit_bytes: u64,
        control: &Control,
    ) -> Result<Vec<u8>, Error> {
        let url = self.url(&format!("{repository}/blobs/sha256:{}", blob.digest))?;
        if blob.size > limit_bytes {
            return Err(Error::TooLarge {
                place: shown(&url),
                limit_bytes,
            });
        }
        let scope = Scope::Pull(repository);
        let response = self.send(Ask::get(url.clone()), scope, control).await?;
        let bytes = self.read(&url, response, control).await?;
        if bytes.len() as u64 != blob.size {
            return Err(Error::Length {
                place: shown(&url),
                expected: blob.size,
                found: bytes.len() as u64,
            });
        }
        same(
            &shown(&url),
            &format!("sha256:{}", blob.digest),
            Sha256::of(&bytes),
        )?;
        Ok(bytes)
    }

    /// Opens a blob at this byte; at the first where the server cannot do that. A blob is the same for ever.
    pub(super) async fn open_blob(
        &self,
        repository: &str,
        digest: Sha256,
        start: u64,
        control: &Control,
    ) -> Result<Opened, Error> {
        let url = self.url(&format!("{repository}/blobs/sha256:{digest}"))?;
        let scope = Scope::Pull(repository);
        let mut response = if start > 0 {
            let ask = Ask::get(url.clone()).header(RANGE, &format!("bytes={start}-"));
            self.ask(ask, scope, control).await?
        } else {
            self.send(Ask::get(url.clone()), scope, control).await?
        };
        let mut from = 0;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = header(response.headers(), &CONTENT_RANGE).unwrap_or_default();
            from = range
                .strip_prefix("bytes ")
                .and_then(|range| range.split('-').next()?.trim().parse().ok())
                .filter(|from| *from == start)
                .ok_or_else(|| {
                    Error::malformed(shown(&url), "it sends another part than asked for")
                })?;
        } else if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            response = self.send(Ask::get(url.clone()), scope, control).await?;
        } else if !response.status().is_success() {
            return Err(self.refused(&url, response, scope, control).await);
        }
        Ok(Opened {
            start: from,
            total: response
                .content_length()
                .map(|length| from.saturating_add(length)),
            validator: Some(digest.to_string()),
            digest: Some(digest),
            body: self.client.body(response),
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("base", &shown(&self.base))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue => f.write_str("registry:catalog:*"),
            Self::Pull(repository) => write!(f, "repository:{repository}:pull"),
            Self::Push(repository) => write!(f, "repository:{repository}:pull,push"),
        }
    }
}

/// Where the server says that something goes on. Never out of a secure connection.
pub(super) fn next(from: &Url, headers: &HeaderMap, name: &HeaderName) -> Result<Url, Error> {
    let place = || shown(from);
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let url = text.and_then(|text| from.join(text).ok()).ok_or_else(|| {
        Error::malformed(place(), format!("the answer has no `{name}` that is a URL"))
    })?;
    guard(from, url)
}

/// A URL that a server sends one on to, if it may.
fn guard(from: &Url, url: Url) -> Result<Url, Error> {
    match (from.scheme(), url.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(url),
        ("https", "http") => Err(Error::Redirect {
            url: shown(from),
            found: "it sends on from a secure connection to one that is not".to_owned(),
        }),
        _ => Err(Error::Redirect {
            url: shown(from),
            found: "it sends on to what is no web server".to_owned(),
        }),
    }
}

/// The digest of what is sent, as the server says it.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A header's text.
pub(super) fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Whether a digest is the one that was said; what is said in another way than SHA-256, or no digest, says nothing.
pub(super) fn same(place: &str, expected: &str, found: Sha256) -> Result<(), Error> {
    let expected = expected
        .strip_prefix("sha256:")
        .and_then(|digest| digest.parse().ok());
    match expected {
        Some(expected) if expected != found => Err(Error::Digest {
            place: place.to_owned(),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}
