//! An image that was updated is what a full build makes, in all that the guest sees, whatever happens on the way.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use windlass_compose::{
    Build, DigestCache, Error, FileList, Manner, Step, build_or_update, record_path,
};
use windlass_guest::{GuestOs, RootFs};
use windlass_image::{GuestPath, Image, StatKind, file_system};

use crate::support::{Workshop, fill, names_in};

const KINDS: [(GuestOs, RootFs); 3] = [
    (GuestOs::Osv, RootFs::Rofs),
    (GuestOs::Osv, RootFs::Ext4),
    (GuestOs::Linux, RootFs::Ext4),
];

fn update(workshop: &Workshop, kind: (GuestOs, RootFs), command: &str) -> Result<Build, Error> {
    let plan = workshop.plan(kind.0, kind.1)?;
    let recipe = workshop.recipe(command);
    build_or_update(
        &plan,
        &recipe,
        &DigestCache::default(),
        &mut |_| (),
        &CancellationToken::new(),
    )
}

/// What a guest finds in an image: kind, mode where there is one, and content.
fn contents(image: &Path) -> BTreeMap<GuestPath, (Option<u32>, String)> {
    let image = Image::open(image).unwrap();
    let root = image.root().unwrap();
    let mut found = BTreeMap::new();
    for stat in file_system::walk(root.as_ref()) {
        let stat = stat.unwrap();
        let what = match &stat.kind {
            StatKind::Directory => "directory".to_owned(),
            StatKind::Symlink { target } => format!("-> {}", target.escape_ascii()),
            StatKind::Special { what } => (*what).to_owned(),
            StatKind::File { size_bytes } => {
                let mut bytes = vec![0; usize::try_from(*size_bytes).unwrap()];
                let count = root.read(&stat, 0, &mut bytes).unwrap();
                assert_eq!(count, bytes.len());
                blake3::hash(&bytes).to_hex().to_string()
            }
        };
        found.insert(stat.path, (stat.mode, what));
    }
    found
}

/// The image is as if it were built anew, and what lies beside it fits.
fn check(workshop: &Workshop, kind: (GuestOs, RootFs), command: &str, built: &Build) {
    let bytes = fs::read(&built.path).unwrap();
    assert_eq!(
        built.digest,
        blake3::hash(&bytes).to_hex().to_string(),
        "the digest is of the image"
    );
    assert_eq!(built.size_bytes, bytes.len() as u64);
    let updated = contents(&built.path);
    let list = FileList::read(&built.path).unwrap();
    assert_eq!(list.digest, built.digest);
    check_ext4(&built.path, kind);

    let anew = workshop.path("anew.img");
    let mut recipe = workshop.recipe(command);
    recipe.destination.clone_from(&anew);
    let plan = workshop.plan(kind.0, kind.1).unwrap();
    let full = crate::support::build_quietly(&plan, &recipe).unwrap();
    assert_eq!(updated, contents(&anew));
    let full_list = FileList::read(&anew).unwrap();
    assert_eq!(list.files, full_list.files);
    assert_eq!(
        (list.command_line, built.file_count),
        (full_list.command_line, full.file_count)
    );
    let command_line = |path: &Path| Image::open(path).unwrap().osv().cloned();
    assert_eq!(command_line(&built.path), command_line(&anew));
    for path in [
        anew.clone(),
        record_path(&anew),
        windlass_compose::files_path(&anew),
    ] {
        fs::remove_file(path).unwrap();
    }
}

