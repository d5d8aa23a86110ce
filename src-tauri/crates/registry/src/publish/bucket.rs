//! Publishing to a bucket, in the same layout as to a folder.
//!
//! An object is there whole or not at all, also a large one that is sent in parts. Its digest is in its metadata, so that it
//! always comes with the very bytes. The manifest is written last.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderName};
use sha2::Digest;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use windlass_package::Manifest;

use super::plan::{There, check_kept, plan};
use super::{Publication, Published, Ready};
use crate::http::{Ask, Payload, shown};
use crate::kinds::s3::{Bucket, SHA256_HEADER, encode_key};
use crate::{Control, Error, Progress, Sha256};

/// What is sent at once; S3 takes parts from 5 MiB on.
const PART_BYTES: u64 = 16 << 20;
/// S3 takes so many parts, so that those of very large files are larger.
const PARTS_MAX: u64 = 10_000;
/// Larger files are sent in parts.
const WHOLE_MAX_BYTES: u64 = 32 << 20;
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const BINARY: &str = "application/octet-stream";

/// Publishes to a bucket, in the same layout.
pub(crate) async fn to_bucket(
    bucket: &Bucket,
    publication: &Publication,
    control: &Control,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let ready = Ready::of(publication, control, progress).await?;
    let name = &ready.manifest.name;
    let key = |stem: &str, ending: &str| format!("{}packages/{stem}.{ending}", bucket.prefix());
    let there = there(bucket, &key(name, "mpm"), &key(name, "yaml"), control).await?;
    let place = shown(&bucket.url(&key(name, "mpm"))?);
    let plan = plan(
        &ready.manifest,
        ready.sha256,
        there.as_ref(),
        publication.replace,
        &place,
    )?;
    let archive = key(&plan.stem, "mpm");
    let mut wanted = there
        .as_ref()
        .is_none_or(|there| there.sha256 != Some(ready.sha256));
    if plan.stem != *name {
        let found = digest_of(bucket, &archive, control).await?;
        check_kept(
            found,
            ready.sha256,
            publication.replace,
            &shown(&bucket.url(&archive)?),
        )?;
        wanted = found != Some(ready.sha256);
    }
    progress.step(&format!("Publishing {name}"));
    if let (
        Some(kept),
        Some(There {
            manifest: Some((text, _)),
            ..
        }),
    ) = (&plan.keep_as, &there)
    {
        copy(bucket, &key(name, "mpm"), &key(kept, "mpm"), control).await?;
        if bucket
            .head(&key(name, "mpm.minisig"), control)
            .await?
            .is_some()
        {
            copy(
                bucket,
                &key(name, "mpm.minisig"),
                &key(kept, "mpm.minisig"),
                control,
            )
            .await?;
        }
        put_text(
            bucket,
            &key(kept, "yaml"),
            text,
            "application/yaml",
            control,
        )
        .await?;
    }

    let signature = key(&plan.stem, "mpm.minisig");
    if let Some(text) = &publication.signature {
        put_text(bucket, &signature, text, "text/plain", control).await?;
    } else if bucket.head(&signature, control).await?.is_some() {
        // One of what was there before is none of ours.
        let ask = Ask::new(Method::DELETE, bucket.url(&signature)?);
        bucket.client().send(ask, control).await?;
    }
    if wanted {
        put_archive(
            bucket,
            &archive,
            &publication.archive,
            &ready,
            control,
            progress,
        )
        .await?;
    }
    progress.at(ready.size_bytes, Some(ready.size_bytes));
    control.pass().await?;
    let manifest = key(&plan.stem, "yaml");
    put_text(
        bucket,
        &manifest,
        &publication.manifest,
        "application/yaml",
        control,
    )
    .await?;

    let mut keys = vec![archive, manifest];
    keys.extend(publication.signature.is_some().then_some(signature));
    let places: Result<Vec<_>, _> = keys.iter().map(|key| bucket.url(key)).collect();
    Ok(Published {
        places: places?.iter().map(shown).collect(),
        sha256: ready.sha256,
        size_bytes: ready.size_bytes,
    })
}

/// What is there; an archive that others put there has no digest that is known.
async fn there(
    bucket: &Bucket,
    archive: &str,
    manifest: &str,
    control: &Control,
) -> Result<Option<There>, Error> {
    if bucket.head(archive, control).await?.is_none() {
        return Ok(None);
    }
    let text = bucket.text(manifest, control).await?;
    let manifest = text.and_then(|text| {
        let parsed = Manifest::parse(&text, manifest).ok()?;
        Some((text, parsed.value))
    });
    Ok(Some(There {
        manifest,
        sha256: digest_of(bucket, archive, control).await?,
    }))
}

/// The digest in an object's metadata. An object without one has one that is no other's.
async fn digest_of(bucket: &Bucket, key: &str, control: &Control) -> Result<Option<Sha256>, Error> {
    let Some(headers) = bucket.head(key, control).await? else {
        return Ok(None);
    };
    let said = headers
        .get(SHA256_HEADER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Some(said.unwrap_or(Sha256::from_bytes([0; 32]))))
}

async fn put_text(
    bucket: &Bucket,
    key: &str,
    text: &str,
    media_type: &str,
    control: &Control,
) -> Result<(), Error> {
    let headers = [(CONTENT_TYPE, media_type.to_owned())];
    let payload = Payload::Bytes(Bytes::from(text.to_owned()));
    bucket.put(key, payload, &headers, control).await
}

