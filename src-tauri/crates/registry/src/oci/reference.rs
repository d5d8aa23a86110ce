//! Names of repositories, tags and container images.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>

use std::fmt;

use crate::{Error, Sha256};

const REPOSITORY_MAX_BYTES: usize = 255;
const TAG_MAX_BYTES: usize = 128;
/// What a package without a version is tagged with.
pub(super) const NO_VERSION: &str = "latest";
/// Where an image is whose name begins with no host, and the name that its registry goes by.
const DEFAULT_HOST: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Whether this is the name of a repository: parts of lower-case letters and digits, with single `.`, `_`, `__` or any
/// number of `-` between them.
pub(super) fn is_repository(name: &str) -> bool {
    name.len() <= REPOSITORY_MAX_BYTES && name.split('/').all(is_part)
}

fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    plain(first)
        && plain(last)
        && bytes.split(|&byte| plain(byte)).all(|between| {
            matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|&byte| byte == b'-')
        })
}

/// Whether this is a tag.
pub(super) fn is_tag(tag: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX_BYTES
        && tag.bytes().next().is_some_and(plain)
        && tag
            .bytes()
            .all(|byte| plain(byte) || matches!(byte, b'.' | b'-'))
}

/// The repository of a package: its name in lower case, with what may not be there made `-`.
pub(super) fn repository_of(namespace: &str, package: &str) -> String {
    let mut part = String::new();
    for sign in package.chars() {
        let sign = sign.to_ascii_lowercase();
        if sign.is_ascii_lowercase() || sign.is_ascii_digit() {
            part.push(sign);
        } else if !part.is_empty() && !part.ends_with(['.', '_', '-']) {
            part.push(if matches!(sign, '.' | '_') { sign } else { '-' });
        }
    }
    let part = part.trim_end_matches(['.', '_', '-']);
    if namespace.is_empty() {
        part.to_owned()
    } else {
        format!("{namespace}/{part}")
    }
}

/// The tag of a version: its text, with what may not be there made `_`.
pub(super) fn tag_of(version: Option<&str>) -> String {
    let Some(version) = version.filter(|version| !version.is_empty()) else {
        return NO_VERSION.to_owned();
    };
    let mut tag: String = version
        .chars()
        .map(|sign| match sign {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => sign,
            _ => '_',
        })
        .take(TAG_MAX_BYTES)
        .collect();
    if tag.starts_with(['.', '-']) {
        tag.replace_range(..1, "_");
    }
    tag
}

/// A container image by its name: `debian:12`, `ghcr.io/owner/image@sha256:…`, `localhost:5000/image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The host, with its port where that is not the usual one.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// The tag. With a digest it is a remark only.
    pub tag: String,
    /// The digest of the manifest, where the name has one.
    pub digest: Option<Sha256>,
}

impl ImageReference {
    /// Reads an image's name. What names no host is on Docker Hub, what names no tag is `latest`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // What somebody wrote before an `@` may be a password.
        let shown = match text.split_once('@') {
            Some((_, host)) if !host.starts_with("sha256:") => host,
            _ => text,
        };
        let wrong = |found: &str| Error::Image {
            image: shown.chars().take(200).collect(),
            found: found.to_owned(),
            remedy: "Write HOST/NAME:TAG or NAME:TAG, such as debian:12.".to_owned(),
        };
        let text = text.trim();
        let text = text.strip_prefix("docker://").unwrap_or(text);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest
                    .strip_prefix("sha256:")
                    .and_then(|digest| digest.parse().ok());
                (
                    name,
                    Some(digest.ok_or_else(|| wrong("its digest is no SHA-256 digest"))?),
                )
            }
            None => (text, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => (DEFAULT_HOST.0, name),
        };
        let (path, tag) = path.rsplit_once(':').unwrap_or((path, NO_VERSION));
        let repository = if host == DEFAULT_HOST.0 && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !is_repository(&repository) {
            return Err(wrong("its name has signs that no image's has"));
        }
        if !is_tag(tag) {
            return Err(wrong("its tag has signs that no tag has"));
        }
        // A URL passes over blanks and lines that end, which a name must not have.
        let is_plain = |sign: char| sign.is_ascii_alphanumeric() || ".-_:[]".contains(sign);
        let url = url::Url::parse(&format!("https://{host}/")).ok();
        let url = url.filter(|_| host.chars().all(is_plain));
        if !url.is_some_and(|url| url.username().is_empty() && url.path() == "/" && url.has_host())
        {
            return Err(wrong("its host is none"));
        }
        Ok(Self {
            host: host.to_owned(),
            repository,
            tag: tag.to_owned(),
            digest,
        })
    }

    /// The host that serves it.
    pub(super) fn server(&self) -> &str {
        if self.host == DEFAULT_HOST.0 {
            DEFAULT_HOST.1
        } else {
            &self.host
        }
    }

    /// What to ask the registry for.
    pub(super) fn target(&self) -> String {
        match &self.digest {
            Some(digest) => format!("sha256:{digest}"),
            None => self.tag.clone(),
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.host, self.repository, self.tag)?;
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_images_are_read_as_container_tools_read_them() {
        let full = |text: &str| match ImageReference::parse(text) {
            Ok(reference) => format!("{reference} by {}", reference.server()),
            Err(error) => error.to_string(),
        };
        let digest = "a".repeat(64);
        let read: Vec<String> = [
            "debian",
            "docker://debian:12-slim",
            "owner/image:1",
            "ghcr.io/owner/image",
            "localhost:5000/a/b:c",
            &format!("quay.io/a/b:1@sha256:{digest}"),
            "debian@sha256:12",
            "Debian",
            "a//b",
            "a:b:c",
            "host:99999/x",
            "user:secret@host/x",
            "",
        ]
        .map(full)
        .to_vec();
        insta::assert_snapshot!(read.join("\n"), @r#"
        docker.io/library/debian:latest by registry-1.docker.io
        docker.io/library/debian:12-slim by registry-1.docker.io
        docker.io/owner/image:1 by registry-1.docker.io
        ghcr.io/owner/image:latest by ghcr.io
        localhost:5000/a/b:c by localhost:5000
        quay.io/a/b:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa by quay.io
        the image debian@sha256:12 cannot be fetched: its digest is no SHA-256 digest
        the image Debian cannot be fetched: its name has signs that no image's has
        the image a//b cannot be fetched: its name has signs that no image's has
        the image a:b:c cannot be fetched: its name has signs that no image's has
        the image host:99999/x cannot be fetched: its host is none
        the image host/x cannot be fetched: its digest is no SHA-256 digest
        the image  cannot be fetched: its name has signs that no image's has
        "#);
    }

    proptest! {
        #[test]
        fn any_package_has_a_repository_and_a_tag(name in "[a-zA-Z0-9][a-zA-Z0-9._+-]{0,99}", version in proptest::option::of(".{0,200}")) {
            let repository = repository_of("team/packages", &name);
            prop_assert!(is_repository(&repository), "{}", repository);
            let tag = tag_of(version.as_deref());
            prop_assert!(is_tag(&tag), "{}", tag);
        }

        #[test]
        fn no_text_is_too_odd_for_a_reference(text in ".{0,200}") {
            if let Ok(reference) = ImageReference::parse(&text) {
                prop_assert_eq!(ImageReference::parse(&reference.to_string()).ok(), Some(reference));
            }
        }
    }
}
