//! Manifests: what an artifact or image consists of.
//!
//! A package is an image manifest as <https://github.com/opencontainers/image-spec/blob/main/manifest.md> has artifacts:
//!
//! ```text
//! manifest   artifactType application/vnd.windlass.package.v1; title, version … as annotations
//! ├── config   the text of package.yaml
//! └── layers
//!     ├── NAME.mpm            as it is; its title annotation lets other tools save it under its name
//!     └── NAME.mpm.minisig    where it is signed
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// What a package is, as artifact.
pub(super) const PACKAGE: &str = "application/vnd.windlass.package.v1";
/// The text of a `package.yaml`.
pub(super) const PACKAGE_MANIFEST: &str = "application/vnd.windlass.package.manifest.v1+yaml";
/// An `.mpm`.
pub(super) const PACKAGE_ARCHIVE: &str = "application/vnd.windlass.package.archive.v1.tar+gzip";
/// A minisign signature.
pub(super) const SIGNATURE: &str = "application/vnd.windlass.minisign.v1";

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// All kinds of manifests that are understood, for the header `Accept`.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const CREATED: &str = "org.opencontainers.image.created";
const LICENSES: &str = "org.opencontainers.image.licenses";
/// The largest manifest, as the specification has it.
pub(super) const MANIFEST_MAX_BYTES: u64 = 4 << 20;
/// Layers, or manifests of an index: images have at most 127 layers.
const PARTS_MAX: usize = 1024;

/// A blob or manifest, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    #[serde(with = "prefixed")]
    pub(crate) digest: Sha256,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

/// A manifest of one artifact or image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A list of manifests, one for each platform.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// What a registry has under a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tagged {
    /// One artifact or image.
    Manifest(Box<Manifest>),
    /// One for each of several platforms.
    Index(Index),
}

/// Reads a manifest of any kind. `media_type` is what the server says it is; what it says itself goes before.
pub(crate) fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Tagged, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        schema_version: Option<u32>,
        media_type: Option<String>,
        layers: Option<serde::de::IgnoredAny>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let wrong = |error: serde_json::Error| format!("its manifest cannot be understood: {error}");
    let kind: Kind = serde_json::from_slice(bytes).map_err(wrong)?;
    if kind.schema_version != Some(2) {
        return Err("its manifest is of a kind that was given up years ago (schema 1)".to_owned());
    }
    let media_type = kind.media_type.as_deref().or(media_type);
    let media_type = media_type.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    let index = match media_type {
        Some(OCI_INDEX | DOCKER_LIST) => true,
        Some(OCI_MANIFEST | DOCKER_MANIFEST) => false,
        // One that is neither said nor known goes by what is in it; not by both, or two readers see two things.
        _ => match (kind.layers, kind.manifests) {
            (None, Some(_)) => true,
            (Some(_), None) => false,
            _ => return Err("its manifest is of a kind that is not known".to_owned()),
        },
    };
    let (tagged, parts) = if index {
        let index: Index = serde_json::from_slice(bytes).map_err(wrong)?;
        let parts = index.manifests.len();
        (Tagged::Index(index), parts)
    } else {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(wrong)?;
        let parts = manifest.layers.len();
        (Tagged::Manifest(Box::new(manifest)), parts)
    };
    if parts > PARTS_MAX {
        return Err(format!(
            "its manifest has {parts} parts, more than {PARTS_MAX}"
        ));
    }
    Ok(tagged)
}

impl Index {
    /// The image for Linux on x86-64, for as old a processor as there is one for.
    pub(crate) fn linux_amd64(&self) -> Option<&Descriptor> {
        let age = |platform: &Platform| platform.variant.clone().unwrap_or_default();
        self.manifests
            .iter()
            .filter_map(|descriptor| Some((descriptor, descriptor.platform.as_ref()?)))
            .filter(|(_, platform)| platform.os == "linux" && platform.architecture == "amd64")
            .min_by_key(|(_, platform)| age(platform))
            .map(|(descriptor, _)| descriptor)
    }

    /// The platforms that there are images for, in words.
    pub(crate) fn platforms(&self) -> String {
        let known = self
            .manifests
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref());
        let mut all: Vec<String> = known
            .filter(|platform| platform.os != "unknown")
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .take(20)
            .collect();
        all.sort();
        all.dedup();
        all.join(", ")
    }
}

