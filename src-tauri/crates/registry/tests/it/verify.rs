//! What came is what it should be: digests at first sight, signatures, and what is compressed.

use std::sync::{Arc, Mutex};

use windlass_registry::{
    Control, Credentials, Entry, EntryKind, Error, Limits, Registry, RegistryKind, Sha256, Trust,
    TrustFile,
};

use crate::support::{Server, config, content, file, limits, names, open, reply, tell};

const LENGTH: usize = 3_000_000;
const ETAG: &str = "\"one\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_package_replaced_under_its_version_is_found_out() {
    let body = Arc::new(Mutex::new(content(1000)));
    let server = {
        let body = body.clone();
        Server::start(move |asked, _, _| file(asked, "\"same\"", &body.lock().unwrap())).await
    };
    let registry = server.registry(RegistryKind::Http, "/");
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let entry = |version: &str| Entry {
        version: Some(version.to_owned()),
        ..server.entry("/hello.mpm")
    };
    let into = folder.path().join("into");
    let fetch = async |version: &str| {
        let outcome = registry
            .fetch(&entry(version), &into, &trust, &Control::default(), &())
            .await;
        match outcome {
            Ok(fetched) => format!("fetched, first seen: {}", fetched.first_seen),
            Err(error) => server.clean(&tell(&error)),
        }
    };
    let mut said = vec![fetch("1.0").await, fetch("1.0").await];
    *body.lock().unwrap() = content(1001);
    said.push(fetch("1.0").await);
    assert_eq!(names(&into), "hello.mpm hello.mpm");
    said.push(fetch("1.1").await);
    // A person accepts it.
    trust
        .forget(&registry.config().identity(), &entry("1.0").trust_key())
        .unwrap();
    said.push(fetch("1.0").await);
    // A registry that says another digest is found out before anything is fetched.
    let lying = Entry {
        digest: Some(Sha256::of(b"another")),
        ..entry("1.0")
    };
    let before = server.log().len();
    let outcome = registry
        .fetch(&lying, &into, &trust, &Control::default(), &())
        .await;
    assert!(matches!(outcome, Err(Error::Replaced { .. })));
    assert_eq!(server.log().len(), before);
    insta::assert_snapshot!(said.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_has_to_be_there_and_to_hold() {
    let body = content(200_000);
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let other = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let sign = |pair: &minisign::KeyPair, bytes: &[u8]| {
        minisign::sign(None, &pair.sk, bytes, Some("hello 1.0"), None)
            .unwrap()
            .into_string()
    };
    let signatures = [
        ("good", sign(&pair, &body)),
        ("another's", sign(&other, &body)),
        ("another file's", sign(&pair, b"another")),
        ("none", "hello\n".to_owned()),
    ];
    let mut transcript = String::new();
    for (what, signature) in signatures
        .into_iter()
        .map(|(what, text)| (what, Some(text)))
        .chain([("missing", None)])
    {
        let server = {
            let (body, signature) = (body.clone(), signature.clone());
            Server::start(
                move |asked, _, _| match (asked.path.ends_with(".minisig"), &signature) {
                    (true, Some(text)) => reply(200, &[], text),
                    (true, None) => reply(404, &[], ""),
                    _ => file(asked, ETAG, &body),
                },
            )
            .await
        };
        let registry = open(windlass_registry::RegistryConfig {
            minisign_key: Some(pair.pk.to_base64()),
            ..config(RegistryKind::Http, &server.url)
        });
        let folder = tempfile::tempdir().unwrap();
        let trust = TrustFile::open(folder.path().join("trust")).unwrap();
        let entry = Entry {
            signature: Some(windlass_registry::Locator::at(format!(
                "{}/hello.mpm.minisig",
                server.url
            ))),
            ..server.entry("/hello.mpm")
        };
        let into = folder.path().join("into");
        let outcome = match registry
            .fetch(&entry, &into, &trust, &Control::default(), &())
            .await
        {
            Ok(fetched) => format!("fetched: {}", fetched.signature.unwrap()),
            Err(error) => server.clean(&tell(&error)),
        };
        transcript += &format!("# {what}\n{outcome}\n   in the folder: {}\n", names(&into));
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_compressed_is_unpacked_when_it_was_verified() {
    use std::io::Write;
    let body = content(LENGTH);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&body).unwrap();
    let packed = encoder.finish().unwrap();
    let server = {
        let packed = packed.clone();
        Server::start(move |asked, _, _| match asked.path.as_str() {
            "/damaged/osv-loader.qemu.gz" => file(asked, ETAG, &packed[..packed.len() / 2]),
            _ => file(asked, ETAG, &packed),
        })
        .await
    };
    let limits = Limits {
        file_bytes: LENGTH as u64,
        ..limits()
    };
    let open = |limits: &Limits| {
        let config = config(RegistryKind::Http, &server.url);
        Registry::open_with(config, Credentials::None, limits.clone()).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let control = Control::default();
    let loader = |path: &str| Entry {
        kind: EntryKind::Loader,
        ..server.entry(path)
    };
    let entry = Entry {
        digest: Some(Sha256::of(&packed)),
        ..loader("/osv-loader/osv-loader.qemu.gz")
    };
    let into = folder.path().join("good");
    let fetched = open(&limits)
        .fetch(&entry, &into, &trust, &control, &())
        .await
        .unwrap();
    assert_eq!(names(&into), "osv-loader.qemu");
    assert!(fetched.unpacked && fetched.size_bytes == LENGTH as u64);
    assert_eq!(std::fs::read(&fetched.path).unwrap(), body);

    let bomb = Limits {
        file_bytes: packed.len() as u64,
        ..limits.clone()
    };
    let mut said = Vec::new();
    for (path, limits) in [
        ("/bomb/osv-loader.qemu.gz", &bomb),
        ("/damaged/osv-loader.qemu.gz", &limits),
    ] {
        let into = folder.path().join("bad");
        let outcome = open(limits)
            .fetch(&loader(path), &into, &trust, &control, &())
            .await;
        said.push(server.clean(&tell(&outcome.unwrap_err())));
        assert_eq!(names(&into), "nothing");
    }
    // The length of what deflate made of it is none of this test's business.
    let said = said.join("\n").replace(&packed.len().to_string(), "N");
    insta::assert_snapshot!(said, @r"
    http://server/bomb/osv-loader.qemu.gz is larger than N bytes
       hint: Check the registry's URL. If the file is as it should be, fetch it by hand.
    http://server/damaged/osv-loader.qemu.gz cannot be unpacked
       hint: Tell who keeps the registry: the file was published damaged.
    ");
}
