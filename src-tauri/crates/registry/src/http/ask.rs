//! A request, as it can be sent more than once.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use url::Url;

use crate::{Error, Limits, Secret, Sha256};

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Sent to wherever it leads, but for what is a secret by its name.
    pub(crate) headers: HeaderMap,
    /// Instead of the client's login; to the origin of `url` only.
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) payload: Payload,
    /// Whether it is not sent again when it was cut: who sends much finds out first how much of it came.
    pub(crate) once: bool,
}

/// What is sent with it.
#[derive(Debug, Clone, Default)]
pub(crate) enum Payload {
    /// Nothing.
    #[default]
    None,
    /// These bytes.
    Bytes(Bytes),
    /// This part of a file, read while it is sent. The digest is that of the part.
    File {
        path: PathBuf,
        offset: u64,
        length: u64,
        sha256: Option<Sha256>,
    },
}

impl Ask {
    /// A request without anything to it.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            authorization: None,
            payload: Payload::None,
            once: false,
        }
    }

    /// A request to read.
    pub(crate) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// The same with a header; one whose value cannot be sent is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same, not sent again when it was cut.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// The same with something to send.
    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }
}

impl Payload {
    /// The body and its length.
    pub(crate) async fn body(&self) -> Result<Option<(reqwest::Body, u64)>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Bytes(bytes) => Ok(Some((bytes.clone().into(), bytes.len() as u64))),
            Self::File {
                path,
                offset,
                length,
                ..
            } => {
                let opened = async {
                    let mut file = tokio::fs::File::open(path).await?;
                    file.seek(std::io::SeekFrom::Start(*offset)).await?;
                    Ok(file)
                };
                let file = opened
                    .await
                    .map_err(|source| Error::io("read", path, source))?;
                let chunks = futures_util::stream::try_unfold(
                    (file.take(*length), vec![0; 128 << 10]),
                    |(mut file, mut buffer)| async move {
                        let count = file.read(&mut buffer).await?;
                        let chunk = Bytes::copy_from_slice(&buffer[..count]);
                        Ok::<_, std::io::Error>((count > 0).then_some((chunk, (file, buffer))))
                    },
                );
                Ok(Some((reqwest::Body::wrap_stream(chunks), *length)))
            }
        }
    }

    /// How long sending it may take.
    pub(crate) fn patience(&self, limits: &Limits) -> Duration {
        match self {
            Self::File { length, .. } => {
                let stalls = length / limits.slowest_bytes.max(1);
                limits
                    .stall
                    .saturating_mul(u32::try_from(stalls).unwrap_or(u32::MAX))
            }
            _ => Duration::ZERO,
        }
    }

    /// Its digest, as signatures want it.
    pub(crate) fn sha256(&self) -> String {
        match self {
            Self::None => Sha256::of(b"").to_string(),
            Self::Bytes(bytes) => Sha256::of(bytes).to_string(),
            Self::File {
                sha256: Some(digest),
                ..
            } => digest.to_string(),
            Self::File { .. } => "UNSIGNED-PAYLOAD".to_owned(),
        }
    }
}

/// The header of a name and password.
pub(crate) fn basic(user: &str, password: &Secret) -> Option<HeaderValue> {
    let text = zeroize::Zeroizing::new(format!("{user}:{}", password.expose()));
    sensitive(&format!("Basic {}", base64(text.as_bytes())))
}

/// The header of a token.
pub(crate) fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose()))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Base64 of RFC 4648, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for index in 0..4 {
            if index <= group.len() {
                let sign = bits >> (18 - 6 * index) & 63;
                text.push(char::from(SIGNS[sign as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}
