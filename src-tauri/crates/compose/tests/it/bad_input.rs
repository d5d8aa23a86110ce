use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use tokio_util::sync::CancellationToken;
use windlass_compose::{DigestCache, Error, Step, build, scan};
use windlass_guest::{GuestOs, RootFs};

use crate::support::{Workshop, build_quietly, names_in, show_error};

#[test]
fn special_files_are_named_all_at_once() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["good = 1"]);
    fs::create_dir(root.join("run")).unwrap();
    let _socket = UnixListener::bind(root.join("run/control.sock")).unwrap();
    for pipe in 0..30 {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join(format!("pipe{pipe:02}")),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o644),
            0,
        )
        .unwrap();
    }
    let error = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap_err();
    let Error::Unusable { files, count, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((files.len(), *count), (20, 31));
    let shown = show_error(&error, workshop.folder.path());
    insta::assert_snapshot!(shown.replace("; /pipe", ";\n/pipe"), @"
    error: service cannot be composed: /pipe00 is a named pipe, which an image cannot hold;
    /pipe01 is a named pipe, which an image cannot hold;
    /pipe02 is a named pipe, which an image cannot hold;
    /pipe03 is a named pipe, which an image cannot hold;
    /pipe04 is a named pipe, which an image cannot hold;
    /pipe05 is a named pipe, which an image cannot hold;
    /pipe06 is a named pipe, which an image cannot hold;
    /pipe07 is a named pipe, which an image cannot hold;
    /pipe08 is a named pipe, which an image cannot hold;
    /pipe09 is a named pipe, which an image cannot hold;
    /pipe10 is a named pipe, which an image cannot hold;
    /pipe11 is a named pipe, which an image cannot hold;
    /pipe12 is a named pipe, which an image cannot hold;
    /pipe13 is a named pipe, which an image cannot hold;
    /pipe14 is a named pipe, which an image cannot hold;
    /pipe15 is a named pipe, which an image cannot hold;
    /pipe16 is a named pipe, which an image cannot hold;
    /pipe17 is a named pipe, which an image cannot hold;
    /pipe18 is a named pipe, which an image cannot hold;
    /pipe19 is a named pipe, which an image cannot hold; and 11 more
    hint: Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore.
    ");

    // Left out, they are in nobody's way.
    fs::write(root.join(".capstanignore"), "/run\n/pipe*\n").unwrap();
    workshop.take("service");
    workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
}

#[test]
fn a_device_is_refused() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &[]);
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("null"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from(0o666),
        rustix::fs::makedev(1, 3),
    );
    if made.is_err() {
        eprintln!("skipped: only root can make a device");
        return;
    }
    let error = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap_err();
    insta::assert_snapshot!(show_error(&error, workshop.folder.path()), @"
    error: service cannot be composed: /null is a character device, which an image cannot hold
    hint: Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore.
    ");
}

