//! Answers that are kept, and asked for only if they changed.
//!
//! A folder with a file for each URL: its `ETag` or date on the first line, its `Link` on the second, then the answer. A
//! damaged or missing file is as none; 304 costs nothing of GitHub's limit.

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LINK};

use super::{Ask, Client, shown};
use crate::fetch::file;
use crate::{Control, Error, Sha256};

/// An answer, fresh or still good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// The `Link` header.
    pub(crate) link: Option<String>,
}

impl Client {
    /// Asks for a text, on condition that it is another than what is kept in the folder.
    pub(crate) async fn kept_text(
        &self,
        ask: Ask,
        folder: Option<&Path>,
        control: &Control,
    ) -> Result<Answer, Error> {
        let url = ask.url.clone();
        let path = folder.map(|folder| place(folder, url.as_str()));
        let kept = path
            .as_deref()
            .and_then(|path| read(path, self.limits().metadata_bytes));
        let conditional = match &kept {
            Some((validator, _)) if is_etag(validator) => {
                ask.clone().header(IF_NONE_MATCH, validator)
            }
            Some((validator, _)) => ask.clone().header(IF_MODIFIED_SINCE, validator),
            None => ask.clone(),
        };
        let mut response = self.send(conditional, control).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            match kept {
                Some((_, answer)) => return Ok(answer),
                // It was not asked on any condition; a proxy between may have done so.
                None => response = self.send(ask, control).await?,
            }
        }
        let validator =
            text(response.headers(), &ETAG).or_else(|| text(response.headers(), &LAST_MODIFIED));
        let link = text(response.headers(), &LINK);
        let bytes = self.read(&url, response, control).await?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::malformed(shown(&url), "it is not UTF-8 text"))?;
        let answer = Answer { text, link };
        if let (Some(path), Some(validator)) = (path, validator) {
            let link = answer.link.as_deref().unwrap_or("");
            let content = format!("{validator}\n{link}\n{}", answer.text);
            let kept = std::fs::create_dir_all(file::folder_of(&path))
                .map_err(|source| Error::io("create", &path, source))
                .and_then(|()| file::write_whole(&path, content.as_bytes()));
            if let Err(error) = kept {
                tracing::warn!(%error, "an answer is not kept");
            }
        }
        Ok(answer)
    }
}

fn is_etag(validator: &str) -> bool {
    validator.ends_with('"')
}

fn text(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn place(folder: &Path, url: &str) -> PathBuf {
    let name = Sha256::of(url.as_bytes()).to_string();
    folder.join(&name[..32])
}

fn read(path: &Path, limit: u64) -> Option<(String, Answer)> {
    // Two lines come before the answer.
    if std::fs::metadata(path).ok()?.len() > limit + (16 << 10) {
        return None;
    }
    let content = std::fs::read_to_string(path).ok()?;
    let (validator, rest) = content.split_once('\n')?;
    let (link, text) = rest.split_once('\n')?;
    let answer = Answer {
        text: text.to_owned(),
        link: (!link.is_empty()).then(|| link.to_owned()),
    };
    Some((validator.to_owned(), answer))
}
