//! What GitHub says of releases.

use serde::Deserialize;

/// A release.
#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    pub(crate) tag_name: String,
    #[serde(default)]
    pub(crate) draft: bool,
    #[serde(default)]
    pub(crate) published_at: Option<String>,
    #[serde(default)]
    pub(crate) assets: Vec<Asset>,
}

/// A file of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Asset {
    #[serde(default)]
    pub(crate) id: Option<u64>,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) size: Option<u64>,
    /// At the API.
    #[serde(default)]
    pub(crate) url: Option<String>,
    /// For a browser.
    pub(crate) browser_download_url: String,
    /// `sha256:…`, of assets since June 2025.
    #[serde(default)]
    pub(crate) digest: Option<String>,
    #[serde(default)]
    pub(crate) updated_at: Option<String>,
    #[serde(default)]
    pub(crate) state: Option<String>,
}

/// Reads a page of releases; what is wrong with it, in words.
pub(crate) fn many(text: &str) -> Result<Vec<Release>, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no list of releases: {error}"))
}

/// Reads one release.
pub(crate) fn one(text: &str) -> Result<Release, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no release: {error}"))
}

/// The next page, of a `Link` header.
pub(crate) fn next(link: &str) -> Option<&str> {
    link.split(',').find_map(|part| {
        let (url, rest) = part.trim().strip_prefix('<')?.split_once('>')?;
        rest.split(';')
            .any(|what| what.trim() == r#"rel="next""#)
            .then_some(url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_next_page_is_found() {
        let link = r#"<https://a/?page=1>; rel="prev", <https://a/?page=3>; rel="next", <https://a/?page=9>; rel="last""#;
        assert_eq!(next(link), Some("https://a/?page=3"));
        assert_eq!(next(r#"<https://a/?page=1>; rel="prev""#), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in ".*") {
            let _ = (next(&text), many(&text));
        }
    }
}
