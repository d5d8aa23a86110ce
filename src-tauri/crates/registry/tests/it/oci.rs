//! Packages in a real OCI registry: there and back, by all ways in, and through bad weather.

use std::path::Path;
use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use windlass_registry::{
    Control, Credentials, Entry, Error, Fetched, Publication, Published, Registry, RegistryConfig,
    RegistryKind, Secret, Sha256, TrustFile,
};

use crate::oci_server::{Deed, DockerRegistry, USER, Weather};
use crate::support::{config, content, limits, names, open, reply, tell};

/// A package that is an archive of so many bytes.
pub fn publication(folder: &Path, version: &str, bytes: &[u8]) -> Publication {
    let archive = folder.join(format!("hello-{version}-{}.mpm", bytes.len()));
    std::fs::write(&archive, bytes).unwrap();
    let manifest = format!(
        "name: hello\ntitle: Hello there\nauthor: me\nversion: '{version}'\nrequire: [node]\n"
    );
    Publication::new(archive, manifest)
}

pub async fn publish(registry: &Registry, publication: &Publication) -> Result<Published, Error> {
    registry
        .publish(publication, &Control::default(), &())
        .await
}

pub async fn list(registry: &Registry) -> Result<Vec<Entry>, Error> {
    let catalogue = registry.list(&Control::default(), &()).await?;
    Ok(catalogue.entries)
}

pub async fn fetch(registry: &Registry, entry: &Entry, into: &Path) -> Result<Fetched, Error> {
    let trust = TrustFile::open(into.join("trust")).unwrap();
    let files = into.join("files");
    registry
        .fetch(entry, &files, &trust, &Control::default(), &())
        .await
}

pub fn with(url: &str, credentials: Credentials) -> Registry {
    let config = config(RegistryKind::Oci, &format!("{url}/team/packages"));
    Registry::open_with(config, credentials, limits()).unwrap()
}

pub fn anyone(url: &str) -> Registry {
    with(url, Credentials::None)
}

fn basic(password: &str) -> Credentials {
    Credentials::Basic {
        user: USER.0.to_owned(),
        password: Secret::new(password),
    }
}

