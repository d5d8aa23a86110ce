//! URLs and answers, as all registries on web servers have them.

use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE,
};
use url::Url;

use super::s3::SHA256_HEADER;
use super::{Opened, Resume};
use crate::http::{Ask, Client, shown};
use crate::{Control, Error, RegistryConfig};

/// The registry's URL, with a slash at its end.
pub(crate) fn root_url(config: &RegistryConfig) -> Result<Url, Error> {
    let wrong = |found: &str| Error::Config {
        registry: config.name.clone(),
        found: found.to_owned(),
        remedy: "Write a URL that begins with https://.".to_owned(),
    };
    let mut url = Url::parse(config.url.trim()).map_err(|_| wrong("its URL is none"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("its URL is not that of a web server"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Config {
            registry: config.name.clone(),
            found: "its URL has a name or password in it".to_owned(),
            remedy: "Give them as the registry's login, where they are kept secret.".to_owned(),
        });
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The registry's prefix as a folder: empty, or ends in a slash.
pub(crate) fn folder_prefix(config: &RegistryConfig) -> String {
    match config
        .prefix
        .as_deref()
        .map(|prefix| prefix.trim_matches('/'))
    {
        None | Some("") => String::new(),
        Some(prefix) => format!("{prefix}/"),
    }
}

/// A URL that a server said, or that was kept from an earlier listing.
pub(crate) fn parse_url(text: &str) -> Result<Url, Error> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Error::malformed(text, "it is no URL of a web server")),
    }
}

/// Opens a file on a web server.
pub(crate) async fn open(
    client: &Client,
    mut ask: Ask,
    resume: Option<&Resume>,
    control: &Control,
) -> Result<Opened, Error> {
    let url = ask.url.clone();
    let plain = ask.clone();
    if let Some(resume) = resume {
        ask = ask.header(RANGE, &format!("bytes={}-", resume.start));
        if let Some(validator) = &resume.validator {
            ask = ask.header(IF_RANGE, validator);
        }
    }
    let mut response = match client.send(ask, control).await {
        // It ends before where we are: it is another one now.
        Err(Error::Status { status: 416, .. }) if resume.is_some() => {
            client.send(plain, control).await?
        }
        other => other?,
    };
    let headers = response.headers();
    let length = || number(headers.get(CONTENT_LENGTH)?.to_str().ok()?);
    let (start, total) = match (response.status(), resume) {
        (StatusCode::PARTIAL_CONTENT, Some(resume)) => {
            let range = headers
                .get(CONTENT_RANGE)
                .and_then(|range| range.to_str().ok());
            let (start, total) = range.and_then(content_range).ok_or_else(|| {
                Error::malformed(
                    shown(&url),
                    "it does not say which part of the file it sends",
                )
            })?;
            if start != resume.start {
                return Err(Error::malformed(
                    shown(&url),
                    format!(
                        "it sends the file from byte {start}, and was asked from {}",
                        resume.start
                    ),
                ));
            }
            (start, total)
        }
        (StatusCode::OK, _) => (0, length()),
        (status, _) => {
            return Err(Error::malformed(
                shown(&url),
                format!("it answers {} where a file was asked for", status.as_u16()),
            ));
        }
    };
    let opened = Opened {
        start,
        total,
        validator: validator(headers),
        digest: headers
            .get(SHA256_HEADER)
            .and_then(|digest| digest.to_str().ok()?.parse().ok()),
        body: Box::pin(futures_util::stream::empty()),
    };
    // Only now may the headers go.
    response.headers_mut().clear();
    Ok(Opened {
        body: client.body(response),
        ..opened
    })
}

/// What says whether a file is still the same: a strong `ETag`, else the date.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    text(ETAG)
        .filter(|etag| etag.starts_with('"'))
        .or_else(|| text(LAST_MODIFIED))
}

/// `bytes 10-99/100`: where it begins, and the length of the whole where that is known.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = match total {
        "*" => None,
        total => Some(number(total)?),
    };
    let fits = first <= last && total.is_none_or(|total| last < total);
    fits.then_some((first, total))
}

/// Digits alone, unlike what `parse` takes.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim();
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn parts_of_files_are_understood_or_not_believed() {
        assert_eq!(content_range("bytes 10-99/100"), Some((10, Some(100))));
        assert_eq!(content_range("bytes 10-99/*"), Some((10, None)));
        for wrong in [
            "",
            "bytes */100",
            "bytes 10-100/100",
            "bytes 9-8/100",
            "items 1-2/3",
            "bytes +1-2/3",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
