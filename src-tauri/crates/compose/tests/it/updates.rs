//! An image that was updated is what a full build makes, in all that the guest sees, whatever happens on the way.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use windlass_compose::{
    Build, DigestCache, Error, Manner, Recipe, Step, build_or_update, record_path, resize_image,
};

use crate::layouts::{self, LAYOUTS, Layout, check_by_others, contents};
use crate::support::{Workshop, fill, names_in};

const OSV: Layout = LAYOUTS[0];

/// A workshop whose disk boots from parts that lie beside it.
struct Bench {
    workshop: Workshop,
    parts: tempfile::TempDir,
    layout: Layout,
}

impl Bench {
    fn new(layout: Layout) -> Self {
        Self {
            workshop: Workshop::new(),
            parts: tempfile::tempdir().unwrap(),
            layout,
        }
    }

    fn image(&self) -> std::path::PathBuf {
        self.workshop.path("disk.img")
    }

    fn recipe(&self, command: &str) -> Recipe {
        self.layout
            .recipe(&self.image(), self.parts.path(), command)
    }

    fn update(&self, command: &str) -> Result<Build, Error> {
        let (recipe, cache) = (self.recipe(command), DigestCache::default());
        self.layout
            .update(&self.workshop, &recipe, &cache, &mut |_| ())
    }

    fn check(&self, layer: &Path, command: &str, built: &Build) {
        let recipe = self.recipe(command);
        layouts::check(self.layout, &self.workshop, layer, &recipe, built);
    }

    /// The image, what belongs to it, and the layer: nothing else lies there.
    fn check_names(&self, layer: &str) {
        let mut names = vec!["disk.img", "disk.img.record", layer];
        names.sort_unstable();
        assert_eq!(names_in(self.workshop.folder.path()), names);
    }
}

#[test]
fn the_build_says_what_changed() {
    for layout in LAYOUTS {
        let mut bench = Bench::new(layout);
        let root = bench.workshop.layer(
            "service",
            &[
                "a = 1",
                "b = 2",
                "lib/c = 3 !",
                "lib/link -> c",
                "old/d = 4",
            ],
        );
        let told = |built: &Build| {
            let changes = &built.changes;
            format!(
                "{:?} +{} ~{} -{}",
                changes.manner, changes.added, changes.changed, changes.removed
            )
        };
        let first = bench.update("/a").unwrap();
        assert_eq!(first.changes.manner, Manner::Anew);
        assert_eq!(first.changes.added, first.file_count);
        assert_eq!(told(&bench.update("/a").unwrap()), "Unchanged +0 ~0 -0");

        fs::write(root.join("b"), "two").unwrap();
        fill(&root, &["new/file = 5"]);
        fs::remove_dir_all(root.join("old")).unwrap();
        bench.workshop.take("service");
        let second = bench.update("/a").unwrap();
        assert_eq!(
            told(&second),
            "Updated +1 ~1 -1",
            "{:?}",
            second.changes.reason
        );
        bench.check(&root, "/a", &second);

        // A file in the place of a folder, and the other way round.
        fs::remove_dir_all(root.join("lib")).unwrap();
        fs::remove_file(root.join("a")).unwrap();
        fill(&root, &["lib = now a file", "a/b/c = now a folder"]);
        let third = bench.update("/a").unwrap();
        assert_eq!(
            third.changes.manner,
            Manner::Updated,
            "{:?}",
            third.changes.reason
        );
        bench.check(&root, "/a", &third);

        let line = bench.update("/b another").unwrap();
        assert_eq!(line.changes.manner, Manner::Updated);
        bench.check(&root, "/b another", &line);
        bench.check_names("service");
    }
}

/// The record of many files is not written anew for one of them.
#[test]
fn one_file_of_many_costs_a_line_in_the_record() {
    for layout in [OSV, LAYOUTS[2]] {
        let mut bench = Bench::new(layout);
        let root = bench.workshop.layer("service", &["a = 1"]);
        for file in 0..700 {
            fs::write(root.join(format!("f{file}")), format!("{file}")).unwrap();
        }
        // From then on they are known by their times.
        std::thread::sleep(Duration::from_millis(2100));
        bench.update("/a").unwrap();
        let record = fs::read(record_path(&bench.image())).unwrap();
        let changes = bench.workshop.path("disk.img.changes");
        for turn in 1..4 {
            fs::write(root.join(format!("f{turn}00")), format!("turn {turn}")).unwrap();
            fs::remove_file(root.join(format!("f{turn}01"))).unwrap();
            fs::write(root.join(format!("new{turn}")), "new").unwrap();
            let built = bench.update("/a").unwrap();
            assert_eq!(built.changes.manner, Manner::Updated);
            assert_eq!(fs::read(record_path(&bench.image())).unwrap(), record);
            assert!(fs::metadata(&changes).unwrap().len() < 5000);
            bench.check(&root, "/a", &built);
            assert_eq!(
                bench.update("/a").unwrap().changes.manner,
                Manner::Unchanged
            );
        }
        // Changes that are lost are seen: the record is that of an image that was.
        let lost = fs::read(&changes).unwrap();
        fs::remove_file(&changes).unwrap();
        let built = bench.update("/a").unwrap();
        assert_eq!(built.changes.manner, Manner::Anew);
        bench.check(&root, "/a", &built);
        // Those of another record are none.
        fs::write(&changes, lost).unwrap();
        fs::write(root.join("f5"), "five").unwrap();
        let built = bench.update("/a").unwrap();
        assert_eq!(built.changes.manner, Manner::Updated);
        bench.check(&root, "/a", &built);
        // Where much differs, the record is written anew.
        for file in 100..300 {
            fs::write(root.join(format!("f{file}")), format!("{file} again")).unwrap();
        }
        let built = bench.update("/a").unwrap();
        assert_eq!(built.changes.manner, Manner::Updated);
        bench.check(&root, "/a", &built);
        bench.check_names("service");
    }
}

