//! `OS_*` variables, from the environment or from an `openrc.sh` as Horizon gives it.
//!
//! The file is read, never run: assignments of words, quoted as a shell quotes. What it would ask for, or take from elsewhere
//! (`$OS_PASSWORD_INPUT`), is not known then, and asked for by us.

use std::collections::BTreeMap;

use super::clouds_yaml::{Imported, from_words};
use crate::error::{Error, Result};

/// More than any file of this sort has.
const MOST_BYTES: usize = 1 << 20;

/// The profile that `OS_*` variables describe, where they name a Keystone.
///
/// # Errors
/// [`Error::Profile`] when they say of themselves what cannot be.
pub fn read_environment(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Option<Imported>> {
    let words: BTreeMap<String, String> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("OS_")?.to_ascii_lowercase(), value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    if !words.contains_key("auth_url") {
        return Ok(None);
    }
    let name = words
        .get("project_name")
        .or_else(|| words.get("tenant_name"))
        .cloned()
        .unwrap_or_else(|| "environment".to_owned());
    from_words(&name, words).map(Some)
}

/// The profile that an `openrc.sh` describes.
///
/// # Errors
/// [`Error::File`] when it sets no `OS_AUTH_URL`.
pub fn read_openrc(text: &str) -> Result<Imported> {
    if text.len() > MOST_BYTES {
        return Err(Error::File {
            what: "The script".to_owned(),
            found: "it is larger than any openrc.sh".to_owned(),
        });
    }
    let mut variables = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(names) = line.strip_prefix("unset ") {
            for name in names.split_whitespace() {
                variables.remove(name);
            }
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if !name.starts_with("OS_")
            || !name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_')
        {
            continue;
        }
        match unquote(value) {
            Some(value) => variables.insert(name.to_owned(), value),
            None => variables.remove(name),
        };
    }
    read_environment(variables)?.ok_or_else(|| Error::File {
        what: "The script".to_owned(),
        found: "it sets no OS_AUTH_URL".to_owned(),
    })
}

/// What a shell makes of a word; nothing where it would have to look elsewhere.
fn unquote(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut rest = text.chars();
    let mut quote = None;
    while let Some(letter) = rest.next() {
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => value.push(letter),
            (None, '\'' | '"') => quote = Some(letter),
            (_, '$' | '`') => return None,
            (Some('"'), '\\') => match rest.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => value.push(escaped),
                other => {
                    value.push('\\');
                    value.push(other);
                }
            },
            (None, '\\') => value.push(rest.next()?),
            (None, ' ' | '\t' | ';' | '#') => break,
            _ => value.push(letter),
        }
    }
    // A word that goes on in the next line is none of ours.
    (quote.is_none()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::AuthType;
    use secrecy::ExposeSecret;

    const HORIZON: &str = r#"#!/usr/bin/env bash
export OS_AUTH_URL=https://cloud.example.org:5000/v3
export OS_PROJECT_ID=0123456789abcdef
export OS_PROJECT_NAME="science"
export OS_USER_DOMAIN_NAME="Default"
if [ -z "$OS_USER_DOMAIN_NAME" ]; then unset OS_USER_DOMAIN_NAME; fi
export OS_PROJECT_DOMAIN_ID="default"
unset OS_TENANT_ID
unset OS_TENANT_NAME
export OS_USERNAME="ada \"l\""
echo "Please enter your OpenStack Password for project $OS_PROJECT_NAME as user $OS_USERNAME: "
read -sr OS_PASSWORD_INPUT
export OS_PASSWORD=$OS_PASSWORD_INPUT
export OS_REGION_NAME="RegionOne"
export OS_INTERFACE=public
export OS_IDENTITY_API_VERSION=3
"#;

    #[test]
    fn horizons_script_is_read_without_running_it() {
        let imported = read_openrc(HORIZON).unwrap();
        insta::assert_debug_snapshot!(imported, @r#"
        Imported {
            profile: Profile {
                name: "science",
                auth_type: Password,
                auth_url: "https://cloud.example.org:5000/v3",
                auth: {
                    "project_domain_id": "default",
                    "project_id": "0123456789abcdef",
                    "project_name": "science",
                    "user_domain_name": "Default",
                    "username": "ada \"l\"",
                },
                region: Some(
                    "RegionOne",
                ),
                interface: Some(
                    "public",
                ),
                ca_file: None,
                insecure: false,
                other: {},
            },
            secrets: {},
        }
        "#);
    }

    #[test]
    fn an_application_credential_is_told_by_its_variables() {
        let script = "export OS_AUTH_TYPE=v3applicationcredential\nexport OS_AUTH_URL=http://k:5000\n\
             export OS_APPLICATION_CREDENTIAL_ID=17\nexport OS_APPLICATION_CREDENTIAL_SECRET='s$cr#t x'\n";
        let imported = read_openrc(script).unwrap();
        assert_eq!(imported.profile.auth_type, AuthType::ApplicationCredential);
        let secret = imported
            .secrets
            .get("application_credential_secret")
            .unwrap();
        assert_eq!(secret.expose_secret(), "s$cr#t x");
        assert!(!format!("{imported:?}").contains("s$cr"));
    }

    #[test]
    fn variables_without_a_keystone_are_no_cloud() {
        let variables = [("OS_USERNAME".to_owned(), "ada".to_owned())];
        assert!(read_environment(variables).unwrap().is_none());
        assert!(read_openrc("echo hello").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_script_is_answered(text in ".{0,300}") {
            let _ = read_openrc(&text);
            let _ = read_openrc(&format!("export OS_AUTH_URL={text}"));
        }
    }
}
