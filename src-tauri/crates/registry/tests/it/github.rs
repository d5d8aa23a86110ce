//! Releases, from a server with the shape of GitHub's API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use windlass_registry::{
    Catalogue, Control, Credentials, Registry, RegistryKind, Secret, Sha256, TrustFile,
};

use crate::support::{Asked, Reply, Server, config, content, file, limits, reply, tell};

const MANIFEST: &str = "name: osv.httpserver-api\ntitle: OSv HTTP REST Server\nauthor: cloudius-systems\nversion: 0.57.0\nrequire: [osv.bootstrap]\n";
const INDEX: &str = "format_version: \"1\"\nversion: 0.57.0-ab12\ncreated: \"2022-11-01 10:11\"\ndescription: OSv loader\n";

fn body(name: &str) -> Vec<u8> {
    match name {
        "osv.httpserver-api.yaml" => MANIFEST.into(),
        "index.yaml" => INDEX.into(),
        "broken.yaml" => b"{{{".to_vec(),
        _ => content(1000 + name.len()),
    }
}

fn release(base: &str, tag: &str, id: u64, names: &[&str]) -> Value {
    let assets: Vec<Value> = names
        .iter()
        .zip(id..)
        .map(|(name, id)| {
            json!({
                "id": id, "name": name, "size": body(name).len(), "state": "uploaded", "updated_at": "2022-11-01T00:00:00Z",
                "url": format!("{base}/api/v3/repos/o/r/releases/assets/{id}"),
                "browser_download_url": format!("{base}/o/r/releases/download/{tag}/{name}"),
                // Older assets have none.
                "digest": (tag != "v0.1").then(|| format!("sha256:{}", Sha256::of(&body(name)))),
            })
        })
        .collect();
    json!({"tag_name": tag, "draft": false, "prerelease": false, "published_at": "2022-11-01T00:00:00Z", "body": "…", "assets": assets})
}

/// What GitHub does: pages with `Link`, `ETag`s, downloads that lead elsewhere.
fn github(asked: &Asked, base: &str) -> Reply {
    let path = asked.path.as_str();
    let json = |value: &Value, link: Option<String>| {
        let etag = "W/\"page\"";
        if asked.header("if-none-match") == Some(etag) {
            return reply(304, &[], "");
        }
        let mut headers = vec![("etag", etag), ("content-type", "application/json")];
        if let Some(link) = &link {
            headers.push(("link", link));
        }
        reply(200, &headers, value.to_string())
    };
    match path {
        "/api/v3/repos/o/r/releases?per_page=100" => json(
            &json!([release(
                base,
                "v0.57.0",
                10,
                &[
                    "osv-loader.qemu.x86_64",
                    "loader-hidden.elf.x86_64.gz",
                    "index.yaml",
                    "osv.httpserver-api.mpm.x86_64",
                    "osv.httpserver-api.yaml",
                    "broken.mpm",
                    "broken.yaml",
                    "notes.txt",
                ]
            )]),
            Some(format!(
                "<{base}/api/v3/repos/o/r/releases?per_page=100&page=2>; rel=\"next\", <{base}/x>; rel=\"last\""
            )),
        ),
        "/api/v3/repos/o/r/releases?per_page=100&page=2" => json(
            &json!([
                release(base, "v0.1", 50, &["old.mpm"]),
                {"tag_name": "draft", "draft": true, "assets": []},
            ]),
            None,
        ),
        "/api/v3/repos/o/r/releases/latest" => json(
            &release(base, "v0.57.0", 10, &["osv-loader.qemu.x86_64"]),
            None,
        ),
        _ => {
            if let Some(rest) = path.strip_prefix("/o/r/releases/download/") {
                // The bytes are elsewhere, by a URL with a secret in it.
                let elsewhere = base.replace("127.0.0.1", "localhost");
                return reply(
                    302,
                    &[(
                        "location",
                        &format!("{elsewhere}/store/{rest}?signature=secret"),
                    )],
                    "",
                );
            }
            if let Some(id) = path.strip_prefix("/api/v3/repos/o/r/releases/assets/") {
                let elsewhere = base.replace("127.0.0.1", "localhost");
                return reply(
                    302,
                    &[(
                        "location",
                        &format!("{elsewhere}/store/{id}/osv-loader.qemu.x86_64"),
                    )],
                    "",
                );
            }
            match path
                .strip_prefix("/store/")
                .map(|rest| rest.split('?').next().unwrap())
            {
                Some(rest) => file(asked, "\"x\"", &body(rest.rsplit('/').next().unwrap())),
                None => reply(
                    404,
                    &[("content-type", "application/json")],
                    r#"{"message": "Not Found"}"#,
                ),
            }
        }
    }
}

