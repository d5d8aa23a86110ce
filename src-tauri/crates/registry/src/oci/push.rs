//! Putting blobs and manifests into a registry.
//!
//! ```text
//!   HEAD blob ── there ──────────────────────────────────────────────> done
//!        └─ not ──> POST upload ──┬─ small ──> PUT all, with digest ──> done, if the registry finds the same digest
//!                                 └─ large ──> PATCH a part ──┐
//!                                      ^  └── cut: ask how far│it came, go on there
//!                                      └─────────────────────┴──> PUT, with digest
//! ```
//!
//! A registry that takes no parts gets the blob whole. An upload that fails or is cancelled is taken back.

use std::path::Path;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::manifest;
use super::session::{CONTENT_DIGEST, Scope, Session, header, next, same};
use crate::http::{Ask, Payload, shown};
use crate::publish::TAKE_BACK;
use crate::{Control, Error, Network, Sha256};

/// One part: a try that fails costs as much, and progress is told after each.
const PART_BYTES: u64 = 8 << 20;
/// No registry wants parts larger than that.
const PART_MAX_BYTES: u64 = 1 << 30;
/// How often an upload may stand still until it has failed.
const STANDSTILLS_MAX: u32 = 5;

const CHUNK_MINIMUM: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// What a blob consists of.
#[derive(Debug, Clone)]
pub(super) enum Content<'a> {
    Bytes(Bytes),
    File { path: &'a Path, size_bytes: u64 },
}

impl Content<'_> {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size_bytes, .. } => *size_bytes,
        }
    }

    fn part(&self, offset: u64, length: u64) -> Payload {
        match self {
            Self::Bytes(bytes) => {
                let at = |position: u64| {
                    usize::try_from(position)
                        .unwrap_or(bytes.len())
                        .min(bytes.len())
                };
                Payload::Bytes(bytes.slice(at(offset)..at(offset + length)))
            }
            Self::File { path, .. } => Payload::File {
                path: path.to_path_buf(),
                offset,
                length,
                sha256: None,
            },
        }
    }
}

/// An upload that was begun.
struct Upload {
    url: Url,
    part_bytes: u64,
}

/// How an upload by parts ended.
enum Parts {
    /// All parts are there; the upload goes on at this URL.
    Done(Url),
    /// The registry takes no parts.
    Refused,
    /// It knows nothing of the upload any more.
    Lost,
}

