//! Folders that cannot be built, each with the words that the user reads, and nothing half-written left.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use windlass_workshop::Workshop;
use windlass_workshop::appliances::Appliance;
use windlass_workshop::error::{AppError, ErrorKind};

use crate::place::{Place, finish, is_root};
use crate::processes::Other;

/// Builds what cannot be built, and sees that nothing is left of the attempt.
async fn refused(place: &Place, workshop: &Arc<Workshop>, appliance: &Appliance) -> String {
    let job = workshop.start_build(&appliance.id).unwrap();
    let error = finish(workshop, &job).await.unwrap_err();
    nothing_left(place, workshop);
    place.shown(&error)
}

fn nothing_left(place: &Place, workshop: &Workshop) {
    assert_eq!(place.list("images"), [""; 0]);
    assert_eq!(workshop.builds(None).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_vanishes_is_listed_with_its_problem() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    fs::remove_dir_all(&appliance.path).unwrap();

    let listed = workshop.appliances().unwrap().remove(0);
    assert_eq!(
        (listed.id.as_str(), listed.name.as_str()),
        (appliance.id.as_str(), "hello")
    );
    insta::assert_snapshot!(place.shown(&listed.problem.unwrap()), @"
    NotFound: there is no folder …/hello
    hint: Put it back where it was, or forget it here and add it again.
    ");
    let error = workshop.contents(&appliance.id).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    insta::assert_snapshot!(refused(&place, &workshop, &appliance).await, @"
    NotFound: there is no folder …/hello
    hint: Put it back where it was, or forget it here and add it again.
    ");
    // It can still be taken off the list.
    workshop.remove_appliance(&appliance.id).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_pipes_are_named() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    // A socket's own path may not be long; its name in the folder is what counts.
    let short = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(short.path().join("s")).unwrap();
    if fs::rename(short.path().join("s"), place.path("hello/control.sock")).is_err() {
        eprintln!("skipped the socket: the folder of temporary files is on another disk");
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path("hello/pipe"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    insta::assert_snapshot!(place.findings(&workshop, &appliance.id).await, @"
    hello cannot be composed: /control.sock is a socket, which an image cannot hold; /pipe is a named pipe, which an image cannot hold
    hint: Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore.
    ");
    insta::assert_snapshot!(refused(&place, &workshop, &appliance).await, @"
    Input: hello cannot be composed: /control.sock is a socket, which an image cannot hold; /pipe is a named pipe, which an image cannot hold
    hint: Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore.
    ");
    // The remedy that is named helps.
    place.write("hello/.capstanignore", b"/control.sock\n/pipe\n");
    let job = workshop.start_build(&appliance.id).unwrap();
    finish(&workshop, &job).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn device_nodes_are_named() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path("hello/null"),
        rustix::fs::FileType::CharacterDevice,
        0o666.into(),
        rustix::fs::makedev(1, 3),
    );
    if made.is_err() {
        eprintln!("skipped: only root makes device nodes");
        return;
    }
    insta::assert_snapshot!(refused(&place, &workshop, &appliance).await, @"
    Input: hello cannot be composed: /null is a character device, which an image cannot hold
    hint: Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_file_is_named() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let secret = place.write("hello/secret", b"mine");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if !is_root() {
        insta::assert_snapshot!(refused(&place, &workshop, &appliance).await, @"");
        return;
    }
    // To root everything is readable, so that somebody else builds.
    drop(workshop);
    let owned = walk(place.root());
    for path in &owned {
        chown(path, Some(65534), Some(65534)).unwrap();
    }
    let program = place.path("test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut nobody = Command::new("setpriv");
    nobody
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program);
    let reachable = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "test",
            "-x",
        ])
        .arg(&program)
        .status();
    if !reachable.is_ok_and(|status| status.success()) {
        eprintln!("skipped: nobody else can run the tests here");
        return;
    }
    let mut other = Other::start_as(nobody, &place.home(), &format!("build {}", appliance.id));
    let error = other.fails();
    other.end();
    assert_eq!(place.list("images"), [""; 0]);
    insta::assert_snapshot!(place.shown(&error), @"
    Input: hello cannot be composed: /secret cannot be read (permission denied)
    hint: Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore.
    ");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths = vec![folder.to_path_buf()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            paths.extend(walk(&path));
        } else {
            paths.push(path);
        }
    }
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_utf8_is_kept_or_named() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(place.path("hello").join(name), "latin-1").unwrap();
    insta::assert_snapshot!(place.findings(&workshop, &appliance.id).await, @"
    /caf�: /caf� does not fit into ext4: its name is not valid UTF-8
    hint: rename the file, or leave it out with a line in .capstanignore
    ");
    insta::assert_snapshot!(refused(&place, &workshop, &appliance).await, @"
    Input: /caf� does not fit into ext4: its name is not valid UTF-8
    hint: rename the file, or leave it out with a line in .capstanignore
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_255_bytes_fit() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    place.write(&format!("hello/{}", "n".repeat(255)), b"long");
    let job = workshop.start_build(&appliance.id).unwrap();
    finish(&workshop, &job).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_in_a_manifest_is_shown_in_its_line() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    place.write(
        "hello/meta/package.yaml",
        b"name: hello\ntitle: Hello\nauthr: nobody\n",
    );
    let listed = workshop.appliance(&appliance.id).unwrap();
    insta::assert_snapshot!(place.shown(&listed.problem.unwrap()), @"
    Input: meta/package.yaml:3:1: `author` is missing, and `authr` is not a key of a manifest
      |
    3 | authr: nobody
      | ^^^^^ did you mean `author`?
    hint: Write `author` in line 3 of meta/package.yaml.
    ");
    insta::assert_snapshot!(refused(&place, &workshop, &appliance).await, @"
    Input: meta/package.yaml:3:1: `author` is missing, and `authr` is not a key of a manifest
      |
    3 | authr: nobody
      | ^^^^^ did you mean `author`?
    hint: Write `author` in line 3 of meta/package.yaml.
    ");
    insta::assert_snapshot!(place.findings(&workshop, &appliance.id).await, @"
    meta/package.yaml:3:1: `author` is missing, and `authr` is not a key of a manifest
      |
    3 | authr: nobody
      | ^^^^^ did you mean `author`?
    hint: Write `author` in line 3 of meta/package.yaml.
    ");
    assert_eq!(
        workshop.run_form(&appliance.id).unwrap_err().kind,
        ErrorKind::Input
    );

    place.write(
        "hello/meta/package.yaml",
        b"name: hello\ntitle: Hello\nauthor: nobody\n",
    );
    place.write(
        "hello/meta/run.yaml",
        b"runtime: native\nconfig_set:\n  default:\n    bootcmd: [/hello\n",
    );
    insta::assert_snapshot!(place.shown(&workshop.appliance(&appliance.id).unwrap().problem.unwrap()), @"
    Input: meta/run.yaml:4:14: this is not YAML: unclosed bracket '['
      |
    4 |     bootcmd: [/hello
      |              ^
    ");

    // A dropped folder with such a manifest is not added.
    let broken = place.write("other/meta/package.yaml", b"name: [\n");
    let error = add(&workshop, broken.parent().unwrap().parent().unwrap()).await;
    assert_eq!(error.kind, ErrorKind::Input);
    assert_eq!(workshop.appliances().unwrap().len(), 1);
}

async fn add(workshop: &Arc<Workshop>, folder: &Path) -> AppError {
    workshop.add_appliance(folder, None).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_nowhere_is_named() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    place.write(
        "hello/meta/package.yaml",
        b"name: hello\ntitle: Hello\nauthor: nobody\nrequire:\n  - fortran-77\n",
    );
    assert_eq!(workshop.appliance(&appliance.id).unwrap().problem, None);
    insta::assert_snapshot!(place.findings(&workshop, &appliance.id).await, @"
    Because you ask for fortran-77, and there is no package fortran-77, it cannot be done.
    hint: Fetch or make fortran-77.
    ");
    insta::assert_snapshot!(refused(&place, &workshop, &appliance).await, @"
    NotFound: Because you ask for fortran-77, and there is no package fortran-77, it cannot be done.
    hint: Fetch or make fortran-77.
    hint: OSv was not asked yet: `windlassctl registry refresh` does it
    hint: MIKELANGELO was not asked yet: `windlassctl registry refresh` does it
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_in_the_image_is_named() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/helo").await;
    insta::assert_snapshot!(place.findings(&workshop, &appliance.id).await, @"
    /helo: the boot command's program /helo is not there
    hint: Add it to the folder, or correct the command
    ");
}
