//! The releases of a GitHub repository.
//!
//! The API lists a hundred releases a page, with size and digest of each asset. Whoever has no token may ask sixty times
//! an hour: pages are asked for on condition that they changed, which costs nothing, and assets are fetched from where
//! browsers fetch them, which costs nothing either. With a token they come through the API, as those of a private
//! repository have to.

pub(crate) mod release;

use reqwest::header::{ACCEPT, HeaderName};
use url::Url;

use super::{Known, Listing, Opened, RemoteFile, Resume, Source};
use crate::http::{Ask, Client, Login, shown};
use crate::{
    Control, Credentials, Error, Limits, Locator, Progress, Publication, Published, RegistryConfig,
    RegistryKind,
};

/// A thousand releases, of which each has its own file names.
const PAGES_MAX: usize = 10;

/// The releases of a repository.
#[derive(Debug)]
pub(crate) struct GitHub {
    client: Client,
    /// The repository at the API; ends in a slash.
    api: Url,
    tag: Option<String>,
    with_token: bool,
}

impl GitHub {
    /// Opens it.
    pub(crate) fn open(
        config: &RegistryConfig,
        credentials: Credentials,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let api = api(config)?;
        let login = match credentials {
            Credentials::None => Login::None,
            Credentials::Bearer(token) => Login::Bearer(token),
            Credentials::Basic { user, password } => Login::Basic { user, password },
            Credentials::S3 { .. } => {
                return Err(Error::Config {
                    registry: config.name.clone(),
                    found: "GitHub is not entered with the keys of a bucket".to_owned(),
                    remedy: "Give a token.".to_owned(),
                });
            }
        };
        Ok(Self {
            with_token: !matches!(login, Login::None),
            client: Client::new(config, limits)?.with_login(login, &api),
            api,
            tag: config
                .prefix
                .clone()
                .filter(|tag| !tag.is_empty() && tag != "any"),
        })
    }

    /// Whoever asks the API for JSON says so, and which version of it.
    fn ask(url: Url) -> Ask {
        Ask::get(url)
            .header(ACCEPT, "application/vnd.github+json")
            .header(
                HeaderName::from_static("x-github-api-version"),
                "2022-11-28",
            )
    }

    fn files(&self, releases: Vec<release::Release>) -> Vec<RemoteFile> {
        let mut files = Vec::new();
        for release in releases.into_iter().filter(|release| !release.draft) {
            for asset in release.assets {
                // What is being uploaded is not there yet.
                if asset
                    .state
                    .as_deref()
                    .is_some_and(|state| state != "uploaded")
                {
                    continue;
                }
                let ask = self.with_token.then_some(asset.url).flatten();
                files.push(RemoteFile {
                    path: format!("{}/{}", release.tag_name, asset.name),
                    locator: Locator {
                        place: asset.browser_download_url,
                        ask,
                    },
                    size_bytes: asset.size,
                    digest: asset.digest.and_then(|digest| digest.parse().ok()),
                    stamp: asset.id.map(|id| match asset.updated_at {
                        Some(updated) => format!("{id} {updated}"),
                        None => id.to_string(),
                    }),
                    version: Some(release.tag_name.clone()),
                    created: release.published_at.clone(),
                });
            }
        }
        files
    }
}

/// Where the API has the repository.
fn api(config: &RegistryConfig) -> Result<Url, Error> {
    let url = super::root_url(config)?;
    let parts: Vec<&str> = url
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let wrong = || Error::Config {
        registry: config.name.clone(),
        found: "its URL names no repository".to_owned(),
        remedy: "Write https://github.com/OWNER/REPOSITORY.".to_owned(),
    };
    if url.host_str() == Some("github.com") {
        let [owner, repository, ..] = parts.as_slice() else {
            return Err(wrong());
        };
        let repository = repository.strip_suffix(".git").unwrap_or(repository);
        let api = format!("https://api.github.com/repos/{owner}/{repository}/");
        return Url::parse(&api).map_err(|_| wrong());
    }
    match parts.as_slice() {
        [.., "repos", _, _] => Ok(url),
        _ => Err(Error::Config {
            registry: config.name.clone(),
            found: "its URL is not that of a repository at an API".to_owned(),
            remedy: "Write https://HOST/api/v3/repos/OWNER/REPOSITORY.".to_owned(),
        }),
    }
}