fn table(catalogue: &Catalogue) -> String {
    let lines = catalogue.entries.iter().map(|entry| {
        format!(
            "{:?} {} {} {}{}",
            entry.kind,
            entry.name,
            entry.version.as_deref().unwrap_or("-"),
            entry
                .title
                .as_deref()
                .or(entry.description.as_deref())
                .unwrap_or("-"),
            if entry.digest.is_some() {
                ", with a digest"
            } else {
                ""
            }
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_listed_and_the_second_time_nothing_is_read_again() {
    let online = Arc::new(AtomicBool::new(true));
    let server = {
        let online = online.clone();
        Server::start(move |asked, _, base| {
            if online.load(Ordering::Relaxed) {
                github(asked, base)
            } else {
                vec![]
            }
        })
        .await
    };
    let registry = server.registry(RegistryKind::GitHub, "/api/v3/repos/o/r");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("osv.jsonl");
    let control = Control::default();
    let first = registry.refresh(&file, &control, &()).await.unwrap();
    assert!(first.problem.is_none());
    insta::assert_snapshot!(table(&first.catalogue), @r"
    Package broken v0.57.0 -, with a digest
    Kernel loader-hidden 0.57.0-ab12 OSv loader, with a digest
    Package old v0.1 -
    Loader osv-loader 0.57.0-ab12 OSv loader, with a digest
    Package osv.httpserver-api 0.57.0 OSv HTTP REST Server, with a digest
    ");
    assert_eq!(
        Catalogue::load(&file).unwrap(),
        Some(first.catalogue.clone())
    );

    let before = server.log().len();
    let second = registry.refresh(&file, &control, &()).await.unwrap();
    assert_eq!(second.catalogue.entries, first.catalogue.entries);
    let asked: Vec<_> = server.log().split_off(before);
    let asked: Vec<_> = asked
        .iter()
        .map(|asked| (asked.path.as_str(), asked.header("if-none-match").is_some()))
        .collect();
    assert_eq!(
        asked,
        [
            ("/api/v3/repos/o/r/releases?per_page=100", true),
            ("/api/v3/repos/o/r/releases?per_page=100&page=2", true),
        ]
    );

    online.store(false, Ordering::Relaxed);
    let third = registry.refresh(&file, &control, &()).await.unwrap();
    assert_eq!(third.catalogue, second.catalogue);
    assert_eq!(
        server.clean(&tell(&third.problem.unwrap())),
        "http://server/api/v3/repos/o/r/releases: the connection ended before everything had come\n   hint: Try again: it goes on where it stopped."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_to_the_api_and_nowhere_else() {
    let server = Server::start(|asked, _, base| github(asked, base)).await;
    let config = windlass_registry::RegistryConfig {
        prefix: Some("latest".into()),
        ..config(
            RegistryKind::GitHub,
            &format!("{}/api/v3/repos/o/r", server.url),
        )
    };
    let token = Credentials::Bearer(Secret::new("ghp_secret"));
    let registry = Registry::open_with(config, token, limits()).unwrap();
    assert!(!format!("{registry:?}").contains("ghp_secret"));
    let folder = tempfile::tempdir().unwrap();
    let trust = TrustFile::open(folder.path().join("trust")).unwrap();
    let control = Control::default();
    let catalogue = registry.list(&control, &()).await.unwrap();
    let fetched = registry
        .fetch(&catalogue.entries[0], folder.path(), &trust, &control, &())
        .await
        .unwrap();
    assert_eq!(fetched.path.file_name().unwrap(), "osv-loader.qemu.x86_64");
    let log = server.log();
    let lines = log.iter().map(|asked| {
        format!(
            "{} {} {}",
            asked.path,
            asked.header("host").unwrap().split(':').next().unwrap(),
            asked.header("authorization").unwrap_or("-")
        )
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    /api/v3/repos/o/r/releases/latest 127.0.0.1 Bearer ghp_secret
    /api/v3/repos/o/r/releases/assets/10 127.0.0.1 Bearer ghp_secret
    /store/10/osv-loader.qemu.x86_64 localhost -
    ");
    // Where it was found is remembered as a browser would find it, without secrets.
    let trusted = std::fs::read_to_string(folder.path().join("trust")).unwrap();
    assert!(
        trusted.contains("/o/r/releases/download/v0.57.0/osv-loader.qemu.x86_64@v0.57.0\t"),
        "{trusted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_refusals_are_said_in_words() {
    let limited = |headers: &'static [(&'static str, &'static str)], message: &'static str| {
        move |_: &Asked, _: usize, _: &str| {
            reply(403, headers, json!({"message": message}).to_string())
        }
    };
    let mut said = Vec::new();
    for (what, server) in [
        (
            "the hourly limit",
            Server::start(limited(
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "99999999999"),
                ],
                "API rate limit exceeded for 127.0.0.1. (But here's the good news: …)",
            ))
            .await,
        ),
        (
            "a limit it keeps to itself",
            Server::start(limited(&[], "You have exceeded a secondary rate limit.")).await,
        ),
        (
            "no limit",
            Server::start(limited(
                &[("x-ratelimit-remaining", "59")],
                "Resource not accessible by personal access token",
            ))
            .await,
        ),
        (
            "no such repository",
            Server::start(|asked, _, base| {
                github(
                    &Asked {
                        path: "/".into(),
                        ..asked.clone()
                    },
                    base,
                )
            })
            .await,
        ),
        (
            "not GitHub",
            Server::start(|_, _, _| reply(200, &[], "<html>Welcome</html>")).await,
        ),
        (
            "a page that leads to itself",
            Server::start(|_, _, base| {
                reply(
                    200,
                    &[(
                        "link",
                        &format!("<{base}/api/v3/repos/o/r/releases?per_page=100>; rel=\"next\""),
                    )],
                    "[]",
                )
            })
            .await,
        ),
        (
            "a page that leads elsewhere",
            Server::start(|_, _, _| {
                reply(
                    200,
                    &[("link", "<http://localhost:1/>; rel=\"next\"")],
                    "[]",
                )
            })
            .await,
        ),
    ] {
        let registry = server.registry(RegistryKind::GitHub, "/api/v3/repos/o/r");
        let outcome = registry.list(&Control::default(), &()).await;
        let text = match outcome {
            Ok(catalogue) => format!("{} entries", catalogue.entries.len()),
            Err(error) => server.clean(&tell(&error)),
        };
        // How many hours are left of the year 5138 changes.
        let text = text
            .split(' ')
            .map(|word| {
                if word.len() > 5 && word.parse::<u64>().is_ok() {
                    "N"
                } else {
                    word
                }
            })
            .collect::<Vec<_>>()
            .join(" ");
        said.push(format!("# {what}: {} requests\n{text}", server.log().len()));
    }
    insta::assert_snapshot!(said.join("\n"));
}
