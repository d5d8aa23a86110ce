//! Bills of materials: what the schemas of SPDX 2.3 and `CycloneDX` 1.6 ask for, that they are the same each time, and what
//! they say.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use windlass_compose::sbom::{
    SbomFile, SbomInput, SbomKind, SbomPackage, debian_packages, files_in, write,
};
use windlass_image::rofs::{self, Rofs};
use windlass_image::{GuestPath, Node, Tree, Unwatched};

fn input() -> SbomInput {
    let package = |name: &str| SbomPackage {
        name: name.to_owned(),
        ..SbomPackage::default()
    };
    let file = |path: &str, package: Option<&str>, digit: &str| SbomFile {
        path: path.to_owned(),
        package: package.map(str::to_owned),
        sha1: digit.repeat(40),
        sha256: digit.repeat(64),
    };
    SbomInput {
        name: "my appliance".to_owned(),
        version: Some("1.2.0".to_owned()),
        license: Some("MIT OR Apache-2.0".to_owned()),
        created_seconds: 1_704_067_200,
        image_blake3: Some("a".repeat(64)),
        packages: vec![
            SbomPackage {
                version: Some("20.11.0".to_owned()),
                license: Some("whatever we say".to_owned()),
                origin: Some("https://registry.example/node".to_owned()),
                sha256: Some("b".repeat(64)),
                ..package("node")
            },
            SbomPackage {
                origin: Some("a folder of this computer".to_owned()),
                license: Some("whatever we say".to_owned()),
                ..package("tools")
            },
            SbomPackage {
                version: Some("1:1.2.13.dfsg-1".to_owned()),
                purl: Some("pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?arch=amd64".to_owned()),
                part_of: Some("node".to_owned()),
                ..package("zlib1g")
            },
        ],
        files: vec![
            file("/bin/node", Some("node"), "1"),
            file("/app/\"ü\".js", None, "0"),
        ],
    }
}

fn bytes(kind: SbomKind, input: &SbomInput) -> Vec<u8> {
    let mut out = Vec::new();
    write(kind, input, &mut out).unwrap();
    out
}

fn document(kind: SbomKind) -> Value {
    serde_json::from_slice(&bytes(kind, &input())).unwrap()
}

#[test]
fn the_same_input_gives_the_same_bytes_and_another_one_another_number() {
    for kind in [SbomKind::Spdx, SbomKind::CycloneDx] {
        let one = bytes(kind, &input());
        assert_eq!(one, bytes(kind, &input()));
        let mut other = input();
        other.files[0].sha1 = "2".repeat(40);
        let number = |bytes: &[u8]| {
            let document: Value = serde_json::from_slice(bytes).unwrap();
            let number = ["documentNamespace", "serialNumber"].map(|name| document[name].clone());
            format!("{number:?}")
        };
        assert_ne!(number(&one), number(&bytes(kind, &other)));
        // Nothing in it is a document, too.
        let empty: Value = serde_json::from_slice(&bytes(kind, &SbomInput::default())).unwrap();
        assert!(empty.is_object());
    }
}

