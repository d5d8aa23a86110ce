//! Killed at any moment, and several processes at once.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use windlass_library::{Keep, Library};

use crate::support::{Place, again, child_home, mpm, package};

/// Packages of two names, so that what two processes do meets now and then.
const NAMES: [&str; 2] = ["one", "other"];

/// Writes the folders and archives that the children add.
fn prepare(place: &Place) {
    for (at, name) in NAMES.iter().enumerate() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let own = vec![u8::try_from(at).unwrap(); 100_000];
        let folder = package(
            place,
            &format!("sources/{name}"),
            &format!("name: {name}\nversion: 1.{at}\n"),
            &[("shared", content.as_slice()), ("own", own.as_slice())],
        );
        for file in 0..40 {
            fs::write(
                folder.join(format!("file-{file}")),
                format!("{name} {}", file / 2),
            )
            .unwrap();
        }
        mpm(place, &folder);
    }
}

/// Adds and removes without end.
fn work(library: &Library) {
    let sources = library.home().with_file_name("sources");
    for round in 0.. {
        for name in NAMES {
            let source = match round % 2 {
                0 => sources.join(name),
                _ => sources.join(name).with_extension("mpm"),
            };
            library.add_package(&source, None, &mut ()).unwrap();
            // Whoever started us listens to the first only.
            let _ = writeln!(std::io::stdout(), "added");
            if round % 3 == 0 {
                // Another process may have been quicker.
                let _ = library.remove_package(name);
            }
        }
        let plan = library.prune_plan(&Keep::default()).unwrap();
        let _ = library.prune(&plan, &mut ());
    }
}

fn assert_whole(library: &Library) {
    assert_eq!(library.verify(&mut ()).unwrap(), []);
    let listing = library.packages().unwrap();
    assert!(listing.broken.is_empty(), "{:?}", listing.broken);
}

#[test]
fn killed_at_any_moment_the_next_finds_the_old_state_or_the_new_one() {
    const NAME: &str = "crashes::killed_at_any_moment_the_next_finds_the_old_state_or_the_new_one";
    if let Some(home) = child_home() {
        work(&Library::open(home).unwrap());
        return;
    }
    let place = Place::new();
    prepare(&place);
    for moment in 0..20_u64 {
        let mut child = again(NAME, place.library.home())
            .args(["--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        said.lines()
            .find(|line| line.as_ref().unwrap().contains("added"));
        std::thread::sleep(std::time::Duration::from_micros(moment * 3_400));
        child.kill().unwrap();
        child.wait().unwrap();
        let library = Library::open(place.library.home()).unwrap();
        assert_whole(&library);
        // Whatever was left half-done does not keep the next from doing it.
        library
            .add_package(&place.path("sources/one"), None, &mut ())
            .unwrap();
    }
    let library = &place.library;
    for name in NAMES {
        let _ = library.remove_package(name);
    }
    let plan = library.prune_plan(&Keep::default()).unwrap();
    library.prune(&plan, &mut ()).unwrap();
    assert_eq!(
        place.tree(),
        [
            "kernels/",
            "library.lock",
            "objects/",
            "packages/",
            "temporary/"
        ]
        .map(str::to_owned)
    );
}

#[test]
fn killed_while_old_packages_are_brought_over_none_is_lost() {
    const NAME: &str = "crashes::killed_while_old_packages_are_brought_over_none_is_lost";
    const PACKAGES: usize = 60;
    if let Some(home) = child_home() {
        Library::open(home).unwrap();
        return;
    }
    for moment in 0..12_u64 {
        let place = Place::new();
        for at in 0..PACKAGES {
            package(
                &place,
                &format!("home/packages/old-{at}"),
                &format!("name: old-{at}\n"),
                &[
                    ("file", b"content"),
                    ("folder/own", format!("{at}").as_bytes()),
                ],
            );
        }
        let mut child = again(NAME, place.library.home()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(moment * 6));
        child.kill().unwrap();
        child.wait().unwrap();
        let library = Library::open(place.library.home()).unwrap();
        assert_whole(&library);
        assert_eq!(library.packages().unwrap().entries.len(), PACKAGES);
    }
}

#[test]
fn two_processes_add_and_prune_while_a_third_reads() {
    const NAME: &str = "crashes::two_processes_add_and_prune_while_a_third_reads";
    if let Some(home) = child_home() {
        work(&Library::open(home).unwrap());
        return;
    }
    let place = Place::new();
    prepare(&place);
    let mut children: Vec<_> = (0..2)
        .map(|_| {
            again(NAME, place.library.home())
                .args(["--nocapture"])
                .spawn()
                .unwrap()
        })
        .collect();
    let library = &place.library;
    let mut read = 0;
    for _ in 0..300 {
        for package in library.packages().unwrap().entries {
            let manifest = fs::read_to_string(package.path.join("meta/package.yaml"));
            // It may be gone since; but it is never another or half of one.
            if let Ok(manifest) = manifest {
                assert!(
                    manifest.contains(&format!("name: {}\n", package.name)),
                    "{manifest}"
                );
                read += 1;
            }
        }
        library.package("one").map(drop).unwrap_or_default();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for child in &mut children {
        // Neither has failed.
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(read > 0);
    assert_whole(library);
}

#[test]
fn what_another_process_reads_is_pruned_only_after_its_end() {
    const NAME: &str = "crashes::what_another_process_reads_is_pruned_only_after_its_end";
    if let Some(home) = child_home() {
        let library = Library::open(home).unwrap();
        let package = library.package("one").unwrap();
        let _lease = library.lease([package.path.as_path()]).unwrap();
        let _ = writeln!(std::io::stdout(), "leased");
        // As long as whoever started us lives, or until it kills us.
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let place = Place::new();
    prepare(&place);
    let library = &place.library;
    for name in NAMES {
        let source = place.path(&format!("sources/{name}"));
        library.add_package(&source, None, &mut ()).unwrap();
    }
    let one = library.package("one").unwrap();
    let mut child = again(NAME, library.home())
        .args(["--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    said.lines()
        .find(|line| line.as_ref().unwrap().contains("leased"));

    let plan = library.prune_plan(&Keep::default()).unwrap();
    let pruned = library.prune(&plan, &mut ()).unwrap();
    assert_eq!(pruned.in_use, ["one 1.0"]);
    assert_eq!(
        library.packages().unwrap().entries,
        std::slice::from_ref(&one)
    );
    assert_whole(library);

    child.kill().unwrap();
    child.wait().unwrap();
    let plan = library.prune_plan(&Keep::default()).unwrap();
    let pruned = library.prune(&plan, &mut ()).unwrap();
    assert_eq!(pruned.in_use, [""; 0]);
    assert!(library.packages().unwrap().entries.is_empty());
    // What is gone cannot be held.
    let error = library.lease([one.path.as_path()]).unwrap_err();
    assert_eq!(error.to_string(), "there is no package one in the library");
}