/// Has the server copy an object, with its metadata.
async fn copy(bucket: &Bucket, from: &str, to: &str, control: &Control) -> Result<(), Error> {
    let url = bucket.url(from)?;
    // With the bucket in the path, that is all of it; else it is the first part of the host.
    let source = match bucket.root_path().trim_matches('/') {
        "" => {
            let host = url.host_str().unwrap_or_default();
            let name = host.split('.').next().unwrap_or(host);
            format!("{name}/{}", encode_key(from))
        }
        _ => url.path().trim_start_matches('/').to_owned(),
    };
    let ask = Ask::new(Method::PUT, bucket.url(to)?).header(COPY_SOURCE, &source);
    let text = bucket.client().text(ask, control).await?;
    whole(&shown(&url), &text, "CopyObjectResult")
}

async fn put_archive(
    bucket: &Bucket,
    key: &str,
    path: &Path,
    ready: &Ready,
    control: &Control,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let headers = [
        (CONTENT_TYPE, BINARY.to_owned()),
        (SHA256_HEADER, ready.sha256.to_string()),
    ];
    if ready.size_bytes <= WHOLE_MAX_BYTES {
        progress.at(0, Some(ready.size_bytes));
        let payload = Payload::File {
            path: path.to_path_buf(),
            offset: 0,
            length: ready.size_bytes,
            sha256: Some(ready.sha256),
        };
        return bucket.put(key, payload, &headers, control).await;
    }
    let url = bucket.url(key)?;
    let mut begin = Ask::new(Method::POST, with(&url, &[("uploads", "")]));
    for (name, value) in &headers {
        begin = begin.header(name.clone(), value);
    }
    let answer = bucket
        .client()
        .text(begin.payload(Payload::Bytes(Bytes::new())), control)
        .await?;
    let id = element(&answer, "UploadId")
        .ok_or_else(|| Error::malformed(shown(&url), "its answer names no upload"))?;
    let sent = put_parts(bucket, &url, &id, path, ready, control, progress).await;
    if sent.is_err() {
        let control = Control::default();
        let ask = Ask::new(Method::DELETE, with(&url, &[("uploadId", &id)]));
        let taken_back = bucket.client().send(ask, &control);
        if tokio::time::timeout(super::TAKE_BACK, taken_back)
            .await
            .is_err()
        {
            tracing::debug!("the server does not take back an upload");
        }
    }
    sent
}

async fn put_parts(
    bucket: &Bucket,
    url: &url::Url,
    id: &str,
    path: &Path,
    ready: &Ready,
    control: &Control,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let part_bytes = PART_BYTES.max(ready.size_bytes.div_ceil(PARTS_MAX));
    let (mut offset, mut number) = (0, 1_u32);
    let mut list = String::from("<CompleteMultipartUpload>");
    let mut all = sha2::Sha256::new();
    while offset < ready.size_bytes {
        control.pass().await?;
        progress.at(offset, Some(ready.size_bytes));
        let length = part_bytes.min(ready.size_bytes - offset);
        let sha256 = digest_part(path, offset, length, &mut all).await?;
        let ask = Ask::new(
            Method::PUT,
            with(
                url,
                &[("partNumber", &number.to_string()), ("uploadId", id)],
            ),
        )
        .payload(Payload::File {
            path: path.to_path_buf(),
            offset,
            length,
            sha256: Some(sha256),
        });
        let response = bucket.client().send(ask, control).await?;
        let etag = response
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok());
        let etag = etag
            .filter(|etag| !etag.contains(['<', '&']))
            .ok_or_else(|| Error::malformed(shown(url), "its answer to a part has no ETag"))?;
        // Writing to a text does not fail.
        let _ = write!(
            list,
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        );
        offset += length;
        number += 1;
    }
    list += "</CompleteMultipartUpload>";
    // The file may have changed since its digest was taken, which will be in the metadata.
    let found = Sha256::from_bytes(all.finalize().into());
    if found != ready.sha256 {
        return Err(Error::Digest {
            place: path.display().to_string(),
            expected: ready.sha256,
            found,
        });
    }
    let complete = Ask::new(Method::POST, with(url, &[("uploadId", id)]))
        .header(CONTENT_TYPE, "application/xml")
        .payload(Payload::Bytes(list.into()));
    let text = bucket.client().text(complete, control).await?;
    whole(&shown(url), &text, "CompleteMultipartUploadResult")
}

async fn digest_part(
    path: &Path,
    offset: u64,
    length: u64,
    all: &mut sha2::Sha256,
) -> Result<Sha256, Error> {
    let mut hasher = sha2::Sha256::new();
    let read = async {
        let mut file = tokio::fs::File::open(path).await?;
        file.seek(std::io::SeekFrom::Start(offset)).await?;
        let mut file = file.take(length);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer).await?;
            if count == 0 {
                return Ok::<_, std::io::Error>(());
            }
            hasher.update(&buffer[..count]);
            all.update(&buffer[..count]);
        }
    };
    read.await
        .map_err(|source| Error::io("read", path, source))?;
    Ok(Sha256::from_bytes(hasher.finalize().into()))
}

fn with(url: &url::Url, pairs: &[(&str, &str)]) -> url::Url {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

/// Some answers say 200 before they know, and the error comes in their text.
fn whole(place: &str, text: &str, wanted: &str) -> Result<(), Error> {
    if text.contains(wanted) {
        return Ok(());
    }
    Err(Error::Status {
        url: place.to_owned(),
        status: 200,
        message: element(text, "Message").or(Some("it does not say that it did".to_owned())),
        with_credentials: true,
    })
}

/// The text of the first element of this name, where it is plain.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = !inner.is_empty() && !inner.contains(['<', '&']) && inner.len() <= 1024;
    plain.then(|| inner.to_owned())
}
