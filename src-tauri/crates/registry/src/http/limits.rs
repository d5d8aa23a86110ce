//! When a server wants to be left alone, and what it says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use crate::Error;

/// What GitHub wants of those who run into a limit that it does not name: at least a minute.
pub(crate) const SECONDARY: Duration = Duration::from_secs(60);
const MESSAGE_MAX_CHARACTERS: usize = 200;

/// Whether asking again may help; and after how long, where the server says.
///
/// A 403 may be a limit: GitHub says so in its headers, or, of limits that it keeps to itself, in words only.
pub(crate) fn wait(status: StatusCode, headers: &HeaderMap) -> Option<Option<Duration>> {
    let said =
        || retry_after(headers, SystemTime::now()).or_else(|| reset(headers, SystemTime::now()));
    match status.as_u16() {
        429 | 500 | 502 | 503 | 504 => Some(said()),
        403 => Some(said()),
        _ => None,
    }
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
