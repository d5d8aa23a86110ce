//! Killed at any moment, the image is the old one or the new one.

use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use windlass_compose::{DigestCache, FileList};

use crate::layouts::{LAYOUTS, Layout, check, check_by_others, contents};
use crate::support::{Workshop, build_quietly, names_in};

/// So often a build or an update is really killed, over all layouts.
const KILLS: usize = 102;

/// What the child of the next test does: it updates until it is killed.
#[test]
#[ignore = "a child of another test"]
fn child_that_is_killed() {
    let (Ok(folder), Ok(parts), Ok(layout)) = (
        std::env::var("WINDLASS_TEST_FOLDER"),
        std::env::var("WINDLASS_TEST_PARTS"),
        std::env::var("WINDLASS_TEST_LAYOUT"),
    ) else {
        return;
    };
    let layout = LAYOUTS[layout.parse::<usize>().unwrap()];
    let folder = Path::new(&folder);
    let package = windlass_package::Package::open(folder.join("service")).unwrap();
    let layers = [windlass_compose::Layer::from_package(
        &package,
        windlass_compose::LayerKind::Appliance,
    )];
    let cancel = tokio_util::sync::CancellationToken::new();
    let recipe = layout.recipe(&folder.join("disk.img"), Path::new(&parts), "/a");
    let digests = DigestCache::open(folder.join("digests"));
    println!("begins");
    let plan = windlass_compose::plan(&layers, layout.guest, layout.root_fs, &[], &cancel).unwrap();
    let mut quietly = |_| ();
    windlass_compose::build_or_update(&plan, &recipe, &digests, &mut quietly, &cancel).unwrap();
    println!("ends");
}

/// Has a child build; kills it after a while. How long it took, or nothing when it was killed before it was done.
fn child(
    workshop: &Workshop,
    parts: &Path,
    layout: usize,
    wait: Option<Duration>,
) -> Option<Duration> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "kills::child_that_is_killed"])
        .arg("--nocapture")
        .env("WINDLASS_TEST_FOLDER", workshop.folder.path())
        .env("WINDLASS_TEST_PARTS", parts)
        .env("WINDLASS_TEST_LAYOUT", layout.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut wait_for = |word: &str| {
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 && !line.contains(word) {}
    };
    wait_for("begins");
    let begin = Instant::now();
    match wait {
        Some(wait) => {
            std::thread::sleep(wait);
            let _ = child.kill();
        }
        None => wait_for("ends"),
    }
    let took = begin.elapsed();
    child.wait().unwrap().success().then_some(took)
}

/// The next of a row of numbers from 0 to 1, the same in each run.
fn next(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    f64::from(u32::try_from(*state >> 32).unwrap()) / f64::from(u32::MAX)
}

/// Changes some of the files, in another way each turn.
fn change(root: &Path, turn: u32) {
    for file in (turn % 7..300).step_by(7) {
        let text = format!("{turn} {file}").repeat(1500);
        fs::write(root.join(format!("f{file}")), text).unwrap();
    }
    let _ = fs::remove_file(root.join(format!("f{}", turn * 3 + 1)));
}

#[test]
fn slow_killed_at_any_moment_the_image_is_the_old_or_the_new_one() {
    let mut random = 0x9E37_79B9_7F4A_7C15;
    for (number, layout) in LAYOUTS.into_iter().enumerate() {
        let wanted = KILLS / LAYOUTS.len();
        let (killed, old) = kill_one_layout(number, layout, wanted, &mut random);
        assert_eq!(killed, wanted, "{layout:?}");
        eprintln!("{layout:?}: killed {killed} times, {old} times it was the old image");
    }
}

fn kill_one_layout(
    number: usize,
    layout: Layout,
    wanted: usize,
    random: &mut u64,
) -> (usize, usize) {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["a = 1"]);
    for file in 0..300_u32 {
        let text = format!("{file}").repeat(2000);
        fs::write(root.join(format!("f{file}")), text).unwrap();
    }
    let parts = tempfile::tempdir().unwrap();
    let image = workshop.path("disk.img");
    let recipe = layout.recipe(&image, parts.path(), "/a");
    let anew = parts.path().join("anew.img");
    let recipe_anew = layout.recipe(&anew, parts.path(), "/a");
    let cache = DigestCache::default;

    let mut took = child(&workshop, parts.path(), number, None).unwrap();
    let (mut killed, mut old, mut now) = (0, 0, contents(&image));
    for turn in 0..200_u32 {
        if killed == wanted {
            break;
        }
        change(&root, turn);
        // Every third is a full build: somebody has touched the image.
        if turn % 3 == 2 {
            let image = fs::File::options().append(true).open(&image).unwrap();
            image.set_modified(std::time::SystemTime::now()).unwrap();
        }
        // Every other time towards the end, where the old image becomes the new one.
        let first = if turn % 2 == 0 { 0.0 } else { 0.7 };
        let wait = took.mul_f64(first + (1.05 - first) * next(random));
        match child(&workshop, parts.path(), number, Some(wait)) {
            None => killed += 1,
            // This machine has become faster.
            Some(_) => took = took.mul_f64(0.9),
        }
        build_quietly(&layout.plan(&workshop).unwrap(), &recipe_anew).unwrap();
        let new = contents(&anew);
        let found = contents(&image);
        assert!(found == now || found == new, "{layout:?}, turn {turn}");
        old += usize::from(found == now && now != new);
        check_by_others(&image, &std::collections::BTreeMap::new());
        // Its list may be that of the new image a moment before the image is, but is never torn.
        let list = FileList::read(&image).unwrap();
        assert!(list.file_count() > 200, "{layout:?}, turn {turn}");
        // What comes next goes on from there, and leaves nothing lying about.
        let built = layout
            .update(&workshop, &recipe, &cache(), &mut |_| ())
            .unwrap();
        if turn % 4 == 0 {
            check(layout, &workshop, &root, &recipe, &built);
        }
        let mut names = names_in(workshop.folder.path());
        names.retain(|name| name != "digests" && !name.starts_with(".tmp"));
        let expected = ["disk.img", "disk.img.record"];
        assert_eq!(names, [&expected[..], &["service"]].concat());
        now = new;
    }
    (killed, old)
}
