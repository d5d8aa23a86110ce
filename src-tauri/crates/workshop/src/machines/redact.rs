//! Texts without secrets: what is known to be one is taken out wherever it stands, and what looks like one where it does.

use std::collections::BTreeSet;

/// What stands for a secret.
pub(super) const HIDDEN: &str = "[hidden]";
/// Shorter than this, a value is in every text by chance.
const LENGTH_MIN: usize = 4;
/// What names of secrets have in them.
const MARKS: [&str; 8] = [
    "PASS",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "APIKEY",
    "API_KEY",
    "ACCESS_KEY",
    "PRIVATE",
];
/// What a secret follows on a line, in small letters.
const BEFORE: [&str; 4] = ["authorization:", "x-auth-token:", "cookie:", "x-api-key:"];

/// Whether a variable of this name holds a secret, as far as its name tells.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    MARKS.iter().any(|mark| name.contains(mark))
}

/// Takes secrets out of texts.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    /// The longest first: one may be a part of another.
    secrets: BTreeSet<(std::cmp::Reverse<usize>, String)>,
}

impl Redactor {
    /// Has a value taken out, also as JSON, a command line or a shell would write it.
    pub(super) fn hide(&mut self, value: &str) {
        let quoted = serde_json::to_string(value).unwrap_or_default();
        let in_json = quoted.trim_matches('"').to_owned();
        let escaped = value.replace('\\', "\\\\").replace(' ', "\\ ");
        let escaped_in_json = escaped.replace('\\', "\\\\").replace('"', "\\\"");
        let in_quotes = value.replace('\\', "\\\\").replace('"', "\\\"");
        for form in [
            value.to_owned(),
            in_json,
            escaped,
            escaped_in_json,
            in_quotes,
        ] {
            if form.len() >= LENGTH_MIN {
                self.secrets.insert((std::cmp::Reverse(form.len()), form));
            }
        }
    }

    /// Has the values of `NAME=value` words taken out whose name says that they are secret.
    pub(super) fn hide_assignments(&mut self, text: &str) {
        for word in text.split_whitespace() {
            let word = word.trim_matches(['"', '\'', ',']);
            let word = word.strip_prefix("--env=").unwrap_or(word);
            if let Some((name, value)) = word.split_once('=')
                && is_secret_name(name)
            {
                self.hide(value);
            }
        }
    }

    /// The text without them.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (_, secret) in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        let lines: Vec<_> = text.split('\n').map(clean_line).collect();
        lines.join("\n")
    }
}

/// A line without passwords in addresses and without what follows the name of a secret header.
fn clean_line(line: &str) -> String {
    let small = line.to_ascii_lowercase();
    if let Some((at, mark)) = BEFORE
        .iter()
        .find_map(|mark| small.find(mark).map(|at| (at, mark)))
    {
        return format!("{}{} {HIDDEN}", &line[..at], &line[at..at + mark.len()]);
    }
    let mut cleaned = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let host = after
            .find(|c: char| c == '/' || c.is_whitespace() || c == '"')
            .unwrap_or(after.len());
        cleaned.push_str(before);
        rest = match after[..host].rfind('@') {
            Some(end) => {
                cleaned.push_str(HIDDEN);
                &after[end..]
            }
            None => after,
        };
    }
    cleaned + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_in_every_form_that_they_are_written_in() {
        let mut redactor = Redactor::default();
        redactor.hide("pa ss\"wörd");
        redactor.hide("pa ss\"wörd-longer");
        redactor.hide("abc");
        redactor.hide_assignments("--env=DB_PASSWORD=hunter22 --env=PORT=8080 x");
        let text = "plain pa ss\"wörd-longer, json {\"a\":\"pa ss\\\"wörd\"}\n\
            osv --env=X=pa\\ ss\"wörd abc\n\
            hunter22 8080\n\
            fetch https://me:secret@host/a and https://host/b@c\n\
            > Authorization: Bearer abcdef\n";
        insta::assert_snapshot!(redactor.clean(text), @r#"
        plain [hidden], json {"a":"[hidden]"}
        osv --env=X=[hidden] abc
        [hidden] 8080
        fetch https://[hidden]@host/a and https://host/b@c
        > Authorization: [hidden]
        "#);
    }

    #[test]
    fn names_tell_what_is_secret() {
        for (name, secret) in [
            ("DB_PASSWORD", true),
            ("apiToken", true),
            ("AWS_SECRET_ACCESS_KEY", true),
            ("PORT", false),
            ("KEYBOARD", false),
        ] {
            assert_eq!(is_secret_name(name), secret, "{name}");
        }
    }
}
