//! Buckets of S3, and of what speaks its protocol, in Capstan's layout.
//!
//! A bucket lists itself (`ListObjectsV2`) a thousand objects at a time. Buckets of anyone's are read without a login; with
//! one, every request is signed. What we publish has its digest in its metadata (`x-amz-meta-sha256`), which comes with it.

pub(crate) mod list;
mod sign;

use reqwest::Method;
use reqwest::header::HeaderName;
use url::Url;

use super::{Known, Listing, Opened, RemoteFile, Resume, Source};
use crate::http::{Ask, Client, Login, Payload};
use crate::{
    Control, Credentials, Error, Limits, Locator, Progress, Publication, Published, RegistryConfig,
};

pub(crate) use sign::{Signer, encode_key};

/// The metadata that a digest is in, as 64 hexadecimal digits.
pub(crate) const SHA256_HEADER: HeaderName = HeaderName::from_static("x-amz-meta-sha256");

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    client: Client,
    /// Ends in a slash.
    root: Url,
    /// What keys have to begin with; empty, or ends in a slash.
    prefix: String,
}

impl Bucket {
    /// Opens it.
    pub(crate) fn open(
        config: &RegistryConfig,
        credentials: Credentials,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let root = super::root_url(config)?;
        let login = match credentials {
            Credentials::None => Login::None,
            Credentials::S3 {
                access_key,
                secret_key,
                region,
            } => Login::S3(Signer {
                access_key,
                secret_key,
                region,
            }),
            Credentials::Basic { .. } | Credentials::Bearer(_) => {
                return Err(Error::Config {
                    registry: config.name.clone(),
                    found: "a bucket is not entered with a password or token".to_owned(),
                    remedy: "Give the access key, the secret key and the region.".to_owned(),
                });
            }
        };
        Ok(Self {
            client: Client::new(config, limits)?.with_login(login, &root),
            root,
            prefix: super::folder_prefix(config),
        })
    }

    /// What all keys of this registry begin with; empty, or ends in a slash.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What requests are sent by.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The path of the bucket's URL; more than a slash where the bucket is not in the host.
    pub(crate) fn root_path(&self) -> &str {
        self.root.path()
    }

    /// The URL of an object.
    ///
    /// # Errors
    ///
    /// When the key has parts `.` or `..`, which a URL cannot have.
    pub(crate) fn url(&self, key: &str) -> Result<Url, Error> {
        if key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(Error::malformed(key, "no URL leads to a key like that"));
        }
        let mut url = self.root.clone();
        url.set_path(&format!("{}{}", self.root.path(), encode_key(key)));
        Ok(url)
    }

    /// Writes an object, whole or not at all.
    pub(crate) async fn put(
        &self,
        key: &str,
        payload: Payload,
        headers: &[(HeaderName, String)],
        control: &Control,
    ) -> Result<(), Error> {
        let mut ask = Ask::new(Method::PUT, self.url(key)?).payload(payload);
        for (name, value) in headers {
            ask = ask.header(name.clone(), value);
        }
        self.client.send(ask, control).await.map(drop)
    }

    /// Whether there is an object, and its headers.
    pub(crate) async fn head(
        &self,
        key: &str,
        control: &Control,
    ) -> Result<Option<reqwest::header::HeaderMap>, Error> {
        let ask = Ask::new(Method::HEAD, self.url(key)?);
        match self.client.send(ask, control).await {
            Ok(response) => Ok(Some(response.headers().clone())),
            Err(Error::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The text of an object; `None` when there is none.
    pub(crate) async fn text(&self, key: &str, control: &Control) -> Result<Option<String>, Error> {
        match self.client.text(Ask::get(self.url(key)?), control).await {
            Ok(text) => Ok(Some(text)),
            Err(Error::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The whole list.
    async fn objects(
        &self,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Vec<RemoteFile>, Error> {
        let limit = self.client.limits().entries;
        let mut files = Vec::new();
        let mut token: Option<String> = None;
        loop {
            control.pass().await?;
            let mut url = self.root.clone();
            url.query_pairs_mut().append_pair("list-type", "2");
            if let Some(token) = &token {
                url.query_pairs_mut()
                    .append_pair("continuation-token", token);
            }
            if !self.prefix.is_empty() {
                url.query_pairs_mut().append_pair("prefix", &self.prefix);
            }
            let text = self.client.text(Ask::get(url.clone()), control).await?;
            let page = list::parse(&text)
                .map_err(|found| Error::malformed(crate::http::shown(&url), found))?;
            for object in page.objects {
                let path = object.key.strip_prefix(&self.prefix);
                let (Some(path), Ok(at)) = (path, self.url(&object.key)) else {
                    continue;
                };
                files.push(RemoteFile {
                    path: path.to_owned(),
                    locator: Locator::at(at),
                    size_bytes: Some(object.size_bytes),
                    digest: None,
                    stamp: object.etag,
                    version: None,
                    created: None,
                });
            }
            if files.len() > limit {
                return Err(Error::malformed(
                    crate::http::shown(&url),
                    format!("it lists more than {limit} objects"),
                ));
            }
            progress.at(files.len() as u64, None);
            match page.next {
                // A server that gives the same token again would go on for ever.
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                Some(_) => {
                    return Err(Error::malformed(
                        crate::http::shown(&url),
                        "its list has no end",
                    ));
                }
                None => return Ok(files),
            }
        }
    }
}

impl Source for Bucket {
    async fn list(
        &self,
        _known: &Known<'_>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Listing, Error> {
        Ok(Listing::Files(self.objects(control, progress).await?))
    }

    async fn open(
        &self,
        locator: &Locator,
        resume: Option<&Resume>,
        control: &Control,
    ) -> Result<Opened, Error> {
        let url = super::parse_url(locator.target())?;
        super::open(&self.client, Ask::get(url), resume, control).await
    }

    async fn publish(
        &self,
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Published, Error> {
        crate::publish::to_bucket(self, publication, control, progress).await
    }
}
