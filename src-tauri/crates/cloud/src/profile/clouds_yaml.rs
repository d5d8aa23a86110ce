//! `clouds.yaml`, `secure.yaml` and `clouds-public.yaml`: read with what belongs to them, and written for other tools.
//!
//! ```text
//!   clouds-public.yaml   public-clouds: {vendor: …}    what a cloud with `profile: vendor` begins with
//!   clouds.yaml          clouds: {name: …}             wins over it
//!   secure.yaml          clouds: {name: …}             wins over both; secrets
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{AuthType, Profile, SECRET_WORDS, Secrets};
use crate::error::{Error, Result};

/// More than any file of clouds has.
const MOST_BYTES: u64 = 4 << 20;

/// A cloud as it was found, with its secrets apart.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What may be shown and kept anywhere.
    pub profile: Profile,
    /// What goes into the secret store.
    pub secrets: Secrets,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    clouds: BTreeMap<String, Option<Value>>,
    #[serde(default, rename = "public-clouds")]
    public: BTreeMap<String, Option<Value>>,
}

fn parse(what: &str, text: &str) -> Result<File> {
    serde_saphyr::from_str(text).map_err(|error| {
        // The library's words quote the file, and the file may hold a password: only the place is said.
        let place = error.location();
        let found = place.map_or_else(
            || "it is no YAML of clouds".to_owned(),
            |it| {
                format!(
                    "line {}, column {} is no YAML of clouds",
                    it.line(),
                    it.column()
                )
            },
        );
        Error::File {
            what: what.to_owned(),
            found,
        }
    })
}

/// Reads the clouds of a file's text, with those of `secure.yaml` and `clouds-public.yaml` where they are given.
///
/// # Errors
/// [`Error::File`] for what is no such file, [`Error::Profile`] for a cloud that nobody could log in to.
pub fn read_clouds(
    clouds: &str,
    secure: Option<&str>,
    public: Option<&str>,
) -> Result<Vec<Imported>> {
    let file = parse("clouds.yaml", clouds)?;
    let secure = secure
        .map(|it| parse("secure.yaml", it))
        .transpose()?
        .unwrap_or_default();
    let mut vendors = public
        .map(|it| parse("clouds-public.yaml", it))
        .transpose()?
        .unwrap_or_default()
        .public;
    vendors.extend(file.public);
    if file.clouds.is_empty() {
        return Err(Error::File {
            what: "clouds.yaml".to_owned(),
            found: "it has no `clouds`".to_owned(),
        });
    }
    let mut found = Vec::new();
    for (name, cloud) in file.clouds {
        let cloud = cloud.unwrap_or_else(|| json!({}));
        let vendor = cloud.get("profile").and_then(Value::as_str);
        let mut whole = match vendor.map(|vendor| (vendor, vendors.get(vendor))) {
            Some((_, Some(Some(value)))) => value.clone(),
            Some((vendor, _)) => {
                return Err(Error::Profile {
                    cloud: name,
                    found: format!("is of the vendor `{vendor}`, which nobody describes"),
                    remedy: "Put clouds-public.yaml beside clouds.yaml".to_owned(),
                });
            }
            None => json!({}),
        };
        merge(&mut whole, &cloud);
        if let Some(Some(secret)) = secure.clouds.get(&name) {
            merge(&mut whole, secret);
        }
        found.push(from_value(&name, &whole)?);
    }
    Ok(found)
}

/// Reads a file of clouds, with what lies beside it.
///
/// # Errors
/// As [`read_clouds`]; when a file cannot be read.
pub fn read_folder(path: &Path) -> Result<Vec<Imported>> {
    let read = |path: &Path| -> Result<String> {
        let size = std::fs::metadata(path)
            .map_err(|it| Error::io("read", path, it))?
            .len();
        if size > MOST_BYTES {
            return Err(Error::File {
                what: format!("`{}`", path.display()),
                found: format!("it has {size} bytes, which no file of clouds has"),
            });
        }
        std::fs::read_to_string(path).map_err(|it| Error::io("read", path, it))
    };
    let text = read(path)?;
    let script = path.extension().is_some_and(|it| it == "sh") || text.contains("OS_AUTH_URL=");
    if script {
        return Ok(vec![super::read_openrc(&text)?]);
    }
    let beside = |name: &str| -> Result<Option<String>> {
        for extension in ["yaml", "yml"] {
            let path = path.with_file_name(format!("{name}.{extension}"));
            if path.is_file() {
                return read(&path).map(Some);
            }
        }
        Ok(None)
    };
    let mut found = read_clouds(
        &text,
        beside("secure")?.as_deref(),
        beside("clouds-public")?.as_deref(),
    )?;
    // A path in the file is seen from where the file lies.
    for it in &mut found {
        if let Some(ca) = &it.profile.ca_file
            && ca.is_relative()
            && let Some(folder) = path.parent()
        {
            it.profile.ca_file = Some(folder.join(ca));
        }
    }
    Ok(found)
}

