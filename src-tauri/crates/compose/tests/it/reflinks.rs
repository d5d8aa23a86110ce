//! Images that share their blocks, on file systems that can: mounted for the test, which only root may.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use windlass_compose::{DigestCache, Manner, clone_image, is_as_built};

use crate::layouts::{LAYOUTS, check, contents, tool};
use crate::support::{Workshop, names_in};

/// A file system in a file; gone when dropped.
struct Mounted {
    folder: TempDir,
    _file: tempfile::NamedTempFile,
}

impl Mounted {
    fn new(mkfs: &str, arguments: &[&str]) -> Option<Self> {
        let (folder, file) = (
            tempfile::tempdir().unwrap(),
            tempfile::NamedTempFile::new().unwrap(),
        );
        file.as_file().set_len(400 << 20).unwrap();
        let made = tool(mkfs)?.args(arguments).arg(file.path()).output();
        let mut mount = tool("mount")?;
        mount
            .args(["-o", "loop"])
            .arg(file.path())
            .arg(folder.path());
        let is_done =
            made.unwrap().status.success() && mount.output().is_ok_and(|it| it.status.success());
        if !is_done {
            eprintln!("skipped: only root can mount what {mkfs} makes");
        }
        is_done.then_some(Self {
            folder,
            _file: file,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(mut umount) = tool("umount") {
            let _ = umount.arg(self.folder.path()).status();
        }
    }
}

/// Clones. A process that another test is just starting has our files open for a moment, with their locks.
fn clones(from: &Path, to: &Path) -> bool {
    let try_it = || clone_image(from, to).unwrap();
    (0..50).any(|_| {
        let is_done = try_it();
        if !is_done {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        is_done
    })
}

/// More than fit on the disk, did each have bytes of its own.
const CLONES: usize = 24;

/// A clone takes no room, is updated by what differs, and leaves the image that it came from as it is.
fn clones_share_and_part(disk: &Mounted) {
    for layout in LAYOUTS {
        let mut workshop = Workshop::new();
        let root = workshop.layer("service", &["a = 1", "lib/b = 2"]);
        fs::write(root.join("data"), vec![7; 24 << 20]).unwrap();
        let parts = tempfile::tempdir().unwrap();
        let (first, second) = (disk.path("first.img"), disk.path("second.img"));
        let cache = DigestCache::default();
        let recipe = |image: &Path| layout.recipe(image, parts.path(), "/a");
        let update = |image: &Path| {
            layout
                .update(&workshop, &recipe(image), &cache, &mut |_| ())
                .unwrap()
        };
        update(&first);
        let before = contents(&first);
        for number in 0..CLONES {
            let clone = disk.path(&format!("second.img.{number}"));
            assert!(clones(&first, &clone), "{layout:?}, {number}");
        }
        assert!(clones(&first, &second), "{layout:?}");
        assert!(is_as_built(&second));
        assert_eq!(contents(&second), before);
        let same = update(&second);
        assert_eq!(same.changes.manner, Manner::Unchanged, "{layout:?}");

        fs::write(root.join("a"), "changed").unwrap();
        let built = update(&second);
        let changes = &built.changes;
        assert_eq!(changes.manner, Manner::Updated, "{layout:?}: {changes:?}");
        check(layout, &workshop, &root, &recipe(&second), &built);
        assert_eq!(contents(&first), before, "{layout:?}");
        assert!(is_as_built(&first), "{layout:?}");
        for name in names_in(disk.folder.path()) {
            assert!(
                name.starts_with("first.img") || name.starts_with("second.img"),
                "{name}"
            );
            fs::remove_file(disk.path(&name)).unwrap();
        }
    }
}

#[test]
fn a_clone_on_btrfs_shares_what_does_not_change() {
    if let Some(disk) = Mounted::new("mkfs.btrfs", &["-q"]) {
        clones_share_and_part(&disk);
    }
}

#[test]
fn a_clone_on_xfs_shares_what_does_not_change() {
    if let Some(disk) = Mounted::new("mkfs.xfs", &["-q", "-m", "reflink=1"]) {
        clones_share_and_part(&disk);
    }
}

#[test]
fn where_nothing_can_be_shared_there_is_no_clone_and_nothing_is_left() {
    let Some(disk) = Mounted::new("mkfs.ext4", &["-q"]) else {
        return;
    };
    let layout = LAYOUTS[0];
    let mut workshop = Workshop::new();
    workshop.layer("service", &["a = 1"]);
    let parts = tempfile::tempdir().unwrap();
    let first = disk.path("first.img");
    let recipe = layout.recipe(&first, parts.path(), "/a");
    let cache = DigestCache::default();
    layout
        .update(&workshop, &recipe, &cache, &mut |_| ())
        .unwrap();
    assert!(!clone_image(&first, &disk.path("second.img")).unwrap());
    let names = names_in(disk.folder.path());
    assert_eq!(names, ["first.img", "first.img.record", "lost+found"]);
}
