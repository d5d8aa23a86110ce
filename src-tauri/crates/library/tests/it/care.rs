//! Verified, repaired, pruned.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use windlass_library::{Damage, InstalledPackage, Keep, Origin, Problem, PruneKind};
use windlass_package::Requirement;

use crate::support::{Place, linux_kernel, mpm, package};

const FILES: &[(&str, &[u8])] = &[
    ("bin/program", b"the program"),
    ("lib/one", b"one"),
    ("lib/two", b"two"),
];

fn shown(damages: &[Damage]) -> String {
    let mut lines: Vec<String> = damages.iter().map(ToString::to_string).collect();
    lines.sort();
    lines.join("\n")
}

/// A library with two versions of a package that came from a registry and share files, and the archive of the first.
fn place() -> (Place, PathBuf) {
    let place = Place::new();
    let mut archives = Vec::new();
    for version in ["1.0", "2.0"] {
        let manifest = format!("name: app\nversion: \"{version}\"\n");
        let folder = package(&place, &format!("app-{version}"), &manifest, FILES);
        let archive = place.path(&format!("{version}.mpm"));
        fs::rename(mpm(&place, &folder), &archive).unwrap();
        let origin = Origin {
            registry: "public".to_owned(),
            url: format!("https://packages.test/app-{version}.mpm"),
            archive_sha256: None,
        };
        place
            .library
            .add_package(&archive, Some(origin), &mut ())
            .unwrap();
        archives.push(archive);
    }
    (place, archives.remove(0))
}

#[test]
fn every_damaged_missing_and_extra_file_is_named_and_repaired() {
    let (place, archive) = place();
    assert_eq!(place.library.verify(&mut ()).unwrap(), []);
    let first = place.library.package_version("app", "1.0").unwrap().path;
    // One name is shared: what is written to it is written to both versions.
    fs::write(first.join("lib/one"), b"ONE").unwrap();
    fs::remove_file(first.join("lib/two")).unwrap();
    fs::create_dir(first.join("new")).unwrap();
    fs::write(first.join("new/file"), b"").unwrap();
    fs::set_permissions(first.join("bin/program"), fs::Permissions::from_mode(0o755)).unwrap();
    let damages = place.library.verify(&mut ()).unwrap();
    insta::assert_snapshot!(shown(&damages), @"
    app 1.0: bin/program has other permissions
    app 1.0: lib/one has changed
    app 1.0: lib/two is missing
    app 1.0: new does not belong there
    app 2.0: bin/program has other permissions
    app 2.0: lib/one has changed
    ");

    // Nobody has the archives: what is in the library elsewhere is repaired.
    let two: Vec<Damage> = damages
        .iter()
        .filter(|damage| damage.path.ends_with("two"))
        .cloned()
        .collect();
    let offline = &mut |_: &_, _: &_, _: &_| Err("the network is down".to_owned());
    assert_eq!(
        place.library.repair(&two, offline, &mut ()).unwrap().left,
        []
    );
    let repair = place.library.repair(&damages, offline, &mut ()).unwrap();
    assert_eq!(repair.repaired, []);
    assert_eq!(
        repair.left[0].1,
        "Remove app 1.0, and pull or pack it again from public: the network is down"
    );

    let mut fetched = Vec::new();
    let mut fetch = |_: &_, origin: &Origin, into: &std::path::Path| {
        fetched.push(origin.url.clone());
        let copy = into.join("app.mpm");
        fs::copy(&archive, &copy).map_err(|error| error.to_string())?;
        Ok(copy)
    };
    let repair = place.library.repair(&damages, &mut fetch, &mut ()).unwrap();
    assert_eq!(repair.left, []);
    // The second took from the first what it needed.
    assert_eq!(fetched, ["https://packages.test/app-1.0.mpm"]);
    assert_eq!(place.library.verify(&mut ()).unwrap(), []);
    assert!(!first.join("new").exists());
    assert_eq!(fs::read(first.join("lib/one")).unwrap(), b"one");
    assert_eq!(
        place.library.usage().unwrap().saved_bytes,
        17,
        "they share again"
    );
}

#[test]
fn lost_records_are_made_anew_where_the_tree_says_what_they_were() {
    let (place, _) = place();
    let packages = place.library.packages().unwrap().entries;
    let folder = |at: usize| packages[at].path.parent().unwrap();
    fs::write(folder(0).join("package.json"), b"{").unwrap();
    fs::remove_file(folder(1).join("files")).unwrap();
    let damages = place.library.verify(&mut ()).unwrap();
    assert!(
        damages
            .iter()
            .all(|damage| damage.problem == Problem::Record),
        "{damages:?}"
    );
    assert_eq!(damages.len(), 2);
    let mut offline = |_: &_, _: &_, _: &_| Err("the network is down".to_owned());
    let repair = place
        .library
        .repair(&damages, &mut offline, &mut ())
        .unwrap();
    assert_eq!(repair.left, []);
    assert_eq!(place.library.verify(&mut ()).unwrap(), []);
    let versions = |packages: Vec<windlass_library::InstalledPackage>| {
        packages
            .into_iter()
            .map(|package| (package.version, package.digest))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions(place.library.packages().unwrap().entries),
        versions(packages)
    );
}

#[test]
fn a_list_that_is_lost_with_its_tree_damaged_comes_from_the_archive() {
    let (place, archive) = place();
    let package = place.library.package_version("app", "1.0").unwrap();
    let folder = package.path.parent().unwrap();
    fs::write(folder.join("files"), b"d 755 usr\0").unwrap();
    fs::write(package.path.join("new"), b"").unwrap();
    fs::remove_file(package.path.join("lib/two")).unwrap();
    let damages = place.library.verify(&mut ()).unwrap();
    assert_eq!(shown(&damages), "app 1.0: files is damaged");
    let mut fetch = |_: &_, _: &_, _: &_| Ok(archive.clone());
    let repair = place.library.repair(&damages, &mut fetch, &mut ()).unwrap();
    assert_eq!(repair.left, []);
    assert_eq!(place.library.verify(&mut ()).unwrap(), []);
    // Another archive in its place is not taken for it.
    fs::remove_file(folder.join("files")).unwrap();
    fs::write(package.path.join("new"), b"").unwrap();
    let other = mpm(&place, &place.path("app-2.0"));
    let damages = place.library.verify(&mut ()).unwrap();
    let mut fetch = |_: &_, _: &_, _: &_| Ok(other.clone());
    let repair = place.library.repair(&damages, &mut fetch, &mut ()).unwrap();
    assert_eq!(
        repair.left[0].1,
        "Remove app 1.0, and pull or pack it again: public has another package in its place now."
    );
}

#[test]
fn content_that_changed_without_a_trace_is_found_by_reading() {
    let (place, _) = place();
    let package = place.library.package("app").unwrap();
    let path = package.path.join("lib/one");
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, b"ONE").unwrap();
    fs::File::open(&path).unwrap().set_modified(times).unwrap();
    let check = |full| {
        let packages = std::slice::from_ref(&package);
        place
            .library
            .verify_packages(packages, full, &mut ())
            .unwrap()
    };
    assert_eq!(check(false), []);
    assert_eq!(shown(&check(true)), "app 2.0: lib/one has changed");
    // A file that was only touched is right.
    fs::File::open(package.path.join("lib/two"))
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    assert_eq!(check(false), []);
}