fn check_ext4(image: &Path, kind: (GuestOs, RootFs)) {
    if kind != (GuestOs::Linux, RootFs::Ext4) {
        return;
    }
    let Ok(checked) = Command::new("/usr/sbin/e2fsck")
        .arg("-fn")
        .arg(image)
        .output()
    else {
        eprintln!("skipped: no e2fsck here");
        return;
    };
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

#[test]
fn the_build_says_what_changed() {
    for kind in KINDS {
        let mut workshop = Workshop::new();
        let root = workshop.layer(
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
        let first = update(&workshop, kind, "/a").unwrap();
        assert_eq!(first.changes.manner, Manner::Anew);
        assert_eq!(first.changes.added, first.file_count);
        assert_eq!(
            told(&update(&workshop, kind, "/a").unwrap()),
            "Unchanged +0 ~0 -0"
        );

        fs::write(root.join("b"), "two").unwrap();
        fill(&root, &["new/file = 5"]);
        fs::remove_dir_all(root.join("old")).unwrap();
        workshop.take("service");
        let second = update(&workshop, kind, "/a").unwrap();
        assert_eq!(
            told(&second),
            "Updated +1 ~1 -1",
            "{:?}",
            second.changes.reason
        );
        check(&workshop, kind, "/a", &second);

        // A file in the place of a folder, and the other way round.
        fs::remove_dir_all(root.join("lib")).unwrap();
        fs::remove_file(root.join("a")).unwrap();
        fill(&root, &["lib = now a file", "a/b/c = now a folder"]);
        let third = update(&workshop, kind, "/a").unwrap();
        assert_eq!(
            third.changes.manner,
            Manner::Updated,
            "{:?}",
            third.changes.reason
        );
        check(&workshop, kind, "/a", &third);

        let line = update(&workshop, kind, "/b another").unwrap();
        assert_eq!(line.changes.manner, Manner::Updated);
        check(&workshop, kind, "/b another", &line);
        assert_eq!(
            names_in(workshop.folder.path()),
            [
                "disk.img",
                "disk.img.files.json",
                "disk.img.record",
                "service"
            ]
        );
    }
}

#[test]
fn a_file_that_was_only_touched_is_not_written() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["a = 1"]);
    let kind = KINDS[0];
    update(&workshop, kind, "/a").unwrap();
    let before = fs::metadata(workshop.path("disk.img"))
        .unwrap()
        .modified()
        .unwrap();
    let file = File::options().write(true).open(root.join("a")).unwrap();
    // The clock went backwards.
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5))
        .unwrap();
    let again = update(&workshop, kind, "/a").unwrap();
    assert_eq!(again.changes.manner, Manner::Unchanged);
    assert_eq!(
        fs::metadata(workshop.path("disk.img"))
            .unwrap()
            .modified()
            .unwrap(),
        before
    );
    // The same size and the same old time, and other content: it is seen all the same.
    fs::write(root.join("a"), "2").unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5))
        .unwrap();
    let changed = update(&workshop, kind, "/a").unwrap();
    assert_eq!(
        (changed.changes.manner, changed.changes.changed),
        (Manner::Updated, 1)
    );
    check(&workshop, kind, "/a", &changed);
}

#[test]
fn an_image_that_is_not_the_last_build_is_built_anew() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["a = 1"]);
    let kind = KINDS[0];
    let image = workshop.path("disk.img");
    let anew = |spoil: &dyn Fn()| {
        update(&workshop, kind, "/a").unwrap();
        fs::write(root.join("a"), format!("{:?}", SystemTime::now())).unwrap();
        spoil();
        let built = update(&workshop, kind, "/a").unwrap();
        check(&workshop, kind, "/a", &built);
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
            fs::copy(&image, workshop.path("copy")).unwrap();
            fs::rename(workshop.path("copy"), &image).unwrap();
        }),
        anew(&|| fs::write(record_path(&image), "windlass record 1\n").unwrap()),
        anew(&|| fs::remove_file(&image).unwrap()),
    ];
    insta::assert_snapshot!(reasons.map(|(manner, reason)| format!("{manner:?}: {reason}")).join("\n"), @"
    Anew: there is no last build that it could be updated from
    Anew: there is no last build that it could be updated from
    Anew: there is no last build that it could be updated from
    Anew: there is no last build that it could be updated from
    ");
}

#[test]
fn cancelled_at_any_step_the_guest_sees_the_old_image() {
    for kind in KINDS {
        let mut workshop = Workshop::new();
        let root = workshop.layer("big", &["small = 1"]);
        for file in 0..4 {
            fs::write(root.join(format!("data{file}")), vec![file; 3 << 20]).unwrap();
        }
        for step in [Step::Write, Step::Digest, Step::Finish] {
            update(&workshop, kind, "/small").unwrap();
            let before = contents(&workshop.path("disk.img"));
            fs::write(root.join("data0"), format!("{step:?}").repeat(500_000)).unwrap();
            let cancel = CancellationToken::new();
            let mut watch = |progress: windlass_compose::Progress| {
                if progress.step == step {
                    cancel.cancel();
                }
            };
            let plan = workshop.plan(kind.0, kind.1).unwrap();
            let recipe = workshop.recipe("/small");
            let result =
                build_or_update(&plan, &recipe, &DigestCache::default(), &mut watch, &cancel);
            assert!(
                matches!(result, Err(Error::Cancelled)),
                "{step:?}: {result:?}"
            );
            assert_eq!(contents(&workshop.path("disk.img")), before);
            check_ext4(&workshop.path("disk.img"), kind);
            assert_eq!(
                names_in(workshop.folder.path()),
                ["big", "disk.img", "disk.img.files.json", "disk.img.record"]
            );
            let built = update(&workshop, kind, "/small").unwrap();
            check(&workshop, kind, "/small", &built);
        }
    }
}

