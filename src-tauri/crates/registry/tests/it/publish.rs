//! Publishing to folders and buckets: found by others and by Capstan's names, never half, nothing replaced in silence.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use windlass_registry::{
    Control, Credentials, Entry, Error, Publication, Published, Registry, RegistryKind, Secret,
    Sha256, TrustFile,
};

use crate::oci_server::{Deed, Weather, clean};
use crate::places::s3;
use crate::support::{config, content, limits, open, reply, tell};

/// What may happen to a request, by its method and how many there were before.
type Rule = fn(&str, usize) -> Deed;

const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";

/// A package in a folder, packed.
fn packed(scratch: &Path, version: &str, text: &[u8]) -> Publication {
    let folder = scratch.join("hello");
    fs::create_dir_all(folder.join("meta")).unwrap();
    let manifest = format!(
        "name: hello\ntitle: Hello there\nauthor: me\nversion: '{version}'\nrequire: [node]\n"
    );
    fs::write(folder.join("meta/package.yaml"), manifest).unwrap();
    fs::write(folder.join("hello.txt"), text).unwrap();
    let into = scratch.join(format!("packed-{version}-{}", text.len()));
    fs::create_dir_all(&into).unwrap();
    Publication::pack(&folder, &into, &Control::default(), &()).unwrap()
}

async fn publish(registry: &Registry, publication: &Publication) -> Result<Published, Error> {
    registry
        .publish(publication, &Control::default(), &())
        .await
}

/// What the registry has, with the files' digests compared.
async fn table(registry: &Registry) -> String {
    let catalogue = registry.list(&Control::default(), &()).await.unwrap();
    let into = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(into.path().join("trust")).unwrap();
    let mut lines = Vec::new();
    for entry in &catalogue.entries {
        let fetched = registry
            .fetch(entry, into.path(), &trust, &Control::default(), &())
            .await;
        let fetched = fetched.unwrap_or_else(|error| panic!("{}", tell(&error)));
        assert!(entry.digest.is_none_or(|digest| digest == fetched.sha256));
        lines.push(line(entry));
    }
    lines.join("\n")
}

fn line(entry: &Entry) -> String {
    let place = entry.locator.place.split("/bucket/").last().unwrap();
    let version = entry.version.as_deref().unwrap_or("-");
    let signed = if entry.signature.is_some() {
        ", signed"
    } else {
        ""
    };
    format!("{} {version} at {place}{signed}", entry.name)
}

