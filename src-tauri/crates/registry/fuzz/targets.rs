//! What the fuzz targets do with their bytes, and what each begins with.
//!
//! Not only that nothing panics: what was understood and can be written is read again as the same.

#![allow(
    dead_code,
    reason = "each fuzz target is a program of its own, and calls one of these"
)]

use windlass_registry::strangers;

/// A target: its name, what it does, and what it begins with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const ALL: [Target; 8] = [
    ("github_releases", github_releases, github_seeds),
    ("html_directory", html_directory, html_seeds),
    ("index", index, index_seeds),
    ("next_page", next_page, next_seeds),
    ("oci_challenge", oci_challenge, challenge_seeds),
    ("oci_manifest", oci_manifest, manifest_seeds),
    ("oci_reference", oci_reference, reference_seeds),
    ("s3_listing", s3_listing, s3_seeds),
];

/// GitHub's releases.
pub fn github_releases(bytes: &[u8]) {
    let _ = strangers::github_releases(&String::from_utf8_lossy(bytes));
}

fn github_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        r#"[{"tag_name":"v0.57.0","draft":false,"published_at":"2024-01-02T03:04:05Z","assets":[{"id":1,"name":"osv-loader.qemu.x86_64","size":42,"url":"https://a/1","browser_download_url":"https://b/1","digest":"sha256:00","state":"uploaded"}]}]"#,
        r#"{"tag_name":"latest","assets":[{"name":"a.mpm","browser_download_url":"b"}]}"#,
    ])
}

/// A web server's own listing.
pub fn html_directory(bytes: &[u8]) {
    let _ = strangers::html_directory(&String::from_utf8_lossy(bytes));
}

fn html_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "<!DOCTYPE html><html><body><a href=\"../\">..</a> <A class=x HREF='a&amp;b.mpm'>a</A><a href=c%20d.mpm>c</a></body></html>",
        "<html><a href=\"?C=N;O=D\">Name</a><a name=top><a href=\"//other/x\">x</a><a href=\"&#x2e;&#46;/y\">y</a></html>",
    ])
}

/// A `packages.json`.
pub fn index(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(written) = strangers::index(&text) {
        assert_eq!(strangers::index(&written).as_ref(), Some(&written));
    }
}

fn index_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        r#"{"format":1,"packages":[{"file":"packages/hello.mpm","name":"hello","version":"1.2","sizeBytes":4242,"sha256":"9c1e000000000000000000000000000000000000000000000000000000000000","signed":true,"require":["node >=18","libs"],"title":"Hello","kind":"package"}]}"#,
        r#"{"format":1,"packages":[]}"#,
        r#"{"format":1,"packages":[{"file":"../x","name":""}]}"#,
    ])
}

/// Where a list goes on.
pub fn next_page(bytes: &[u8]) {
    let refused = strangers::next_page(bytes).is_none();
    // What a header cannot hold is no header.
    let is_header = bytes
        .iter()
        .all(|byte| *byte == b'\t' || (*byte >= 32 && *byte != 127));
    assert_eq!(refused, !is_header, "it leads to another server");
}

fn next_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        r#"<https://registry.example/v2/_catalog?last=x&n=100>; rel="next""#,
        r#"<https://a/?page=1>; rel="prev", <https://a/?page=3>; rel="next""#,
        r#"</v2/_catalog?last=x>; rel="next""#,
        r#"<//other/x>; rel="next""#,
    ])
}

/// How a server wants one to log in.
pub fn oci_challenge(bytes: &[u8]) {
    let _ = strangers::oci_challenge(bytes);
}

fn challenge_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        r#"Basic realm="x", charset="UTF-8", bearer REALM="/\"t""#,
    ])
}

/// A manifest, or a list of them.
pub fn oci_manifest(bytes: &[u8]) {
    if let Some(written) = strangers::oci_manifest(bytes).filter(|it| it.starts_with('{')) {
        let again = strangers::oci_manifest(written.as_bytes());
        assert_eq!(again.as_ref(), Some(&written));
    }
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    const DIGEST: &str = "sha256:9c1e000000000000000000000000000000000000000000000000000000000000";
    let descriptor = |media_type: &str, title: &str| {
        format!(
            r#"{{"mediaType":"{media_type}","digest":"{DIGEST}","size":7,"annotations":{{"org.opencontainers.image.title":"{title}"}},"platform":{{"os":"linux","architecture":"amd64","variant":"v2"}}}}"#
        )
    };
    let config = descriptor("application/vnd.windlass.package.manifest.v1+yaml", "");
    let layer = descriptor(
        "application/vnd.windlass.package.archive.v1.tar+gzip",
        "a.mpm",
    );
    let signature = descriptor("application/vnd.windlass.minisign.v1", "a.mpm.minisig");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.windlass.package.v1","config":{config},"layers":[{layer},{signature}],"annotations":{{"org.opencontainers.image.version":"1.2"}}}}"#
    );
    let list = format!(r#"{{"schemaVersion":2,"manifests":[{config},{layer}]}}"#);
    seeds(&[&manifest, &list, r#"{"schemaVersion":1}"#])
}

/// The name of an image.
pub fn oci_reference(bytes: &[u8]) {
    match strangers::oci_reference(&String::from_utf8_lossy(bytes)) {
        Ok(written) => assert_eq!(strangers::oci_reference(&written).unwrap(), written),
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

fn reference_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "debian:12",
        "docker://ghcr.io/owner/image:1.0@sha256:9c1e000000000000000000000000000000000000000000000000000000000000",
        "localhost:5000/a__b/c-d:_x",
        "user:password@host/image",
        "[::1]:5000/a",
        "docker://\nima../g",
    ])
}

/// A page of a bucket's list.
pub fn s3_listing(bytes: &[u8]) {
    let _ = strangers::s3_listing(&String::from_utf8_lossy(bytes));
}

fn s3_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated><Contents><Key>packages/a&amp;b&#x20;c.mpm</Key><ETag>&quot;fba9&quot;</ETag><Size>42</Size></Contents><Contents><Key>packages/a.yaml</Key><Size>1</Size></Contents><NextContinuationToken>1ueG==</NextContinuationToken></ListBucketResult>"#,
        "<ListBucketResult><!-- x --><Contents><Key><![CDATA[osv-loader/osv-loader.qemu.gz]]></Key></Contents></ListBucketResult>",
    ])
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
