//! Web servers, folders and buckets, real ones.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use windlass_registry::{
    Catalogue, Control, Credentials, Registry, RegistryConfig, RegistryKind, Secret, Sha256,
    TrustFile,
};

use crate::support::{Server, config, content, limits, open, reply, tell};

/// A registry in Capstan's layout.
fn lay_out(root: &Path) {
    let packages = root.join("packages");
    fs::create_dir_all(&packages).unwrap();
    for (name, version) in [("osv.cli", "0.24"), ("node-20", "20.11.1"), ("a&b +c", "1")] {
        let manifest = format!(
            "name: {name}\ntitle: The {name}\nauthor: someone\nversion: \"{version}\"\nrequire: [osv.bootstrap]\n"
        );
        fs::write(packages.join(format!("{name}.yaml")), manifest).unwrap();
        fs::write(
            packages.join(format!("{name}.mpm")),
            content(300_000 + name.len()),
        )
        .unwrap();
    }
    let loader = root.join("mike/osv-loader");
    fs::create_dir_all(&loader).unwrap();
    fs::write(
        loader.join("index.yaml"),
        "format_version: \"1\"\nversion: v0.24\ncreated: 2017-01-01 10:00\ndescription: OSv\n",
    )
    .unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &content(100_000)).unwrap();
    fs::write(loader.join("osv-loader.qemu.gz"), packed.finish().unwrap()).unwrap();
}

const LISTED: &str = "Package a&b +c 1
Loader mike/osv-loader v0.24
Package node-20 20.11.1
Package osv.cli 0.24";

