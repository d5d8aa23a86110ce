//! The parsers of what servers say, for those alone who try them with what no server says: the fuzz targets.
//!
//! Each gives what it understood as text; of what can be written again, in the form in which it is read.

use reqwest::header::{HeaderMap, HeaderValue, LINK, WWW_AUTHENTICATE};
use url::Url;

use crate::kinds::index::{self, Index};
use crate::kinds::{RemoteFile, github::release, layout, s3, web::html};
use crate::oci::manifest::{self, Tagged};
use crate::oci::{ImageReference, challenge::Challenge, list};
use crate::{Error, Locator};

/// A page of a bucket's list, and what its objects are taken for.
pub fn s3_listing(text: &str) -> Option<String> {
    let page = s3::list::parse(text).ok()?;
    let file = |object: &s3::list::Object| RemoteFile {
        path: object.key.clone(),
        locator: Locator::at(object.key.clone()),
        size_bytes: Some(object.size_bytes),
        digest: None,
        stamp: object.etag.clone(),
        version: None,
        created: None,
    };
    let files: Vec<RemoteFile> = page.objects.iter().map(file).collect();
    Some(format!("{page:?} {:?}", layout::drafts(&files)))
}

/// A page of GitHub's releases, or one of them.
pub fn github_releases(text: &str) -> Option<String> {
    if let Ok(release) = release::one(text) {
        return Some(format!("{release:?}"));
    }
    Some(format!("{:?}", release::many(text).ok()?))
}

/// The header that says where GitHub's list, or that of an OCI registry, goes on.
pub fn next_page(header: &[u8]) -> Option<String> {
    let value = HeaderValue::from_bytes(header).ok()?;
    let github = value
        .to_str()
        .ok()
        .and_then(release::next)
        .map(str::to_owned);
    let here = Url::parse("https://registry.example/v2/_catalog").ok()?;
    let next = list::following(&here, &HeaderMap::from_iter([(LINK, value)]));
    match next {
        // It never leads to another server.
        Ok(Some(next)) if next.origin() != here.origin() => None,
        Ok(next) => Some(format!("{github:?} {next:?}")),
        Err(error) => Some(format!("{github:?} {error} {:?}", error.hint())),
    }
}

/// The links of a web server's own listing, as they are followed.
pub fn html_directory(text: &str) -> Option<String> {
    let root = Url::parse("https://registry.example/packages/").ok()?;
    let links = html::links(text);
    let urls: Vec<Url> = links
        .iter()
        .filter_map(|link| root.join(link).ok())
        .collect();
    Some(format!("{} {urls:?}", html::is_page(text)))
}

/// A `packages.json`. What it names lies below the registry's root.
pub fn index(text: &str) -> Option<String> {
    let index = Index::parse(text).ok()?;
    let written = index.render().ok()?;
    let locate = |path: &str| index::is_below(path).then(|| Locator::at(path));
    let count = index.packages.len();
    let entries = index
        .packages
        .into_iter()
        .filter_map(|it| it.entry(&locate));
    (entries.count() == count).then_some(written)
}

/// A manifest, or a list of them.
pub fn oci_manifest(bytes: &[u8]) -> Option<String> {
    match manifest::parse(bytes, None).ok()? {
        Tagged::Manifest(manifest) => {
            // What is looked for in it.
            let _ = (manifest.archive(), manifest.signature(), manifest.version());
            let _ = (manifest.description(), manifest.config.title());
            serde_json::to_string(&manifest).ok()
        }
        Tagged::Index(index) => Some(format!("{:?} {}", index.linux_amd64(), index.platforms())),
    }
}

/// A challenge: how a server wants one to log in.
pub fn oci_challenge(header: &[u8]) -> Option<String> {
    let value = HeaderValue::from_bytes(header).ok()?;
    let challenge = Challenge::of(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]))?;
    Some(format!("{challenge:?}"))
}

/// The name of an image.
///
/// # Errors
///
/// When it is none.
pub fn oci_reference(text: &str) -> Result<String, Error> {
    Ok(ImageReference::parse(text)?.to_string())
}
