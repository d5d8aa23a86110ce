//! Copying out of file systems that lie.

use windlass_image::extract::extract;
use windlass_image::{Error, FileSystem, FileSystemKind, GuestPath, Stat, StatKind, Unwatched};

/// A file system in which names come twice, links lead out, and directories hold themselves.
#[derive(Debug)]
struct Liar {
    entries: Vec<Stat>,
}

fn stat(path: &str, inode: u64, kind: StatKind) -> Stat {
    Stat {
        path: GuestPath::new(path).unwrap(),
        inode,
        kind,
        mode: Some(0o4777),
        modified_seconds: Some(-1),
    }
}

impl FileSystem for Liar {
    fn kind(&self) -> FileSystemKind {
        FileSystemKind::Ext4
    }

    fn size_bytes(&self) -> u64 {
        0
    }

    fn find(&self, path: &GuestPath) -> Result<Stat, Error> {
        if path.is_root() {
            return Ok(stat("", 1, StatKind::Directory));
        }
        let found = self.entries.iter().find(|entry| entry.path == *path);
        found
            .cloned()
            .ok_or_else(|| Error::NotFound { path: path.clone() })
    }

    fn list(&self, directory: &Stat) -> Result<Vec<Stat>, Error> {
        let entries = self.entries.iter();
        let inside = entries.filter(|entry| entry.path.parent().as_ref() == Some(&directory.path));
        Ok(inside.cloned().collect())
    }

    fn read(&self, _file: &Stat, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let text = b"out of the image";
        let start = usize::try_from(offset).unwrap().min(text.len());
        let length = (text.len() - start).min(buffer.len());
        buffer[..length].copy_from_slice(&text[start..start + length]);
        Ok(length)
    }
}

#[test]
fn a_link_does_not_lead_out_of_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (place.path().join("to"), place.path().join("elsewhere"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.to_str().unwrap().as_bytes().to_vec();
    // The same name is a link to elsewhere, and a directory with a file in it.
    let liar = Liar {
        entries: vec![
            stat("a", 2, StatKind::Symlink { target }),
            stat("a", 3, StatKind::Directory),
            stat("a/file", 4, StatKind::File { size_bytes: 16 }),
        ],
    };
    let error = extract(&liar, &[GuestPath::root()], &folder, true, &mut Unwatched).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_directory_in_two_places_is_refused_and_a_file_loses_its_powers() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let liar = Liar {
        entries: vec![
            stat("d", 2, StatKind::Directory),
            stat("d/d", 2, StatKind::Directory),
            stat("file", 5, StatKind::File { size_bytes: 16 }),
            stat("tty", 6, StatKind::Special { what: "device" }),
        ],
    };
    let all = [GuestPath::root()];
    let error = extract(&liar, &all, place.path(), false, &mut Unwatched).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    let some = ["file", "tty"].map(|path| GuestPath::new(path).unwrap());
    let done = extract(&liar, &some, place.path(), false, &mut Unwatched).unwrap();
    assert_eq!((done.files, done.bytes, done.left_out), (1, 16, 1));
    let mode = std::fs::metadata(place.path().join("file"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o7777, 0o777, "not set-user-id");
}
