//! What comes in as a folder or archive, and how its files are shared.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use windlass_library::{Error, InstalledPackage, Library, Origin, Sharing};
use windlass_package::Requirement;

use crate::support::{Place, again, child_home, mpm, package, show_error};

const NODE: &[(&str, &[u8])] = &[
    ("usr/bin/node", b"the program"),
    ("usr/lib/libicu.so", b"icu"),
];

fn id(path: &Path) -> (u64, u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

fn add(place: &Place, path: &Path) -> InstalledPackage {
    place.library.add_package(path, None, &mut ()).unwrap()
}

#[test]
fn versions_live_side_by_side_and_share_what_they_have_in_common() {
    let place = Place::new();
    let old = package(&place, "old", "name: node\nversion: 18.1\n", NODE);
    let new = package(&place, "new", "name: node\nversion: 20.2\n", NODE);
    place.write("new/usr/bin/node", b"another program");
    let (new, old) = (add(&place, &new), add(&place, &old));
    // The newest is that of the highest version, whichever came last.
    assert_eq!(place.library.package("node").unwrap(), new);
    assert_eq!(place.library.package_version("node", "18.1").unwrap(), old);
    let icu = |package: &InstalledPackage| id(&package.path.join("usr/lib/libicu.so"));
    assert_eq!(icu(&old), icu(&new));
    let usage = place.library.usage().unwrap();
    assert_eq!(usage.sharing, Sharing::HardLinks);
    assert_eq!((usage.packages, usage.saved_bytes), (2, 3));
    assert_eq!(usage.objects, 5, "two manifests, two programs, one library");
    assert_eq!(usage.packages_bytes + 3, old.size_bytes + new.size_bytes);
    // The folder that it came from is independent of it.
    place.write("old/usr/lib/libicu.so", b"edited");
    assert_eq!(
        fs::read(old.path.join("usr/lib/libicu.so")).unwrap(),
        b"icu"
    );

    place
        .library
        .remove_package_version("node", "18.1")
        .unwrap();
    assert_eq!(place.library.usage().unwrap().objects, 3);
    let error = place.library.package_version("node", "18.1").unwrap_err();
    insta::assert_snapshot!(show_error(&error, place.folder.path()), @"
    error: there is no version 18.1 of node in the library
    hint: There is 20.2.
    ");
}

#[test]
fn a_folder_and_its_archives_are_one_package() {
    let place = Place::new();
    let folder = package(&place, "node", "name: node\nversion: 1.0\n", NODE);
    std::os::unix::fs::symlink("node", folder.join("usr/bin/nodejs")).unwrap();
    fs::set_permissions(
        folder.join("usr/bin/node"),
        fs::Permissions::from_mode(0o775),
    )
    .unwrap();
    fs::set_permissions(folder.join("usr"), fs::Permissions::from_mode(0o700)).unwrap();
    let first = add(&place, &folder);
    assert_eq!((first.file_count, first.origin.is_none()), (4, true));
    let origin = Origin {
        registry: "public".to_owned(),
        url: "https://packages.test/node.mpm".to_owned(),
        archive_sha256: Some("ab".repeat(32)),
    };
    let archive = mpm(&place, &folder);
    let again = place
        .library
        .add_package(&archive, Some(origin.clone()), &mut ())
        .unwrap();
    assert_eq!((&again.path, &again.digest), (&first.path, &first.digest));
    assert_eq!(again.origin, Some(origin));
    assert_eq!(place.library.packages().unwrap().entries, [again]);
    let mode = |path: &str| fs::metadata(first.path.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("usr/bin/node"), mode("usr")), (0o755, 0o755));
    assert_eq!(
        fs::read_link(first.path.join("usr/bin/nodejs")).unwrap(),
        Path::new("node")
    );
}

#[test]
fn what_is_no_package_is_refused_and_leaves_nothing() {
    let place = Place::new();
    place.write("folder/file", b"content");
    let truncated = mpm(&place, &package(&place, "node", "name: node\n", NODE));
    let bytes = fs::read(&truncated).unwrap();
    fs::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    let nameless = mpm(&place, &place.path("folder"));
    let text = place.write("text.mpm", b"no archive at all");
    let shown: Vec<String> = [place.path("folder"), nameless, truncated, text]
        .iter()
        .map(|path| {
            let error = place.library.add_package(path, None, &mut ()).unwrap_err();
            // Where it was cut depends on how tar compresses.
            let shown = show_error(&error, place.folder.path());
            let lines = shown
                .lines()
                .map(|line| line.split(" (at byte").next().unwrap());
            lines.collect::<Vec<_>>().join("\n")
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n\n"));
    assert_eq!(
        place.tree(),
        ["kernels/", "packages/", "temporary/"].map(str::to_owned)
    );
}

#[test]
fn cancelling_leaves_nothing() {
    let place = Place::new();
    let folder = package(&place, "node", "name: node\n", NODE);
    for source in [folder.clone(), mpm(&place, &folder)] {
        let mut cancel = |_| ControlFlow::Break(());
        let error = place
            .library
            .add_package(&source, None, &mut cancel)
            .unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error:?}");
    }
    assert_eq!(
        place.tree(),
        ["kernels/", "packages/", "temporary/"].map(str::to_owned)
    );
    // Nor when it is moved in: then the folder stays as well.
    package(&place, "bad", "name: ../bad\n", &[]);
    place
        .library
        .install_package(&place.path("bad"))
        .unwrap_err();
    assert!(place.path("bad/meta/package.yaml").exists());
}

#[test]
fn where_files_cannot_be_shared_each_tree_has_its_own() {
    let place = Place::new();
    let library = Library::open_sharing(place.library.home(), Sharing::Copies).unwrap();
    for version in ["1.0", "2.0"] {
        let folder = package(
            &place,
            version,
            &format!("name: node\nversion: {version}\n"),
            NODE,
        );
        library.add_package(&folder, None, &mut ()).unwrap();
    }
    let usage = library.usage().unwrap();
    assert_eq!(
        (usage.sharing, usage.objects, usage.saved_bytes),
        (Sharing::Copies, 0, 0)
    );
    let packages = library.packages().unwrap().entries;
    let icu = |package: &InstalledPackage| id(&package.path.join("usr/lib/libicu.so"));
    assert_ne!(icu(&packages[0]), icu(&packages[1]));
    assert_eq!(library.verify(&mut ()).unwrap(), []);
    // What one has lost is found in the other.
    fs::write(packages[0].path.join("usr/lib/libicu.so"), "bad").unwrap();
    let damages = library.verify(&mut ()).unwrap();
    let repair = library
        .repair(&damages, &mut |_, _, _| Err("offline".to_owned()), &mut ())
        .unwrap();
    assert_eq!((repair.repaired.len(), repair.left.len()), (1, 0));
    library.remove_package("node").unwrap();
}

#[test]
fn packages_of_an_older_windlass_are_brought_over_once() {
    let place = Place::new();
    let old = |name: &str| format!("home/packages/{name}");
    package(
        &place,
        &old("node-20"),
        "name: node-20\nrequire: [icu]\n",
        NODE,
    );
    package(
        &place,
        &old("icu"),
        "name: icu\n",
        &[("usr/lib/libicu.so", b"icu")],
    );
    place.write("home/packages/bad/meta/package.yaml", b"name: [\n");
    let library = Library::open(place.library.home()).unwrap();
    let resolution = library
        .resolve(&[Requirement::any("node-20")], None)
        .unwrap();
    let names: Vec<_> = resolution
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(names, ["icu", "node-20"]);
    assert_eq!(
        fs::read(resolution.packages[1].path.join("usr/bin/node")).unwrap(),
        b"the program"
    );
    assert_eq!(library.usage().unwrap().saved_bytes, 3);
    assert_eq!(library.verify(&mut ()).unwrap(), []);
    // One that was put aside when the computer was switched off is found again.
    package(&place, &old(".before-lost"), "name: lost\n", NODE);
    let library = Library::open(place.library.home()).unwrap();
    assert_eq!(library.package("lost").unwrap().file_count, 3);
    // What cannot be read stays where it is, and is named.
    assert_eq!(library.packages().unwrap().broken.len(), 1);
    assert!(place.path("home/packages/bad/meta/package.yaml").exists());

    let before = place.tree();
    Library::open(place.library.home()).unwrap();
    assert_eq!(place.tree(), before);
}

#[test]
fn a_lock_keeps_to_its_packages_until_it_cannot() {
    let place = Place::new();
    let add = |folder: &str, manifest: &str| {
        add(
            &place,
            &package(&place, folder, manifest, &[("file", folder.as_bytes())]),
        )
    };
    let first = add("1", "name: node\nversion: 18.1\nrequire: [icu]\n");
    add("2", "name: icu\n");
    let require = [Requirement::parse("node >=18").unwrap()];
    let lock = place.library.resolve(&require, None).unwrap().lock();
    add("3", "name: node\nversion: 20.2\n");
    // Later versions do not count while the lock fits.
    let mut watch = ();
    let locked = place
        .library
        .resolve_locked(&require, &lock, true, &mut watch)
        .unwrap();
    assert_eq!(locked.packages[1], first);
    assert_eq!(
        place
            .library
            .resolve(&require, None)
            .unwrap()
            .packages
            .len(),
        1
    );

    let mut told = Vec::new();
    let mut tell = |what: &str, require: &[Requirement]| {
        let error = place.library.resolve_locked(require, &lock, false, &mut ());
        told.push(match error {
            Err(error) => format!("{what}\n{}", show_error(&error, place.folder.path())),
            Ok(_) => format!("{what}\nfine"),
        });
    };
    tell(
        "another version is required",
        &[Requirement::parse("node >=20").unwrap()],
    );
    tell(
        "one more is required",
        &[require[0].clone(), Requirement::any("nowhere")],
    );
    fs::write(first.path.join("file"), b"x").unwrap();
    tell("a file was written to", &require);
    place
        .library
        .remove_package_version("node", "18.1")
        .unwrap();
    tell("a package was removed", &require);
    insta::assert_snapshot!(told.join("\n\n"));
}

/// The most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

#[test]
fn slow_an_archive_of_two_gigabytes_takes_no_more_memory_than_a_small_one() {
    const NAME: &str =
        "store::slow_an_archive_of_two_gigabytes_takes_no_more_memory_than_a_small_one";
    if let Some(home) = child_home() {
        let archive = home.with_file_name("big.mpm");
        let library = Library::open(&home).unwrap();
        let package = library.add_package(&archive, None, &mut ()).unwrap();
        assert!(package.size_bytes >= 2 << 30);
        let peak = peak_bytes();
        assert!(peak < 64 << 20, "{peak}");
        eprintln!("2 GiB added with {} MiB of memory", peak >> 20);
        return;
    }
    let place = Place::new();
    let archive = fs::File::create(place.path("big.mpm")).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        archive,
        flate2::Compression::fast(),
    ));
    let mut append = |path: &str, size: u64, content: &mut dyn std::io::Read| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content).unwrap();
    };
    let manifest = b"name: big\ntitle: Big\nauthor: Anonymous\n";
    append(
        "meta/package.yaml",
        manifest.len() as u64,
        &mut manifest.as_slice(),
    );
    // It compresses to a tenth or so: a bomb would be refused.
    let block: Vec<u8> = (0..1_u32 << 18)
        .flat_map(|at| (at / 16).wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for file in 0..4 {
        let repeated = 512 * block.len() as u64;
        let mut endless = Repeat {
            block: &block,
            at: 0,
        };
        append(
            &format!("data-{file}"),
            repeated,
            &mut endless.by_ref().take(repeated),
        );
    }
    tar.into_inner().unwrap().finish().unwrap();
    let status = again(NAME, place.library.home())
        .arg("--nocapture")
        .status()
        .unwrap();
    assert!(status.success());
}

/// A block without end.
struct Repeat<'a> {
    block: &'a [u8],
    at: usize,
}

impl Read for Repeat<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at = (self.at + count) % self.block.len();
        Ok(count)
    }
}