impl Source for GitHub {
    async fn list(
        &self,
        known: &Known<'_>,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Listing, Error> {
        let answers = known.answers.as_deref();
        let join = |path: &str| {
            self.api
                .join(path)
                .map_err(|_| Error::malformed(shown(&self.api), "it is no URL of an API"))
        };
        if let Some(tag) = &self.tag {
            let mut url = join("releases/latest")?;
            if tag != "latest" {
                url = join("releases/tags/")?;
                if let Ok(mut parts) = url.path_segments_mut() {
                    parts.pop_if_empty().push(tag);
                }
            }
            let answer = self
                .client
                .kept_text(Self::ask(url.clone()), answers, control)
                .await?;
            let one =
                release::one(&answer.text).map_err(|found| Error::malformed(shown(&url), found))?;
            return Ok(Listing::Files(self.files(vec![one])));
        }
        let mut url = join("releases?per_page=100")?;
        let mut files = Vec::new();
        for _ in 0..PAGES_MAX {
            control.pass().await?;
            let answer = self
                .client
                .kept_text(Self::ask(url.clone()), answers, control)
                .await?;
            let page = release::many(&answer.text)
                .map_err(|found| Error::malformed(shown(&url), found))?;
            files.extend(self.files(page));
            progress.at(files.len() as u64, None);
            let next = answer.link.as_deref().and_then(release::next);
            let Some(next) = next.and_then(|next| url.join(next).ok()) else {
                break;
            };
            if next.origin() != url.origin() {
                return Err(Error::malformed(
                    shown(&url),
                    "its next page is on another server",
                ));
            }
            url = next;
        }
        Ok(Listing::Files(files))
    }

    async fn open(
        &self,
        locator: &Locator,
        resume: Option<&Resume>,
        control: &Control,
    ) -> Result<Opened, Error> {
        let url = super::parse_url(locator.target())?;
        let ask = Ask::get(url).header(ACCEPT, "application/octet-stream");
        super::open(&self.client, ask, resume, control).await
    }

    async fn publish(
        &self,
        _publication: &Publication,
        _control: &Control,
        _progress: &dyn Progress,
    ) -> Result<Published, Error> {
        Err(Error::Unsupported {
            doing: "publishing",
            kind: RegistryKind::GitHub,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_found_at_its_api() {
        let api = |url: &str| {
            let config = RegistryConfig::new(RegistryKind::GitHub, "r", url);
            super::api(&config).map_or_else(|error| error.to_string(), String::from)
        };
        insta::assert_snapshot!([
            api("https://github.com/cloudius-systems/osv"),
            api("https://github.com/cloudius-systems/osv/releases"),
            api("https://github.com/o/r.git/"),
            api("https://ghe.example.org/api/v3/repos/o/r"),
            api("http://127.0.0.1:8080/repos/o/r"),
            api("https://github.com/o"),
            api("https://ghe.example.org/o/r"),
            api("https://me:secret@github.com/o/r"),
            api("osv"),
        ].join("\n"), @r"
        https://api.github.com/repos/cloudius-systems/osv/
        https://api.github.com/repos/cloudius-systems/osv/
        https://api.github.com/repos/o/r/
        https://ghe.example.org/api/v3/repos/o/r/
        http://127.0.0.1:8080/repos/o/r/
        the registry r cannot be used: its URL names no repository
        the registry r cannot be used: its URL is not that of a repository at an API
        the registry r cannot be used: its URL has a name or password in it
        the registry r cannot be used: its URL is none
        ");
    }
}
