//! Requests to servers that are strangers.
//!
//! ```text
//!   Ask ──> login (own origin only) ──> server ──┬─ 2xx, 304 ──────> Response
//!     ^                                          ├─ 3xx ───────────> the next place; another origin
//!     │                                          │                   gets no credentials, and never
//!     │                                          │                   http after https
//!     └── wait: Retry-After, the limit's reset, ─┼─ 429, 503, 5xx, cut, limits
//!         else longer and longer                 └─ other 4xx ─────> Error
//! ```
//!
//! Answers are read under a limit of size, and count as cut when next to nothing comes.

mod answers;
mod ask;
mod limits;
mod network;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use self::limits::Verdict;
use crate::kinds::s3::Signer;
use crate::{Control, Error, Limits, Network, RegistryConfig, Secret};

pub(crate) use ask::{Ask, Payload, basic, bearer};

const REDIRECTS_MAX: usize = 10;
/// What is kept of a server's own words in an error.
const MESSAGE_MAX_BYTES: u64 = 4 << 10;

/// How to get in at one origin.
#[derive(Debug, Default)]
pub(crate) enum Login {
    /// As anyone.
    #[default]
    None,
    /// Name and password.
    Basic { user: String, password: Secret },
    /// A token.
    Bearer(Secret),
    /// Signed requests.
    S3(Signer),
}

/// A client of one registry.
pub(crate) struct Client {
    http: reqwest::Client,
    limits: Limits,
    login: Login,
    /// The origin that the login is for.
    home: Option<url::Origin>,
    by_proxy: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client as the registry's description says, with no login.
    pub(crate) fn new(config: &RegistryConfig, limits: &Limits) -> Result<Self, Error> {
        Ok(Self {
            http: network::client(config, limits)?,
            limits: limits.clone(),
            login: Login::None,
            home: None,
            by_proxy: config.proxy.as_ref().is_some_and(|proxy| proxy != "none"),
        })
    }

    /// The same with a login, for the origin of this URL and no other.
    pub(crate) fn with_login(mut self, login: Login, home: &Url) -> Self {
        self.login = login;
        self.home = Some(home.origin());
        self
    }

    /// The limits that it keeps.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Asks, and takes what is no error: 2xx, and 304 where a condition was set.
    pub(crate) async fn send(&self, ask: Ask, control: &Control) -> Result<Response, Error> {
        let url = ask.url.clone();
        let with_credentials = self.has_login(&ask);
        let response = self.send_any(ask, control).await?;
        if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        Err(self
            .refused(&url, response, with_credentials, control)
            .await)
    }

    /// Asks, and takes any answer that is neither a redirect nor passing trouble.
    pub(crate) async fn send_any(&self, ask: Ask, control: &Control) -> Result<Response, Error> {
        let with_credentials = self.has_login(&ask);
        let mut attempt = 0;
        loop {
            let (error, wait) = match self.follow(&ask, control).await {
                Ok(response) => {
                    let verdict = limits::verdict(response.status(), response.headers());
                    if verdict == Verdict::Answer {
                        return Ok(response);
                    }
                    let error = self
                        .refused(&ask.url, response, with_credentials, control)
                        .await;
                    match verdict {
                        Verdict::Wait(wait) => (error, Some(wait)),
                        // The limits that GitHub keeps to itself are known by its words alone.
                        Verdict::Words if limits::says_secondary(&error) => {
                            (error, Some(limits::SECONDARY))
                        }
                        Verdict::Words => return Err(error),
                        Verdict::Passing | Verdict::Answer => (error, None),
                    }
                }
                Err(error) => (error, None),
            };
            if matches!(error, Error::Cancelled) {
                return Err(error);
            }
            let passing = match &error {
                Error::Network { problem, .. } => {
                    // Where nobody answers, whoever waits is told at once: the computer may be offline.
                    !ask.once && matches!(problem, Network::Cut | Network::Slow)
                }
                Error::Status { .. } => true,
                _ => false,
            };
            let pause = wait.unwrap_or(self.limits.backoff * 2_u32.saturating_pow(attempt));
            if !passing || attempt >= self.limits.retries || pause > self.limits.longest_wait {
                return Err(match wait {
                    Some(wait) if passing => Error::RateLimited {
                        url: shown(&ask.url),
                        wait,
                        with_credentials,
                    },
                    _ => error,
                });
            }
            attempt += 1;
            tracing::debug!(url = shown(&ask.url), %error, ?pause, "asking again");
            control.until(tokio::time::sleep(pause)).await?;
        }
    }

    /// What a refusal means.
    pub(crate) async fn refused(
        &self,
        url: &Url,
        response: Response,
        with_credentials: bool,
        control: &Control,
    ) -> Error {
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get(reqwest::header::CONTENT_TYPE)
            .cloned();
        let (_, bytes) = match self.beginning(response, MESSAGE_MAX_BYTES, control).await {
            Ok(read) => read,
            Err(Error::Cancelled) => return Error::Cancelled,
            Err(_) => (false, Vec::new()),
        };
        Error::Status {
            url: shown(url),
            status,
            message: limits::message(kind.as_ref(), &bytes),
            with_credentials,
        }
    }

    /// Reads an answer whole; an error when it is longer than it may be.
    pub(crate) async fn read(
        &self,
        url: &Url,
        response: Response,
        control: &Control,
    ) -> Result<Vec<u8>, Error> {
        let limit = self.limits.metadata_bytes;
        let (whole, bytes) = self.beginning(response, limit, control).await?;
        if !whole {
            return Err(Error::TooLarge {
                place: shown(url),
                limit_bytes: limit,
            });
        }
        Ok(bytes)
    }