#[test]
fn spdx_has_what_its_schema_asks_for() {
    let document = document(SbomKind::Spdx);
    for field in [
        "SPDXID",
        "creationInfo",
        "dataLicense",
        "name",
        "spdxVersion",
        "documentNamespace",
    ] {
        assert!(!document[field].is_null(), "{field}");
    }
    let items = |name: &str| document[name].as_array().unwrap().clone();
    let mut ids: HashSet<String> = HashSet::from(["SPDXRef-DOCUMENT".to_owned()]);
    for item in items("packages").iter().chain(&items("files")) {
        let id = item["SPDXID"].as_str().unwrap().to_owned();
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        assert!(id.starts_with("SPDXRef-") && id.chars().all(is_plain));
        assert!(ids.insert(id));
        for checksum in item["checksums"].as_array().unwrap_or(&Vec::new()) {
            assert!(checksum["algorithm"].is_string() && checksum["checksumValue"].is_string());
        }
    }
    for package in items("packages") {
        assert!(package["name"].is_string() && package["downloadLocation"].is_string());
    }
    for file in items("files") {
        assert!(file["fileName"].as_str().unwrap().starts_with("./"));
        assert_eq!(file["checksums"][0]["algorithm"], "SHA1");
    }
    for relationship in items("relationships") {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            assert!(
                ids.contains(relationship[end].as_str().unwrap()),
                "{relationship}"
            );
        }
    }
    // `printf` of both SHA-1 digests, sorted, into sha1sum.
    let code = &document["packages"][0]["packageVerificationCode"]["packageVerificationCodeValue"];
    assert_eq!(code, "2a120d8d7143b4bbe25b22a9db9664e26dd83e76");
    insta::assert_snapshot!(
        "spdx",
        String::from_utf8(bytes(SbomKind::Spdx, &input())).unwrap()
    );
}

#[test]
fn cyclonedx_has_what_its_schema_asks_for() {
    let document = document(SbomKind::CycloneDx);
    assert_eq!(document["bomFormat"], "CycloneDX");
    assert_eq!(document["specVersion"], "1.6");
    let mut references = HashSet::from(["image".to_owned()]);
    for component in document["components"].as_array().unwrap() {
        assert!(component["name"].is_string());
        assert!(["library", "file"].contains(&component["type"].as_str().unwrap()));
        if let Some(reference) = component["bom-ref"].as_str() {
            assert!(references.insert(reference.to_owned()));
        }
        for hash in component["hashes"].as_array().unwrap_or(&Vec::new()) {
            let content = hash["content"].as_str().unwrap();
            assert!([40, 64].contains(&content.len()));
        }
    }
    for dependency in document["dependencies"].as_array().unwrap() {
        let on = dependency["dependsOn"].as_array().unwrap();
        for reference in on.iter().chain([&dependency["ref"]]) {
            assert!(references.contains(reference.as_str().unwrap()));
        }
    }
    insta::assert_snapshot!(
        "cyclonedx",
        String::from_utf8(bytes(SbomKind::CycloneDx, &input())).unwrap()
    );
}

#[test]
fn files_and_packages_are_gathered_from_an_image() {
    let mut tree = Tree::new();
    let mut put = |path: &str, text: &str| {
        let node = Node::bytes(text.as_bytes().to_vec(), 0o644);
        tree.insert(GuestPath::new(path).unwrap(), node).unwrap();
    };
    put("etc/os-release", "NAME=\"Ubuntu\"\nID=ubuntu\n");
    put(
        "var/lib/dpkg/status",
        "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.13+dfsg-1\nDescription: x\n more\n\n\
         Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\nPackage: half\n",
    );
    put(
        "var/lib/dpkg/status.d/base",
        "Package: base-files\nVersion: 12.4\n",
    );
    put("abc", "abc");
    let mut out = std::io::Cursor::new(Vec::new());
    rofs::write(&tree, &mut out, &mut Unwatched).unwrap();
    let file_system = Rofs::open(Arc::new(out.into_inner())).unwrap();
    let packages = debian_packages(&file_system, Some("base")).unwrap();
    let packages: Vec<&str> = packages
        .iter()
        .filter_map(|package| package.purl.as_deref())
        .collect();
    assert_eq!(
        packages,
        [
            "pkg:deb/ubuntu/base-files@12.4",
            "pkg:deb/ubuntu/zlib1g@1%3A1.2.13%2Bdfsg-1?arch=amd64",
        ]
    );
    let files = files_in(&file_system, None, &mut Unwatched).unwrap();
    assert_eq!(files.len(), 4);
    let abc = files.iter().find(|file| file.path == "/abc").unwrap();
    assert_eq!(abc.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(
        abc.sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}
