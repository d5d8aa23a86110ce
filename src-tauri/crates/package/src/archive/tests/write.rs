//! Packages written as one file: the same bytes each time, and everything comes back.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn package(root: &Path) {
    let long = format!("usr/share/{}/{}", "l".repeat(120), "x".repeat(200));
    for (name, content) in [
        ("meta/package.yaml", "name: a\ntitle: b\nauthor: c\n"),
        ("meta/README.md", "# a\n"),
        (".capstanignore", "/src/*\n"),
        (".git/config", "secret"),
        ("src/main.c", "int main;"),
        ("volumes/data", "data"),
        ("mpm-pkg/a.mpm", "old"),
        ("a.mpm", "old"),
        ("usr/lib/a.mpm", "kept"),
        ("usr/bin/run", "#!/bin/sh\n"),
        ("größe.txt", ""),
        (long.as_str(), "deep"),
    ] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::set_permissions(root.join("usr/bin/run"), fs::Permissions::from_mode(0o4700)).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    symlink("bin/run", root.join("usr/start")).unwrap();
    symlink("/proc/mounts", root.join("mnttab")).unwrap();
    symlink(format!("{}/target", "t".repeat(150)), root.join("far")).unwrap();
}

#[test]
fn what_is_written_is_read_again_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("package");
    package(&root);
    let mut first = Vec::new();
    let written = write_mpm(&root, &mut first, &mut ()).unwrap();
    // Times and the order in which files were made are not in it.
    let again = folder.path().join("again");
    package(&again);
    let mut second = Vec::new();
    assert_eq!(write_mpm(&again, &mut second, &mut ()).unwrap(), written);
    assert_eq!(first, second);
    assert_eq!(written.size_bytes, first.len() as u64);

    let archive = folder.path().join("a.mpm");
    fs::write(&archive, &first).unwrap();
    let unpacked = unpack(
        &archive,
        &folder.path().join("out"),
        &Limits::default(),
        &mut (),
    )
    .unwrap();
    assert_eq!(
        (unpacked.file_count, unpacked.size_bytes),
        (written.file_count, written.content_bytes)
    );
    insta::assert_snapshot!(listing(&folder.path().join("out")));
}

/// What reads Capstan's packages everywhere: names with a slash before them, nothing unusual.
#[test]
fn gnu_tar_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("package");
    package(&root);
    let archive = folder.path().join("a.mpm");
    write_mpm(&root, &mut File::create(&archive).unwrap(), &mut ()).unwrap();
    let output = std::process::Command::new("tar")
        .args(["--absolute-names", "--numeric-owner", "-tvzf"])
        .arg(&archive)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn what_cannot_be_packed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("package");
    package(&root);
    let error = write_mpm(&root.join("gone"), &mut Vec::new(), &mut ()).unwrap_err();
    assert!(matches!(error, Error::NoFolder { .. }));

    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let error = write_mpm(&root, &mut Vec::new(), &mut ()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("socket is a device, pipe or socket"),
        "{error}"
    );
    fs::remove_file(root.join("socket")).unwrap();

    let mut stop = |_| ControlFlow::Break(());
    assert!(matches!(
        write_mpm(&root, &mut Vec::new(), &mut stop),
        Err(Error::Cancelled)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_names_come_back(names in prop::collection::btree_set("[a-zA-Zä ]{1,120}(/[a-z.]{1,99}x){0,3}", 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("package");
        for name in &names {
            let path = root.join(name);
            let made = fs::create_dir_all(path.parent().unwrap()).and_then(|()| fs::write(&path, name));
            prop_assume!(made.is_ok());
        }
        let archive = folder.path().join("a.mpm");
        write_mpm(&root, &mut File::create(&archive).unwrap(), &mut ()).unwrap();
        let out = folder.path().join("out");
        unpack(&archive, &out, &Limits::default(), &mut ()).unwrap();
        prop_assert_eq!(listing(&out), listing(&root));
    }
}