#[test]
fn what_nothing_needs_is_shown_with_its_size_and_goes() {
    let (place, _) = place();
    let add = |folder: &str, manifest: &str, content: &[u8]| {
        let folder = package(&place, folder, manifest, &[("data", content)]);
        place.library.add_package(&folder, None, &mut ()).unwrap()
    };
    add("icu", "name: icu\nversion: 70.1\n", &[1; 1000]);
    add("icu-old", "name: icu\nversion: 60.1\n", &[2; 2000]);
    add("tool", "name: tool\nversion: 1.0\n", &[3; 3000]);
    add("tool-old", "name: tool\nversion: 0.9\n", &[4; 4000]);
    let locked = add("gone", "name: locked\nversion: 5.0\n", &[5; 5000]);
    add("needy", "name: needy\nrequire: [icu]\n", b"");
    place.library.pin_package("tool", "0.9", true).unwrap();
    let kernel = place
        .add(&place.write("vmlinuz", &linux_kernel("6.1.0")))
        .unwrap();
    let initramfs = place.library.initramfs(&kernel.id).unwrap();
    place.write(
        &format!("home/kernels/{}/initramfs-0123456789abcdef.cpio", kernel.id),
        &[0; 600],
    );
    let partial = place.write("home/downloads/registry-1/big.mpm.part", &[0; 700]);
    place.write("home/downloads/now.mpm.part", &[0; 100]);
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(48);
    fs::File::open(&partial).unwrap().set_modified(old).unwrap();
    place.write("home/temporary/killed/half", &[0; 800]);

    let lock = {
        let require = [Requirement::any("locked")];
        place.library.resolve(&require, None).unwrap().lock()
    };
    let keep = Keep {
        locks: vec![lock],
        requirements: vec![
            vec![Requirement::any("needy")],
            vec![Requirement::any("missing")],
        ],
        newest: false,
    };
    let plan = place.library.prune_plan(&keep).unwrap();
    let lines: Vec<String> = plan
        .items
        .iter()
        .map(|item| {
            let what = item.what.replace(&kernel.id, "…");
            format!(
                "{:?} {what}, {} bytes: {}",
                item.kind, item.size_bytes, item.reason
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    assert_eq!(
        plan.total_bytes,
        plan.items.iter().map(|item| item.size_bytes).sum::<u64>()
    );
    let newest = Keep {
        newest: true,
        ..keep.clone()
    };
    let less = place.library.prune_plan(&newest).unwrap();
    let names: Vec<_> = less
        .items
        .iter()
        .filter(|item| item.kind == PruneKind::Package)
        .map(|item| item.what.as_str())
        .collect();
    assert_eq!(names, ["icu 60.1", "app 1.0"]);

    // What is wanted again between the plan and the deed stays.
    place.library.pin_package("app", "2.0", true).unwrap();
    let before = place.library.usage().unwrap();
    let pruned = place.library.prune(&plan, &mut ()).unwrap();
    assert_eq!(pruned.items, plan.items.len() as u64 - 1);
    let after = place.library.usage().unwrap();
    assert_eq!(
        (
            after.left_bytes,
            after.old_initramfs_bytes,
            after.partial_bytes
        ),
        (0, 0, 100)
    );
    assert!(after.packages_bytes < before.packages_bytes);
    assert!(initramfs.exists());
    let left: Vec<String> = place
        .library
        .packages()
        .unwrap()
        .entries
        .iter()
        .map(InstalledPackage::label)
        .collect();
    assert_eq!(
        left,
        ["app 2.0", "icu 70.1", "locked 5.0", "needy", "tool 0.9"]
    );
    assert_eq!(place.library.package("locked").unwrap(), locked);
    assert_eq!(place.library.verify(&mut ()).unwrap(), []);
    let again = place.library.prune_plan(&keep).unwrap();
    assert_eq!(again.items, []);
}
