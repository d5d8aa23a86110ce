mod hostile;
mod write;

use std::fmt::Write as _;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use zip::write::SimpleFileOptions;

use super::*;

/// One entry of a tar that no honest program would write: the name goes in as it is.
fn raw(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

fn tar_of(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (kind, name, link) in entries {
        let content: &[u8] = if *kind == EntryType::Regular {
            b"content"
        } else {
            b""
        };
        raw(&mut tar, *kind, name, link, content);
    }
    tar.into_inner().unwrap()
}

fn zip_of(names: &[&str]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in names {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(b"content").unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 19).unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What `find` would print, with kinds.
fn listing(root: &Path) -> String {
    let mut listing = String::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry
            .path()
            .strip_prefix(root)
            .unwrap()
            .display()
            .to_string();
        let kind = if entry.file_type().is_dir() {
            "/".to_owned()
        } else if entry.file_type().is_symlink() {
            format!(" -> {}", fs::read_link(entry.path()).unwrap().display())
        } else {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
            format!(
                " ({} bytes, {:o})",
                entry.metadata().unwrap().len(),
                mode & 0o7777
            )
        };
        writeln!(listing, "{name}{kind}").unwrap();
    }
    listing
}

/// Unpacks in a folder of its own, and says what there is afterwards: a listing or the refusal.
fn attempt_within(name: &str, bytes: &[u8], limits: &Limits) -> String {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join(name);
    fs::write(&archive, bytes).unwrap();
    match unpack(&archive, &folder.path().join("out"), limits, &mut ()) {
        Ok(unpacked) => {
            let stripped = unpacked
                .stripped
                .map(|name| format!("without {name}/\n"))
                .unwrap_or_default();
            format!("{stripped}{}", listing(&folder.path().join("out")))
        }
        Err(error) => {
            assert_eq!(
                listing(folder.path()).lines().count(),
                1,
                "a refused archive left something"
            );
            let mut text = String::new();
            let mut next: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = next {
                writeln!(text, "{error}").unwrap();
                next = error.source();
            }
            writeln!(text, "hint: {}", error.hint().unwrap()).unwrap();
            text.replace(&folder.path().display().to_string(), "…")
        }
    }
}

fn attempt(name: &str, bytes: &[u8]) -> String {
    attempt_within(name, bytes, &Limits::default())
}

#[test]
fn honest_archives_are_unpacked() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let tar = tar_of(&[
        (Directory, "app/", ""),
        (Regular, "app/server.js", ""),
        (Regular, "app/lib/deep/x.js", ""),
        (Directory, "app/lib/", ""),
        (Symlink, "app/mnttab", "/proc/mounts"),
        (Symlink, "app/lib/y.js", "../server.js"),
        (Link, "app/twin", "app/server.js"),
        (Regular, "app/Makefile", ""),
        (Regular, "app/makefile", ""),
    ]);
    let mpm = tar_of(&[
        (Directory, "/", ""),
        (Directory, "/meta", ""),
        (Regular, "/meta/package.yaml", ""),
        (Regular, "/bin/x", ""),
    ]);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a.txt", SimpleFileOptions::default())
        .unwrap();
    zip.write_all(b"text").unwrap();
    zip.start_file(
        "bin\\run",
        SimpleFileOptions::default().unix_permissions(0o4755),
    )
    .unwrap();
    zip.add_symlink("b.txt", "a.txt", SimpleFileOptions::default())
        .unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let told = [
        attempt("app.tar.gz", &gzip(&tar)),
        attempt("app.tar", &tar),
        attempt("app.tar.zst", &zstd(&tar)),
        attempt("app.tar.xz", &xz(&tar)),
        attempt("app.mpm", &gzip(&mpm)),
        attempt("app.mpm.x86_64", &mpm),
        attempt("app.zip", &zip),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn cancelling_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("app.tar");
    fs::write(
        &archive,
        tar_of(&[(EntryType::Regular, "a", ""), (EntryType::Regular, "b", "")]),
    )
    .unwrap();
    let mut calls = 0;
    let mut watch = |_| {
        calls += 1;
        if calls > 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = unpack(
        &archive,
        &folder.path().join("out"),
        &Limits::default(),
        &mut watch,
    )
    .unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    assert_eq!(
        listing(folder.path()),
        "app.tar (2048 bytes, 644)\n"
            .replace("2048", &fs::metadata(&archive).unwrap().len().to_string())
    );
}

#[test]
fn names_of_archives() {
    for (name, stem_of) in [
        ("a.mpm.x86_64", "a"),
        ("B.TAR.GZ", "B"),
        ("c.tgz", "c"),
        ("d.1.2.zip", "d.1.2"),
    ] {
        assert!(is_archive_name(Path::new(name)), "{name}");
        assert_eq!(stem(Path::new(name)), stem_of);
    }
    assert!(!is_archive_name(Path::new(".zip")));
    assert!(!is_archive_name(Path::new("server.js")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the names, nothing is ever written outside, and nothing panics.
    #[test]
    fn no_name_leaves_the_folder(names in prop::collection::vec("[a./\\\\]{1,12}", 1..6), links in prop::collection::vec("[a./]{1,8}", 6)) {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let kinds = [EntryType::Regular, EntryType::Symlink, EntryType::Directory];
        let entries: Vec<_> = names.iter().zip(&links).enumerate()
            .map(|(at, (name, link))| (kinds[at % 3], name.as_str(), if at % 3 == 1 { link.as_str() } else { "" }))
            .collect();
        let archive = inner.join("x.tar");
        fs::write(&archive, tar_of(&entries)).unwrap();
        let _ = unpack(&archive, &inner.join("out"), &Limits::default(), &mut ());
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        for entry in fs::read_dir(&inner).unwrap() {
            let name = entry.unwrap().file_name();
            prop_assert!(name == "x.tar" || name == "out", "{name:?}");
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), zip in any::<bool>()) {
        let mut bytes = bytes;
        if zip { bytes.splice(0..0, *b"PK\x03\x04"); bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\0\0\0\0\0\0"); }
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("x.mpm");
        fs::write(&archive, &bytes).unwrap();
        let _ = unpack(&archive, &folder.path().join("out"), &Limits::default(), &mut ());
    }
}

#[test]
fn a_format_is_told_by_the_file_and_not_by_the_folder_that_it_is_in() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("old.mpm.d/app.zip");
    fs::create_dir(archive.parent().unwrap()).unwrap();
    fs::write(&archive, zip_of(&["a"])).unwrap();
    let into = folder.path().join("out");
    unpack(&archive, &into, &Limits::default(), &mut ()).unwrap();
    assert_eq!(listing(&into).lines().count(), 1);
}