/// Lays one mapping over another.
fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (under, over) => *under = over.clone(),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn from_value(name: &str, cloud: &Value) -> Result<Imported> {
    let mut words = BTreeMap::new();
    let mut other = BTreeMap::new();
    let no_fields = Map::new();
    let fields = cloud.as_object().unwrap_or(&no_fields);
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("auth", Value::Object(auth)) => {
                words.extend(
                    auth.iter()
                        .filter_map(|(key, value)| Some((key.clone(), plain(value)?))),
                );
            }
            ("auth" | "profile", _) => {}
            _ => {
                let known = [
                    "auth_type",
                    "region_name",
                    "interface",
                    "endpoint_type",
                    "cacert",
                    "verify",
                    "insecure",
                ];
                match plain(value).filter(|_| known.contains(&key.as_str())) {
                    Some(text) => drop(words.insert(key.clone(), text)),
                    // `regions` with one entry is how some write the region.
                    None => drop(other.insert(key.clone(), value.clone())),
                }
            }
        }
    }
    let mut imported = from_words(name, words)?;
    imported.profile.other = other;
    Ok(imported)
}

/// Sorts the words of a login (`username`, `region_name`, …) into a profile and its secrets.
pub(super) fn from_words(name: &str, mut words: BTreeMap<String, String>) -> Result<Imported> {
    // Names from the time when projects were tenants.
    for (old, new) in [
        ("tenant_name", "project_name"),
        ("tenant_id", "project_id"),
        ("user_name", "username"),
    ] {
        if let Some(value) = words.remove(old) {
            words.entry(new.to_owned()).or_insert(value);
        }
    }
    let mut secrets = Secrets::new();
    for word in SECRET_WORDS {
        if let Some(secret) = words.remove(word) {
            secrets.set(word, secret);
        }
    }
    let auth_type = match words.remove("auth_type") {
        Some(text) => AuthType::parse(&text).ok_or_else(|| Error::Profile {
            cloud: name.to_owned(),
            found: format!("is logged in to by `{text}`, which is not known here"),
            remedy: "Use a password or an application credential".to_owned(),
        })?,
        None if words
            .keys()
            .any(|it| it.starts_with("application_credential_")) =>
        {
            AuthType::ApplicationCredential
        }
        None if secrets.get("token").is_some() => AuthType::Token,
        None => AuthType::Password,
    };
    // Where no domain is said, what other tools take.
    if words.remove("identity_api_version").as_deref() == Some("2.0") {
        return Err(Error::Profile {
            cloud: name.to_owned(),
            found: "speaks version 2 of Keystone, which is gone since 2018".to_owned(),
            remedy: "Use its address that ends in /v3".to_owned(),
        });
    }
    let truth = |text: String| matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "1");
    let insecure = words.remove("verify").is_some_and(|it| !truth(it))
        | words.remove("insecure").is_some_and(truth);
    let region = words.remove("region_name");
    let interface = words
        .remove("interface")
        .or_else(|| words.remove("endpoint_type"));
    words.remove("endpoint_type");
    let default_domain = words
        .remove("default_domain")
        .or_else(|| words.remove("default_domain_name"));
    for side in ["user", "project"] {
        let said = words.contains_key(&format!("{side}_domain_name"))
            || words.contains_key(&format!("{side}_domain_id"));
        let wanted = match side {
            "user" => words.contains_key("username"),
            _ => words.contains_key("project_name"),
        };
        if wanted && !said {
            let (key, value) = match &default_domain {
                Some(name) => (format!("{side}_domain_name"), name.clone()),
                None => (format!("{side}_domain_id"), "default".to_owned()),
            };
            words.insert(key, value);
        }
    }
    let profile = Profile {
        name: name.to_owned(),
        auth_type,
        auth_url: words.remove("auth_url").unwrap_or_default(),
        ca_file: words.remove("cacert").map(PathBuf::from),
        insecure,
        region,
        interface: interface.map(|it| it.trim_end_matches("URL").to_owned()),
        auth: words
            .into_iter()
            .filter(|(key, _)| is_login_word(key))
            .collect(),
        other: BTreeMap::new(),
    };
    profile.validate()?;
    Ok(Imported { profile, secrets })
}

/// Whether a word is of the login; an environment has all sorts of `OS_*`.
fn is_login_word(word: &str) -> bool {
    let words = [
        "username",
        "user_id",
        "user_domain_name",
        "user_domain_id",
        "project_name",
        "project_id",
        "project_domain_name",
        "project_domain_id",
        "domain_name",
        "domain_id",
        "system_scope",
        "application_credential_id",
        "application_credential_name",
        "identity_provider",
        "protocol",
        "attribute_mapping_name",
        "access_token_endpoint",
        "access_token_type",
        "client_id",
        "discovery_endpoint",
        "scope",
    ];
    words.contains(&word)
}

