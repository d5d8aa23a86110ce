//! Container images of a real registry, packed by their names.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use windlass_registry::Sha256;
use windlass_workshop::error::ErrorKind;
use windlass_workshop::guests::GuestOs;
use windlass_workshop::packing::{PackKind, PackOptions, PackSource};
use windlass_workshop::registries::{CredentialsForm, RegistryForm, RegistryKind};

use crate::place::{Place, finish};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The only user of the registry, and the password.
const USER: (&str, &str) = ("windlass", "correct horse");
/// The same for the server: bcrypt.
const HTPASSWD: &str = "windlass:$2b$04$.r3VNEBMUEZ0sGvvXgwg1.chdsNQil.c9Xq2AJpBXnM9siF0NbOoG\n";
/// The same in a request.
const AUTHORIZATION: &str = "Basic d2luZGxhc3M6Y29ycmVjdCBob3JzZQ==";

/// The registry of the distribution's package `docker-registry`, until it is dropped.
struct Registry {
    address: String,
    child: Child,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    fn start(place: &Place) -> Self {
        let unpacked = std::env::var_os("WINDLASS_TEST_OCI_REGISTRY").map(PathBuf::from);
        let program = unpacked.unwrap_or_else(|| "/usr/bin/docker-registry".into());
        assert!(
            program.is_file(),
            "{} is not there: ./dev test unpacks it; without ./dev, name it in WINDLASS_TEST_OCI_REGISTRY",
            program.display()
        );
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\nauth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            place.path("registry-data").display(),
            place.write("htpasswd", HTPASSWD.as_bytes()).display()
        );
        let mut child = Command::new(program)
            .arg("serve")
            .arg(place.write("registry.yml", config.as_bytes()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = loop {
            let line = said.next().unwrap().unwrap();
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let digits = rest.find(|sign: char| !sign.is_ascii_digit());
                break rest[..digits.unwrap_or(rest.len())].to_owned();
            }
        };
        // Its log is read to the end, or it would stop when the pipe is full.
        std::thread::spawn(move || said.for_each(drop));
        Self {
            address: format!("127.0.0.1:{port}"),
            child,
        }
    }

    /// The head of the answer.
    fn ask(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: {AUTHORIZATION}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 20"),
            "{method} {path}: {answer}"
        );
        answer
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        let begun = self.ask("POST", "/v2/team/app/blobs/uploads/", media_type, b"");
        let place = begun
            .lines()
            .find_map(|line| line.strip_prefix("Location: "))
            .unwrap();
        let place = place.split_once(&self.address).map_or(place, |it| it.1);
        let digest = format!("sha256:{}", Sha256::of(bytes));
        let end = format!("{place}&digest={digest}");
        self.ask("PUT", &end, "application/octet-stream", bytes);
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Publishes an image of one layer with a program in it.
    fn publish(&self, place: &Place) {
        place.write("root/app", b"#!/bin/sh\necho hello\n");
        let tar = Command::new("tar")
            .args(["--mode=755", "-cf", "-", "-C"])
            .arg(place.path("root"))
            .arg("app")
            .output()
            .unwrap();
        let config = serde_json::json!({
            "os": "linux", "architecture": "amd64", "config": {"Cmd": ["/app"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", Sha256::of(&tar.stdout))]},
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(CONFIG, config.to_string().as_bytes()),
            "layers": [self.blob(LAYER, &tar.stdout)],
        });
        let text = manifest.to_string();
        self.ask(
            "PUT",
            "/v2/team/app/manifests/1.4",
            MANIFEST,
            text.as_bytes(),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_packed_by_its_name() {
    let place = Place::new();
    let workshop = place.open().await;
    let registry = Registry::start(&place);
    registry.publish(&place);
    let source = |tag: &str| PackSource {
        kind: PackKind::Oci,
        value: format!("docker:{}/team/app:{tag}", registry.address),
        guest: GuestOs::Linux,
    };
    let refused = workshop.pack_preview(source("1.4"), PackOptions::default());
    let error = refused.await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");

    let passphrase = "a passphrase".to_owned();
    workshop.unlock_secrets(passphrase).await.unwrap();
    let form = RegistryForm {
        name: "team".to_owned(),
        kind: RegistryKind::Oci,
        url: format!("http://{}/elsewhere", registry.address),
        prefix: None,
        ca_file: None,
        proxy: Some("none".to_owned()),
        minisign_key: None,
        credentials: CredentialsForm::Basic {
            user: USER.0.to_owned(),
            password: USER.1.to_owned(),
        },
    };
    workshop.add_registry(form).await.unwrap();
    let preview = workshop
        .pack_preview(source("1.4"), PackOptions::default())
        .await
        .unwrap();
    assert_eq!(preview.name, "app");
    assert_eq!(preview.version.as_deref(), Some("1.4"));
    assert!(preview.files.iter().any(|file| file.guest == "/app"));
    assert!(preview.run_yaml.as_deref().unwrap().contains("/app"));

    let job = workshop
        .start_pack(
            &source("1.4"),
            PackOptions::default(),
            preview.package_yaml,
            preview.run_yaml,
        )
        .unwrap();
    assert_eq!(finish(&workshop, &job).await.unwrap(), "app");
    let packages = workshop.packages().unwrap();
    assert_eq!(packages[0].version.as_deref(), Some("1.4"));
    let downloads: Vec<_> = std::fs::read_dir(workshop.home().root().join("downloads"))
        .unwrap()
        .collect();
    assert!(downloads.is_empty(), "what was fetched is in the package");

    let error = workshop
        .pack_preview(source("none"), PackOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(!error.hints.is_empty());
    let error = workshop
        .start_fetch_image(&PackSource {
            value: "What is this?".to_owned(),
            ..source("1.4")
        })
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(error.hints[0].contains("debian:12"), "{error:?}");
}
