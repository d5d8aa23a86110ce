//! One question to a service, its answer, and what a refusal says.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Service;
use crate::error::{Error, Result};

/// What is kept of a service's words.
const MOST_WORDS: usize = 600;

/// A question.
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) service: Service,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) content_type: &'static str,
    pub(crate) microversion: Option<&'static str>,
    pub(crate) doing: String,
}

impl Call {
    /// Asks a service; `doing` says what for, as it follows on "to".
    pub fn new(
        service: Service,
        method: Method,
        path: impl Into<String>,
        doing: impl Into<String>,
    ) -> Self {
        Self {
            service,
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            content_type: "application/json",
            microversion: None,
            doing: doing.into(),
        }
    }

    /// Asks for something.
    pub fn get(service: Service, path: impl Into<String>, doing: impl Into<String>) -> Self {
        Self::new(service, Method::GET, path, doing)
    }

    /// Asks for something to be made or done.
    pub fn post(
        service: Service,
        path: impl Into<String>,
        body: Value,
        doing: impl Into<String>,
    ) -> Self {
        Self::new(service, Method::POST, path, doing).body(body)
    }

    /// Asks for something to be deleted.
    pub fn delete(service: Service, path: impl Into<String>, doing: impl Into<String>) -> Self {
        Self::new(service, Method::DELETE, path, doing)
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With a body of another kind than JSON's own.
    #[must_use]
    pub(crate) fn content_type(mut self, kind: &'static str) -> Self {
        self.content_type = kind;
        self
    }

    /// With a question's parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// At the least microversion that knows what is asked.
    #[must_use]
    pub fn at(mut self, microversion: &'static str) -> Self {
        self.microversion = Some(microversion);
        self
    }

    /// What the microversion's header says.
    pub(crate) fn version_header(&self) -> Option<String> {
        let kind = match self.service {
            Service::Compute => "compute",
            Service::Volume => "volume",
            _ => return None,
        };
        self.microversion.map(|version| format!("{kind} {version}"))
    }

    /// What a refusal means.
    pub(crate) fn refused(&self, answer: &Answer) -> Error {
        let said = words(&answer.body);
        let said = if said.is_empty() {
            format!("it says no more than {}", answer.status)
        } else {
            said
        };
        let over = said.to_ascii_lowercase();
        let over = over.contains("quota") && (over.contains("exceed") || over.contains("over"))
            || over.contains("exceeds allowed");
        if matches!(answer.status, 403 | 409 | 413) && over {
            return Error::Quota {
                doing: self.doing.clone(),
                said,
            };
        }
        Error::Refused {
            service: self.service,
            doing: self.doing.clone(),
            status: answer.status,
            said,
            request: answer.header("x-openstack-request-id"),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    service: Service,
    doing: String,
}

impl Answer {
    pub(crate) fn new(call: &Call, status: u16, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            status,
            headers,
            body,
            service: call.service,
            doing: call.doing.clone(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    fn wrong(&self, found: &str) -> Error {
        Error::Answer {
            service: self.service,
            doing: self.doing.clone(),
            found: found.to_owned(),
        }
    }

    /// The JSON.
    ///
    /// # Errors
    /// [`Error::Answer`] when it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).map_err(|_| self.wrong("it is no JSON"))
    }

    /// What is under a key of the JSON; all of it, with an empty key.
    ///
    /// # Errors
    /// [`Error::Answer`] when it is not there, or something else.
    pub fn under<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let mut value = self.json()?;
        let value = if key.is_empty() {
            value
        } else {
            value
                .get_mut(key)
                .map(Value::take)
                .ok_or_else(|| self.wrong(&format!("it has no `{key}`")))?
        };
        serde_json::from_value(value).map_err(|error| self.wrong(&error.to_string()))
    }
}

/// A service's own words in an answer: of JSON in whichever shape, of a page, of plain text.
pub(crate) fn words(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => message(&value, 4).unwrap_or_default(),
        Err(_) => plain(&String::from_utf8_lossy(&body[..body.len().min(16 << 10)])),
    };
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() > MOST_WORDS {
        let mut end = MOST_WORDS;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

fn message(value: &Value, depth: usize) -> Option<String> {
    let fields = value.as_object()?;
    let text = |key: &str| {
        let text = fields.get(key).and_then(Value::as_str)?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let words = ["message", "faultstring", "error", "detail"];
    let inside = || {
        let depth = depth.checked_sub(1)?;
        fields.values().find_map(|it| message(it, depth))
    };
    // Heat has its status as a title, and what it says within.
    words
        .iter()
        .find_map(|key| text(key))
        .or_else(inside)
        .or_else(|| text("title"))
}

/// The text of a page, without its head and tags.
fn plain(page: &str) -> String {
    let body = page.find("<body").map_or(page, |at| &page[at..]);
    let mut text = String::new();
    let mut inside = false;
    for letter in body.chars() {
        match letter {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                text.push(' ');
            }
            _ if !inside => text.push(letter),
            _ => {}
        }
    }
    text.replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_own_way_to_say_no() {
        let said = |body: &str| words(body.as_bytes());
        assert_eq!(
            said(r#"{"badRequest": {"code": 400, "message": "Flavor's disk is too small."}}"#),
            "Flavor's disk is too small."
        );
        assert_eq!(
            said(
                r#"{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded", "detail": ""}}"#
            ),
            "Quota exceeded"
        );
        assert_eq!(
            said(r#"{"error": {"code": 401, "message": "No", "title": "Unauthorized"}}"#),
            "No"
        );
        assert_eq!(
            said(r#"{"code": 400, "title": "Bad", "error": {"message": "ERROR: x", "type": "y"}}"#),
            "ERROR: x"
        );
        assert_eq!(said(r#"{"code": 404, "title": "Not Found"}"#), "Not Found");
        let page = "<html>\n <head><title>409 Conflict</title></head>\n <body><h1>409 Conflict</h1>\n It&#x27;s busy<br /><br /></body></html>";
        assert_eq!(said(page), "409 Conflict It's busy");
        assert_eq!(said("upstream\n  timed out"), "upstream timed out");
        assert_eq!(said("[1]"), "");
        assert!(said(&"x".repeat(5000)).len() < 700);
    }

    #[test]
    fn more_than_the_quota_is_told_from_other_refusals() {
        let call = Call::get(Service::Compute, "", "make a server");
        let error = |status, body: &str| {
            call.refused(&Answer::new(
                &call,
                status,
                HeaderMap::new(),
                Bytes::from(body.to_owned()),
            ))
        };
        let over = error(
            403,
            r#"{"forbidden": {"message": "Quota exceeded for instances: Requested 1, but already used 1 of 1"}}"#,
        );
        assert!(matches!(over, Error::Quota { .. }), "{over:?}");
        let over = error(
            413,
            r#"{"overLimit": {"message": "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota."}}"#,
        );
        assert!(matches!(over, Error::Quota { .. }), "{over:?}");
        assert!(matches!(
            error(
                403,
                r#"{"forbidden": {"message": "Policy doesn't allow it"}}"#
            ),
            Error::Refused { .. }
        ));
        assert_eq!(
            error(500, "").to_string(),
            "Nova refuses to make a server: it says no more than 500"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_answer_has_words(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = words(&body);
        }
    }
}