#[test]
fn a_file_that_was_only_touched_is_not_written() {
    let mut bench = Bench::new(OSV);
    let root = bench.workshop.layer("service", &["a = 1"]);
    bench.update("/a").unwrap();
    let before = fs::metadata(bench.image()).unwrap().modified().unwrap();
    let file = File::options().write(true).open(root.join("a")).unwrap();
    // The clock went backwards.
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5))
        .unwrap();
    let again = bench.update("/a").unwrap();
    assert_eq!(again.changes.manner, Manner::Unchanged);
    assert_eq!(
        fs::metadata(bench.image()).unwrap().modified().unwrap(),
        before
    );
    // The same size and the same old time, and other content: it is seen all the same.
    fs::write(root.join("a"), "2").unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5))
        .unwrap();
    let changed = bench.update("/a").unwrap();
    assert_eq!(
        (changed.changes.manner, changed.changes.changed),
        (Manner::Updated, 1)
    );
    bench.check(&root, "/a", &changed);
}

#[test]
fn a_file_whose_times_lie_is_seen_where_all_are_read() {
    // A file in memory that is written to through a mapping: its times stay what they were at the first write.
    const WRITER: &str = "
import mmap, os, sys
with open(sys.argv[1], 'r+b') as file:
    seen = mmap.mmap(file.fileno(), 0)
    seen[0:1] = b'x'
    os.utime(sys.argv[1], (5, 5))
    print('ready', flush=True)
    sys.stdin.readline()
    seen[0:1] = b'y'
    print('done', flush=True)
    sys.stdin.readline()
";
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        return;
    }
    let mut bench = Bench::new(OSV);
    bench.workshop.folder = tempfile::tempdir_in(memory).unwrap();
    let root = bench.workshop.layer("service", &["a = 1", "b = 2"]);
    let mut writer = Command::new("python3")
        .args(["-c", WRITER])
        .arg(root.join("a"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut go_on = writer.stdin.take().unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "ready");
    // What is younger is read again in any case.
    sleep(Duration::from_millis(2100));
    bench.update("/a").unwrap();
    let before = fs::metadata(root.join("a")).unwrap().modified().unwrap();
    writeln!(go_on).unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "done");
    assert_eq!(fs::read(root.join("a")).unwrap(), b"y");
    let now = fs::metadata(root.join("a")).unwrap().modified().unwrap();
    assert_eq!(now, before, "this file system does not let times lie");

    let trusting = bench.update("/a").unwrap();
    assert_eq!(trusting.changes.manner, Manner::Unchanged);
    let (recipe, cache) = (bench.recipe("/a"), DigestCache::default().reading_all());
    let reading = bench
        .layout
        .update(&bench.workshop, &recipe, &cache, &mut |_| ())
        .unwrap();
    assert_eq!(
        (reading.changes.manner, reading.changes.changed),
        (Manner::Updated, 1)
    );
    bench.check(&root, "/a", &reading);
    let again = bench
        .layout
        .update(&bench.workshop, &recipe, &cache, &mut |_| ())
        .unwrap();
    assert_eq!(again.changes.manner, Manner::Unchanged);
    drop(go_on);
    writer.wait().unwrap();
}

