//! Package files of the distribution: real ones, made here, and damaged.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_package::deb::{self, DebError};

/// A package file with one file that does not compress; `None` where there is no `dpkg-deb`.
fn package(folder: &Path, compression: &str) -> Option<PathBuf> {
    let root = folder.join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::create_dir_all(root.join("usr/share")).unwrap();
    let control = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\nDescription: test\n";
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    })
    .take(1 << 20)
    .collect();
    fs::write(root.join("usr/share/noise"), noise).unwrap();
    let file = folder.join(format!("{compression}.deb"));
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", &format!("-Z{compression}"), "--build"])
        .arg(&root)
        .arg(&file)
        .output();
    let Ok(output) = built else {
        println!("skipped: there is no dpkg-deb here");
        return None;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(file)
}

/// Reads all of it, as whoever unpacks does, and gives the paths.
fn unpack(file: &Path) -> Result<Vec<String>, DebError> {
    let mut paths = Vec::new();
    deb::read(file, &mut (), |entry| {
        paths.push(String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        let size_bytes = entry.size();
        let copied = std::io::copy(entry, &mut std::io::sink()).map_err(|source| DebError::Io {
            path: "the visit's own".into(),
            source,
        })?;
        if copied < size_bytes {
            return Err(DebError::Refused {
                path: "the visit's own".into(),
                said: "it ends too soon".into(),
            });
        }
        Ok(())
    })?;
    Ok(paths)
}

#[test]
fn a_truncated_package_file_is_refused_in_the_words_of_dpkg_deb() {
    let folder = tempfile::tempdir().unwrap();
    for compression in ["gzip", "xz"] {
        let Some(file) = package(folder.path(), compression) else {
            return;
        };
        assert_eq!(
            unpack(&file).unwrap(),
            ["./", "./usr/", "./usr/share/", "./usr/share/noise"]
        );
        let whole = fs::read(&file).unwrap();
        let cut = folder.path().join("cut.deb");
        // In the headers, in the control archive, in the file's content, and right before the end.
        for length in [9, 200, 100_000, whole.len() / 2, whole.len() - 100] {
            fs::write(&cut, &whole[..length]).unwrap();
            match unpack(&cut) {
                Err(DebError::Refused { path, said }) => {
                    assert_eq!(path, cut, "{compression} {length}: {said}");
                    assert!(!said.is_empty());
                }
                other => panic!("{compression} {length}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_visit_that_fails_by_itself_is_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = package(folder.path(), "gzip") else {
        return;
    };
    let ended: Result<(), DebError> = deb::read(&file, &mut (), |_| Err(DebError::NoReader));
    assert!(matches!(ended, Err(DebError::NoReader)), "{ended:?}");
}

#[test]
fn cancelling_ends_the_reading_within_a_file_and_behind_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = package(folder.path(), "gzip") else {
        return;
    };
    // As often as it is asked in all.
    let mut asked = 0;
    let mut count = |_: u64| {
        asked += 1;
        ControlFlow::Continue(())
    };
    deb::read(&file, &mut count, |entry| {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        Ok::<(), DebError>(())
    })
    .unwrap();
    assert!(asked > 10, "{asked}");
    for last in [0, asked / 2, asked - 1] {
        let mut left = last;
        let mut cancel = |_: u64| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        };
        let ended = deb::read(&file, &mut cancel, |entry| {
            std::io::copy(entry, &mut std::io::sink()).map_err(DebError::Start)?;
            Ok::<(), DebError>(())
        });
        assert!(
            matches!(ended, Err(DebError::Cancelled)),
            "{last}: {ended:?}"
        );
    }
}