#[test]
fn on_a_disk_that_gets_full_the_guest_sees_the_old_image() {
    let Some(disk) = crate::bad_input::SmallDisk::mount() else {
        eprintln!("skipped: only root can mount a small file system");
        return;
    };
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["a = 1"]);
    fs::write(root.join("data"), vec![1; 600 << 10]).unwrap();
    let mut recipe = workshop.recipe("/a");
    recipe.destination = disk.0.path().join("disk.img");
    let filler = disk.0.path().join("filler");
    let update = |progress: &mut dyn FnMut(windlass_compose::Progress)| {
        let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
        build_or_update(
            &plan,
            &recipe,
            &DigestCache::default(),
            progress,
            &CancellationToken::new(),
        )
    };
    update(&mut |_| ()).unwrap();
    for step in [Step::Write, Step::Finish] {
        let before = contents(&recipe.destination);
        fs::write(root.join("data"), format!("{step:?}!").repeat(100_000)).unwrap();
        // Somebody else takes all the room that there was.
        let result = update(&mut |progress| {
            if progress.step == step && !filler.exists() {
                let _ = fs::write(&filler, vec![0; 4 << 20]);
            }
        });
        assert!(
            matches!(result, Err(Error::NoSpace { .. })),
            "{step:?}: {result:?}"
        );
        assert_eq!(contents(&recipe.destination), before);
        fs::remove_file(&filler).unwrap();
        update(&mut |_| ()).unwrap();
        let files = ["disk.img", "disk.img.files.json", "disk.img.record"];
        assert_eq!(names_in(disk.0.path()), files);
        assert_ne!(contents(&recipe.destination), before);
    }
}

#[test]
fn two_updates_at_once_end_as_one_of_the_two() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["a = 1", "b = 2"]);
    for round in 0..10 {
        update(&workshop, KINDS[0], "/a").unwrap();
        fs::write(root.join("a"), vec![round; 1 << 20]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| update(&workshop, KINDS[0], "/a").unwrap());
            }
        });
        let last = update(&workshop, KINDS[0], "/a").unwrap();
        check(&workshop, KINDS[0], "/a", &last);
        assert_eq!(
            names_in(workshop.folder.path()),
            [
                "disk.img",
                "disk.img.files.json",
                "disk.img.record",
                "service"
            ]
        );
    }
}

/// What the child of the next test does: it updates until it is killed.
#[test]
#[ignore = "a child of another test"]
fn child_that_is_killed() {
    let (Ok(root), Ok(image), Ok(kind)) = (
        std::env::var("WINDLASS_TEST_ROOT"),
        std::env::var("WINDLASS_TEST_IMAGE"),
        std::env::var("WINDLASS_TEST_KIND"),
    ) else {
        return;
    };
    let (guest, root_fs) = KINDS[kind.parse::<usize>().unwrap()];
    let package = windlass_package::Package::open(&root).unwrap();
    let layers = [windlass_compose::Layer::from_package(
        &package,
        windlass_compose::LayerKind::Appliance,
    )];
    let cancel = CancellationToken::new();
    let plan = windlass_compose::plan(&layers, guest, root_fs, &[], &cancel).unwrap();
    let recipe = windlass_compose::Recipe {
        destination: image.into(),
        command_line: windlass_guest::CommandLine::parse("/a").unwrap(),
        loader: None,
        boot: None,
        size_bytes: None,
    };
    println!("begins");
    build_or_update(
        &plan,
        &recipe,
        &DigestCache::default(),
        &mut |_| (),
        &cancel,
    )
    .unwrap();
}

fn killed_after(workshop: &Workshop, root: &Path, kind: usize, wait: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "updates::child_that_is_killed",
            "--nocapture",
        ])
        .env("WINDLASS_TEST_ROOT", root)
        .env("WINDLASS_TEST_IMAGE", workshop.path("disk.img"))
        .env("WINDLASS_TEST_KIND", kind.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0 && !line.contains("begins")
    {
    }
    std::thread::sleep(wait);
    let _ = child.kill();
    !child.wait().unwrap().success()
}

