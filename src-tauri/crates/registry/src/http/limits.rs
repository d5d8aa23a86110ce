//! When a server wants to be left alone, and what it says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use crate::Error;

/// What GitHub wants of those who run into a limit that it does not name: at least a minute.
pub(crate) const SECONDARY: Duration = Duration::from_mins(1);
const MESSAGE_MAX_CHARACTERS: usize = 200;

/// Whether asking again may help; and after how long, where the server says.
///
/// A 403 may be a limit: GitHub says so in its headers, or, of limits that it keeps to itself, in words only.
pub(crate) fn verdict(status: StatusCode, headers: &HeaderMap) -> Verdict {
    let now = SystemTime::now();
    let wait = retry_after(headers, now).or_else(|| reset(headers, now));
    match (status.as_u16(), wait) {
        (403 | 429 | 500 | 502 | 503 | 504, Some(wait)) => Verdict::Wait(wait),
        (403, None) => Verdict::Words,
        (429 | 500 | 502 | 503 | 504, None) => Verdict::Passing,
        _ => Verdict::Answer,
    }
}

/// What an answer means for asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it is the answer.
    Answer,
    /// It may pass.
    Passing,
    /// It passes after that long.
    Wait(Duration),
    /// Its words say whether it is a limit.
    Words,
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// `X-RateLimit-Reset`, where nothing remains: seconds since 1970.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if text("x-ratelimit-remaining")?.trim() != "0" {
        return None;
    }
    let reset = UNIX_EPOCH.checked_add(Duration::from_secs(
        text("x-ratelimit-reset")?.trim().parse().ok()?,
    ))?;
    // The second itself is still the old one.
    Some(reset.duration_since(now).unwrap_or_default() + Duration::from_secs(1))
}

/// Whether the refusal is by a limit that the server does not name in its headers.
pub(crate) fn says_secondary(error: &Error) -> bool {
    matches!(error, Error::Status { message: Some(message), .. } if message.to_ascii_lowercase().contains("rate limit"))
}

/// A server's own words: the message in JSON or XML, or a short text; never a page.
pub(crate) fn message(kind: Option<&HeaderValue>, bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let found = if text.starts_with('{') {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let first = value.pointer("/errors/0/message");
        first.or(value.get("message"))?.as_str()?.to_owned()
    } else if text.starts_with('<') {
        let inner = text.split_once("<Message>")?.1.split_once("</Message>")?.0;
        inner.to_owned()
    } else if kind.starts_with("text/plain") {
        text.lines().next()?.to_owned()
    } else {
        return None;
    };
    let clean: String = found
        .chars()
        .filter(|sign| !sign.is_control())
        .take(MESSAGE_MAX_CHARACTERS)
        .collect();
    let clean = clean.trim().trim_end_matches('.');
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_in_many_ways_that_they_want_to_be_left_alone() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pairs = pairs.iter().map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            pairs.collect()
        };
        let seconds = |pairs: &[(&'static str, &'static str)]| {
            let headers = headers(pairs);
            let wait = retry_after(&headers, now).or_else(|| reset(&headers, now));
            wait.map(|wait| wait.as_secs())
        };
        assert_eq!(seconds(&[("retry-after", "30")]), Some(30));
        assert_eq!(
            seconds(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]),
            Some(77)
        );
        assert_eq!(
            seconds(&[("retry-after", "Sat, 06 Nov 1993 08:49:37 GMT")]),
            Some(0)
        );
        assert_eq!(seconds(&[("retry-after", "soon")]), None);
        let reset = ("x-ratelimit-reset", "784111730");
        assert_eq!(seconds(&[("x-ratelimit-remaining", "0"), reset]), Some(31));
        assert_eq!(seconds(&[("x-ratelimit-remaining", "7"), reset]), None);
        assert_eq!(
            verdict(StatusCode::FORBIDDEN, &headers(&[])),
            Verdict::Words
        );
        assert_eq!(
            verdict(StatusCode::NOT_FOUND, &headers(&[])),
            Verdict::Answer
        );
    }

    #[test]
    fn of_what_a_server_says_only_its_own_words_are_kept() {
        let said = |text: &str| {
            message(
                Some(&HeaderValue::from_static("text/plain")),
                text.as_bytes(),
            )
        };
        assert_eq!(
            said("{\"message\": \"Not Found.\"}").as_deref(),
            Some("Not Found")
        );
        assert_eq!(
            said("{\"errors\": [{\"code\": \"DENIED\", \"message\": \"no\"}]}").as_deref(),
            Some("no")
        );
        assert_eq!(
            said("<Error><Message>No such key</Message>").as_deref(),
            Some("No such key")
        );
        assert_eq!(said("<html>long page</html>"), None);
        assert_eq!(said("plain\nwords").as_deref(), Some("plain"));
        assert_eq!(said("\u{1b}[31mred").as_deref(), Some("[31mred"));
    }
}
