//! Disks that a guest fills: made whole or not at all, with a record as any image. The guest is played by what receives as
//! cpiod does.

use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_util::sync::CancellationToken;
use windlass_compose::{
    Build, DigestCache, Error, FileList, Filler, Filling, Manner, Recipe, Step, build_or_update,
    cpiod,
};
use windlass_guest::{GuestOs, RootFs};
use windlass_image::{mbr, osv};

use crate::cpiod::{Received, receive};
use crate::support::{Workshop, build_quietly, names_in};

/// What a guest was sent, each time that one was started.
type Guests = Arc<Mutex<Vec<Received>>>;

/// A filler whose guest takes everything.
fn filler(guests: &Guests) -> Filler {
    let guests = Arc::clone(guests);
    Filler::new(move |disk, members, told, cancel| {
        assert_eq!(disk.metadata().unwrap().len() % 512, 0);
        told(Filling::Starting);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let guest = thread::spawn(move || receive(listener.accept().unwrap().0, "/zfs/"));
        let mut sent = |bytes| told(Filling::Sent(bytes));
        cpiod::send("127.0.0.1", port, members, &mut sent, cancel)?;
        told(Filling::Ending);
        guests.lock().unwrap().push(guest.join().unwrap().unwrap());
        Ok(())
    })
}

fn recipe(workshop: &Workshop, filler: Filler) -> Recipe {
    Recipe {
        filler: Some(filler),
        ..workshop.recipe("/app/tool")
    }
}

fn update(workshop: &Workshop, recipe: &Recipe) -> Build {
    let plan = workshop.plan(GuestOs::Osv, RootFs::Zfs).unwrap();
    let (cache, cancel) = (DigestCache::default(), CancellationToken::new());
    build_or_update(&plan, recipe, &cache, &mut |_| (), &cancel).unwrap()
}

#[test]
fn a_guest_fills_the_disk_and_the_record_says_with_what() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["app/tool = x !", "app/link -> tool"]);
    let guests = Guests::default();
    let recipe = recipe(&workshop, filler(&guests));
    let plan = workshop.plan(GuestOs::Osv, RootFs::Zfs).unwrap();
    let mut steps = Vec::new();
    let mut progress = |progress: windlass_compose::Progress| {
        if steps.last() != Some(&progress.step) {
            steps.push(progress.step);
        }
    };
    let (cache, cancel) = (DigestCache::default(), CancellationToken::new());
    let built = windlass_compose::build(&plan, &recipe, &cache, &mut progress, &cancel).unwrap();
    assert_eq!(
        steps,
        [
            Step::Write,
            Step::StartBuilder,
            Step::Write,
            Step::EndBuilder,
            Step::Digest,
            Step::Finish
        ]
    );
    // A disk of its own needs what we add as well.
    for path in ["app/tool", "app/link", "etc/fstab", "dev"] {
        let received = &guests.lock().unwrap()[0];
        assert!(received.contains_key(&format!("/zfs/{path}")), "{path}");
    }
    let mut file = fs::File::open(&built.path).unwrap();
    assert_eq!(
        osv::read_command_line(&mut file).unwrap(),
        "--rootfs=zfs /app/tool"
    );
    let partitions = mbr::read(&mut file).unwrap();
    let [partition] = partitions.as_slice() else {
        panic!("{partitions:?}");
    };
    assert_eq!((partition.number, partition.seen_by_osv), (2, true));
    assert_eq!(
        partition.start_bytes + partition.size_bytes,
        built.size_bytes
    );
    let list = FileList::read(&built.path).unwrap();
    assert_eq!(
        (list.root_fs.as_str(), list.digest),
        ("zfs", built.digest.clone())
    );
    let tool = list
        .files
        .iter()
        .find(|file| file.path == "/app/tool")
        .unwrap();
    assert_eq!(tool.digest, Some(blake3::hash(b"x").to_hex().to_string()));

    // What did not change needs no guest; what did is a full build, which says so.
    let same = update(&workshop, &recipe);
    assert_eq!(
        (same.changes.manner, same.digest),
        (Manner::Unchanged, built.digest)
    );
    assert_eq!(guests.lock().unwrap().len(), 1);
    fs::write(root.join("app/more"), "more").unwrap();
    let changed = update(&workshop, &recipe);
    assert_eq!(
        (changed.changes.manner, changed.changes.added),
        (Manner::Anew, 1)
    );
    insta::assert_snapshot!(changed.changes.reason.unwrap(), @"only a guest writes its file system");
    let guests = guests.lock().unwrap();
    assert_eq!(guests.len(), 2);
    assert!(guests[1].contains_key("/zfs/app/more") && guests[1].contains_key("/zfs/app/tool"));
}

#[test]
fn what_fails_leaves_the_old_disk() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["app/tool = x !"]);
    let plan = workshop.plan(GuestOs::Osv, RootFs::Zfs).unwrap();
    fs::write(workshop.path("disk.img"), "the old one").unwrap();
    let before = names_in(workshop.folder.path());

    let ended = Filler::new(|_, _, _, _| {
        Err(Error::Builder {
            problem: "it ended".to_owned(),
            hint: Some("look".to_owned()),
        })
    });
    let error = build_quietly(&plan, &recipe(&workshop, ended)).unwrap_err();
    insta::assert_snapshot!(error, @"the ZFS file system could not be made: it ended");
    assert_eq!(error.hint().as_deref(), Some("look"));
    let none = build_quietly(&plan, &workshop.recipe("/app/tool")).unwrap_err();
    insta::assert_snapshot!(none, @"the ZFS file system could not be made: there is no builder");

    let cancelled = Filler::new(|_, _, _, cancel: &CancellationToken| {
        cancel.cancel();
        Ok(())
    });
    let outcome = build_quietly(&plan, &recipe(&workshop, cancelled));
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");

    let linux = workshop.plan(GuestOs::Linux, RootFs::Zfs).unwrap();
    let refused = build_quietly(&linux, &recipe(&workshop, filler(&Guests::default())));
    insta::assert_snapshot!(refused.unwrap_err(), @"Linux cannot boot from zfs");
    assert_eq!(names_in(workshop.folder.path()), before);
    assert_eq!(
        fs::read_to_string(workshop.path("disk.img")).unwrap(),
        "the old one"
    );
}

#[test]
fn a_file_that_changes_while_a_guest_takes_it_ends_the_build() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &["app/tool = x !", "app/log = one"]);
    let plan = workshop.plan(GuestOs::Osv, RootFs::Zfs).unwrap();
    let log = root.join("app/log");
    let writing = Filler::new(move |_, _, _, _| {
        fs::write(&log, "another").unwrap();
        Ok(())
    });
    let outcome = build_quietly(&plan, &recipe(&workshop, writing));
    assert!(matches!(outcome, Err(Error::Changed { .. })), "{outcome:?}");
    assert!(!workshop.path("disk.img").exists());
}