#[test]
fn slow_killed_at_any_moment_the_image_is_the_old_or_the_new_one() {
    const TURNS: u32 = 34;
    let mut killed = 0;
    for (number, kind) in KINDS.into_iter().enumerate() {
        let mut workshop = Workshop::new();
        let root = workshop.layer("service", &["a = 1"]);
        for file in 0..300_u32 {
            fs::write(
                root.join(format!("f{file}")),
                format!("{file}").repeat(2000),
            )
            .unwrap();
        }
        update(&workshop, kind, "/a").unwrap();
        let mut now = contents(&workshop.path("disk.img"));
        for turn in 0..TURNS {
            for file in (turn % 7..300).step_by(7) {
                fs::write(
                    root.join(format!("f{file}")),
                    format!("{turn} {file}").repeat(1500),
                )
                .unwrap();
            }
            let _ = fs::remove_file(root.join(format!("f{}", turn * 3 + 1)));
            // From the first moment to beyond the end; every third is a full build.
            if turn % 3 == 2 {
                let _ = fs::remove_file(record_path(&workshop.path("disk.img")));
            }
            killed += u32::from(killed_after(
                &workshop,
                &root,
                number,
                Duration::from_millis(u64::from(turn) * 2),
            ));
            let found = contents(&workshop.path("disk.img"));
            check_ext4(&workshop.path("disk.img"), kind);
            let mut recipe = workshop.recipe("/a");
            recipe.destination = workshop.path("anew.img");
            let plan = workshop.plan(kind.0, kind.1).unwrap();
            crate::support::build_quietly(&plan, &recipe).unwrap();
            let new = contents(&workshop.path("anew.img"));
            assert!(found == now || found == new, "{kind:?}, turn {turn}");
            // What comes next goes on from there, and leaves nothing lying about.
            let built = update(&workshop, kind, "/a").unwrap();
            check(&workshop, kind, "/a", &built);
            assert_eq!(
                names_in(workshop.folder.path()),
                [
                    "disk.img",
                    "disk.img.files.json",
                    "disk.img.record",
                    "service"
                ]
            );
            now = new;
        }
    }
    assert!(
        killed > 10,
        "only {killed} were killed before they were done"
    );
}

#[derive(Debug, Clone)]
enum Edit {
    Write(String, usize, u8),
    Remove(String),
    Link(String, String),
    Mode(String, u32),
    Move(String, String),
}

fn edits() -> impl Strategy<Value = Vec<Vec<Edit>>> {
    let name = prop_oneof!["[a-c]", "[a-c]/[a-c]", "[a-c]/[a-c]/[a-c]", "[a-z]{1,200}"];
    let edit = prop_oneof![
        4 => (name.clone(), 0..9000_usize, any::<u8>()).prop_map(|(path, size, fill)| Edit::Write(path, size, fill)),
        2 => name.clone().prop_map(Edit::Remove),
        1 => (name.clone(), "[a-z/]{1,100}").prop_map(|(path, target)| Edit::Link(path, target)),
        1 => (name.clone(), prop_oneof![Just(0o755), Just(0o644), Just(0o600)]).prop_map(|(path, mode)| Edit::Mode(path, mode)),
        1 => (name.clone(), name).prop_map(|(from, to)| Edit::Move(from, to)),
    ];
    proptest::collection::vec(proptest::collection::vec(edit, 1..12), 1..5)
}

/// What cannot be done is left out.
fn apply(root: &Path, edit: &Edit) {
    let with_parent = |path: &str| {
        let path = root.join(path);
        path.parent()
            .is_some_and(|parent| fs::create_dir_all(parent).is_ok())
            .then_some(path)
    };
    match edit {
        Edit::Write(path, size, byte) => {
            if let Some(path) = with_parent(path).filter(|path| !path.is_symlink()) {
                let _ = fs::write(path, vec![*byte; *size]);
            }
        }
        Edit::Remove(path) => {
            let path = root.join(path);
            let _ = fs::remove_file(&path);
            let _ = fs::remove_dir_all(&path);
        }
        Edit::Link(path, target) => {
            if let Some(path) = with_parent(path) {
                let _ = symlink(target, path);
            }
        }
        Edit::Mode(path, mode) => {
            let path = root.join(path);
            if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
        Edit::Move(from, to) => {
            if let Some(to) = with_parent(to) {
                let _ = fs::rename(root.join(from), to);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_edits(rounds in edits(), kind in 0..3_usize) {
        let mut workshop = Workshop::new();
        let root = workshop.layer("service", &["start = 1"]);
        update(&workshop, KINDS[kind], "/start").unwrap();
        for round in &rounds {
            for edit in round {
                apply(&root, edit);
            }
            let built = update(&workshop, KINDS[kind], "/start").unwrap();
            check(&workshop, KINDS[kind], "/start", &built);
        }
    }
}
