//! Signature version 4: a request is signed with a key that is never sent.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::http::shown;
use crate::{Error, Secret, Sha256};

/// All but the unreserved signs of RFC 3986.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same for a path, whose slashes stay.
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// Signs requests.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret,
    pub(crate) region: String,
}

/// A key as the path of a URL.
pub(crate) fn encode_key(key: &str) -> String {
    utf8_percent_encode(key, STRICT_PATH).to_string()
}

impl Signer {
    /// Adds the headers of a signed request. `payload` is the digest of what is sent, or `UNSIGNED-PAYLOAD`.
    pub(crate) fn sign(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        payload: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let unsendable = || Error::malformed(shown(url), "its login has signs that cannot be sent");
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &stamp[..8];
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| unsendable());
        headers.insert(HeaderName::from_static("x-amz-date"), value(&stamp)?);
        headers.insert(
            HeaderName::from_static("x-amz-content-sha256"),
            value(payload)?,
        );

        let mut signed: Vec<(String, String)> = headers
            .iter()
            .filter(|(name, _)| {
                let name = name.as_str();
                name.starts_with("x-amz-")
                    || matches!(name, "content-type" | "content-md5" | "range")
            })
            .map(|(name, value)| {
                let text = String::from_utf8_lossy(value.as_bytes());
                (name.as_str().to_owned(), text.trim().to_owned())
            })
            .collect();
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(Error::malformed(shown(url), "it has no host")),
        };
        signed.push(("host".to_owned(), host));
        signed.sort();

        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let mut canonical = format!("{method}\n{}\n{}\n", path(url), query(url));
        for (name, value) in &signed {
            // Writing to a text does not fail.
            let _ = writeln!(canonical, "{name}:{value}");
        }
        let _ = write!(canonical, "\n{names}\n{payload}");

        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let digest = Sha256::of(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
        let mut key =
            zeroize::Zeroizing::new(format!("AWS4{}", self.secret_key.expose()).into_bytes());
        for part in [day, &self.region, "s3", "aws4_request"] {
            key = zeroize::Zeroizing::new(
                hmac(&key, part.as_bytes()).ok_or_else(unsendable)?.to_vec(),
            );
        }
        let signature = Sha256::from_bytes(hmac(&key, text.as_bytes()).ok_or_else(unsendable)?);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            self.access_key
        );
        let mut authorization = value(&authorization)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        Ok(())
    }
}

fn path(url: &Url) -> String {
    let decoded = percent_decode_str(url.path()).collect::<Vec<u8>>();
    percent_encoding::percent_encode(&decoded, STRICT_PATH).to_string()
}

fn query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| {
            let encode = |text: &str| utf8_percent_encode(text, STRICT).to_string();
            (encode(&name), encode(&value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn hmac(key: &[u8], text: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Amazon's documentation.
    #[test]
    fn requests_are_signed_as_amazon_documents_it() {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            region: "us-east-1".into(),
        };
        let empty = Sha256::of(b"").to_string();
        let signature = |url: &str, range: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(range) = range {
                headers.insert("range", HeaderValue::from_static(range));
            }
            let now: Timestamp = "2013-05-24T00:00:00Z".parse().unwrap();
            let url = Url::parse(url).unwrap();
            signer
                .sign(&Method::GET, &url, &mut headers, &empty, now)
                .unwrap();
            let text = headers[AUTHORIZATION].to_str().unwrap().to_owned();
            text.rsplit_once('=').unwrap().1.to_owned()
        };
        assert_eq!(
            signature(
                "https://examplebucket.s3.amazonaws.com/test.txt",
                Some("bytes=0-9")
            ),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(
            signature(
                "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
                None
            ),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }
}