impl Session {
    /// Puts a blob into a repository, unless it is there. `sent` is told of bytes of it.
    pub(super) async fn push_blob(
        &self,
        repository: &str,
        digest: Sha256,
        content: &Content<'_>,
        control: &Control,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Error> {
        let scope = Scope::Push(repository);
        let place = self.url(&format!("{repository}/blobs/sha256:{digest}"))?;
        let there = self
            .ask(Ask::new(Method::HEAD, place.clone()), scope, control)
            .await?;
        if there.status().is_success() {
            sent(content.size_bytes());
            return Ok(());
        }
        if there.status() != StatusCode::NOT_FOUND {
            return Err(self.refused(&place, there, scope, control).await);
        }
        let mut whole = content.size_bytes() <= PART_BYTES;
        let mut lost = 0;
        loop {
            let upload = self.begin(repository, control).await?;
            let mut at = upload.url.clone();
            let pushed = async {
                let (url, payload) = if whole {
                    (upload.url.clone(), content.part(0, content.size_bytes()))
                } else {
                    match self
                        .push_parts(scope, &upload, content, control, sent, &mut at)
                        .await?
                    {
                        Parts::Done(url) => (url, Payload::Bytes(Bytes::new())),
                        Parts::Refused => {
                            whole = true;
                            return Ok(false);
                        }
                        Parts::Lost => return Ok(false),
                    }
                };
                at = url.clone();
                let response = self.finish(scope, url, digest, payload, control).await?;
                if let Some(said) = header(response.headers(), &CONTENT_DIGEST) {
                    same(&shown(&place), &said, digest)?;
                }
                Ok(true)
            }
            .await;
            match pushed {
                Ok(true) => {
                    sent(content.size_bytes());
                    return Ok(());
                }
                Ok(false) if lost < STANDSTILLS_MAX => {
                    lost += 1;
                    sent(0);
                    self.take_back(scope, at).await;
                }
                Ok(false) => {
                    return Err(Error::malformed(
                        shown(&place),
                        "the registry loses each upload",
                    ));
                }
                Err(error) => {
                    self.take_back(scope, at).await;
                    return Err(error);
                }
            }
        }
    }

    async fn begin(&self, repository: &str, control: &Control) -> Result<Upload, Error> {
        let start = self.url(&format!("{repository}/blobs/uploads/"))?;
        let ask = Ask::new(Method::POST, start.clone()).payload(Payload::Bytes(Bytes::new()));
        let response = self.send(ask, Scope::Push(repository), control).await?;
        let least = header(response.headers(), &CHUNK_MINIMUM).and_then(|text| text.parse().ok());
        Ok(Upload {
            url: next(&start, response.headers(), &LOCATION)?,
            part_bytes: least
                .unwrap_or(PART_BYTES)
                .clamp(PART_BYTES, PART_MAX_BYTES),
        })
    }

    async fn push_parts(
        &self,
        scope: Scope<'_>,
        upload: &Upload,
        content: &Content<'_>,
        control: &Control,
        sent: &(dyn Fn(u64) + Sync),
        at: &mut Url,
    ) -> Result<Parts, Error> {
        let size = content.size_bytes();
        let (mut offset, mut standstills) = (0, 0);
        while offset < size {
            control.pass().await?;
            let length = upload.part_bytes.min(size - offset);
            let last = offset + length - 1;
            let ask = Ask::new(Method::PATCH, at.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_RANGE, &format!("{offset}-{last}"))
                .payload(content.part(offset, length))
                .once();
            let response = match self.ask(ask, scope, control).await {
                Ok(response) if response.status() != StatusCode::RANGE_NOT_SATISFIABLE => response,
                // It has more or less of it than we think: an earlier try came through in part, or in silence.
                Ok(_) => self.how_far(at, scope, control).await?,
                Err(Error::Network {
                    problem: Network::Cut | Network::Slow,
                    ..
                }) if standstills < STANDSTILLS_MAX => {
                    let pause = self.limits().backoff * 2_u32.saturating_pow(standstills);
                    control.until(tokio::time::sleep(pause)).await?;
                    self.how_far(at, scope, control).await?
                }
                Err(error) => return Err(error),
            };
            match response.status().as_u16() {
                200..=299 => {}
                404 => return Ok(Parts::Lost),
                400 | 405 | 411 | 413 | 501 if offset == 0 => return Ok(Parts::Refused),
                _ => return Err(self.refused(at, response, scope, control).await),
            }
            let kept = match header(response.headers(), &RANGE) {
                Some(range) => range
                    .rsplit('-')
                    .next()
                    .and_then(|end| end.trim().parse::<u64>().ok()),
                None => Some(last),
            };
            if response.headers().contains_key(LOCATION) {
                *at = next(at, response.headers(), &LOCATION)?;
            }
            // `0-0` is also what some say of an upload that has nothing yet.
            let after = kept.filter(|kept| *kept < size).map_or(0, |kept| kept + 1);
            let after = if after == 1 { 0 } else { after };
            if after <= offset {
                standstills += 1;
                if standstills > STANDSTILLS_MAX {
                    return Err(Error::malformed(
                        shown(at),
                        "the registry does not keep what it is sent",
                    ));
                }
            }
            offset = after;
            sent(offset);
        }
        Ok(Parts::Done(at.clone()))
    }

    /// How much of an upload there is, as the answer's range says.
    async fn how_far(
        &self,
        at: &Url,
        scope: Scope<'_>,
        control: &Control,
    ) -> Result<Response, Error> {
        self.ask(Ask::get(at.clone()), scope, control).await
    }

    async fn finish(
        &self,
        scope: Scope<'_>,
        mut url: Url,
        digest: Sha256,
        payload: Payload,
        control: &Control,
    ) -> Result<Response, Error> {
        url.query_pairs_mut()
            .append_pair("digest", &format!("sha256:{digest}"));
        let ask = Ask::new(Method::PUT, url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .payload(payload);
        self.send(ask, scope, control).await
    }

    /// Takes back an upload, as well as that goes.
    async fn take_back(&self, scope: Scope<'_>, url: Url) {
        let control = Control::default();
        let asked = self.ask(Ask::new(Method::DELETE, url), scope, &control);
        if tokio::time::timeout(TAKE_BACK, asked).await.is_err() {
            tracing::debug!("the registry does not take back an upload");
        }
    }

    /// Puts a manifest under a tag: from then on others see it.
    pub(super) async fn push_manifest(
        &self,
        repository: &str,
        tag: &str,
        bytes: Vec<u8>,
        control: &Control,
    ) -> Result<Sha256, Error> {
        let digest = Sha256::of(&bytes);
        let url = self.url(&format!("{repository}/manifests/{tag}"))?;
        let ask = Ask::new(Method::PUT, url.clone())
            .header(CONTENT_TYPE, manifest::OCI_MANIFEST)
            .payload(Payload::Bytes(bytes.into()));
        let response = self.send(ask, Scope::Push(repository), control).await?;
        if let Some(said) = header(response.headers(), &CONTENT_DIGEST) {
            same(&shown(&url), &said, digest)?;
        }
        Ok(digest)
    }
}
