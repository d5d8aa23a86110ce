//! On a disk that gets full at any byte of a build, nothing is half, and the words say what is needed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use windlass_compose::{DigestCache, Error, Step, record_path};

use crate::layouts::{LAYOUTS, Layout, check_by_others, contents, tool};
use crate::support::{Workshop, names_in};

/// A small file system; gone when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
    _file: Option<tempfile::NamedTempFile>,
}

impl SmallDisk {
    /// One that keeps to pages in memory.
    fn in_memory(mib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = tool("mount")?;
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={mib}m"),
            "windlass-test",
        ]);
        let is_done = mount
            .arg(folder.path())
            .status()
            .is_ok_and(|it| it.success());
        is_done.then_some(Self {
            folder,
            _file: None,
        })
    }

    /// One that says that it is full when what was written gets to the disk.
    fn of_ext4(mib: u64) -> Option<Self> {
        let (folder, file) = (
            tempfile::tempdir().unwrap(),
            tempfile::NamedTempFile::new().unwrap(),
        );
        file.as_file().set_len(mib << 20).unwrap();
        let mut mkfs = tool("mkfs.ext4")?;
        let made = mkfs.args(["-q", "-m", "0"]).arg(file.path()).status();
        let mut mount = tool("mount")?;
        mount
            .args(["-o", "loop"])
            .arg(file.path())
            .arg(folder.path());
        let is_done = made.unwrap().success() && mount.status().is_ok_and(|it| it.success());
        is_done.then_some(Self {
            folder,
            _file: Some(file),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes all room but so much.
    fn leave(&self, bytes: u64) {
        let filler = File::create(self.path("filler")).unwrap();
        let mut length = free_bytes(self.folder.path()).saturating_sub(bytes);
        let flags = rustix::fs::FallocateFlags::empty();
        // A file system wants some of it for itself.
        while length > 0 && rustix::fs::fallocate(&filler, flags, 0, length).is_err() {
            length = length.saturating_sub(16 << 10);
        }
        filler.sync_all().unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names = names_in(self.folder.path());
        names.retain(|name| name != "filler" && name != "lost+found");
        names
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(mut umount) = tool("umount") {
            let _ = umount.arg(self.folder.path()).status();
        }
    }
}

fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::syncfs(File::open(folder).unwrap()).unwrap();
    let status = rustix::fs::statvfs(folder).unwrap();
    status.f_bavail * status.f_frsize
}

/// How much more is left each time, until it is enough: what is written last is small.
fn step_bytes(step: Step) -> u64 {
    match step {
        Step::Write => 56 << 10,
        _ => 4 << 10,
    }
}

/// Builds with ever more room left from `step` on, until that is enough. How often it was not.
fn until_it_fits(layout: Layout, disk: &SmallDisk, step: Step, is_update: bool) -> usize {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["a = 1"]);
    let parts = tempfile::tempdir().unwrap();
    let image = disk.path("disk.img");
    let recipe = layout.recipe(&image, parts.path(), "/a");
    let cache = DigestCache::default();
    let all = ["disk.img", "disk.img.record"];
    fs::write(root.join("data"), "old").unwrap();
    for file in 0..40 {
        let text = format!("{file}").repeat(1000);
        fs::write(root.join(format!("file{file}")), text).unwrap();
    }
    layout
        .update(&workshop, &recipe, &cache, &mut |_| ())
        .unwrap();
    for turn in 0..80_usize {
        if !is_update {
            fs::remove_file(record_path(&image)).unwrap();
        }
        let before = contents(&image);
        let text = format!("{step:?}{turn:03}").repeat(40_000);
        fs::write(root.join("data"), text).unwrap();
        for file in (turn % 5..40).step_by(5) {
            let name = root.join(format!("file{file}"));
            fs::write(name, format!("{turn} {file}").repeat(900)).unwrap();
        }
        let mut is_filled = false;
        let result = layout.update(&workshop, &recipe, &cache, &mut |progress| {
            if progress.step == step && !is_filled {
                disk.leave(step_bytes(step) * turn as u64);
                is_filled = true;
            }
        });
        let after = contents(&image);
        fs::remove_file(disk.path("filler")).unwrap();
        match result {
            Ok(built) => {
                assert_ne!(after, before);
                assert_eq!(
                    built.digest,
                    blake3::hash(&fs::read(&image).unwrap()).to_hex().as_str()
                );
                assert_eq!(disk.names(), all);
                return turn;
            }
            Err(error) => {
                assert!(
                    matches!(error, Error::NoSpace { .. }),
                    "{layout:?} {step:?} {turn}: {error:?}"
                );
                assert!(error.hint().is_some());
                assert_eq!(after, before, "{layout:?} {step:?} {turn}");
                check_by_others(&image, &std::collections::BTreeMap::new());
            }
        }
        // With the room back, it goes on, and nothing is left lying about.
        let again = || layout.update(&workshop, &recipe, &cache, &mut |_| ());
        let mut built = again();
        // A process that another test is just starting has our files open for a moment, also those that are no more.
        for _ in 0..50 {
            if !matches!(built, Err(Error::NoSpace { .. })) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            built = again();
        }
        built.unwrap();
        assert_eq!(disk.names(), all, "{layout:?} {step:?} {turn}");
    }
    panic!("{layout:?} {step:?}: it never fits");
}

#[test]
fn a_disk_that_gets_full_at_any_stage_leaves_the_old_image() {
    for layout in LAYOUTS {
        for step in [Step::Write, Step::Finish] {
            for is_update in [false, true] {
                let Some(disk) = SmallDisk::in_memory(24) else {
                    eprintln!("skipped: only root can mount a small file system");
                    return;
                };
                let failed = until_it_fits(layout, &disk, step, is_update);
                eprintln!("{layout:?} {step:?} update {is_update}: too little {failed} times");
            }
        }
    }
}

#[test]
fn slow_a_real_disk_that_gets_full_at_any_stage_leaves_the_old_image() {
    for layout in [LAYOUTS[3], LAYOUTS[5]] {
        for step in [Step::Write, Step::Finish] {
            for is_update in [false, true] {
                let Some(disk) = SmallDisk::of_ext4(64) else {
                    eprintln!("skipped: only root can mount an ext4 file system in a file");
                    return;
                };
                let failed = until_it_fits(layout, &disk, step, is_update);
                eprintln!("{layout:?} {step:?} update {is_update}: too little {failed} times");
            }
        }
    }
}
