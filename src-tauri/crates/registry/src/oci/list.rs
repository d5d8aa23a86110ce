//! What an OCI registry has: its repositories, their tags, and of each tag whether it is a package.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;
use url::Url;

use super::Oci;
use super::manifest::{Manifest, Tagged};
use super::reference::{NO_VERSION, is_repository, is_tag};
use super::session::{Scope, header};
use crate::http::{Ask, shown};
use crate::{Control, Entry, EntryKind, Error, Locator, Progress};

/// How many names a page is asked for; a registry may give fewer.
const PAGE: u32 = 1000;
/// A `package.yaml` is small.
const DESCRIPTION_MAX_BYTES: u64 = 1 << 20;

impl Oci {
    /// All packages below the namespace. `known` are entries of an earlier listing: what has not changed since is not read
    /// again.
    pub(super) async fn entries(
        &self,
        known: &[Entry],
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Vec<Entry>, Error> {
        let (repositories, told) = self.repositories(control).await?;
        let parallel = self.session.limits().parallel.max(1);
        // The items are owned: futures of borrowed ones cannot be told to be `Send` by those that await this one.
        let mut tags: Vec<(String, String)> = stream::iter(repositories)
            .map(|repository| async move {
                let tags = self.tags(&repository, told, control).await?;
                let told: Vec<_> = tags
                    .into_iter()
                    .map(|tag| (repository.clone(), tag))
                    .collect();
                Ok::<_, Error>(told)
            })
            .buffer_unordered(parallel)
            .try_fold(Vec::new(), |mut all, tags| async {
                all.extend(tags);
                Ok(all)
            })
            .await?;
        tags.sort();
        self.few_enough(tags.len())?;
        let total = tags.len() as u64;
        let known: HashMap<&str, &Entry> = known
            .iter()
            .map(|entry| (entry.locator.place.as_str(), entry))
            .collect();
        let known = &known;
        let mut reading =
            stream::iter(tags)
                .map(|(repository, tag)| async move {
                    self.entry(&repository, &tag, known, control).await
                })
                .buffered(parallel);
        let (mut entries, mut done) = (Vec::new(), 0);
        while let Some(entry) = reading.next().await {
            entries.extend(entry?);
            done += 1;
            progress.at(done, Some(total));
        }
        drop(reading);
        // What has a version of its own goes before the same with the tag `latest`.
        entries.sort_by_key(|entry: &Entry| entry.locator.place.ends_with(":latest"));
        Ok(entries)
    }

    /// The repositories below the namespace; the namespace itself where the registry does not tell.
    /// With it whether the registry told.
    async fn repositories(&self, control: &Control) -> Result<(Vec<String>, bool), Error> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let below = |name: &str| {
            let rest = match name.strip_prefix(self.namespace.as_str()) {
                Some(rest) if self.namespace.is_empty() => rest,
                Some("") => return true,
                Some(rest) => match rest.strip_prefix('/') {
                    Some(rest) => rest,
                    None => return false,
                },
                None => return false,
            };
            rest.starts_with(self.prefix.as_str())
        };
        let mut found = BTreeSet::new();
        let start = self.session.url(&format!("_catalog?n={PAGE}"))?;
        let told = self
            .pages(start, Scope::Catalogue, control, |page: Page| {
                let names = page.repositories.unwrap_or_default();
                found.extend(
                    names
                        .into_iter()
                        .filter(|name| below(name) && is_repository(name)),
                );
                found.len()
            })
            .await;
        match told {
            Ok(true) => Ok((found.into_iter().collect(), true)),
            // Large public ones do not tell.
            Ok(false)
            | Err(Error::Status {
                status: 401 | 403 | 405,
                ..
            }) if !self.namespace.is_empty() => Ok((vec![self.namespace.clone()], false)),
            Ok(false) => Err(self.tells_nothing()),
            Err(error) => Err(error),
        }
    }

    fn tells_nothing(&self) -> Error {
        Error::Config {
            registry: self.name.clone(),
            found: "its server does not tell which repositories it has".to_owned(),
            remedy: "Write the repository of a package into its URL: https://HOST/NAMESPACE/NAME."
                .to_owned(),
        }
    }

