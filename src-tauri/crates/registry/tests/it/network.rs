//! Names that are not there, ports where nobody is, certificates by nobody, proxies.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use windlass_registry::{Control, Credentials, Registry, RegistryConfig, RegistryKind, built_in};

use crate::support::{Server, config, limits, open, reply, tell};

const INDEX: &str = r#"{"format": 1, "packages": []}"#;

/// An authority's certificate, and what serves with one by it for this host.
fn authority(host: &str, expired: bool) -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    if expired {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    }
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority.pem(), TlsAcceptor::from(Arc::new(server)))
}

async fn check(registry: &Registry) -> String {
    let checks = registry.check(&Control::default()).await;
    let lines = checks.iter().map(|check| match &check.outcome {
        Ok(said) => format!("{}: {said}", check.what),
        Err(error) => format!("{}: {}", check.what, tell(error)),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_connection_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let answer = |_: &crate::support::Asked, _: usize, _: &str| reply(200, &[], INDEX);
    let (pem, acceptor) = authority("localhost", false);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let secure = Server::start_with(Some(acceptor), answer).await;
    let (other_pem, acceptor) = authority("elsewhere.example", false);
    let other_ca = folder.path().join("other.pem");
    std::fs::write(&other_ca, other_pem).unwrap();
    let other = Server::start_with(Some(acceptor), answer).await;
    let (old_pem, acceptor) = authority("localhost", true);
    let old_ca = folder.path().join("old.pem");
    std::fs::write(&old_ca, old_pem).unwrap();
    let old = Server::start_with(Some(acceptor), answer).await;
    let plain = Server::start(answer).await;
    let with_ca = |url: &str, ca: &std::path::Path| RegistryConfig {
        ca_file: Some(ca.to_path_buf()),
        ..config(RegistryKind::Http, url)
    };
    let http = |url: &str| config(RegistryKind::Http, url);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().port();
    drop(listener);
    let proxied = RegistryConfig {
        proxy: Some(format!("http://127.0.0.1:{nobody}")),
        ..http(&plain.url)
    };
    let through = RegistryConfig {
        proxy: Some(plain.url.clone()),
        ..http("http://registry.invalid/")
    };
    let mut said = String::new();
    for (what, config) in [
        ("its own authority, given", with_ca(&secure.url, &ca)),
        ("its own authority, not given", http(&secure.url)),
        ("another host's certificate", with_ca(&other.url, &other_ca)),
        ("an old certificate", with_ca(&old.url, &old_ca)),
        (
            "https where there is none",
            http(&plain.url.replace("http://127.0.0.1", "https://localhost")),
        ),
        ("nobody there", http(&format!("http://127.0.0.1:{nobody}/"))),
        ("no such host", http("http://registry.invalid/")),
        ("a proxy that is not there", proxied),
        ("a proxy that is", through),
        (
            "a key that is none",
            RegistryConfig {
                minisign_key: Some("RWhello".into()),
                ..http(&plain.url)
            },
        ),
    ] {
        said += &format!("# {what}\n{}\n", check(&open(config)).await);
    }
    for server in [&secure, &other, &old, &plain] {
        said = said.replace(&server.url, "scheme://server");
        let port = server.url.rsplit(':').next().unwrap();
        said = said.replace(&format!(":{port}"), "");
    }
    insta::assert_snapshot!(said.replace(&format!(":{nobody}"), ""));
}

#[test]
fn what_is_wrong_with_a_description_is_said_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "hello").unwrap();
    let http = |url: &str| config(RegistryKind::Http, url);
    let said: Vec<String> = [
        http("example.org"),
        http("ftp://example.org/"),
        http("https://me:hunter2@example.org/"),
        RegistryConfig {
            proxy: Some("http://me:hunter2@:x".into()),
            ..http("https://example.org/")
        },
        RegistryConfig {
            ca_file: Some(empty),
            ..http("https://example.org/")
        },
        config(RegistryKind::Folder, "packages"),
        RegistryConfig {
            prefix: Some("../..".into()),
            ..config(RegistryKind::Folder, "/srv")
        },
    ]
    .into_iter()
    .map(|config| tell(&Registry::open_with(config, Credentials::None, limits()).unwrap_err()))
    .collect();
    assert!(!said.join("\n").contains("hunter2"));
    insta::assert_snapshot!(
        said.join("\n")
            .replace(folder.path().to_str().unwrap(), "FOLDER")
    );
}

#[test]
fn the_public_registries_open() {
    for config in built_in() {
        assert!(config.public);
        Registry::open(config, Credentials::None).unwrap();
    }
}
