//! Packages to and from a real OCI registry, through bad weather.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use windlass_registry::{Control, Error, Sha256};

use crate::oci::{anyone, fetch, list, publication, publish};
use crate::oci_server::{Deed, DockerRegistry, Weather, clean};
use crate::support::{content, names, reply, tell};

/// Larger than what is sent at once, so that it goes in parts.
const LARGE: usize = 20 << 20;

/// What may happen to each request of a kind, by how many there were before.
type Weathers = Vec<(&'static str, Box<dyn Fn(usize) -> Deed + Send + Sync>)>;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_package_goes_in_parts_and_on_where_it_was_cut() {
    let server = DockerRegistry::open_to_all();
    let weather = Weather::before(&server.url, |asked, before| {
        match (asked.method.as_str(), before) {
            ("PATCH", 1) => Deed::CutRequest(3_000_000),
            // The server has it all, and we do not hear of it.
            ("PATCH", 3) => Deed::Silence,
            _ => Deed::Pass,
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(LARGE);
    let package = publication(folder.path(), "1.0", &bytes);
    let seen = Mutex::new(Vec::new());
    let progress = |done: u64, total: Option<u64>| seen.lock().unwrap().push((done, total));
    let registry = anyone(&weather.url);
    let published = registry
        .publish(&package, &Control::default(), &progress)
        .await;
    published.unwrap_or_else(|error| panic!("{}\n{}", tell(&error), weather.asked().join("\n")));
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.last(), Some(&(LARGE as u64, Some(LARGE as u64))));
    assert!(seen.len() > 2, "{seen:?}");
    let entries = list(&anyone(&server.url)).await.unwrap();
    let fetched = fetch(&registry, &entries[0], folder.path()).await.unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), bytes);
    // Once more is no upload at all.
    let uploads = weather
        .asked()
        .iter()
        .filter(|asked| asked.starts_with("POST"))
        .count();
    publish(&registry, &package).await.unwrap();
    assert_eq!(
        weather
            .asked()
            .iter()
            .filter(|asked| asked.starts_with("POST"))
            .count(),
        uploads
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_no_parts_gets_the_package_whole() {
    let server = DockerRegistry::open_to_all();
    let weather = Weather::before(&server.url, |asked, _| match asked.method.as_str() {
        "PATCH" => Deed::Answer(reply(405, &[], "")),
        _ => Deed::Pass,
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let package = publication(folder.path(), "1.0", &content(LARGE));
    publish(&anyone(&weather.url), &package).await.unwrap();
    assert_eq!(list(&anyone(&server.url)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_cancelled_was_never_there() {
    let server = DockerRegistry::open_to_all();
    let folder = tempfile::tempdir().unwrap();
    let package = publication(folder.path(), "1.0", &content(LARGE));
    let weather = Weather::before(&server.url, |_, _| Deed::Pass).await;
    let control = Control::default();
    let ending = control.clone();
    let progress = move |done: u64, _: Option<u64>| {
        if done > 0 {
            ending.cancel();
        }
    };
    let registry = anyone(&weather.url);
    let error = registry
        .publish(&package, &control, &progress)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    assert_eq!(list(&anyone(&server.url)).await.unwrap(), []);
    // The upload was taken back.
    assert!(
        weather
            .asked()
            .iter()
            .any(|asked| asked.starts_with("DELETE"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_weather_is_waited_for_or_told_and_nothing_wrong_comes_through() {
    let server = DockerRegistry::open_to_all();
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(3_000_000);
    let package = publication(folder.path(), "1.0", &bytes);
    publish(&anyone(&server.url), &package).await.unwrap();
    let entry = list(&anyone(&server.url)).await.unwrap().remove(0);
    let ours = Sha256::of(&bytes).to_string();

    let weathers = || -> Weathers {
        let answer = |status: u16, body: &'static str| {
            move |_: usize| {
                Deed::Answer(reply(status, &[("content-type", "application/json")], body))
            }
        };
        vec![
            (
                "cut once",
                Box::new(|before| {
                    if before == 0 {
                        Deed::CutAnswer(100)
                    } else {
                        Deed::Pass
                    }
                }),
            ),
            ("cut each time", Box::new(|_| Deed::CutAnswer(100))),
            ("other bytes", Box::new(|_| Deed::Spoil)),
            ("401", Box::new(answer(401, ""))),
            (
                "403",
                Box::new(answer(
                    403,
                    r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#,
                )),
            ),
            ("404", Box::new(answer(404, ""))),
            (
                "429 once",
                Box::new(|before| match before {
                    0 => Deed::Answer(reply(429, &[("retry-after", "0")], "")),
                    _ => Deed::Pass,
                }),
            ),
            (
                "429, for an hour",
                Box::new(|_| Deed::Answer(reply(429, &[("retry-after", "3600")], ""))),
            ),
            ("500", Box::new(answer(500, ""))),
        ]
    };
    let mut told = Vec::new();
    let outcome = |result: Result<String, Error>| result.unwrap_or_else(|error| tell(&error));
    for (what, deed) in weathers() {
        let ours = ours.clone();
        let count = AtomicUsize::new(0);
        let weather = Weather::before(&server.url, move |asked, _| {
            if asked.method == "GET" && asked.path.contains(&ours) {
                deed(count.fetch_add(1, Ordering::Relaxed))
            } else {
                Deed::Pass
            }
        })
        .await;
        let into = tempfile::tempdir().unwrap();
        let got = fetch(&anyone(&weather.url), &entry, into.path()).await;
        if let Ok(fetched) = &got {
            assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes);
        }
        let left = names(&into.path().join("files"));
        let line =
            outcome(got.map(|_| "fetched".to_owned())).replace(&weather.url, "http://server");
        told.push(format!("fetch, {what}: {line}\n   in the folder: {left}"));
    }
    for (major, method) in ["HEAD", "POST", "PUT"].into_iter().enumerate() {
        for (number, (what, deed)) in weathers().into_iter().enumerate() {
            let plain = matches!(what, "cut once" | "cut each time" | "other bytes" | "404");
            if (method == "HEAD" && plain) || (method == "POST" && what == "other bytes") {
                continue;
            }
            let version = format!("{}.{number}", major + 2);
            let count = AtomicUsize::new(0);
            let weather = Weather::before(&server.url, move |asked, _| {
                if asked.method != method {
                    return Deed::Pass;
                }
                match deed(count.fetch_add(1, Ordering::Relaxed)) {
                    Deed::CutAnswer(_) => Deed::CutRequest(0),
                    Deed::Spoil => Deed::SpoilRequest,
                    deed => deed,
                }
            })
            .await;
            let fresh = format!("{method} {what}");
            let package = publication(folder.path(), &version, fresh.as_bytes());
            let done = publish(&anyone(&weather.url), &package).await;
            let entries = list(&anyone(&server.url)).await.unwrap();
            let there = entries
                .iter()
                .any(|entry| entry.version.as_ref() == Some(&version));
            let line = outcome(done.map(|_| "published".to_owned()));
            let line = line.replace(&weather.url, "http://server");
            told.push(format!("{method}, {what}: {line}\n   there: {there}"));
        }
    }
    let told = clean(&told.join("\n"));
    insta::assert_snapshot!("bad_weather", told);
}