    async fn tags(
        &self,
        repository: &str,
        told: bool,
        control: &Control,
    ) -> Result<BTreeSet<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut found = BTreeSet::new();
        let start = self
            .session
            .url(&format!("{repository}/tags/list?n={PAGE}"))?;
        let there = self
            .pages(start, Scope::Pull(repository), control, |page: Page| {
                found.extend(
                    page.tags
                        .unwrap_or_default()
                        .into_iter()
                        .filter(|tag| is_tag(tag)),
                );
                found.len()
            })
            .await?;
        // A repository that the catalogue names and all of whose tags were deleted answers 404 too.
        if !there && !told {
            return Err(self.tells_nothing());
        }
        Ok(found)
    }

    /// Reads page by page; `take` says how many there are now. Whether there is such a list.
    async fn pages<T: for<'de> Deserialize<'de>>(
        &self,
        start: Url,
        scope: Scope<'_>,
        control: &Control,
        mut take: impl FnMut(T) -> usize,
    ) -> Result<bool, Error> {
        let mut next = Some(start);
        let mut seen = BTreeSet::new();
        while let Some(url) = next {
            control.pass().await?;
            if !seen.insert(url.to_string()) {
                return Err(Error::malformed(
                    shown(&url),
                    "its pages go round in a circle",
                ));
            }
            self.few_enough(seen.len())?;
            let response = self
                .session
                .ask(Ask::get(url.clone()), scope, control)
                .await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(false);
            }
            if !response.status().is_success() {
                return Err(self.session.refused(&url, response, scope, control).await);
            }
            next = following(&url, response.headers())?;
            let bytes = self.session.read(&url, response, control).await?;
            let page = serde_json::from_slice(&bytes).map_err(|_| {
                Error::malformed(shown(&url), "its answer is not that of an OCI registry")
            })?;
            self.few_enough(take(page))?;
        }
        Ok(true)
    }

    fn few_enough(&self, count: usize) -> Result<(), Error> {
        if count <= self.session.limits().entries {
            return Ok(());
        }
        Err(Error::Config {
            registry: self.name.clone(),
            found: format!("it has more than {} entries", self.session.limits().entries),
            remedy: "Give a namespace in its URL, or a prefix.".to_owned(),
        })
    }

    /// The package under a tag; nothing when it is something else, or was deleted meanwhile.
    async fn entry(
        &self,
        repository: &str,
        tag: &str,
        known: &HashMap<&str, &Entry>,
        control: &Control,
    ) -> Result<Option<Entry>, Error> {
        control.pass().await?;
        let scope = Scope::Pull(repository);
        let manifested = match self.session.manifest(repository, tag, scope, control).await {
            Ok(Some(manifested)) => manifested,
            Ok(None) => return Ok(None),
            // One that cannot be read does not hide all others.
            Err(Error::Malformed { place, found }) => {
                tracing::warn!(place, found, "passed over");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Tagged::Manifest(manifest) = manifested.tagged else {
            return Ok(None);
        };
        let place = format!("{repository}:{tag}");
        let stamp = manifested.digest.to_string();
        if let Some(known) = known.get(place.as_str())
            && known.stamp.as_ref() == Some(&stamp)
        {
            return Ok(Some((*known).clone()));
        }
        let Some(mut entry) = plain_entry(repository, tag, &manifest) else {
            return Ok(None);
        };
        entry.stamp = Some(stamp);
        if let Some(blob) = manifest.description() {
            let text = self
                .session
                .blob(repository, blob, DESCRIPTION_MAX_BYTES, control)
                .await?;
            let text = String::from_utf8_lossy(&text);
            match windlass_package::Manifest::parse(&text, &place) {
                Ok(described) => describe(&mut entry, described.value),
                Err(error) => {
                    tracing::warn!(place, %error, "passed over");
                    return Ok(None);
                }
            }
        }
        Ok(Some(entry))
    }
}

/// What the manifest alone says of a package.
fn plain_entry(repository: &str, tag: &str, manifest: &Manifest) -> Option<Entry> {
    let archive = manifest.archive()?;
    let place = format!("{repository}:{tag}");
    let blob = |digest| format!("{repository}@sha256:{digest}");
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let name = archive.title().and_then(|title| title.strip_suffix(".mpm"));
    let name = name
        .filter(|name| windlass_package::is_valid_name(name))
        .unwrap_or(last);
    let locator = Locator {
        ask: Some(blob(archive.digest)),
        ..Locator::at(&place)
    };
    let version = manifest.version().unwrap_or(tag);
    Some(Entry {
        version: (version != NO_VERSION).then(|| version.to_owned()),
        size_bytes: Some(archive.size),
        digest: Some(archive.digest),
        signature: manifest.signature().map(|signature| Locator {
            place: format!("{place}.minisig"),
            ask: Some(blob(signature.digest)),
        }),
        ..Entry::new(EntryKind::Package, name, locator)
    })
}

/// What its `package.yaml` says.
fn describe(entry: &mut Entry, manifest: windlass_package::Manifest) {
    entry.require = manifest.requirements();
    entry.name = manifest.name;
    entry.title = Some(manifest.title).filter(|title| *title != entry.name);
    entry.author = Some(manifest.author);
    entry.version = manifest.version;
    entry.created = manifest.created;
    entry.platform = manifest.platform;
}

/// `Link: </v2/_catalog?last=x>; rel="next"`: the next page, of the same server.
pub(crate) fn following(url: &Url, headers: &HeaderMap) -> Result<Option<Url>, Error> {
    let Some(link) = header(headers, &LINK) else {
        return Ok(None);
    };
    let wrong = || Error::malformed(shown(url), "its link to the next page is none");
    let (target, rest) = link
        .trim()
        .strip_prefix('<')
        .and_then(|link| link.split_once('>'))
        .ok_or_else(wrong)?;
    if !rest.contains("next") {
        return Ok(None);
    }
    let next = url.join(target).map_err(|_| wrong())?;
    if next.origin() == url.origin() {
        Ok(Some(next))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn pages_go_on_at_the_same_server_only() {
        let url = Url::parse("https://host/v2/_catalog?n=2").unwrap();
        let after = |link: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_static(link));
            following(&url, &headers).map_or_else(
                |error| error.to_string(),
                |next| next.map_or("-".to_owned(), |next| next.to_string()),
            )
        };
        assert_eq!(
            after("</v2/_catalog?last=b&n=2>; rel=\"next\""),
            "https://host/v2/_catalog?last=b&n=2"
        );
        assert_eq!(after("</v2/>; rel=\"prev\""), "-");
        let wrong = "https://host/v2/_catalog: its link to the next page is none";
        assert_eq!(
            after("<https://elsewhere/v2/_catalog>; rel=\"next\""),
            wrong
        );
        assert_eq!(after("/v2/_catalog"), wrong);
        assert_eq!(following(&url, &HeaderMap::new()).unwrap(), None);
    }
}
