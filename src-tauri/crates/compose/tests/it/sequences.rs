//! Any tree and any sequence of edits: the updated image is what a full build makes, and holds what the folder holds.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use windlass_compose::DigestCache;

use crate::layouts::{LAYOUTS, check, check_as_qcow2};
use crate::support::Workshop;

#[derive(Debug, Clone)]
enum Edit {
    Write(String, usize, u8),
    Remove(String),
    Link(String, String),
    Mode(String, u32),
    Move(String, String),
    /// The file's time of change becomes another one, also one to come; its content may change with it.
    Clock(String, i64, Option<u8>),
}

fn edits() -> impl Strategy<Value = Vec<Vec<Edit>>> {
    let name = prop_oneof!["[a-c]", "[a-c]/[a-c]", "[a-c]/[a-c]/[a-c]", "[a-z]{1,200}"];
    let size = prop_oneof![8 => 0..9000_usize, 1 => 100_000..900_000_usize];
    let seconds = prop_oneof![
        -1_000_000_000..0_i64,
        1..100_000_i64,
        Just(i64::from(i32::MAX))
    ];
    let edit = prop_oneof![
        4 => (name.clone(), size, any::<u8>()).prop_map(|(path, size, fill)| Edit::Write(path, size, fill)),
        2 => name.clone().prop_map(Edit::Remove),
        1 => (name.clone(), "[a-z/]{1,100}").prop_map(|(path, target)| Edit::Link(path, target)),
        1 => (name.clone(), prop_oneof![Just(0o755), Just(0o644), Just(0o600)]).prop_map(|(path, mode)| Edit::Mode(path, mode)),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Edit::Move(from, to)),
        1 => (name, seconds, proptest::option::of(any::<u8>())).prop_map(|(path, time, fill)| Edit::Clock(path, time, fill)),
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
        Edit::Clock(path, seconds, byte) => {
            let path = root.join(path);
            let Ok(found) = path.symlink_metadata() else {
                return;
            };
            if !found.is_file() {
                return;
            }
            if let Some(byte) = byte {
                // The same size: nothing but the content and the inode's own time shows it.
                let size = usize::try_from(found.len()).unwrap();
                fs::write(&path, vec![*byte; size]).unwrap();
            }
            let by = Duration::from_secs(seconds.unsigned_abs());
            let time = if *seconds < 0 {
                SystemTime::now() - by
            } else {
                SystemTime::now() + by
            };
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
    ))]

    #[test]
    fn any_sequence_of_edits(rounds in edits(), layout in 0..LAYOUTS.len(), remembers: bool) {
        let layout = LAYOUTS[layout];
        let mut workshop = Workshop::new();
        let root = workshop.layer("service", &["start = 1"]);
        let parts = tempfile::tempdir().unwrap();
        let recipe = |command: &str| layout.recipe(&workshop.path("disk.img"), parts.path(), command);
        let digests = workshop.path("digests");
        let update = |command: &str| {
            let cache = if remembers { DigestCache::open(&digests) } else { DigestCache::default() };
            let built = layout.update(&workshop, &recipe(command), &cache, &mut |_| ()).unwrap();
            check(layout, &workshop, &root, &recipe(command), &built);
            built
        };
        update("/start");
        for (number, round) in rounds.iter().enumerate() {
            for edit in round {
                apply(&root, edit);
            }
            // Every other time the command is another one as well.
            update(&format!("/start {}", number / 2));
        }
        check_as_qcow2(&workshop.path("disk.img"));
    }
}