fn table(catalogue: &Catalogue) -> String {
    let lines = catalogue.entries.iter().map(|entry| {
        format!(
            "{:?} {} {}",
            entry.kind,
            entry.name,
            entry.version.as_deref().unwrap_or("-")
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Lists it, and fetches all that it has.
async fn take_all(registry: &Registry) {
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let control = Control::default();
    let catalogue = registry.list(&control, &()).await.unwrap();
    assert_eq!(table(&catalogue), LISTED);
    let entries: Vec<_> = catalogue.entries.iter().collect();
    for (entry, outcome) in entries.iter().zip(
        registry
            .fetch_all(&entries, &folder.path().join("into"), &trust, &control, &())
            .await,
    ) {
        let fetched = outcome.unwrap_or_else(|error| panic!("{}: {error:?}", entry.name));
        let expected = match entry.name.as_str() {
            "mike/osv-loader" => content(100_000),
            name => content(300_000 + name.len()),
        };
        assert_eq!(fs::read(&fetched.path).unwrap(), expected, "{}", entry.name);
    }
    let node = catalogue.named("node-20").next().unwrap();
    assert_eq!(node.require[0].name, "osv.bootstrap");
}

/// Python's own server of a folder.
struct Python {
    child: Child,
    url: String,
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python(root: &Path) -> Python {
    let mut child = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
        .current_dir(root)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line.split(['(', ')']).nth(1).unwrap().to_owned();
    Python { child, url }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_web_server_of_it_have_the_same() {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    fs::create_dir(root.path().join("secret")).unwrap();
    fs::write(
        root.path().join("README.html"),
        "<a href='packages/ghost.mpm'>",
    )
    .unwrap();
    let folder = open(config(RegistryKind::Folder, root.path().to_str().unwrap()));
    take_all(&folder).await;
    let server = python(root.path());
    take_all(&open(config(RegistryKind::Http, &server.url))).await;

    // Where there is an index, a web server is asked for nothing else; a folder is looked at all the same.
    let node = content(300_007);
    let index = serde_json::json!({"format": 1, "packages": [{
        "file": "packages/node-20.mpm", "name": "node-20", "version": "20.11.1", "sizeBytes": node.len(),
        "sha256": Sha256::of(&node), "require": ["osv.bootstrap >=1"], "description": "JavaScript",
    }]});
    fs::write(root.path().join("packages.json"), index.to_string()).unwrap();
    let listed = open(config(RegistryKind::Http, &server.url))
        .list(&Control::default(), &())
        .await
        .unwrap();
    assert_eq!(table(&listed), "Package node-20 20.11.1");
    let listed = folder.list(&Control::default(), &()).await.unwrap();
    assert_eq!(table(&listed), LISTED);
    assert_eq!(
        listed.named("node-20").next().unwrap().digest,
        Some(Sha256::of(&node))
    );

    let part = RegistryConfig {
        prefix: Some("packages".into()),
        ..config(RegistryKind::Folder, root.path().to_str().unwrap())
    };
    assert_eq!(
        open(part)
            .list(&Control::default(), &())
            .await
            .unwrap()
            .entries
            .len(),
        3
    );
}

/// A real S3 server over a folder; the bucket is `bucket`.
pub async fn s3(root: &Path, keys: Option<(&str, &str)>) -> String {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    if let Some((access, secret)) = keys {
        service.set_auth(SimpleAuth::from_single(access, secret));
    }
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    format!("http://127.0.0.1:{port}/bucket")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_listed_page_by_page_as_anyone_and_with_keys() {
    let root = tempfile::tempdir().unwrap();
    lay_out(&root.path().join("bucket"));
    let url = s3(root.path(), Some(("access", "secret"))).await;
    let login = |secret: &str| Credentials::S3 {
        access_key: "access".into(),
        secret_key: Secret::new(secret),
        region: "us-east-1".into(),
    };
    let config = config(RegistryKind::S3, &url);
    let with = |credentials| Registry::open_with(config.clone(), credentials, limits()).unwrap();
    take_all(&with(login("secret"))).await;
    let wrong = with(login("wrong"))
        .list(&Control::default(), &())
        .await
        .unwrap_err();
    let none = with(Credentials::None)
        .list(&Control::default(), &())
        .await
        .unwrap_err();
    let said = format!("{}\n{}", tell(&wrong), tell(&none)).replace(&url, "http://server/bucket");
    insta::assert_snapshot!(said);

    // More than one page.
    for at in 0..1100 {
        fs::write(
            root.path()
                .join(format!("bucket/packages/many-{at:04}.mpm")),
            b"x",
        )
        .unwrap();
    }
    let listed = with(login("secret"))
        .list(&Control::default(), &())
        .await
        .unwrap();
    assert_eq!(listed.entries.len(), 1104);
    let part = RegistryConfig {
        prefix: Some("/mike/".into()),
        ..config.clone()
    };
    let part = Registry::open_with(part, login("secret"), limits()).unwrap();
    assert_eq!(
        part.list(&Control::default(), &())
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_anyones_is_listed_without_a_login() {
    // As the bucket of MIKELANGELO answers.
    let server = Server::start(|asked, _, _| match asked.path.as_str() {
        "/?list-type=2" => reply(200, &[("content-type", "application/xml")], "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>mikelangelo-capstan</Name><IsTruncated>true</IsTruncated><NextContinuationToken>a+b/c=</NextContinuationToken><Contents><Key>packages/erlang.mpm</Key><LastModified>2017-05-05T10:00:00.000Z</LastModified><ETag>&quot;e1&quot;</ETag><Size>1004</Size></Contents></ListBucketResult>"),
        "/?list-type=2&continuation-token=a%2Bb%2Fc%3D" => reply(200, &[], "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>packages/erlang.yaml</Key><ETag>&quot;e2&quot;</ETag><Size>70</Size></Contents></ListBucketResult>"),
        "/packages/erlang.yaml" => reply(200, &[], "name: erlang\ntitle: Erlang 7\nauthor: MIKELANGELO\n"),
        _ => reply(403, &[], "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
    })
    .await;
    let listed = server
        .registry(RegistryKind::S3, "/")
        .list(&Control::default(), &())
        .await
        .unwrap();
    assert_eq!(table(&listed), "Package erlang -");
    assert!(
        server
            .log()
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
    let refused = server
        .registry(RegistryKind::S3, "/other/")
        .list(&Control::default(), &())
        .await;
    insta::assert_snapshot!(server.clean(&tell(&refused.unwrap_err())), @r"
    http://server/other/: the server answered 403: Access Denied
       hint: Give the registry a login. If it has none, check its URL.
    ");
}
