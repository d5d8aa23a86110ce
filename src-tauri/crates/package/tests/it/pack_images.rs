//! OCI images, flattened: made here as their makers would, and as an attacker would.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::{Builder, EntryType, Header};
use windlass_guest::GuestOs;
use windlass_package::pack::{self, Kind, PackOptions, PackSource, Plan};

use crate::pack_plans::show;

/// One entry of a layer: a folder ends with `/`, a link has an arrow, a second name an equals sign.
fn layer(entries: &[&str]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(0);
        let (path, kind, target) = if let Some((path, target)) = entry.split_once(" -> ") {
            (path, EntryType::Symlink, Some(target))
        } else if let Some((path, target)) = entry.split_once(" = ") {
            (path, EntryType::Link, Some(target))
        } else if entry.ends_with('/') {
            (*entry, EntryType::Directory, None)
        } else {
            (*entry, EntryType::Regular, None)
        };
        header.set_entry_type(kind);
        // Not by the builder, which refuses what an attacker writes.
        let name = path.as_bytes();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        if let Some(target) = target {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        let content = if kind == EntryType::Regular { path } else { "" };
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn config() -> serde_json::Value {
    json!({"os": "linux", "architecture": "amd64", "config": {
        "Env": ["PATH=/bin:/app", "MODE=a b"], "Entrypoint": ["serve"], "Cmd": ["--port", "80"],
        "WorkingDir": "/app", "User": "nobody"}})
}

/// Writes an image layout; blobs are named by their number, which nobody verifies here.
fn layout(folder: &Path, layers: &[Vec<u8>]) -> PathBuf {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(folder.join("oci-layout"), "{}").unwrap();
    let mut listed = Vec::new();
    for (at, bytes) in layers.iter().enumerate() {
        fs::write(blobs.join(format!("a{at}")), bytes).unwrap();
        listed.push(json!({"digest": format!("sha256:a{at}"), "mediaType": "layer", "size": 0}));
    }
    fs::write(blobs.join("c0"), config().to_string()).unwrap();
    let manifest = json!({"config": {"digest": "sha256:c0"}, "layers": listed});
    fs::write(blobs.join("b0"), manifest.to_string()).unwrap();
    let index = json!({"manifests": [
        {"digest": "sha256:ff", "platform": {"os": "linux", "architecture": "s390x"}},
        {"digest": "sha256:b0", "mediaType": "application/vnd.oci.image.manifest.v1+json",
         "platform": {"os": "linux", "architecture": "amd64"}, "annotations": {"io.containerd.image.name": "example.org/team/shop:1.2"}},
    ]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    folder.to_path_buf()
}

fn plan(path: &Path) -> Result<Plan, windlass_package::Error> {
    let source = PackSource::OciLayout(path.to_path_buf());
    pack::plan(&source, &PackOptions::new(GuestOs::Linux), &mut ())
}

fn layers() -> Vec<Vec<u8>> {
    let base = layer(&[
        "usr/",
        "usr/bin/",
        "bin -> usr/bin",
        "usr/bin/sh",
        "usr/bin/old",
        "etc/",
        "etc/a",
        "etc/b",
        "cache/",
        "cache/x",
    ]);
    let middle = layer(&[
        "bin/serve",
        "bin/again = bin/serve",
        "usr/bin/.wh.old",
        "etc/c",
        "dev/null",
    ]);
    let top = layer(&["cache/new", "cache/.wh..wh..opq", ".wh.etc", "etc/d"]);
    vec![gzip(&base), zstd::encode_all(&*middle, 0).unwrap(), top]
}

#[test]
fn layers_are_flattened_with_their_whiteouts() {
    let folder = tempfile::tempdir().unwrap();
    let image = layout(&folder.path().join("image"), &layers());
    assert_eq!(pack::kinds(&image), [Kind::Oci, Kind::Folder]);
    let made = plan(&image).unwrap();
    assert_eq!(made.name, "shop");
    insta::assert_snapshot!(show(&made, folder.path()));
    let packed = pack::make(&made, &folder.path().join("packed"), &mut ()).unwrap();
    assert_eq!(
        fs::read_to_string(packed.root.join("usr/bin/again")).unwrap(),
        "bin/serve"
    );

    // The same as one file, and as `docker save` writes it.
    let tar = folder.path().join("image.tar");
    let mut builder = Builder::new(File::create(&tar).unwrap());
    builder.append_dir_all(".", &image).unwrap();
    builder.finish().unwrap();
    assert_eq!(pack::kinds(&tar), [Kind::Oci, Kind::Archive]);
    let from_tar = plan(&tar).unwrap();
    assert_eq!(show(&from_tar, folder.path()), show(&made, folder.path()));

    let saved = folder.path().join("saved");
    fs::create_dir(&saved).unwrap();
    let names: Vec<String> = (0..3).map(|at| format!("{at}.tar")).collect();
    for (name, bytes) in names.iter().zip(layers()) {
        fs::write(saved.join(name), bytes).unwrap();
    }
    fs::write(saved.join("config.json"), config().to_string()).unwrap();
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["team/shop:latest"], "Layers": names}]);
    fs::write(saved.join("manifest.json"), manifest.to_string()).unwrap();
    assert_eq!(
        show(&plan(&saved).unwrap(), folder.path()),
        show(&made, folder.path())
    );
}

#[test]
fn hostile_layers_write_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let link = format!("out -> {}", outside.display());
    let cases: [(&str, Vec<&str>); 6] = [
        ("climbs", vec!["../escaped"]),
        ("through-a-link", vec![&link, "out/escaped"]),
        ("links-in-a-circle", vec!["a -> b", "b -> a", "a/x"]),
        ("second-name-of-nothing", vec!["x = /etc/passwd"]),
        ("whiteout-of-all", vec!["x", ".wh...", ".wh..", ".wh."]),
        ("file-as-folder", vec!["x", "x/y"]),
    ];
    let mut told = String::new();
    for (name, entries) in cases {
        let image = layout(&folder.path().join(name), &[layer(&entries)]);
        let into = folder.path().join(format!("{name}-made"));
        let said = match plan(&image).and_then(|plan| pack::make(&plan, &into, &mut ())) {
            Ok(packed) => format!("{} files", packed.file_count),
            Err(error) => error.to_string(),
        };
        writeln!(told, "{name}: {said}").unwrap();
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    insta::assert_snapshot!(told);
}

#[test]
fn an_image_that_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = layout(
        folder.path(),
        &[b"no tar at all, and long enough to be read as one".repeat(40)],
    );
    let mut told = String::new();
    let mut tell = |what: &str| {
        let error = plan(&image).map(|_| ()).unwrap_err();
        let error = error
            .to_string()
            .replace(&folder.path().display().to_string(), "…");
        writeln!(told, "{what}: {error}").unwrap();
    };
    tell("a layer that is no tar");
    fs::write(
        image.join("blobs/sha256/b0"),
        r#"{"config": {"digest": "../../etc"}, "layers": []}"#,
    )
    .unwrap();
    tell("a digest that is a path");
    fs::remove_file(image.join("blobs/sha256/b0")).unwrap();
    tell("a part that is not there");
    fs::write(image.join("index.json"), "[").unwrap();
    tell("an index that is no JSON");
    insta::assert_snapshot!(told);
}