#[test]
fn an_image_that_is_not_the_last_build_is_built_anew() {
    let mut bench = Bench::new(OSV);
    let root = bench.workshop.layer("service", &["a = 1"]);
    let image = bench.image();
    let anew = |spoil: &dyn Fn()| {
        bench.update("/a").unwrap();
        fs::write(root.join("a"), format!("{:?}", SystemTime::now())).unwrap();
        spoil();
        let built = bench.update("/a").unwrap();
        bench.check(&root, "/a", &built);
        (
            built.changes.manner,
            built.changes.reason.unwrap_or_default(),
        )
    };
    let reasons = [
        anew(&|| {
            File::options()
                .append(true)
                .open(&image)
                .unwrap()
                .set_modified(SystemTime::now())
                .unwrap();
        }),
        anew(&|| {
            fs::copy(&image, bench.workshop.path("copy")).unwrap();
            fs::rename(bench.workshop.path("copy"), &image).unwrap();
        }),
        anew(&|| fs::write(record_path(&image), "windlass record 2\n").unwrap()),
        anew(&|| fs::remove_file(&image).unwrap()),
    ];
    insta::assert_snapshot!(reasons.map(|(manner, reason)| format!("{manner:?}: {reason}")).join("\n"), @"
    Anew: the image was written to since it was built, or its record is damaged
    Anew: the image was written to since it was built, or its record is damaged
    Anew: the image was written to since it was built, or its record is damaged
    Anew: there is no last build that it could be updated from
    ");
}

#[test]
fn cancelled_at_any_step_the_guest_sees_the_old_image() {
    for layout in LAYOUTS {
        let mut bench = Bench::new(layout);
        let root = bench.workshop.layer("big", &["small = 1"]);
        for file in 0..4 {
            fs::write(root.join(format!("data{file}")), vec![file; 3 << 20]).unwrap();
        }
        for step in [Step::Write, Step::Digest, Step::Finish] {
            bench.update("/small").unwrap();
            let before = contents(&bench.image());
            fs::write(root.join("data0"), format!("{step:?}").repeat(500_000)).unwrap();
            let cancel = CancellationToken::new();
            let mut watch = |progress: windlass_compose::Progress| {
                if progress.step == step {
                    cancel.cancel();
                }
            };
            let plan = layout.plan(&bench.workshop).unwrap();
            let recipe = bench.recipe("/small");
            let result =
                build_or_update(&plan, &recipe, &DigestCache::default(), &mut watch, &cancel);
            assert!(
                matches!(result, Err(Error::Cancelled)),
                "{step:?}: {result:?}"
            );
            assert_eq!(contents(&bench.image()), before);
            check_by_others(&bench.image(), &std::collections::BTreeMap::new());
            bench.check_names("big");
            let built = bench.update("/small").unwrap();
            bench.check(&root, "/small", &built);
        }
    }
}

#[test]
fn two_updates_at_once_end_as_one_of_the_two() {
    for layout in LAYOUTS {
        let mut bench = Bench::new(layout);
        let root = bench.workshop.layer("service", &["a = 1", "b = 2"]);
        for round in 0..4 {
            bench.update("/a").unwrap();
            fs::write(root.join("a"), vec![round; 1 << 20]).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| bench.update("/a").unwrap());
                }
            });
            let last = bench.update("/a").unwrap();
            bench.check(&root, "/a", &last);
            bench.check_names("service");
        }
    }
}

#[test]
fn an_image_that_was_resized_is_updated_and_keeps_its_size() {
    for layout in LAYOUTS {
        let mut bench = Bench::new(layout);
        let root = bench.workshop.layer("service", &["a = 1", "b = 2"]);
        let first = bench.update("/a").unwrap();
        let wanted = (first.size_bytes + (96 << 20)).next_multiple_of(1 << 20);
        let cancel = CancellationToken::new();
        let mut watch = |_| std::ops::ControlFlow::Continue(());
        let resized = resize_image(&first.path, wanted, &mut watch, &cancel).unwrap();
        let digest = blake3::hash(&fs::read(&first.path).unwrap()).to_hex();
        assert_eq!(resized.digest.as_deref(), Some(digest.as_str()));
        let list = windlass_compose::FileList::read(&first.path).unwrap();
        assert_eq!(
            (list.digest.as_str(), list.size_bytes),
            (digest.as_str(), wanted)
        );
        assert!(list.file_count() > 2);

        let same = bench.update("/a").unwrap();
        assert_eq!(
            same.changes.manner,
            Manner::Unchanged,
            "{layout:?}: {:?}",
            same.changes
        );
        assert_eq!(
            (same.size_bytes, same.digest.as_str()),
            (wanted, digest.as_str())
        );
        fs::write(root.join("b"), "another").unwrap();
        let next = bench.update("/a").unwrap();
        assert_eq!(
            next.changes.manner,
            Manner::Updated,
            "{layout:?}: {:?}",
            next.changes
        );
        bench.check(&root, "/a", &next);
        if layout.root_fs == windlass_guest::RootFs::Ext4 {
            assert!(
                next.size_bytes >= wanted - (1 << 20),
                "{layout:?}: {}",
                next.size_bytes
            );
        }
        bench.check_names("service");

        // Who asks for a size gets it, and is told.
        let mut recipe = bench.recipe("/a");
        recipe.size_bytes = Some(48 << 20);
        let cache = DigestCache::default();
        let asked = layout
            .update(&bench.workshop, &recipe, &cache, &mut |_| ())
            .unwrap();
        assert_eq!(
            asked.changes.reason.as_deref(),
            Some("it is to have another size")
        );
    }
}
