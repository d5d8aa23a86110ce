//! Container images from a real registry, into folders to be packed from.

use std::path::Path;

use reqwest::Client;
use serde_json::{Value, json};
use windlass_registry::oci::{FetchedImage, ImageAccess, ImageReference, fetch_image};
use windlass_registry::{Control, Error, Sha256};

use crate::oci_server::{Deed, DockerRegistry, Weather, clean};
use crate::support::{content, limits, names, reply, tell};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a builder of images does.
struct Builder {
    http: Client,
    url: String,
}

impl Builder {
    fn at(server: &DockerRegistry) -> Self {
        let http = Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v2/team/app", server.url);
        Self { http, url }
    }

    async fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let begun = self
            .http
            .post(format!("{}/blobs/uploads/", self.url))
            .send()
            .await
            .unwrap();
        let place = begun.headers()["location"].to_str().unwrap();
        let digest = format!("sha256:{}", Sha256::of(bytes));
        let put = self
            .http
            .put(format!("{place}&digest={digest}"))
            .body(bytes.to_vec());
        assert_eq!(put.send().await.unwrap().status(), 201);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    async fn manifest(&self, tag: &str, media_type: &str, manifest: &Value) -> Value {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = format!("sha256:{}", Sha256::of(&bytes));
        let tag = if tag.is_empty() { &digest } else { tag };
        let put = self.http.put(format!("{}/manifests/{tag}", self.url));
        let put = put.header("content-type", media_type).body(bytes.clone());
        assert_eq!(put.send().await.unwrap().status(), 201);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// An image of these layers, for one platform.
    async fn image(&self, tag: &str, architecture: &str, layers: &[(&str, &[u8])]) -> Value {
        let config =
            json!({"os": "linux", "architecture": architecture, "config": {"Cmd": ["/app"]}});
        let config = self
            .blob(CONFIG, &serde_json::to_vec(&config).unwrap())
            .await;
        let mut all = Vec::new();
        for (media_type, bytes) in layers {
            all.push(self.blob(media_type, bytes).await);
        }
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": all});
        self.manifest(tag, MANIFEST, &manifest).await
    }
}

/// An image of two layers for two platforms, and a proof of something.
async fn publish(server: &DockerRegistry) -> (Vec<u8>, Vec<u8>) {
    let builder = Builder::at(server);
    let (zstd, gzip) = (content(2_000_000), content(300_000));
    let layers: [(&str, &[u8]); 3] = [
        ("application/vnd.oci.image.layer.v1.tar+zstd", &zstd),
        ("application/vnd.oci.image.layer.v1.tar+gzip", &gzip),
        ("application/vnd.oci.image.layer.v1.tar+zstd", &zstd),
    ];
    let mut arm = builder.image("arm", "arm64", &layers[1..2]).await;
    let mut amd = builder.image("", "amd64", &layers).await;
    arm["platform"] = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    amd["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [arm, amd]});
    builder.manifest("1", INDEX, &index).await;
    (zstd, gzip)
}

async fn fetch(url: &str, tag: &str, layout: &Path) -> Result<FetchedImage, Error> {
    let host = url.strip_prefix("http://").unwrap();
    let reference = ImageReference::parse(&format!("{host}/team/app:{tag}")).unwrap();
    let access = ImageAccess {
        proxy: Some("none".to_owned()),
        limits: limits(),
        ..ImageAccess::default()
    };
    let layout = layout.to_path_buf();
    // It has to be fit for a task of its own.
    let fetching = tokio::spawn(async move {
        fetch_image(&reference, access, &layout, &Control::default(), &()).await
    });
    fetching.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_becomes_a_layout_of_the_one_platform() {
    let server = DockerRegistry::open_to_all();
    let (zstd, gzip) = publish(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let weather = Weather::before(&server.url, |_, _| Deed::Pass).await;
    let image = fetch(&weather.url, "1", folder.path()).await.unwrap();
    let read: Vec<_> = image
        .layers
        .iter()
        .map(|layer| std::fs::read(layer).unwrap())
        .collect();
    assert!(
        read == [zstd.clone(), gzip, zstd],
        "layers are as they are, in order, also one that is there twice"
    );
    let index: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("index.json")).unwrap()).unwrap();
    let only = &index["manifests"][0];
    assert_eq!(only["digest"], format!("sha256:{}", image.manifest));
    assert_eq!(only["mediaType"], MANIFEST);
    let manifest = std::fs::read(
        folder
            .path()
            .join("blobs/sha256")
            .join(image.manifest.to_string()),
    );
    let manifest = manifest.unwrap();
    assert_eq!(Sha256::of(&manifest), image.manifest);
    assert_eq!(only["size"], manifest.len());
    let layout = std::fs::read_to_string(folder.path().join("oci-layout")).unwrap();
    assert_eq!(layout, r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_eq!(
        names(&folder.path().join("blobs/sha256"))
            .split(' ')
            .count(),
        4
    );

    // What is there is not fetched again; by its digest the same is had for ever.
    let before = weather.asked().len();
    let host = weather.url.strip_prefix("http://").unwrap();
    let name = format!("{host}/team/app@sha256:{}", image.manifest);
    let reference = ImageReference::parse(&name).unwrap();
    let access = ImageAccess {
        proxy: Some("none".to_owned()),
        ..ImageAccess::default()
    };
    let again = fetch_image(&reference, access, folder.path(), &Control::default(), &()).await;
    assert_eq!(again.unwrap(), image);
    assert_eq!(
        weather.asked().len() - before,
        2,
        "the manifest and the configuration"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_image_is_named_whose_parts_are_not_what_they_should_be() {
    let server = DockerRegistry::open_to_all();
    let (zstd, gzip) = publish(&server).await;
    let builder = Builder::at(&server);
    builder.image("single", "arm64", &[("layer", &gzip)]).await;
    let artifact = builder.blob("application/x", b"what is this").await;
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": artifact, "layers": []});
    builder.manifest("artifact", MANIFEST, &manifest).await;

    let large = Sha256::of(&zstd).to_string();
    let mut told = Vec::new();
    for (what, tag) in [
        ("a layer is cut once", "1"),
        ("a layer has other bytes", "1"),
        ("a layer is gone", "1"),
        ("the manifest has other bytes", "1"),
        ("the registry wants a login", "1"),
        ("it is for another computer", "single"),
        ("it is no image", "artifact"),
        ("it is not there", "2"),
    ] {
        let large = large.clone();
        let count = std::sync::atomic::AtomicUsize::new(0);
        let weather = Weather::before(&server.url, move |asked, _| {
            let layer = asked.path.contains(&large);
            let first = || count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            match what {
                "a layer is cut once" if layer && first() => Deed::CutAnswer(1_500_000),
                "a layer has other bytes" if layer => Deed::Spoil,
                "a layer is gone" if layer => Deed::Answer(reply(404, &[], "")),
                "the manifest has other bytes" if asked.path.contains("/manifests/sha256:") => {
                    Deed::Spoil
                }
                "the registry wants a login" => Deed::Answer(reply(401, &[], "")),
                _ => Deed::Pass,
            }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let outcome = match fetch(&weather.url, tag, folder.path()).await {
            Ok(image) => {
                assert!(std::fs::read(&image.layers[0]).unwrap() == zstd);
                "fetched".to_owned()
            }
            Err(error) => tell(&error),
        };
        let named = folder.path().join("index.json").exists();
        let host = weather.url.strip_prefix("http://").unwrap();
        told.push(format!("{what}: {outcome}\n   named: {named}").replace(host, "server"));
    }
    insta::assert_snapshot!("images", clean(&told.join("\n")));
}
