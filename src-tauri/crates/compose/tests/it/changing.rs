//! A file that changes while it is read: an error with its name, or the bytes that were scanned, and never a mixture.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use windlass_compose::{DigestCache, Progress, Step};

use crate::layouts::{LAYOUTS, check, contents};
use crate::support::{Workshop, names_in};

/// What somebody does to a file, and whether it is sure to be seen.
type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 8] = [
    ("longer", |path| {
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_len(4 << 20)
            .unwrap();
    }),
    ("shorter", |path| {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
    }),
    ("other bytes, and the time put back", |path| {
        let before = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, vec![b'!'; 3 << 20]).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(before).unwrap();
    }),
    ("another file", |path| {
        let other = path.with_file_name("other");
        fs::write(&other, vec![b'o'; 3 << 20]).unwrap();
        fs::rename(other, path).unwrap();
    }),
    ("gone", |path| fs::remove_file(path).unwrap()),
    ("a folder", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("a link to something else", |path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    }),
    ("a pipe", |path| {
        fs::remove_file(path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o644),
            0,
        )
        .unwrap();
    }),
];

fn restore(path: &Path, byte: u8) {
    let _ = fs::remove_dir(path);
    let _ = fs::remove_file(path);
    fs::write(path, vec![byte; 3 << 20]).unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error_and_the_old_image_stays() {
    for layout in LAYOUTS {
        let mut workshop = Workshop::new();
        let root = workshop.layer("service", &["a = 1"]);
        let file = root.join("m/data");
        fs::create_dir(root.join("m")).unwrap();
        restore(&file, b'0');
        fs::write(root.join("z"), vec![b'z'; 2 << 20]).unwrap();
        let parts = tempfile::tempdir().unwrap();
        let image = workshop.path("disk.img");
        let recipe = layout.recipe(&image, parts.path(), "/a");
        let cache = DigestCache::default();
        let mut first = |_: Progress| ();
        layout
            .update(&workshop, &recipe, &cache, &mut first)
            .unwrap();
        for (name, change) in CHANGES {
            for (is_update, after_bytes) in [(false, 1 << 20), (true, 0)] {
                let before = contents(&image);
                restore(&file, b'1' + u8::from(is_update));
                if !is_update {
                    fs::remove_file(windlass_compose::record_path(&image)).unwrap();
                }
                // Times count in steps; one has to pass for a change to show.
                std::thread::sleep(std::time::Duration::from_millis(12));
                let mut is_done = false;
                let mut progress = |progress: Progress| {
                    let is_due = progress.step == Step::Write && progress.done_bytes >= after_bytes;
                    if is_due && !is_done {
                        change(&file);
                        is_done = true;
                    }
                };
                let result = layout.update(&workshop, &recipe, &cache, &mut progress);
                let place = format!("{layout:?}, {name}, update {is_update}, after {after_bytes}");
                let error = result.expect_err(&place);
                let words = format!("{error}: {:?}", std::error::Error::source(&error));
                assert!(words.contains("m/data"), "{place}: {words}");
                assert!(error.hint().is_some(), "{place}: {words}");
                assert_eq!(contents(&image), before, "{place}");

                restore(&file, b'3' + u8::from(is_update));
                let built = layout
                    .update(&workshop, &recipe, &cache, &mut |_| ())
                    .unwrap();
                if after_bytes == 0 {
                    check(layout, &workshop, &root, &recipe, &built);
                }
                let names = ["disk.img", "disk.img.record", "service"];
                assert_eq!(names_in(workshop.folder.path()), names, "{place}");
            }
        }
    }
}