/// What the manifest of a package is made from.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) manifest: &'a windlass_package::Manifest,
    /// Digest and bytes of `package.yaml`, of the archive, and of its signature.
    pub(crate) description: (Sha256, u64),
    pub(crate) archive: (Sha256, u64),
    pub(crate) signature: Option<(Sha256, u64)>,
}

impl Manifest {
    /// The manifest of a package.
    pub(crate) fn of_package(parts: &Parts<'_>) -> Self {
        let described = parts.manifest;
        let file = format!("{}.mpm", described.name);
        let layer = |media_type: &str, (digest, size): (Sha256, u64), title: String| Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::from([(TITLE.to_owned(), title)]),
            platform: None,
        };
        let mut layers = vec![layer(PACKAGE_ARCHIVE, parts.archive, file.clone())];
        if let Some(signature) = parts.signature {
            layers.push(layer(SIGNATURE, signature, format!("{file}.minisig")));
        }
        let said = [
            (TITLE, Some(&described.name)),
            (DESCRIPTION, Some(&described.title)),
            (VERSION, described.version.as_ref()),
            (CREATED, described.created.as_ref()),
            (LICENSES, described.license.as_ref()),
        ];
        Self {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            artifact_type: Some(PACKAGE.to_owned()),
            config: Descriptor {
                annotations: BTreeMap::new(),
                ..layer(PACKAGE_MANIFEST, parts.description, String::new())
            },
            layers,
            annotations: said
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?.clone())))
                .collect(),
        }
    }

    /// The archive, if this is a package: one of ours, or anyone's artifact with an `.mpm`.
    pub(crate) fn archive(&self) -> Option<&Descriptor> {
        self.layers.iter().find(|layer| {
            layer.media_type == PACKAGE_ARCHIVE
                || layer
                    .title()
                    .is_some_and(|title| title.strip_suffix(".mpm").is_some())
        })
    }

    /// The signature of the archive.
    pub(crate) fn signature(&self) -> Option<&Descriptor> {
        self.layers.iter().find(|layer| {
            layer.media_type == SIGNATURE
                || layer
                    .title()
                    .is_some_and(|title| title.ends_with(".mpm.minisig"))
        })
    }

    /// The `package.yaml`, where there is one.
    pub(crate) fn description(&self) -> Option<&Descriptor> {
        (self.config.media_type == PACKAGE_MANIFEST).then_some(&self.config)
    }

    /// The version that it says to be.
    pub(crate) fn version(&self) -> Option<&str> {
        self.annotations.get(VERSION).map(String::as_str)
    }
}

impl Descriptor {
    /// The file name that it says to have.
    pub(crate) fn title(&self) -> Option<&str> {
        self.annotations.get(TITLE).map(String::as_str)
    }
}

/// A digest as `sha256:…`, which is how all but we write it.
mod prefixed {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Sha256;

    pub(crate) fn serialize<S: Serializer>(
        digest: &Sha256,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("sha256:{digest}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Sha256, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("sha256:").ok_or_else(|| {
            serde::de::Error::custom("a digest is not SHA-256, which is all that is understood")
        })?;
        digits.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn package() -> Manifest {
        let text = "name: nginx\ntitle: nginx web server\nauthor: me\nversion: 1.2+3\n";
        let manifest = windlass_package::Manifest::parse(text, "package.yaml")
            .unwrap()
            .value;
        let of = |text: &str| (Sha256::of(text.as_bytes()), text.len() as u64);
        Manifest::of_package(&Parts {
            manifest: &manifest,
            description: of(text),
            archive: of("archive"),
            signature: Some(of("signature")),
        })
    }