/// Publishes, lists and fetches; nothing is lost on the way.
async fn there_and_back(registry: &Registry) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(3_000_000);
    let first = publication(folder.path(), "1.0", &bytes);
    assert_eq!(list(registry).await.unwrap(), []);
    let published = publish(registry, &first).await.unwrap();
    assert_eq!(published.sha256, Sha256::of(&bytes));
    assert!(
        published.places[0].ends_with("/team/packages/hello:1.0"),
        "{published:?}"
    );
    let second = Publication {
        signature: Some("a signature".to_owned()),
        ..publication(folder.path(), "1.1+2", &content(70_000))
    };
    publish(registry, &second).await.unwrap();

    let entries = list(registry).await.unwrap();
    let lines: Vec<_> = entries
        .iter()
        .map(|entry| {
            let version = entry.version.as_deref().unwrap_or("-");
            let require: Vec<_> = entry.require.iter().map(ToString::to_string).collect();
            let signed = if entry.signature.is_some() {
                ", signed"
            } else {
                ""
            };
            format!(
                "{} {version} \"{}\" needs {} at {}{signed}",
                entry.name,
                entry.title.as_deref().unwrap_or_default(),
                require.join(" "),
                entry.locator.place
            )
        })
        .collect();
    insta::allow_duplicates! {
        insta::assert_snapshot!(lines.join("\n"), @r#"
        hello 1.1+2 "Hello there" needs node at team/packages/hello:1.1_2, signed
        hello 1.0 "Hello there" needs node at team/packages/hello:1.0
        "#);
    }
    let fetched = fetch(registry, &entries[1], folder.path()).await.unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
    assert_eq!(fetched.path.extension().unwrap(), "mpm");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_goes_there_and_back_as_anyone() {
    let server = DockerRegistry::open_to_all();
    there_and_back(&anyone(&server.url)).await;
    // Another namespace has none of it.
    let other = open(config(
        RegistryKind::Oci,
        &format!("{}/team/pack", server.url),
    ));
    assert_eq!(list(&other).await.unwrap(), []);
    // The one repository, the whole registry, and a part of it have.
    for (path, prefix) in [
        ("/team/packages/hello", None),
        ("", None),
        ("", Some("team")),
        ("/team", Some("pack")),
    ] {
        let config = RegistryConfig {
            prefix: prefix.map(str::to_owned),
            ..config(RegistryKind::Oci, &format!("{}{path}", server.url))
        };
        assert_eq!(
            list(&open(config)).await.unwrap().len(),
            2,
            "{path} {prefix:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_goes_there_and_back_with_a_password() {
    let server = DockerRegistry::with_login();
    there_and_back(&with(&server.url, basic(USER.1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_goes_there_and_back_by_a_certificate_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let (ca, secret) = (folder.path().join("ca.pem"), folder.path().join("key.pem"));
    std::fs::write(&ca, certificate.pem()).unwrap();
    std::fs::write(&secret, key.serialize_pem()).unwrap();
    let server = DockerRegistry::secure(&ca, &secret);
    let unknown = anyone(&server.url);
    let error = tell(&list(&unknown).await.unwrap_err()).replace(&server.url, "https://server");
    insta::assert_snapshot!(error, @r#"
    https://server/v2/_catalog: the server's certificate is by an authority that is not trusted
       hint: If the server is your organisation's, give its certificate authority as the registry's CA file.
    "#);
    let config = RegistryConfig {
        ca_file: Some(ca),
        ..unknown.config().clone()
    };
    there_and_back(&open(config)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_and_used_as_long_as_it_holds() {
    let server = DockerRegistry::open_to_all();
    let realm = Mutex::new(String::new());
    let realm: &'static Mutex<String> = Box::leak(Box::new(realm));
    let weather = Weather::before(&server.url, |asked, _| {
        if asked.path.starts_with("/token?") {
            // windlass:correct horse
            let known =
                asked.header("authorization") == Some("Basic d2luZGxhc3M6Y29ycmVjdCBob3JzZQ==");
            return Deed::Answer(if known {
                reply(200, &[], r#"{"token":"of-the-day","expires_in":300}"#)
            } else {
                reply(401, &[], r#"{"errors":[{"message":"who are you"}]}"#)
            });
        }
        if asked.header("authorization") == Some("Bearer of-the-day") {
            return Deed::As("");
        }
        let realm = realm.lock().unwrap().clone();
        let challenge = format!(r#"Bearer realm="{realm}",service="test""#);
        Deed::Answer(reply(401, &[("www-authenticate", &challenge)], ""))
    })
    .await;
    *realm.lock().unwrap() = format!("{}/token", weather.url);
    there_and_back(&with(&weather.url, basic(USER.1))).await;
    let asked = weather.asked();
    let mut tokens: Vec<_> = asked
        .iter()
        .filter(|asked| asked.starts_with("GET /token"))
        .collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(
        tokens.len(),
        asked
            .iter()
            .filter(|asked| asked.starts_with("GET /token"))
            .count()
    );
    let scopes: Vec<_> = tokens
        .iter()
        .map(|token| token.rsplit_once("?service=test&").unwrap().1)
        .collect();
    insta::assert_snapshot!(scopes.join("\n"), @r#"
    scope=registry%3Acatalog%3A*&account=windlass
    scope=repository%3Ateam%2Fpackages%2Fhello%3Apull%2Cpush&account=windlass
    scope=repository%3Ateam%2Fpackages%2Fhello%3Apull&account=windlass
    "#);
    // The password goes to the realm, never to the registry itself.
    let words = weather.headers("authorization");
    assert!(
        words
            .iter()
            .all(|word| word.starts_with("Basic d2lu") || word == "Bearer of-the-day")
    );

    let wrong = with(&weather.url, basic("wrong"));
    let told = |error: Error| tell(&error).replace(&weather.url, "http://server");
    insta::assert_snapshot!(told(list(&wrong).await.unwrap_err()), @r#"
    http://server/token: the server answered 401: who are you
       hint: Check the login of the registry, and that it may do this.
    "#);
    let token = with(&weather.url, Credentials::Bearer(Secret::new("of-the-day")));
    assert_eq!(list(&token).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_what_to_do() {
    let server = DockerRegistry::with_login();
    let folder = tempfile::tempdir().unwrap();
    let package = publication(folder.path(), "1.0", b"archive");
    let mut told = Vec::new();
    let config = RegistryConfig {
        public: true,
        ..anyone(&server.url).config().clone()
    };
    let public = Registry::open_with(config, basic(USER.1), limits()).unwrap();
    for registry in [anyone(&server.url), with(&server.url, basic("wrong"))] {
        told.push(tell(&list(&registry).await.unwrap_err()));
        told.push(tell(&publish(&registry, &package).await.unwrap_err()));
    }
    // For reading the login of a public registry is not used, for publishing it is.
    told.push(tell(&list(&public).await.unwrap_err()));
    publish(&public, &package).await.unwrap();
    let s3 = Credentials::S3 {
        access_key: "a".into(),
        secret_key: Secret::new("very secret"),
        region: "r".into(),
    };
    told.push(tell(
        &Registry::open(public.config().clone(), s3).unwrap_err(),
    ));
    let told = told.join("\n").replace(&server.url, "http://server");
    assert!(!told.contains("horse") && !told.contains("wrong") && !told.contains("very secret"));
    insta::assert_snapshot!(told, @r#"
    http://server/v2/team/packages/tags/list: the server answered 401: authentication required
       hint: Give the registry a login. If it has none, check its URL.
    http://server/v2/team/packages/hello/manifests/1.0: the server answered 401: authentication required
       hint: Give the registry a login. If it has none, check its URL.
    http://server/v2/team/packages/tags/list: the server answered 401: authentication required
       hint: Check the login of the registry, and that it may do this.
    http://server/v2/team/packages/hello/manifests/1.0: the server answered 401: authentication required
       hint: Check the login of the registry, and that it may do this.
    http://server/v2/team/packages/tags/list: the server answered 401: authentication required
       hint: Give the registry a login. If it has none, check its URL.
    the registry test cannot be used: its login is one for S3, and it is an OCI registry
       hint: Give a name and a password, or a token.
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_version_is_replaced_in_silence() {
    let server = DockerRegistry::open_to_all();
    let registry = anyone(&server.url);
    let folder = tempfile::tempdir().unwrap();
    let first = publication(folder.path(), "1.0", b"first");
    let published = publish(&registry, &first).await.unwrap();
    assert_eq!(publish(&registry, &first).await.unwrap(), published);
    let mut other = publication(folder.path(), "1.0", b"other bytes");
    let error = tell(&publish(&registry, &other).await.unwrap_err());
    let host = server.url.strip_prefix("http://").unwrap();
    insta::assert_snapshot!(error.replace(host, "server"), @r#"
    server/team/packages/hello:1.0 is there already, and is another one
       hint: Give the package a new version. Replace what is there only if nobody uses it yet.
    "#);
    let before = list(&registry).await.unwrap();
    assert_eq!(before[0].digest, Some(Sha256::of(b"first")));
    fetch(&registry, &before[0], folder.path()).await.unwrap();

    other.replace = true;
    publish(&registry, &other).await.unwrap();
    let after = list(&registry).await.unwrap();
    assert_eq!(after[0].digest, Some(Sha256::of(b"other bytes")));
    // Who has seen the first is not given the other.
    let error = fetch(&registry, &after[0], folder.path())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_tell_what_it_has_is_asked_for_the_one_repository() {
    let server = DockerRegistry::open_to_all();
    let folder = tempfile::tempdir().unwrap();
    publish(
        &anyone(&server.url),
        &publication(folder.path(), "1.0", b"first"),
    )
    .await
    .unwrap();
    let weather = Weather::before(&server.url, |asked, _| {
        if asked.path.starts_with("/v2/_catalog") {
            Deed::Answer(reply(401, &[], ""))
        } else {
            Deed::Pass
        }
    })
    .await;
    let at = |path: &str| open(config(RegistryKind::Oci, &format!("{}{path}", weather.url)));
    assert_eq!(list(&at("/team/packages/hello")).await.unwrap().len(), 1);
    let told = |error: Error| tell(&error).replace(&weather.url, "http://server");
    let errors = [
        told(list(&at("/team/packages")).await.unwrap_err()),
        told(list(&at("")).await.unwrap_err()),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r#"
    the registry test cannot be used: its server does not tell which repositories it has
       hint: Write the repository of a package into its URL: https://HOST/NAMESPACE/NAME.
    http://server/v2/_catalog: the server answered 401
       hint: Give the registry a login. If it has none, check its URL.
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_goes_with_its_package_and_is_held_against_the_key() {
    let server = DockerRegistry::open_to_all();
    let folder = tempfile::tempdir().unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let sign = |bytes: &[u8]| {
        let signature = minisign::sign(None, &pair.sk, bytes, Some("hello"), None);
        Some(signature.unwrap().into_string())
    };
    for (version, signature) in [
        ("3", sign(b"archive")),
        ("2", sign(b"another archive")),
        ("1", None),
    ] {
        let publication = Publication {
            signature,
            ..publication(folder.path(), version, b"archive")
        };
        publish(&anyone(&server.url), &publication).await.unwrap();
    }
    let config = RegistryConfig {
        minisign_key: Some(pair.pk.to_base64()),
        ..anyone(&server.url).config().clone()
    };
    let registry = open(config);
    let mut told = Vec::new();
    for entry in list(&registry).await.unwrap() {
        let into = tempfile::tempdir().unwrap();
        told.push(match fetch(&registry, &entry, into.path()).await {
            Ok(fetched) => format!("signed: {}", fetched.signature.unwrap()),
            Err(error) => {
                assert_eq!(names(&into.path().join("files")), "nothing");
                error.to_string()
            }
        });
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    signed: hello
    the signature of team/packages/hello:2 does not hold: The signature verification failed
    team/packages/hello:1 is not signed
    ");
}
