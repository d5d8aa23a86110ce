//! Images: sent once, whole, and never left half.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use windlass_cloud::images::{self, Filter, Guest, Upload, Uploaded};
use windlass_cloud::{Error, Session};

use crate::lab::{self, Listener};
use crate::way;

/// A disk whose bytes nobody has.
fn disk(path: &Path, bytes: usize) {
    let seed = lab::new_id().into_bytes();
    let content: Vec<u8> = seed.iter().copied().cycle().take(bytes).collect();
    std::fs::write(path, content).unwrap();
}

fn raw(path: &Path, name: &str) -> Upload {
    Upload {
        path: path.to_path_buf(),
        name: name.to_owned(),
        disk_format: "raw".to_owned(),
        min_disk_gib: 1,
        min_ram_mib: 64,
        visibility: None,
        tags: vec!["tagged".to_owned()],
        properties: images::for_guest(Guest::Osv),
    }
}

async fn named(session: &Session, name: &str) -> Vec<images::Image> {
    let filter = Filter {
        name: Some(name.to_owned()),
        ..Filter::default()
    };
    images::list(session, &filter).await.unwrap()
}

#[tokio::test]
async fn the_same_bytes_are_sent_once_and_come_back() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (path, name) = (folder.path().join("disk.raw"), lab::unique("once"));
    disk(&path, 5 << 20);
    let listener = Listener::default();
    let sent = images::upload(&session, &raw(&path, &name), &listener)
        .await
        .unwrap();
    let Uploaded::Sent(image) = sent else {
        panic!("{sent:?}")
    };
    assert!(listener.intents.lock().unwrap().is_empty());
    assert_eq!(*listener.furthest.lock().unwrap(), 5 << 20);
    assert_eq!(
        (
            image.status.as_str(),
            image.visibility.as_str(),
            image.min_disk,
            image.min_ram
        ),
        ("active", "private", 1, 64)
    );
    assert!(image.is_ours() && image.tags.iter().any(|it| it == "tagged"));
    assert_eq!(image.property("hw_machine_type"), Some("pc"));

    // Under another name: the same image, with the properties put right.
    let mut again = raw(&path, &lab::unique("twice"));
    again.properties = images::for_guest(Guest::Linux);
    let there = images::upload(&session, &again, &Listener::default())
        .await
        .unwrap();
    let Uploaded::There(changed) = there else {
        panic!("{there:?}")
    };
    assert_eq!(changed.id, image.id);
    assert_eq!(changed.property("windlass_guest"), Some("linux"));
    // In another format it is another image.
    again.disk_format = "iso".to_owned();
    let other = images::upload(&session, &again, &Listener::default())
        .await
        .unwrap();
    assert_ne!(other.image().id, image.id);

    let back = folder.path().join("back.raw");
    images::download(&session, &changed, &back, &Listener::default())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&path).unwrap());
    let error = images::download(&session, &changed, &back, &Listener::default())
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("is there already"), "{error}");

    let visible = BTreeMap::from([
        ("visibility".to_owned(), json!("community")),
        ("tags".to_owned(), json!(["x", "windlass"])),
    ]);
    let changed = images::change(&session, &changed, &visible).await.unwrap();
    assert_eq!(changed.visibility, "community");
    assert_eq!(images::find(&session, &name).await.unwrap().id, image.id);
    images::delete(&session, &image.id).await.unwrap();
    images::delete(&session, &image.id).await.unwrap();
    images::delete(&session, &other.image().id).await.unwrap();
    let gone = images::find(&session, &image.id).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
}

#[tokio::test]
async fn a_cancelled_upload_leaves_nothing() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (path, name) = (folder.path().join("disk.raw"), lab::unique("cancelled"));
    disk(&path, 64 << 20);
    let listener = Listener {
        cancel_at: Some(8 << 20),
        ..Listener::default()
    };
    let error = images::upload(&session, &raw(&path, &name), &listener)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(listener.intents.lock().unwrap().is_empty());
    assert!(named(&session, &name).await.is_empty());
}

#[tokio::test]
async fn a_cut_upload_is_begun_again_and_given_up_without_a_trace() {
    let Some(cloud) = lab::cloud("lab-demo") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    disk(&path, 8 << 20);
    let keystone = way::address(&cloud.profile.auth_url);
    let glance = format!("127.0.0.1:{}", keystone.port() + 4292)
        .parse()
        .unwrap();
    for (cuts, arrives) in [(1, true), (9, false)] {
        let name = lab::unique("cut");
        let (address, count) = way::cutting(glance, 2 << 20, cuts).await;
        let mut profile = cloud.profile.clone();
        profile.other.insert(
            "image_endpoint_override".to_owned(),
            json!(format!("http://{address}")),
        );
        let session = Session::connect(&profile, &cloud.secrets).await.unwrap();
        let listener = Listener::default();
        let outcome = images::upload(&session, &raw(&path, &name), &listener).await;
        let left = named(&session, &name).await;
        assert!(listener.intents.lock().unwrap().is_empty());
        let cut = count.load(std::sync::atomic::Ordering::SeqCst);
        if arrives {
            assert_eq!(cut, 1);
            let image = outcome.unwrap().image().clone();
            assert_eq!(left.len(), 1);
            images::delete(&session, &image.id).await.unwrap();
        } else {
            assert_eq!(cut, 3, "it is begun three times");
            assert!(outcome.unwrap_err().is_passing());
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

#[tokio::test]
async fn refusals_are_in_glances_words() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    disk(&path, 1 << 10);
    let mut upload = raw(&path, &lab::unique("public"));
    upload.visibility = Some("public".to_owned());
    let error = images::upload(&session, &upload, &Listener::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 403, .. }),
        "{error:?}"
    );
    upload.visibility = None;
    upload.disk_format = "floppy".to_owned();
    let error = images::upload(&session, &upload, &Listener::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("floppy"), "{error}");
}
