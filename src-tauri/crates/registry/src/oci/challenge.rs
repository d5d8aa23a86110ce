//! What a server says that does not let one in: how one may.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a server wants one to log in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer(Realm),
}

/// Where tokens are had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Realm {
    pub(crate) url: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: Option<String>,
}

impl Challenge {
    /// The first that is understood, tokens before passwords.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter();
        let challenges: Vec<_> = texts
            .filter_map(|text| http_auth::parse_challenges(text.to_str().ok()?).ok())
            .flatten()
            .collect();
        let called = |scheme: &str| {
            challenges
                .iter()
                .find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme))
        };
        if let Some(challenge) = called("Bearer") {
            let value = |wanted: &str| {
                let mut values = challenge.params.iter();
                let (_, value) = values.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
                Some(value.to_unescaped())
            };
            if let Some(url) = value("realm") {
                return Some(Self::Bearer(Realm {
                    url,
                    service: value("service"),
                    scope: value("scope"),
                }));
            }
        }
        called("Basic").map(|_| Self::Basic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let of = |texts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
            }
            Challenge::of(&headers)
        };
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer(Realm {
            url: "https://auth.docker.io/token".to_owned(),
            service: Some("registry.docker.io".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        });
        assert_eq!(of(&[hub]), Some(expected));
        assert_eq!(
            of(&[r#"Basic realm="x", charset="UTF-8""#]),
            Some(Challenge::Basic)
        );
        assert!(matches!(
            of(&[r#"basic realm="x""#, r#"bearer REALM="/t""#]),
            Some(Challenge::Bearer(Realm { service: None, .. }))
        ));
        assert_eq!(of(&["Bearer", "Digest realm=\"x\""]), None);
        assert_eq!(of(&["Bearer realm=\"unfinished"]), None);
        assert_eq!(of(&[]), None);
    }
}