    #[test]
    fn a_package_is_an_artifact_that_other_tools_understand() {
        let text = serde_json::to_string_pretty(&package()).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "schemaVersion": 2,
          "mediaType": "application/vnd.oci.image.manifest.v1+json",
          "artifactType": "application/vnd.windlass.package.v1",
          "config": {
            "mediaType": "application/vnd.windlass.package.manifest.v1+yaml",
            "digest": "sha256:e6feecafd3a1e6b21efefdff227814ed386ff2abedf0e236934de03c96f9deee",
            "size": 62
          },
          "layers": [
            {
              "mediaType": "application/vnd.windlass.package.archive.v1.tar+gzip",
              "digest": "sha256:0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3",
              "size": 7,
              "annotations": {
                "org.opencontainers.image.title": "nginx.mpm"
              }
            },
            {
              "mediaType": "application/vnd.windlass.minisign.v1",
              "digest": "sha256:1a2fc26dc7ea5a2a4748b7cb2b1ef193d96ab2c99f93092f69e63075b28d1278",
              "size": 9,
              "annotations": {
                "org.opencontainers.image.title": "nginx.mpm.minisig"
              }
            }
          ],
          "annotations": {
            "org.opencontainers.image.description": "nginx web server",
            "org.opencontainers.image.title": "nginx",
            "org.opencontainers.image.version": "1.2+3"
          }
        }
        "#);
        let Ok(Tagged::Manifest(read)) = parse(text.as_bytes(), None) else {
            panic!("{text}");
        };
        assert_eq!(*read, package());
        assert_eq!(read.archive().unwrap().digest, Sha256::of(b"archive"));
        assert_eq!(read.signature().unwrap().digest, Sha256::of(b"signature"));
    }

    #[test]
    fn the_image_for_linux_on_the_oldest_processor_is_chosen() {
        let entry = |platform: &str, letter: &str| {
            let digest = letter.repeat(64);
            format!(
                r#"{{"mediaType":"m","size":1,"digest":"sha256:{digest}","platform":{platform}}}"#
            )
        };
        let index = |entries: &[String]| {
            let text = format!(
                r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
                entries.join(",")
            );
            match parse(text.as_bytes(), Some(OCI_INDEX)) {
                Ok(Tagged::Index(index)) => index,
                other => panic!("{other:?}"),
            }
        };
        let arm = entry(r#"{"os":"linux","architecture":"arm64"}"#, "a");
        let new = entry(
            r#"{"os":"linux","architecture":"amd64","variant":"v3"}"#,
            "b",
        );
        let old = entry(r#"{"os":"linux","architecture":"amd64"}"#, "c");
        let proof = entry(r#"{"os":"unknown","architecture":"unknown"}"#, "d");
        let all = index(&[arm.clone(), new, old, proof.clone()]);
        assert_eq!(
            all.linux_amd64().unwrap().digest.to_string(),
            "c".repeat(64)
        );
        let others = index(&[arm, proof]);
        assert_eq!(others.linux_amd64(), None);
        assert_eq!(others.platforms(), "linux/arm64");
    }

    #[test]
    fn what_is_no_manifest_is_refused_in_words() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let config = format!(r#""config":{{"mediaType":"m","size":1,"digest":"{digest}"}}"#);
        let layer = format!(r#"{{"mediaType":"m","size":1,"digest":"{digest}"}}"#);
        let layers = vec![layer; PARTS_MAX + 1].join(",");
        let said: Vec<String> = [
            String::new(),
            "[]".to_owned(),
            r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
            r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#.to_owned(),
            format!(r#"{{"schemaVersion":2,{config},"layers":[{layers}]}}"#),
            format!(
                r#"{{"schemaVersion":2,{},"layers":[]}}"#,
                config.replace("sha256", "md5")
            ),
            format!(
                r#"{{"schemaVersion":2,{},"layers":[]}}"#,
                config.replace("1,", "-1,")
            ),
        ]
        .iter()
        .map(|text| parse(text.as_bytes(), None).unwrap_err())
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        its manifest cannot be understood: EOF while parsing a value at line 1 column 0
        its manifest cannot be understood: invalid length 0, expected struct Kind with 4 elements at line 1 column 2
        its manifest is of a kind that was given up years ago (schema 1)
        its manifest is of a kind that is not known
        its manifest has 1025 parts, more than 1024
        its manifest cannot be understood: a digest is not SHA-256, which is all that is understood at line 1 column 134
        its manifest cannot be understood: invalid value: integer `-1`, expected u64 at line 1 column 54
        "#);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_for_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, None);
        }
    }
}