/// The clouds as a `clouds.yaml`, without their secrets.
///
/// # Errors
/// [`Error::File`] for what YAML cannot hold.
pub fn write_clouds(profiles: &[&Profile]) -> Result<String> {
    let mut clouds = Map::new();
    for profile in profiles {
        let mut auth = Map::new();
        auth.insert("auth_url".to_owned(), json!(profile.auth_url));
        auth.extend(
            profile
                .auth
                .iter()
                .map(|(key, value)| (key.clone(), json!(value))),
        );
        let mut cloud = Map::new();
        cloud.insert("auth_type".to_owned(), json!(profile.auth_type.as_str()));
        cloud.insert("auth".to_owned(), Value::Object(auth));
        let mut say = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                cloud.insert(key.to_owned(), value);
            }
        };
        say("region_name", profile.region.as_ref().map(|it| json!(it)));
        say("interface", profile.interface.as_ref().map(|it| json!(it)));
        say("cacert", profile.ca_file.as_ref().map(|it| json!(it)));
        say("verify", profile.insecure.then_some(json!(false)));
        for (key, value) in &profile.other {
            say(key, Some(value.clone()));
        }
        clouds.insert(profile.name.clone(), Value::Object(cloud));
    }
    write(&json!({ "clouds": clouds }))
}

/// The secrets as a `secure.yaml`, to lie beside it, readable by its owner alone.
///
/// # Errors
/// As [`write_clouds`].
pub fn write_secure(secrets: &[(&str, &Secrets)]) -> Result<String> {
    let clouds: Map<_, _> = secrets
        .iter()
        .map(|(name, secrets)| {
            let auth: Map<_, _> = secrets
                .0
                .iter()
                .map(|(word, secret)| (word.clone(), json!(secret.expose_secret())))
                .collect();
            ((*name).to_owned(), json!({ "auth": auth }))
        })
        .collect();
    write(&json!({ "clouds": clouds }))
}

fn write(value: &Value) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|_| Error::File {
        what: "clouds.yaml".to_owned(),
        found: "it cannot be written".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOUDS: &str = r#"
clouds:
  work:
    profile: vendor
    region_name: two
    auth:
      username: ada
      project_name: science
      project_domain_name: Labs
    volume_api_version: 3
    verify: no
  app:
    auth_type: v3applicationcredential
    interface: internal
    cacert: ca.pem
    auth:
      auth_url: http://10.0.0.1:5000/v3
      application_credential_id: "17"
"#;
    const PUBLIC: &str = "public-clouds:\n  vendor:\n    auth: {auth_url: 'https://vendor.example/v3'}\n    region_name: one\n";
    const SECURE: &str = "clouds:\n  work: {auth: {password: 'pa ss: #1'}}\n  app: {auth: {application_credential_secret: s3cret}}\n";

    #[test]
    fn three_files_make_a_cloud_and_come_back() {
        let found = read_clouds(CLOUDS, Some(SECURE), Some(PUBLIC)).unwrap();
        let profiles: Vec<_> = found.iter().map(|it| &it.profile).collect();
        let text = write_clouds(&profiles).unwrap();
        insta::assert_snapshot!(text);
        let secrets: Vec<_> = found
            .iter()
            .map(|it| (it.profile.name.as_str(), &it.secrets))
            .collect();
        let secure = write_secure(&secrets).unwrap();
        let again = read_clouds(&text, Some(&secure), None).unwrap();
        assert_eq!(
            again.iter().map(|it| &it.profile).collect::<Vec<_>>(),
            profiles
        );
        let password = again[1].secrets.get("password").unwrap();
        assert_eq!(password.expose_secret(), "pa ss: #1");
        assert!(!text.contains("pa ss") && !format!("{found:?}").contains("s3cret"));
    }

    #[test]
    fn mistakes_are_said_without_quoting_the_file() {
        let error = read_clouds(
            "clouds:\n  work:\n    auth: {password: hunter2\n",
            None,
            None,
        )
        .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = read_clouds("clouds: {work: {profile: nowhere}}", None, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The cloud `work` is of the vendor `nowhere`, which nobody describes"
        );
        let error = read_clouds(
            "clouds: {work: {auth: {auth_url: 'http://x', password: hunter2}}}",
            None,
            None,
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "The cloud `work` does not say who logs in"
        );
        assert!(read_clouds("[]", None, None).is_err());
        assert!(read_clouds("clouds: {}", None, None).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            let _ = read_clouds(&text, Some(&text), Some(&text));
        }
    }
}