/// The files below a folder.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(
                files(&entry.path())
                    .into_iter()
                    .map(|file| format!("{name}/{file}")),
            );
        } else if !name.starts_with('.') {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// Version upon version; what folders and buckets have in common.
async fn versions(registry: &Registry, scratch: &Path) -> Vec<String> {
    let mut told = Vec::new();
    let first = Publication {
        signature: Some("signed".to_owned()),
        ..packed(scratch, "1.9", b"first")
    };
    let steps = [
        ("1.9, signed", first.clone()),
        ("1.9 again", first),
        (
            "1.9 with other bytes",
            packed(scratch, "1.9", b"other bytes"),
        ),
        ("1.10", packed(scratch, "1.10", b"second")),
        ("1.10 again", packed(scratch, "1.10", b"second")),
        (
            "1.2, which is older",
            packed(scratch, "1.2", b"the very first"),
        ),
        (
            "1.2 with other bytes",
            packed(scratch, "1.2", b"other bytes"),
        ),
        (
            "1.10, replaced",
            Publication {
                replace: true,
                ..packed(scratch, "1.10", b"third")
            },
        ),
    ];
    for (what, publication) in steps {
        let line = match publish(registry, &publication).await {
            Ok(published) => {
                let bytes = fs::read(&publication.archive).unwrap();
                assert_eq!(published.sha256, Sha256::of(&bytes));
                "published".to_owned()
            }
            Err(error) => tell(&error),
        };
        told.push(format!("{what}: {line}"));
    }
    told.push(table(registry).await);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_every_version_and_replaces_none_in_silence() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let registry = open(config(RegistryKind::Folder, root.path().to_str().unwrap()));
    let mut told = versions(&registry, scratch.path()).await;
    told.extend(files(root.path()));
    let told = told
        .join("\n")
        .replace(root.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!("folder", told);
    let mode = |name: &str| {
        fs::metadata(root.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    // A web server of another user has to be able to read it.
    assert_eq!(
        mode("packages/hello.mpm") & mode("packages/hello.yaml") & mode("packages.json"),
        0o644
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_every_version_and_replaces_none_in_silence() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("bucket")).unwrap();
    let url = s3(root.path(), Some(("access", "secret"))).await;
    let registry = Registry::open_with(config(RegistryKind::S3, &url), keys("secret"), limits());
    let mut told = versions(&registry.unwrap(), scratch.path()).await;
    told.extend(files(&root.path().join("bucket")));
    insta::assert_snapshot!(
        "bucket",
        told.join("\n").replace(&url, "http://server/bucket")
    );
}

fn keys(secret: &str) -> Credentials {
    Credentials::S3 {
        access_key: "access".into(),
        secret_key: Secret::new(secret),
        region: "us-east-1".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_capstans_stays_one_and_is_told_of_whole() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let packages = root.path().join("packages");
    fs::create_dir_all(&packages).unwrap();
    fs::write(packages.join("old.mpm"), content(1000)).unwrap();
    fs::write(
        packages.join("old.yaml"),
        "name: old\ntitle: Old\nauthor: x\nversion: 0.1\n",
    )
    .unwrap();
    // What Capstan left without a version is not ours to replace.
    fs::write(packages.join("hello.mpm"), b"whose?").unwrap();
    let registry = open(config(RegistryKind::Folder, root.path().to_str().unwrap()));
    let mut ours = packed(scratch.path(), "1.0", b"ours");
    let error = publish(&registry, &ours).await.unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    assert_eq!(fs::read(packages.join("hello.mpm")).unwrap(), b"whose?");
    ours.replace = true;
    publish(&registry, &ours).await.unwrap();
    insta::assert_snapshot!(table(&registry).await, @r#"
    hello 1.0 at packages/hello.mpm
    old 0.1 at packages/old.mpm
    "#);
    let index = fs::read_to_string(root.path().join("packages.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let told: Vec<_> = index["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| &package["file"])
        .collect();
    assert_eq!(told, ["packages/hello.mpm", "packages/old.mpm"]);

    // An index that is not understood is not written over.
    fs::write(root.path().join("packages.json"), "{}").unwrap();
    let error = publish(&registry, &packed(scratch.path(), "1.1", b"next"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    assert_eq!(
        fs::read_to_string(root.path().join("packages.json")).unwrap(),
        "{}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_publish_at_once_take_turns() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let url = root.path().to_str().unwrap();
    let publications: Vec<_> = ["1.0", "1.1", "1.2", "1.3"]
        .map(|version| packed(scratch.path(), version, version.as_bytes()))
        .to_vec();
    let tasks: Vec<_> = publications
        .into_iter()
        .map(|publication| {
            let registry = open(config(RegistryKind::Folder, url));
            tokio::spawn(async move { publish(&registry, &publication).await.map(drop) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let registry = open(config(RegistryKind::Folder, url));
    let versions = table(&registry).await;
    for version in ["1.0", "1.1", "1.2", "1.3"] {
        assert!(
            versions.contains(&format!("hello {version} ")),
            "{versions}"
        );
    }
    assert!(
        versions.starts_with("hello 1.3 at packages/hello.mpm"),
        "{versions}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_to_a_folder_that_is_cancelled_was_never_there() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let archive = scratch.path().join("large.mpm");
    fs::write(&archive, content(5 << 20)).unwrap();
    let large = Publication::new(&archive, "name: large\ntitle: L\nauthor: me\nversion: 1\n");
    let control = Control::default();
    let ending = control.clone();
    let progress = move |done: u64, _: Option<u64>| {
        if done > 0 {
            ending.cancel();
        }
    };
    let registry = open(config(RegistryKind::Folder, root.path().to_str().unwrap()));
    let error = registry
        .publish(&large, &control, &progress)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    assert_eq!(files(root.path()), Vec::<String>::new());
    let packing = Publication::pack(&scratch.path().join("none"), scratch.path(), &control, &());
    insta::assert_snapshot!(tell(&packing.unwrap_err()).replace(scratch.path().to_str().unwrap(), "SCRATCH"), @r#"
    SCRATCH/none cannot be published
       hint: Put it back where it was, or forget it here and add it again.
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_package_goes_to_a_bucket_in_parts() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("bucket")).unwrap();
    let url = s3(root.path(), Some(("access", "secret"))).await;
    let weather = Weather::before(&url, |asked, before| {
        match (asked.method.as_str(), before) {
            // Of the first try of the second part the server hears a part only.
            ("PUT", 1) => Deed::CutRequest(1_000_000),
            _ => Deed::Pass,
        }
    })
    .await;
    let archive = scratch.path().join("large.mpm");
    let bytes = content(40 << 20);
    fs::write(&archive, &bytes).unwrap();
    let large = Publication::new(&archive, "name: large\ntitle: L\nauthor: me\nversion: 1\n");
    let config = config(RegistryKind::S3, &format!("{}/bucket", weather.url));
    let registry = Registry::open_with(config, keys("secret"), limits()).unwrap();
    publish(&registry, &large).await.unwrap();
    assert!(fs::read(root.path().join("bucket/packages/large.mpm")).unwrap() == bytes);
    assert_eq!(table(&registry).await, "large 1 at packages/large.mpm");
    let parts = weather
        .asked()
        .iter()
        .filter(|asked| asked.contains("partNumber="))
        .count();
    assert_eq!(parts, 4, "three parts, one of them twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_weather_before_a_bucket_is_waited_for_or_told() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("bucket")).unwrap();
    let url = s3(root.path(), Some(("access", "secret"))).await;
    let large = scratch.path().join("large.mpm");
    fs::write(&large, content(40 << 20)).unwrap();
    let mut told = Vec::new();
    let weathers: [(&str, &str, Rule); 7] = [
        ("wrong key", "wrong", |_, _| Deed::Pass),
        ("403", "secret", |method, _| match method {
            "PUT" => Deed::Answer(reply(403, &[("content-type", "application/xml")], DENIED)),
            _ => Deed::Pass,
        }),
        ("503 once", "secret", |method, before| {
            match (method, before) {
                ("PUT", 0) => Deed::Answer(reply(503, &[], "")),
                _ => Deed::Pass,
            }
        }),
        ("500", "secret", |method, _| match method {
            "PUT" => Deed::Answer(reply(500, &[], "")),
            _ => Deed::Pass,
        }),
        ("cut each time", "secret", |method, _| match method {
            "PUT" => Deed::CutRequest(10),
            _ => Deed::Pass,
        }),
        (
            "other bytes on the way",
            "secret",
            |method, _| match method {
                "PUT" => Deed::SpoilRequest,
                _ => Deed::Pass,
            },
        ),
        (
            "an error that comes as 200",
            "secret",
            |method, before| match (method, before) {
                ("POST", 1) => Deed::Answer(reply(200, &[], DENIED)),
                _ => Deed::Pass,
            },
        ),
    ];
    for (number, (what, secret, rule)) in weathers.into_iter().enumerate() {
        let weather = Weather::before(&url, move |asked, before| rule(&asked.method, before)).await;
        let config = config(RegistryKind::S3, &format!("{}/bucket", weather.url));
        let registry = Registry::open_with(config, keys(secret), limits()).unwrap();
        let name = format!("package{number}");
        let manifest = format!("name: {name}\ntitle: T\nauthor: me\nversion: 1\n");
        let publication = if what.contains("200") {
            Publication::new(&large, manifest)
        } else {
            Publication {
                archive: packed(scratch.path(), "1", what.as_bytes()).archive,
                ..Publication::new("", manifest)
            }
        };
        let line = match publish(&registry, &publication).await {
            Ok(_) => "published".to_owned(),
            Err(error) => tell(&error),
        };
        let there = root
            .path()
            .join(format!("bucket/packages/{name}.mpm"))
            .exists();
        told.push(
            format!("{what}: {line}\n   there: {there}").replace(&weather.url, "http://server"),
        );
    }
    insta::assert_snapshot!("bad_weather", clean(&told.join("\n")));
}
