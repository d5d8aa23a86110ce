//! A folder on a web server.
//!
//! Where there is a `packages.json`, it says all. Else the server's own listings are read, as nginx, Apache and
//! Python's `http.server` write them, some levels deep.

pub(crate) mod html;

use std::collections::HashSet;

use url::Url;

use super::index::{self, Index};
use super::{Known, Listing, Opened, RemoteFile, Resume, Source};
use crate::http::{Ask, Client, Login, shown};
use crate::{
    Control, Credentials, Error, Limits, Locator, Progress, Publication, Published, RegistryConfig,
    RegistryKind,
};

const DEPTH_MAX: usize = 3;
const FOLDERS_MAX: usize = 2000;

/// A folder on a web server.
#[derive(Debug)]
pub(crate) struct Web {
    client: Client,
    /// Ends in a slash.
    root: Url,
}

impl Web {
    /// Opens it.
    pub(crate) fn open(
        config: &RegistryConfig,
        credentials: Credentials,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut root = super::root_url(config)?;
        let path = format!("{}{}", root.path(), super::folder_prefix(config));
        root.set_path(&path);
        let login = match credentials {
            Credentials::None => Login::None,
            Credentials::Basic { user, password } => Login::Basic { user, password },
            Credentials::Bearer(token) => Login::Bearer(token),
            Credentials::S3 { .. } => {
                return Err(Error::Config {
                    registry: config.name.clone(),
                    found: "a web server is not entered with the keys of a bucket".to_owned(),
                    remedy: "Give a name and password, or a token.".to_owned(),
                });
            }
        };
        Ok(Self {
            client: Client::new(config, limits)?.with_login(login, &root),
            root,
        })
    }

    async fn crawl(
        &self,
        known: &Known<'_>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Vec<RemoteFile>, Error> {
        let limit = self.client.limits().entries;
        let mut files = Vec::new();
        let mut seen = HashSet::from([self.root.clone()]);
        let mut folders = vec![(self.root.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            control.pass().await?;
            let ask = Ask::get(folder.clone());
            let answer = self
                .client
                .kept_text(ask, known.answers.as_deref(), control)
                .await;
            let page = match answer {
                Ok(answer) => answer.text,
                // A folder that may not be seen is no part of it; the registry itself has to be.
                Err(error @ Error::Status { .. }) if depth > 0 => {
                    tracing::warn!(%error, "a folder is left out");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if depth == 0 && !html::is_page(&page) {
                return Err(Error::malformed(
                    shown(&folder),
                    "it has neither a packages.json nor a listing of its files",
                ));
            }
            for link in html::links(&page) {
                let Some(url) = below(&folder, &link) else {
                    continue;
                };
                if !seen.insert(url.clone()) {
                    continue;
                }
                if url.path().ends_with('/') {
                    if depth < DEPTH_MAX && seen.len() < FOLDERS_MAX + files.len() {
                        folders.push((url, depth + 1));
                    }
                    continue;
                }
                let path = url.path()[self.root.path().len()..].to_owned();
                let path = percent_encoding::percent_decode_str(&path)
                    .decode_utf8_lossy()
                    .into_owned();
                files.push(RemoteFile {
                    path,
                    locator: Locator::at(url),
                    size_bytes: None,
                    digest: None,
                    stamp: None,
                    version: None,
                    created: None,
                });
            }
            if files.len() > limit {
                return Err(Error::malformed(
                    shown(&self.root),
                    format!("it has more than {limit} files"),
                ));
            }
            progress.at(files.len() as u64, None);
        }
        Ok(files)
    }
}

/// A link of a listing, if it leads to something in that folder.
fn below(folder: &Url, link: &str) -> Option<Url> {
    let url = folder.join(link).ok()?;
    let rest = url.path().strip_prefix(folder.path())?;
    let inside = url.origin() == folder.origin()
        && url.query().is_none()
        && url.fragment().is_none()
        && !rest.is_empty()
        && !rest.trim_end_matches('/').contains('/')
        && !rest.to_ascii_lowercase().contains("%2f");
    inside.then_some(url)
}

impl Source for Web {
    async fn list(
        &self,
        known: &Known<'_>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Listing, Error> {
        let locate = |path: &str| {
            let url = self.root.join(&super::s3::encode_key(path)).ok()?;
            url.path()
                .starts_with(self.root.path())
                .then(|| Locator::at(url))
        };
        if let Some(Locator { place, .. }) = locate(index::FILE) {
            let ask = Ask::get(super::parse_url(&place)?);
            match self
                .client
                .kept_text(ask, known.answers.as_deref(), control)
                .await
            {
                Ok(answer) => {
                    let index = Index::parse(&answer.text)
                        .map_err(|found| Error::malformed(place, found))?;
                    let packages = index.packages.into_iter();
                    let entries = packages.filter_map(|told| told.entry(&locate));
                    return Ok(Listing::Entries(entries.collect()));
                }
                Err(Error::Status {
                    status: 403 | 404 | 410,
                    ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Listing::Files(self.crawl(known, control, progress).await?))
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
        _publication: &Publication,
        _control: &Control,
        _progress: &dyn Progress,
    ) -> Result<Published, Error> {
        Err(Error::Unsupported {
            doing: "publishing",
            kind: RegistryKind::Http,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_folder_is_of_it() {
        let folder = Url::parse("http://h/a/").unwrap();
        let kept: Vec<String> = [
            "x.mpm",
            "./y.mpm",
            "sub/",
            "/a/z.mpm",
            "http://h/a/w.mpm",
            "sub/deep.mpm",
            "../",
            "/",
            "?C=N;O=D",
            "http://other/a/x.mpm",
            "#top",
            "..%2fetc",
            "javascript:x()",
            "mailto:a@b",
            "",
        ]
        .iter()
        .filter_map(|link| below(&folder, link).map(String::from))
        .collect();
        assert_eq!(
            kept,
            [
                "http://h/a/x.mpm",
                "http://h/a/y.mpm",
                "http://h/a/sub/",
                "http://h/a/z.mpm",
                "http://h/a/w.mpm"
            ]
        );
    }
}