#[test]
fn unreadable_files_are_named_all_at_once() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["good = 1", "secret = 2", "private/key = 3"]);
    let close = |name: &str| {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    };
    close("secret");
    close("private");
    if fs::read(root.join("secret")).is_ok() {
        // Root reads everything: the same scan by somebody else, in a process of its own.
        eprintln!("skipped: root reads every file");
    } else {
        let error = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap_err();
        insta::assert_snapshot!(show_error(&error, workshop.folder.path()), @"
        error: service cannot be composed: /private cannot be listed (permission denied); /secret cannot be read (permission denied)
        hint: Delete these files, make them readable for yourself, or leave them out with lines in .capstanignore.
        ");
    }
    fs::set_permissions(root.join("private"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_folder_that_vanished_is_said_to_be_gone() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["good = 1"]);
    fs::remove_dir_all(&root).unwrap();
    let error = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap_err();
    insta::assert_snapshot!(show_error(&error, workshop.folder.path()), @"
    error: the folder of service is not there: …/service
    hint: Put it back where it was, or forget it here and add it again.
    ");
}

/// What somebody does to a file.
type Change = fn(&Path);

#[test]
fn a_file_that_changes_after_the_scan_is_an_error_and_nothing_is_left() {
    for (guest, root_fs) in [(GuestOs::Osv, RootFs::Rofs), (GuestOs::Linux, RootFs::Ext4)] {
        let changes: [(&str, Change); 4] = [
            ("longer", |path| fs::write(path, "much longer").unwrap()),
            ("shorter", |path| fs::write(path, "").unwrap()),
            ("other", |path| fs::write(path, "54321").unwrap()),
            ("gone", |path| fs::remove_file(path).unwrap()),
        ];
        for (name, change) in changes {
            let mut workshop = Workshop::new();
            let root = workshop.layer("service", &["log = 12345"]);
            let plan = workshop.plan(guest, root_fs).unwrap();
            // Times count in steps; one has to pass for a change to show.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(&root.join("log"));
            let error = build_quietly(&plan, &workshop.recipe("/log")).unwrap_err();
            let is_named = error.to_string().contains("/log")
                || format!("{:?}", std::error::Error::source(&error)).contains("log");
            assert!(is_named, "{name}: {error}");
            assert!(error.hint().is_some(), "{name}");
            assert_eq!(names_in(workshop.folder.path()), ["service"], "{name}");
        }
    }
}

#[test]
fn cancelling_at_any_step_leaves_nothing() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("big", &[]);
    for file in 0..8 {
        fs::write(root.join(format!("data{file}")), vec![file; 3 << 20]).unwrap();
    }
    for (guest, root_fs) in [(GuestOs::Osv, RootFs::Rofs), (GuestOs::Linux, RootFs::Ext4)] {
        let plan = workshop.plan(guest, root_fs).unwrap();
        for (step, after) in [
            (Step::Write, 0),
            (Step::Write, 9 << 20),
            (Step::Digest, 0),
            (Step::Finish, 0),
        ] {
            let cancel = CancellationToken::new();
            let mut watch = |progress: windlass_compose::Progress| {
                if progress.step == step && progress.done_bytes >= after {
                    cancel.cancel();
                }
            };
            let error = build(
                &plan,
                &workshop.recipe("/data0"),
                &DigestCache::default(),
                &mut watch,
                &cancel,
            )
            .unwrap_err();
            assert!(matches!(error, Error::Cancelled), "{step:?}: {error}");
            assert_eq!(
                names_in(workshop.folder.path()),
                ["big"],
                "{step:?} {after}"
            );
        }
    }
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    assert!(matches!(
        scan(&workshop.layers()[0], &cancelled),
        Err(Error::Cancelled)
    ));
}

#[test]
fn a_name_that_the_file_system_cannot_hold_is_refused_before_anything_is_written() {
    use std::os::unix::ffi::OsStrExt;
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["good = 1"]);
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "latin").unwrap();
    let error = workshop
        .build(GuestOs::Linux, RootFs::Ext4, "/good")
        .unwrap_err();
    insta::assert_snapshot!(show_error(&error, workshop.folder.path()), @"
    error: the image …/disk.img could not be written
    caused by: /caf� does not fit into ext4: its name is not valid UTF-8
    hint: rename the file, or leave it out with a line in .capstanignore
    ");
    assert_eq!(names_in(workshop.folder.path()), ["service"]);
    // OSv's own file system holds any bytes.
    workshop.build(GuestOs::Osv, RootFs::Rofs, "/good").unwrap();
}

#[test]
fn linux_on_rofs_is_refused() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["good = 1"]);
    let error = workshop
        .build(GuestOs::Linux, RootFs::Rofs, "/good")
        .unwrap_err();
    insta::assert_snapshot!(show_error(&error, workshop.folder.path()), @"
    error: Linux cannot boot from rofs
    hint: Choose ext4, or OSv as the guest.
    ");
}

/// A file system of four megabytes; gone when dropped.
pub struct SmallDisk(pub tempfile::TempDir);

impl SmallDisk {
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "windlass-test"])
            .arg(folder.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_with_how_much_is_needed() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: only root can mount a small file system");
        return;
    };
    let mut workshop = Workshop::new();
    let root = workshop.layer("big", &[]);
    fs::write(root.join("data"), vec![1; 6 << 20]).unwrap();
    let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
    let mut recipe = workshop.recipe("/data");
    recipe.destination = disk.0.path().join("disk.img");
    let error = build_quietly(&plan, &recipe).unwrap_err();
    insta::assert_snapshot!(show_error(&error, disk.0.path()), @"
    error: …/disk.img needs 6.0 MiB of disk space, and there are 4.0 MiB left
    hint: Free some space on that disk, or choose a place with 6.0 MiB left.
    ");

    // It gets full while the image is written: somebody else takes the room that was there.
    fs::write(root.join("data"), vec![1; 1 << 20]).unwrap();
    let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
    let filler = disk.0.path().join("filler");
    let mut watch = |progress: windlass_compose::Progress| {
        if progress.step == Step::Write && !filler.exists() {
            fs::write(&filler, vec![0; 3 << 20]).unwrap();
        }
    };
    let error = build(
        &plan,
        &recipe,
        &DigestCache::default(),
        &mut watch,
        &CancellationToken::new(),
    )
    .unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    assert_eq!(names_in(disk.0.path()), ["filler"]);
}