    /// Asks for something small and reads it as text.
    pub(crate) async fn text(&self, ask: Ask, control: &Control) -> Result<String, Error> {
        let url = ask.url.clone();
        let response = self.send(ask, control).await?;
        let bytes = self.read(&url, response, control).await?;
        String::from_utf8(bytes).map_err(|_| Error::malformed(shown(&url), "it is not UTF-8 text"))
    }

    /// The body of an answer as it comes.
    pub(crate) fn body(&self, response: Response) -> BoxStream<'static, Result<Bytes, Error>> {
        let url = shown(response.url());
        let by_proxy = self.by_proxy;
        response
            .bytes_stream()
            .map(move |chunk| chunk.map_err(|error| network::error(&url, error, by_proxy)))
            .boxed()
    }

    /// The beginning of a body, and whether that is all of it.
    async fn beginning(
        &self,
        response: Response,
        limit: u64,
        control: &Control,
    ) -> Result<(bool, Vec<u8>), Error> {
        let url = shown(response.url());
        let mut body = self.body(response);
        let mut bytes = Vec::new();
        let stall = self.limits.stall;
        // An answer that drips may take as long as a hundred stalls, and no more.
        let reading = tokio::time::timeout(stall.saturating_mul(100), async {
            loop {
                match tokio::time::timeout(stall, body.next()).await {
                    Ok(Some(chunk)) => bytes.extend_from_slice(&chunk?),
                    Ok(None) => return Ok(true),
                    Err(_) => return Err(slow(&url)),
                }
                if bytes.len() as u64 > limit {
                    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                    return Ok(false);
                }
            }
        });
        let whole = control
            .until(reading)
            .await?
            .unwrap_or_else(|_| Err(slow(&url)))?;
        Ok((whole, bytes))
    }

    /// One attempt, with its redirects.
    async fn follow(&self, ask: &Ask, control: &Control) -> Result<Response, Error> {
        let mut url = ask.url.clone();
        let mut method = ask.method.clone();
        let mut payload = &ask.payload;
        for _ in 0..=REDIRECTS_MAX {
            let same_origin = url.origin() == ask.url.origin();
            let mut headers = ask.headers.clone();
            if !same_origin {
                strip(&mut headers);
            }
            if let (true, Some(value)) = (same_origin, &ask.authorization) {
                headers.insert(AUTHORIZATION, value.clone());
            } else if self.home.as_ref() == Some(&url.origin()) {
                self.login.apply(&method, &url, &mut headers, payload)?;
            }
            let mut request = self
                .http
                .request(method.clone(), url.clone())
                .headers(headers);
            if let Some((body, length)) = payload.body().await? {
                request = request
                    .header(reqwest::header::CONTENT_LENGTH, length)
                    .body(body);
            }
            let patience = self.limits.connect + self.limits.stall + payload.patience(&self.limits);
            let response = match control
                .until(tokio::time::timeout(patience, request.send()))
                .await?
            {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(network::error(&shown(&url), error, self.by_proxy)),
                Err(_) => return Err(slow(&shown(&url))),
            };
            let next = match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => response.headers().get(LOCATION),
                _ => None,
            };
            let Some(next) = next else {
                return Ok(response);
            };
            let next = next.to_str().ok().and_then(|next| url.join(next).ok());
            let refused = |found: &str| Error::Redirect {
                url: shown(&ask.url),
                found: found.to_owned(),
            };
            let next = next.ok_or_else(|| refused("it redirects to what is no URL"))?;
            match (url.scheme(), next.scheme()) {
                ("http", "http" | "https") | ("https", "https") => {}
                ("https", "http") => {
                    return Err(refused(
                        "it redirects from a secure connection to one that is not",
                    ));
                }
                _ => return Err(refused("it redirects to what is no web server")),
            }
            let status = response.status().as_u16();
            if status == 303 || (matches!(status, 301 | 302) && method == Method::POST) {
                method = Method::GET;
                payload = &Payload::None;
            }
            url = next;
        }
        Err(Error::Redirect {
            url: shown(&ask.url),
            found: format!("it redirects more than {REDIRECTS_MAX} times"),
        })
    }

    fn has_login(&self, ask: &Ask) -> bool {
        ask.authorization.is_some()
            || (!matches!(self.login, Login::None) && self.home.as_ref() == Some(&ask.url.origin()))
    }
}

impl Login {
    fn apply(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        payload: &Payload,
    ) -> Result<(), Error> {
        let value = match self {
            Self::None => return Ok(()),
            Self::Basic { user, password } => ask::basic(user, password),
            Self::Bearer(token) => ask::bearer(token),
            Self::S3(signer) => {
                return signer.sign(
                    method,
                    url,
                    headers,
                    &payload.sha256(),
                    jiff::Timestamp::now(),
                );
            }
        };
        let value = value.ok_or_else(|| {
            Error::malformed(shown(url), "its login has signs that cannot be sent")
        })?;
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

/// Takes out what another origin must not see.
fn strip(headers: &mut HeaderMap) {
    let secret: Vec<_> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            matches!(name, "authorization" | "cookie" | "proxy-authorization")
                || name.starts_with("x-amz-")
        })
        .cloned()
        .collect();
    for name in secret {
        headers.remove(name);
    }
}

pub(crate) fn slow(url: &str) -> Error {
    Error::Network {
        url: url.to_owned(),
        problem: Network::Slow,
        source: None,
    }
}

/// A URL as it may be shown and kept: without password, query and fragment, where secrets are.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Neither fails for what has a host; what has none has no password either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
